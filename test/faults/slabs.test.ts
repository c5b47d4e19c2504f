import { failEach } from './search'
import { SLABS } from './tables/slabs'

failEach(SLABS)
