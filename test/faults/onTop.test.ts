import { failEach } from './search'
import { ON_TOP } from './tables/onTop'

failEach(ON_TOP)
