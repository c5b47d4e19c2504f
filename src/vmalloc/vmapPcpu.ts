/**
 * Areas at fixed distances from each other, as high as possible: what chunks of per-CPU memory are made of.
 *
 * Source: spec/vmalloc.md §15.
 */

import { KernelBug } from '../base/errors'
import { NUMA_NO_NODE } from '../base/units'
import { AREA_END, AREA_PREV, AREA_START, TREE_FREE } from '../state/vmapSchema'
import { insertBusy, takeArea } from './vmapArea'
import { isPowerOfTwo, type VmapContext } from './vmapContext'
import { alignDown, alignUp, carve, dropArea } from './vmapFit'
import { purge } from './vmapPurge'
import { mergeArea } from './vmapRelease'
import { areaBefore } from './vmapTree'

/** A set of areas: where each starts and ends, above a common base. */
interface Group {
  readonly starts: Float64Array
  readonly ends: Float64Array
  readonly align: number
  /** Lowest base. */
  readonly bottom: number
  /** What no area passes. */
  readonly top: number
}

/**
 * Makes busy areas at `base + offsets[i]` of `sizes[i]` bytes, without guard pages, for the highest base in
 * [low, high) that the search finds.
 * @param align a power of two, at least the granule; offsets and sizes are multiples of it.
 * @param ready called behind each area's object; false for no memory.
 * @returns their records, or null, with nothing in use, when there is no memory or no room even after a purge.
 * @throws KernelBug, with nothing changed, for offsets, sizes and alignments that are not as told, and for
 * areas that overlap.
 */
export function pcpuAreas(
  c: VmapContext,
  offsets: readonly number[],
  sizes: readonly number[],
  align: number,
  low: number,
  high: number,
  gfp: number,
  ready: (index: number) => boolean = () => true,
): number[] | null {
  const starts = Float64Array.from(offsets)
  const ends = starts.map((start, i) => start + (sizes[i] ?? Number.NaN))
  checkGroup(c, starts, ends, align)
  const group = { starts, ends, align, bottom: alignUp(low, align), top: alignDown(high, align) }
  if (group.top - group.bottom < Math.max(...ends)) return null
  const areas: number[] = []
  let done = false
  try {
    done =
      takeAreas(c, areas, starts.length, gfp, ready) &&
      (place(c, group, areas) || retry(c, group, areas, gfp))
  } finally {
    if (!done) for (const area of areas) if (area !== 0) dropArea(c, area)
  }
  if (!done) return null
  for (const area of areas) insertBusy(c, area)
  return areas
}

function checkGroup(c: VmapContext, starts: Float64Array, ends: Float64Array, align: number): void {
  const whole = (bytes: number) => Number.isSafeInteger(bytes) && bytes % align === 0
  let right = isPowerOfTwo(align) && align % c.granule === 0 && starts.length > 0
  for (let i = 0; right && i < starts.length; i++) {
    const start = starts[i]!
    const end = ends[i]!
    right = whole(start) && whole(end) && start >= 0 && start < end
    for (let j = 0; j < i; j++) {
      if (start < ends[j]! && starts[j]! < end) right = false
    }
  }
  if (right) return
  throw new KernelBug('BAD_AREA', `areas at [${starts}] aligned to ${align}`, [
    'kernel BUG at pcpu_get_vm_areas',
  ])
}

/** Takes the areas' objects, as far as they are missing. */
function takeAreas(
  c: VmapContext,
  areas: number[],
  count: number,
  gfp: number,
  ready: (index: number) => boolean,
): boolean {
  for (let i = 0; i < count; i++) {
    if ((areas[i] ?? 0) !== 0) continue
    const area = takeArea(c, gfp, NUMA_NO_NODE)
    areas[i] = area
    if (area === 0 || !ready(i)) return false
  }
  return true
}

/** Purges, and tries once more. */
function retry(c: VmapContext, group: Group, areas: number[], gfp: number): boolean {
  purge(c, true)
  return takeAreas(c, areas, areas.length, gfp, () => true) && place(c, group, areas)
}

/** Finds a base and takes all areas out of the free space, or none. */
function place(c: VmapContext, group: Group, areas: number[]): boolean {
  const base = findBase(c, group)
  if (base < 0) return false
  for (const [i, area] of areas.entries()) {
    const start = base + group.starts[i]!
    const end = base + group.ends[i]!
    c.numbers[(area + AREA_START) >> 1] = start
    c.numbers[(area + AREA_END) >> 1] = end
    let carved = false
    try {
      carved = carve(c, areaBefore(c, TREE_FREE, start), start, end)
    } finally {
      if (!carved) giveBack(c, areas, i)
    }
    if (!carved) return false
  }
  return true
}

/** Gives back the first `count` areas, which were taken out of the free space, with their objects. */
function giveBack(c: VmapContext, areas: number[], count: number): void {
  for (let done = count - 1; done >= 0; done--) {
    mergeArea(c, TREE_FREE, areas[done]!)
    areas[done] = 0
  }
}

/** The kernel's search, downwards: each area in turn has to lie in one free area; -1 for no base. */
function findBase(c: VmapContext, group: Group): number {
  const { starts, ends } = group
  const count = starts.length
  const last = starts.indexOf(Math.max(...starts))
  let index = last
  let terminal = last
  let block = blockBelow(c, group, areaBefore(c, TREE_FREE, group.top))
  let base = topOf(c, group, block) - ends[index]!
  for (;;) {
    if (block === 0 || base < group.bottom) return -1
    const start = base + starts[index]!
    const end = base + ends[index]!
    const tooHigh = end > c.numbers[(block + AREA_END) >> 1]!
    if (tooHigh || start < c.numbers[(block + AREA_START) >> 1]!) {
      block = blockBelow(c, group, tooHigh ? block : c.words[block + AREA_PREV]!)
      base = topOf(c, group, block) - ends[index]!
      terminal = index
      continue
    }
    index = (index + count - 1) % count
    if (index === terminal) return base
    block = areaBefore(c, TREE_FREE, base + ends[index]!)
  }
}

/** The first free area, from one downwards, with room below its highest aligned address; 0 for none. */
function blockBelow(c: VmapContext, group: Group, from: number): number {
  let block = from
  while (block !== 0 && topOf(c, group, block) <= c.numbers[(block + AREA_START) >> 1]!) {
    block = c.words[block + AREA_PREV]!
  }
  return block
}

/** Highest aligned address of a free area; 0 for no area. */
function topOf(c: VmapContext, group: Group, block: number): number {
  if (block === 0) return 0
  return Math.min(alignDown(c.numbers[(block + AREA_END) >> 1]!, group.align), group.top)
}
