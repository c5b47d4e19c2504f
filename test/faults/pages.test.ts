import { failEach } from './search'
import { PAGES } from './tables/pages'

failEach(PAGES)
