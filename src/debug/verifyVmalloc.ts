/**
 * The whole-state checker of a virtual mapper: tells which invariants a state breaks, and where.
 *
 * The pages of areas (VMALLOC-1, VMALLOC-2) are explained in `vmalloc/vmalloc.ts`, those of blocks (VMALLOC-11 to
 * VMALLOC-13) in `vmalloc/vmapBlock.ts`.
 *
 * VMALLOC-3: vm_structs are as large as their areas, with flags that there are, and pages for all or none.
 * VMALLOC-4: pages of areas are in use, each of one area of vmalloc only.
 * VMALLOC-5: nothing is mapped in the windows but in areas in use.
 * VMALLOC-6: nothing is mapped in guard pages.
 * VMALLOC-7: objects of areas, vm_structs, blocks and page arrays are in use, each once.
 * VMALLOC-8: callers have one record each, with a count of the areas that name it.
 * VMALLOC-9: what was put aside to be freed later is on one list, once.
 * VMALLOC-10: words of the header are ones that they may be.
 *
 * The address space comes first: when that is out of order, nothing else is looked at. This only reads, and ends
 * whatever the words say. Tests run it after each step.
 *
 * Source: spec/vmalloc.md §4 to §10.
 */

import {
  AREA_OBJECT,
  BLOCK_AREA,
  BLOCK_OBJECT,
  CALLER_NEXT,
  CALLER_REFS,
  VM_CALLER,
  VM_DEFERRED,
  VM_OBJECT,
  VMAP_BLOCK_SHIFT,
  VMAP_CALLERS,
  VMAP_CPU_DEFERRED,
  VMAP_CPU_SPARE,
  VMAP_CPU_WORDS,
  VMAP_HEADER_WORDS,
  VMAP_NR_CPUS,
  VMAP_NR_PAGES,
  VMAP_ROOT_PFN,
  VMAP_WARNED,
} from '../state/vmapSchema'
import { callerName } from '../vmalloc/callers'
import type { Vmalloc } from '../vmalloc/vmalloc'
import { WARN_BITS } from '../vmalloc/vmallocLogOps'
import { checkAreas } from './verifyVmallocAreas'
import { checkBlocks } from './verifyVmallocBlocks'
import { verifyVmap } from './verifyVmap'
import type { VmallocViolation } from './vmallocInvariants'
import { VmallocSurvey } from './vmallocSurvey'

/** How to look at the state of a mapper. */
export interface VerifyVmallocOptions {
  /**
   * Pages that are lost for good and still counted: those of areas of vmalloc that were given to `vunmap` or
   * `freeVmArea`. 0 when not given.
   */
  readonly leakedPages?: number
}

/**
 * Checks every invariant of {@link VMALLOC_INVARIANTS}, after those of {@link VMAP_INVARIANTS}, on a mapper
 * between two calls.
 * @returns the breaches, at most a hundred; empty when all is well. Cost: every record in use, every page of
 * an area, and every page table of the two windows.
 */
export function verifyVmalloc(vm: Vmalloc, options: VerifyVmallocOptions = {}): VmallocViolation[] {
  const space = verifyVmap(vm.context.space)
  if (space.length > 0) return space
  const s = new VmallocSurvey(vm.context)
  checkHeader(s)
  checkObjects(s)
  const pages = checkAreas(s) + (options.leakedPages ?? 0)
  const counted = s.words[VMAP_NR_PAGES]!
  if (counted !== pages) {
    s.v.report('VMALLOC-2', `${counted} pages of vmalloc are counted, and there are ${pages}`)
  }
  checkBlocks(s)
  checkCallers(s)
  checkDeferred(s)
  return s.v.found
}

function checkHeader(s: VmallocSurvey): void {
  const { words, v } = s
  const { tables, layout } = s.c
  const roots = [words[VMAP_ROOT_PFN], words[VMAP_ROOT_PFN + 1]]
  if (roots[0] !== tables.root || roots[1] !== tables.highRoot) {
    const right = `${tables.root} and ${tables.highRoot}`
    v.report('VMALLOC-10', `the top page tables are ${roots.join(' and ')}, not ${right}`)
  }
  const pages = 2 ** words[VMAP_BLOCK_SHIFT]!
  if (pages < layout.pointerBytes * 16 || pages > 1024) {
    v.report('VMALLOC-10', `blocks have ${pages} pages`)
  }
  if ((words[VMAP_WARNED]! & ~WARN_BITS) !== 0) {
    v.report('VMALLOC-10', `there are no warnings 0x${words[VMAP_WARNED]!.toString(16)}`)
  }
}

/** Memory of areas, vm_structs and blocks; that of page arrays is looked at with their areas. */
function checkObjects(s: VmallocSurvey): void {
  const { words, numbers } = s
  const claim = (place: number, whose: string) => {
    const object = numbers[place >> 1]!
    if (object > 0) s.claimObject(object, whose)
  }
  for (const area of [...s.busy, ...s.idle]) claim(area + AREA_OBJECT, s.areaText(area))
  for (const vm of s.structs) claim(vm + VM_OBJECT, `the vm_struct of ${s.text(vm)}`)
  for (const block of s.blocks) {
    claim(block + BLOCK_OBJECT, `the block of ${s.areaText(words[block + BLOCK_AREA]!)}`)
  }
  for (let cpu = 0; cpu < words[VMAP_NR_CPUS]!; cpu++) {
    claim(VMAP_HEADER_WORDS + cpu * VMAP_CPU_WORDS + VMAP_CPU_SPARE, `the spare of CPU ${cpu}`)
  }
}

/** The space has claimed the records already, so the list ends. */
function checkCallers(s: VmallocSurvey): void {
  const { words, v } = s
  const named = new Map<number, number>()
  for (const vm of s.structs) {
    const caller = words[vm + VM_CALLER]!
    if (caller !== 0) named.set(caller, (named.get(caller) ?? 0) + 1)
  }
  const names = new Set<string>()
  for (let at = words[VMAP_CALLERS]!; at !== 0; at = words[at + CALLER_NEXT]!) {
    const name = callerName(words, at)
    const count = named.get(at) ?? 0
    if (count === 0 || words[at + CALLER_REFS] !== count) {
      v.report('VMALLOC-8', `${name} counts ${words[at + CALLER_REFS]} areas, and ${count} name it`)
    }
    if (name === '' || names.has(name)) v.report('VMALLOC-8', `"${name}" has another record`)
    names.add(name)
    named.delete(at)
  }
  for (const caller of named.keys()) v.report('VMALLOC-8', `there is no caller at word ${caller}`)
}

function checkDeferred(s: VmallocSurvey): void {
  const { words, v } = s
  const waiting = new Set(s.structs.filter((vm) => words[vm + VM_DEFERRED] !== 0))
  for (let cpu = 0; cpu < words[VMAP_NR_CPUS]!; cpu++) {
    let at = words[VMAP_HEADER_WORDS + cpu * VMAP_CPU_WORDS + VMAP_CPU_DEFERRED]!
    // 0 ends an empty list, -1 one that is not.
    for (const none = at === 0 ? 0 : -1; at !== none; at = words[at + VM_DEFERRED]!) {
      if (waiting.delete(at)) continue
      v.report('VMALLOC-9', `the list of CPU ${cpu} leads to word ${at}, nothing put aside there`)
      break
    }
  }
  for (const vm of waiting) v.report('VMALLOC-9', `${s.text(vm)} was put aside, and is on no list`)
}
