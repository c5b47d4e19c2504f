import { failEach } from './search'
import { PAGING } from './tables/paging'

failEach(PAGING)
