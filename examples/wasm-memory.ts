/** A page allocator over a WebAssembly memory: two lines to start, and growth while blocks live. */

import {
  BuddyAllocator,
  foldCounters,
  freePagesAt,
  freeSummary,
  GFP_KERNEL,
  getFreePages,
  KiB,
  MiB,
  PAGE_SIZE,
  PhysicalMemory,
  reservePages,
  sysctl,
  toPfn,
} from 'kmem'

// A module's own memory: import it into the module, or take the one that it exports.
const memory = new WebAssembly.Memory({ initial: 128, maximum: 1024 })

const ram = new PhysicalMemory({ memory })
const pages = new BuddyAllocator({ ram })

// The module's own data lies below its __heap_base, and address 0 is no address to it.
const heapBase = 64 * KiB
reservePages(pages, toPfn(0), heapBase / PAGE_SIZE)
// Nothing reclaims memory here, so a larger reserve after fragmentation would be for nobody.
sysctl(pages, 'watermark_boost_factor', 0)

// Addresses are offsets into the memory: pass them to the module as pointers.
const address = getFreePages(pages, GFP_KERNEL, 2)
if (address === null) throw new Error('no memory')
ram.fill(address, 4 * PAGE_SIZE, 0xab)
console.log(`a block of 4 pages at 0x${address.toString(16)}`)

// Take all there is in blocks of 64 KiB.
const blocks: number[] = []
const takeAll = () => {
  for (;;) {
    const block = getFreePages(pages, GFP_KERNEL, 4)
    if (block === null) return
    blocks.push(block)
  }
}
takeAll()
console.log(`${size()}: full with ${blocks.length} blocks of 64 KiB`)

// Growth detaches the old ArrayBuffer; blocks stay where they are, and their bytes with them.
ram.grow(8 * MiB)
takeAll()
console.log(`${size()}: full with ${blocks.length} blocks of 64 KiB`)
console.log(`the first block still holds 0x${ram.bytes(address, 1)[0]?.toString(16)}`)

for (const block of blocks) freePagesAt(pages, block, 4)
freePagesAt(pages, address, 2)
pages.drainLocalPages()
foldCounters(pages)
const { freePages, largestOrder } = freeSummary(pages)
console.log(`all freed: ${freePages} pages are free, the largest block is of order ${largestOrder}`)

function size(): string {
  return `${memory.buffer.byteLength / MiB} MiB`
}
