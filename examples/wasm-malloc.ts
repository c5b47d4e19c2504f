/**
 * The allocator of a WebAssembly module: it imports malloc and free, and memory grows when it runs
 * out.
 */

import { readFileSync } from 'node:fs'
import {
  BuddyAllocator,
  foldCounters,
  freeSummary,
  KiB,
  Kmalloc,
  MiB,
  PAGE_SIZE,
  PhysicalMemory,
  reservePages,
  shrinkAllCaches,
  sysctl,
  toPfn,
  wasmMalloc,
} from 'kmem'

/** What list.wat exports. Lists and arrays are addresses. */
interface ListModule {
  build(n: number): number
  reverse(list: number): number
  first(list: number): number
  sum(list: number): number
  toArray(list: number): number
  drop(list: number): number
}

// 2 MiB to start with, 32 MiB at most.
const memory = new WebAssembly.Memory({ initial: 32, maximum: 512 })
const ram = new PhysicalMemory({ memory })
const pages = new BuddyAllocator({ ram })

// The module's own data lies below its __heap_base. Nothing reclaims memory here, so a larger
// reserve after fragmentation would be for nobody.
reservePages(pages, toPfn(0), (64 * KiB) / PAGE_SIZE)
sysctl(pages, 'watermark_boost_factor', 0)

const heap = new Kmalloc(pages)
const before = usedPages()

const grown: number[] = []
const grow = (bytes: number): boolean => {
  if (!ram.grow(bytes)) return false
  grown.push(bytes / MiB)
  return true
}
const malloc = wasmMalloc(heap, { grow })
const bytes = readFileSync(new URL('list.wasm', import.meta.url))
const module = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
  env: { memory, ...malloc },
})
const list = module.exports as unknown as ListModule

const n = 500_000
console.log(`${size()}: building a list of ${n} numbers`)
const built = list.build(n)
console.log(`${size()}: it starts with ${list.first(built)}, the sum is ${list.sum(built)}`)

const reversed = list.reverse(built)
console.log(`reversed it starts with ${list.first(reversed)}, the sum is ${list.sum(reversed)}`)

// Read the array where it lies; views have to be made after the last growth.
const array = list.toArray(reversed)
const numbers = new Int32Array(memory.buffer, array, n + 1)
console.log(`${size()}: an array from ${numbers[0]} to ${numbers[n - 1]}, ended by ${numbers[n]}`)
console.log(`memory grew by ${grown.join(' + ')} MiB`)

const none = list.build(5_000_000)
console.log(`${size()}: a list of 5000000 does not fit: ${none}`)

malloc.free(array)
console.log(`${list.drop(reversed)} nodes freed`)
console.log(`pages in use: ${before} before, ${usedPages()} after`)

/** Pages that are not free, once caches have given back what they keep. */
function usedPages(): number {
  shrinkAllCaches(heap.slabs)
  pages.drainAllPages()
  foldCounters(pages)
  const { managedPages, freePages } = freeSummary(pages)
  return managedPages - freePages
}

function size(): string {
  return `${memory.buffer.byteLength / MiB} MiB`
}
