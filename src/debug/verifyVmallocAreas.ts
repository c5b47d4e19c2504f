/** Checks the areas of a virtual mapper: what they say of themselves, their pages, and what is mapped where. */

import { PAGE_SIZE } from '../base/units'
import { slabAt } from '../slab/objects'
import {
  AREA_VM,
  VM_AREA,
  VM_FLAGS,
  VM_NR_PAGES,
  VM_PAGE_ORDER,
  VM_PAGES,
  VM_SIZE,
} from '../state/vmapSchema'
import { isVmallocAddr } from '../vmalloc/addresses'
import {
  VM_ALLOC,
  VM_FLAGS_MASK,
  VM_MAP_PUT_PAGES,
  VM_NO_GUARD,
  VM_UNINITIALIZED,
} from '../vmalloc/flags'
import { arrayInMemory, readPageArray } from '../vmalloc/pageArray'
import type { VmallocSurvey } from './vmallocSurvey'

/** log2 of the pages of a huge page. */
const HUGE_ORDER = 9

/** Checks all areas; the pages of those of vmalloc, counted. */
export function checkAreas(s: VmallocSurvey): number {
  const { words } = s
  const owners = new Map<number, number>()
  let pages = 0
  for (const vm of s.structs) {
    const owned = (words[vm + VM_FLAGS]! & VM_MAP_PUT_PAGES) === 0
    const pfns = checkStruct(s, vm)
    if (owned) pages += words[vm + VM_NR_PAGES]!
    for (const pfn of pfns) checkPage(s, vm, pfn, owned, owners)
  }
  checkIdle(s)
  return pages
}

/** Checks an area with a vm_struct; the frames in its array. */
function checkStruct(s: VmallocSurvey, vm: number): number[] {
  const { words, numbers, v } = s
  const area = words[vm + VM_AREA]!
  const size = numbers[(vm + VM_SIZE) >> 1]!
  const flags = words[vm + VM_FLAGS]!
  const count = words[vm + VM_NR_PAGES]!
  const order = words[vm + VM_PAGE_ORDER]!
  const guard = (flags & VM_NO_GUARD) === 0
  const bytes = guard ? size - PAGE_SIZE : size
  const array = numbers[(vm + VM_PAGES) >> 1]!
  const bad = (text: string) => v.report('VMALLOC-3', `${s.text(vm)} ${text}`)
  if (size !== s.end(area) - s.start(area)) bad(`has a vm_struct of ${size} bytes`)
  const known = (flags & ~VM_FLAGS_MASK) === 0 && (flags & VM_UNINITIALIZED) === 0
  if (!known) bad(`has flags 0x${(flags >>> 0).toString(16)}`)
  if (count !== 0 && count !== bytes / PAGE_SIZE) bad(`of ${bytes} bytes has ${count} pages`)
  if ((count === 0) !== (array === 0)) bad(`has ${count} pages and an array at ${array}`)
  const whole = order === 0 || (order === HUGE_ORDER && count % 2 ** HUGE_ORDER === 0)
  if (!whole || (count === 0 && order !== 0)) bad(`has pages in blocks of order ${order}`)
  const mapped = s.mapped(area)
  // Areas for CPUs have no guard page, and no flag that tells: nothing of theirs is known.
  const forCpus = (flags & VM_ALLOC) !== 0 && count === 0
  if (guard && !forCpus && mapped.has((s.end(area) - s.start(area)) / PAGE_SIZE - 1)) {
    v.report('VMALLOC-6', `${s.text(vm)} has its guard page mapped`)
  }
  return count === 0 || array === 0 ? [] : checkArray(s, vm, array, mapped)
}

/** Checks the array of an area's pages against what is mapped. */
function checkArray(
  s: VmallocSurvey,
  vm: number,
  array: number,
  mapped: ReadonlyMap<number, number>,
): number[] {
  const { v, c } = s
  const count = s.words[vm + VM_NR_PAGES]!
  const whose = `the page array of ${s.text(vm)}`
  if (!isVmallocAddr(c.layout, array)) s.claimObject(array, whose)
  if (!arrayInMemory(c, array, count)) {
    v.report('VMALLOC-1', `${whose} is not in memory`)
    return []
  }
  const pfns = readPageArray(c, array, count)
  const wrong = pfns.findIndex((pfn, i) => pfn !== mapped.get(i))
  if (wrong >= 0) {
    const right = mapped.get(wrong) ?? 'nothing'
    v.report('VMALLOC-1', `${whose} has ${pfns[wrong]} for page ${wrong}, mapped to ${right}`)
  }
  return pfns
}

function checkPage(
  s: VmallocSurvey,
  vm: number,
  pfn: number,
  owned: boolean,
  owners: Map<number, number>,
): void {
  const bad = (text: string) => s.v.report('VMALLOC-4', `page ${pfn} of ${s.text(vm)} ${text}`)
  if (!s.c.frames.isBlock(pfn, 0)) bad('is not in use')
  const slabs = s.c.heap.slabs.context
  if (slabAt(slabs, pfn * PAGE_SIZE + slabs.directMap) !== 0) bad('is a slab’s')
  if (!owned) return
  const other = owners.get(pfn)
  if (other !== undefined) bad(`is one of ${s.text(other)} too`)
  owners.set(pfn, vm)
}

/** Nothing is mapped in what is free or waits for a purge; nor in areas that nobody knows anything of. */
function checkIdle(s: VmallocSurvey): void {
  const { vmallocStart: start, vmallocEnd: end, modules } = s.c.layout
  for (const area of s.idle) {
    for (const window of [{ start, end }, ...(modules ? [modules] : [])]) {
      const from = Math.max(window.start, s.start(area))
      const to = Math.min(window.end, s.end(area))
      if (from >= to) continue
      s.c.tables.forEachLeaf(from, to, (address) => {
        const text = `0x${address.toString(16)}, of no area in use, is mapped`
        s.v.report('VMALLOC-5', text)
      })
    }
  }
  for (const area of s.busy) if (s.words[area + AREA_VM] === 0) s.mapped(area)
}
