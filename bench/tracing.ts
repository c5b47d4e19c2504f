/** What tracepoints cost: a pair of alloc and free without them, into a ring, and with a callback. */

import type { Kmem } from './kmem'
import { type Effort, medianNs } from './measure'

/** A row: who listened, and the nanoseconds of a pair, of pages and of objects. */
export interface TracingRow {
  readonly name: string
  readonly pages: number
  readonly objects: number
}

type Points = InstanceType<Kmem['Tracepoints']>

const PAIRS = 1000
const WARM_UP = 200
const RING = 65536
const MiB = 1048576

const told = { events: 0 }
const count = () => {
  told.events += 1
}

/** Who listens: to the events of objects, or those of pages. */
const LISTENERS: readonly [name: string, listen: (points: Points, objects: boolean) => unknown][] =
  [
    ['nobody listens', () => {}],
    ['nobody listens any more', (points) => points.on(count)()],
    [
      'a ring, for the other allocator only',
      (points, objects) => points.ring(RING, [objects ? 'mm_page_alloc' : 'kmalloc']),
    ],
    ['a ring', (points) => points.ring(RING)],
    ['a callback', (points) => points.on(count)],
  ]

/** Pairs of `allocPages` and `freePages` of one page, and of `kmalloc` and `kfree` of 64 bytes. */
export async function measureTracing(kmem: Kmem, effort: Effort): Promise<readonly TracingRow[]> {
  // The first heap of a program is faster than all later ones: its fields go into the code.
  for (const [, listen] of LISTENERS) {
    for (const objects of [false, true]) {
      const work = pairs(kmem, objects, listen)
      for (let i = 0; i < WARM_UP; i++) work()
    }
  }
  const rows: TracingRow[] = []
  for (const [name, listen] of LISTENERS) {
    const pages = (await medianNs(pairs(kmem, false, listen), effort)) / PAIRS
    const objects = (await medianNs(pairs(kmem, true, listen), effort)) / PAIRS
    rows.push({ name, pages, objects })
  }
  if (told.events === 0) throw new Error('no event was told')
  return rows
}

/** What is timed: pairs on a machine of its own. */
function pairs(
  kmem: Kmem,
  objects: boolean,
  listen: (points: Points, objects: boolean) => unknown,
): () => void {
  const pages = new kmem.BuddyAllocator({ ram: new kmem.PhysicalMemory({ size: 64 * MiB }) })
  const slabs = new kmem.SlabAllocator(pages)
  const heap = new kmem.Kmalloc(slabs)
  listen(new kmem.Tracepoints({ pages, slabs }), objects)
  if (objects) {
    return () => {
      for (let i = 0; i < PAIRS; i++) heap.kfree(heap.kmalloc(64))
    }
  }
  return () => {
    for (let i = 0; i < PAIRS; i++) {
      const pfn = pages.allocPages(kmem.GFP_KERNEL)
      if (pfn !== null) pages.freePages(pfn)
    }
  }
}
