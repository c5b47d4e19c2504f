/**
 * Fragmentation, step by step: half of memory is free, and yet no huge page is to be had. Watches the
 * allocator's tracepoints and `/proc/buddyinfo` on a machine of 32 MiB.
 */

import {
  BuddyAllocator,
  foldCounters,
  formatBuddyinfo,
  freeSummary,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  GFP_TRANSHUGE_LIGHT,
  MIGRATETYPE_NAMES,
  MiB,
  noPageTrace,
  type PageTrace,
  type Pfn,
  PhysicalMemory,
  ZONES_FLAT,
} from 'kmem'

const HUGE_PAGE_ORDER = 9

/** Counts the quiet events, and tells of the one that fragments memory for good. */
class Watcher implements PageTrace {
  readonly counts = { alloc: 0, free: 0, split: 0, drain: 0 }
  pageFreeBatched = noPageTrace.pageFreeBatched

  pageAlloc(): void {
    this.counts.alloc += 1
  }

  pageFree(): void {
    this.counts.free += 1
  }

  zoneLocked(): void {
    this.counts.split += 1
  }

  pcpuDrain(): void {
    this.counts.drain += 1
  }

  extfrag(
    pfn: number,
    _order: number,
    fallbackOrder: number,
    allocType: number,
    fallbackType: number,
    changeOwnership: boolean,
  ): void {
    const what = `an order-${fallbackOrder} block at pfn ${pfn} for ${MIGRATETYPE_NAMES[allocType]}`
    const whole = changeOwnership ? 'with its pageblock' : 'alone'
    console.log(`  stolen from ${MIGRATETYPE_NAMES[fallbackType]}: ${what}, ${whole}`)
  }
}

// Without content there are no bytes behind the pages: the frame numbers are the lesson here.
const pages = new BuddyAllocator({
  ram: new PhysicalMemory({ size: 32 * MiB, content: false }),
  zones: ZONES_FLAT,
})
const watcher = new Watcher()
pages.setTrace(watcher)
show('fresh: everything in the largest blocks')

const user: Pfn[] = []
for (let pfn = takeUserPage(); pfn !== null; pfn = takeUserPage()) user.push(pfn)
show(`${user.length} single pages taken for user memory`)

for (const pfn of user.filter((_, i) => i % 2 === 0)) pages.freePages(pfn)
pages.drainLocalPages()
show('every other one freed: half of memory is free, but no two neighbours are')
tryHugePage()

for (const pfn of user.filter((_, i) => i % 2 === 1)) pages.freePages(pfn)
pages.drainLocalPages()
show('the others freed too: buddies have merged')
tryHugePage()

const kernel = pages.allocPages(GFP_KERNEL)
show(`one page for the kernel, pfn ${kernel}: its block is for unmovable pages from now on`)

function takeUserPage(): Pfn | null {
  return pages.allocPages(GFP_HIGHUSER_MOVABLE)
}

function tryHugePage(): void {
  const pfn = pages.allocPages(GFP_TRANSHUGE_LIGHT, HUGE_PAGE_ORDER)
  console.log(pfn === null ? '  a huge page: none' : `  a huge page: pfn ${pfn}`)
  if (pfn !== null) pages.freePages(pfn, HUGE_PAGE_ORDER)
}

function show(title: string): void {
  foldCounters(pages)
  const { freePages, unusableIndex } = freeSummary(pages, HUGE_PAGE_ORDER)
  const { alloc, free, split, drain } = watcher.counts
  console.log(title)
  process.stdout.write(`  ${formatBuddyinfo(pages.words)}`)
  console.log(`  ${freePages} pages free, ${unusableIndex / 10} % of them useless for a huge page`)
  console.log(`  events so far: ${alloc} alloc, ${free} free, ${split} split, ${drain} drain`)
}
