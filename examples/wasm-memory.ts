/** A page allocator over a WebAssembly memory: two lines to start, and growth while blocks live. */

import { BuddyAllocator, freeSummary, GFP_KERNEL, MiB, PAGE_SIZE, PhysicalMemory } from 'kmem'

// A module's own memory: import it into the module, or take the one that it exports.
const memory = new WebAssembly.Memory({ initial: 128, maximum: 1024 })

const ram = new PhysicalMemory({ memory })
const pages = new BuddyAllocator({ ram })

// Addresses are offsets into the memory: pass them to the module as pointers.
const address = pages.getFreePages(GFP_KERNEL, 2)
if (address === null) throw new Error('no memory')
ram.fill(address, 4 * PAGE_SIZE, 0xab)
console.log(`a block of 4 pages at 0x${address.toString(16)}`)

// Take all there is in blocks of 64 KiB.
const blocks: number[] = []
const takeAll = () => {
  for (;;) {
    const block = pages.getFreePages(GFP_KERNEL, 4)
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

for (const block of blocks) pages.freePagesAt(block, 4)
pages.freePagesAt(address, 2)
pages.drainLocalPages()
const { freePages, largestOrder } = freeSummary(pages)
console.log(`all freed: ${freePages} pages free, the largest block is of order ${largestOrder}`)

function size(): string {
  return `${memory.buffer.byteLength / MiB} MiB`
}
