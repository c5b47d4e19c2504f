/** The report of a slab workload: what it did, and how its slabs compare with those of the traced kernel. */

import type { CacheState } from '../slab/cacheState'
import { slabPages } from './slabWorkloadCaches'
import type { SlabWorkload, SlabWorkloadCache, SlabWorkloadCounts } from './slabWorkloadResult'
import type { TracedSlabs } from './tracedSlabs'

/** What is known of the traced kernel's slabs; anything may be missing. */
export interface SlabWorkloadKernel {
  /** States of its caches before the trace. */
  readonly before?: readonly CacheState[]
  /** States of its caches after the trace. */
  readonly after?: readonly CacheState[]
  /** Slabs that it made and gave back, as `tracedSlabs` finds them in the trace. */
  readonly slabs?: readonly TracedSlabs[]
}

/** A number, or null where it is not known. */
type Cell = string | number | null

const COMPARISON = `\
Slabs of the traced kernel and of kmem. "made" and "returned" of the kernel are blocks of the trace's
page events with an object of the cache in them; where no state after the trace is recorded, "after" is
before + made - returned. This is a report, not a test: the kernel's caches had objects and free places
from before the trace, and bulk calls, which have no events, used them too. A cache of kmem with 0 slabs
before started empty, so only the changes can be compared, and they need not be equal.`

/**
 * A report of several lines: the calls, a table of the caches, and, with something known of the traced
 * kernel, a table of its slabs beside ours.
 */
export function formatSlabWorkload(result: SlabWorkload, kernel: SlabWorkloadKernel = {}): string {
  const caches = [...result.caches].sort((a, b) => b.allocs - a.allocs)
  const parts = [callText(result), cacheTable(caches, result.total)]
  const { before = [], after = [], slabs = [] } = kernel
  if (before.length + after.length + slabs.length > 0) {
    const names = new Set(caches.map((cache) => cache.name))
    for (const known of [slabs, before, after]) for (const { name } of known) names.add(name)
    parts.push(COMPARISON, kernelTable([...names], caches, { before, after, slabs }))
  }
  return `${parts.join('\n\n')}\n`
}

function callText(result: SlabWorkload): string {
  const { total } = result
  const lines = [
    `${result.events} slab events: ${total.allocs} objects allocated, ${total.frees} freed, ` +
      `${total.live} left at the end, at most ${total.peakLive} at a time`,
    `${total.sameAddress} objects at the address that they have in the trace`,
    `left out: ${total.unknownFrees} frees of objects whose allocation is not in the trace, ` +
      `${result.nullFrees} frees of null, ${result.failedInTrace} failed allocations`,
  ]
  if (result.impliedFrees > 0) {
    lines.push(`${result.impliedFrees} objects freed when their address was allocated again`)
  }
  if (total.failed > 0) lines.push(`${total.failed} allocations could not be made`)
  for (const { name, slotSize, ownSlotSize } of result.caches) {
    if (ownSlotSize === 0 || ownSlotSize === slotSize) continue
    lines.push(`${name} has slots of ${ownSlotSize} bytes here, of ${slotSize} in the trace`)
  }
  return lines.join('\n')
}

function cacheTable(caches: readonly SlabWorkloadCache[], total: SlabWorkloadCounts): string {
  const counts = (c: SlabWorkloadCounts): Cell[] => [
    ...[c.allocs, c.sameAddress, c.frees, c.unknownFrees, c.live, c.peakLive],
    ...[c.slabs, c.peakSlabs, c.pages, c.peakPages],
  ]
  const geometry = (c: SlabWorkloadCache): Cell[] => [
    c.objectSize || null,
    c.slotSize || null,
    c.objectsPerSlab === 0 ? null : c.order,
    c.objectsPerSlab || null,
  ]
  return table([
    'cache object slot order per-slab allocs same-address frees left-out'
      .concat(' live peak slabs peak pages peak')
      .split(' '),
    ...caches.map((c) => [c.name, ...geometry(c), ...counts(c)]),
    ['total', '', '', '', '', ...counts(total)],
  ])
}

function kernelTable(
  names: readonly string[],
  caches: readonly SlabWorkloadCache[],
  kernel: Required<SlabWorkloadKernel>,
): string {
  const rows = names.map((name) => {
    const theirs = kernelCounts(name, kernel)
    const ours = caches.filter((cache) => cache.name === name)
    // A cache that no event is about was not touched.
    const change = (of: (cache: SlabWorkloadCache) => number) => sum(ours, of) ?? 0
    return [
      ...[name, theirs.before, theirs.made, theirs.returned, theirs.after],
      ...[sum(ours, (c) => c.slabsBefore), change((c) => c.slabsMade)],
      ...[change((c) => c.slabsReturned), sum(ours, (c) => c.slabs)],
      ...[theirs.pages, change((c) => c.pages - c.pagesBefore)],
    ]
  })
  const totals: Cell[] = ['total']
  for (let column = 1; column < 11; column++) {
    // Where only some caches are known, a sum would be compared with one over all.
    const known = rows.every((row) => row[column] !== null)
    totals.push(known ? rows.reduce((total, row) => total + Number(row[column]), 0) : null)
  }
  return table([
    ['', 'kernel', '', '', '', 'kmem', '', '', '', 'kernel', 'kmem'],
    'cache before made returned after before made returned after +pages +pages'.split(' '),
    ...rows,
    totals,
  ])
}

/** What is known of one cache of the kernel. `pages` is their change. */
function kernelCounts(
  name: string,
  kernel: Required<SlabWorkloadKernel>,
): { before: Cell; made: Cell; returned: Cell; after: Cell; pages: Cell } {
  const before = held(kernel.before, name)
  const after = held(kernel.after, name)
  const own = kernel.slabs.filter((slabs) => slabs.name === name)
  if (kernel.slabs.length === 0) {
    const pages = before !== null && after !== null ? after.pages - before.pages : null
    return {
      before: before?.slabs ?? null,
      made: null,
      returned: null,
      after: after?.slabs ?? null,
      pages,
    }
  }
  const made = sum(own, (slabs) => slabs.made) ?? 0
  const returned = sum(own, (slabs) => slabs.returned) ?? 0
  return {
    before: before?.slabs ?? null,
    made,
    returned,
    after: after?.slabs ?? (before === null ? null : before.slabs + made - returned),
    pages: sum(own, (slabs) => slabs.pagesMade - slabs.pagesReturned) ?? 0,
  }
}

/** Slabs and pages of a cache on all nodes; null when its state is not there. */
function held(
  states: readonly CacheState[],
  name: string,
): { slabs: number; pages: number } | null {
  const state = states.find((cache) => cache.name === name)
  if (state === undefined) return null
  const nodes = Object.values(state.nodes)
  const slabs = sum(nodes, (node) => node.slabs) ?? 0
  const objects = sum(nodes, (node) => node.totalObjects) ?? 0
  return { slabs, pages: slabPages(slabs, objects, state) }
}

/** The sum over some things; null without any. */
function sum<T>(things: readonly T[], count: (thing: T) => number): number | null {
  return things.length === 0 ? null : things.reduce((total, thing) => total + count(thing), 0)
}

/** Columns as wide as their widest cell: the first to the left, the others to the right. */
function table(rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map((row) => row.map((cell) => (cell === null ? '-' : String(cell))))
  const widths: number[] = []
  for (const row of texts) {
    for (const [i, text] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, text.length)
  }
  return texts
    .map((row) =>
      row
        .map((text, i) => pad(text, widths[i] ?? 0, i === 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function pad(text: string, width: number, left: boolean): string {
  return left ? text.padEnd(width) : text.padStart(width)
}
