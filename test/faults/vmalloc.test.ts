import { failEach } from './search'
import { VMALLOC } from './tables/vmalloc'

failEach(VMALLOC)
