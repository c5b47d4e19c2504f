/**
 * The whole-state checker of an address space: tells which invariants a state breaks, and where.
 *
 * It only reads, and ends whatever the words say: every record is claimed once, by what names it first,
 * and no walk goes on behind one that cannot be claimed. What follows from a breach may be left out.
 * Tests run it after each step.
 *
 * Source: spec/vmalloc.md §3, §4.1.
 */

import {
  AREA_BLOCK,
  AREA_OBJECT,
  AREA_VM,
  BLOCK_AREA,
  CALLER_NEXT,
  RECORD_AREA,
  RECORD_BLOCK,
  RECORD_CALLER,
  RECORD_KINDS,
  RECORD_VM,
  TREE_BUSY,
  TREE_FREE,
  TREE_PURGE,
  VM_AREA,
  VM_MARK,
  VMAP_CALLERS,
  VMAP_COUNTS,
  VMAP_CPU_SPARE,
  VMAP_CPU_WORDS,
  VMAP_DRAIN_PENDING,
  VMAP_END,
  VMAP_FREE_BYTES,
  VMAP_FREE_RECORDS,
  VMAP_GRANULE,
  VMAP_HEADER_WORDS,
  VMAP_LAZY,
  VMAP_LAZY_BYTES,
  VMAP_LIMIT,
  VMAP_MAGIC,
  VMAP_NR_CPUS,
  VMAP_RECORD_WORDS,
  VMAP_RECORDS,
  VMAP_START,
  VMAP_VERSION,
  VMAP_WORDS_USED,
} from '../state/vmapSchema'
import { VMAP_STATE_MAGIC, VMAP_STATE_VERSION, type VmapContext } from '../vmalloc/vmapContext'
import { checkTree, TREES } from './verifyVmapTree'
import type { VmapViolation } from './vmapInvariants'
import { VmapSurvey } from './vmapSurvey'

/** Kinds of records in messages, by number. */
const KINDS = ['area', 'vm_struct', 'block', 'caller'] as const

/**
 * Checks every invariant of {@link VMAP_INVARIANTS} on a state between two calls.
 * @returns the breaches, at most a hundred; empty when all is well. Cost: every record in use, and a scan of
 * the buffer's rest up to 4,096 words.
 */
export function verifyVmap(c: VmapContext): VmapViolation[] {
  const s = new VmapSurvey(c)
  if (!checkBuffer(s)) return s.v.found
  checkValues(s)
  const areas = [TREE_FREE, TREE_BUSY, TREE_PURGE].map((tree) => checkTree(s, tree))
  checkObjects(s, areas.flat())
  checkOwners(s, areas)
  if (s.whole) {
    checkCover(s, areas.flat())
    checkSums(s, areas)
  }
  checkCallers(s)
  checkFree(s)
  if (s.whole) checkRecords(s)
  return s.v.found
}

/** What has to hold before anything else is read. */
function checkBuffer(s: VmapSurvey): boolean {
  const { words, numbers } = s
  const known: readonly (readonly [name: string, found: number, right: number])[] = [
    ['the magic number', words[VMAP_MAGIC]!, VMAP_STATE_MAGIC],
    ['the version', words[VMAP_VERSION]!, VMAP_STATE_VERSION],
    ['the granule', words[VMAP_GRANULE]!, s.c.granule],
    ['the limit', numbers[VMAP_LIMIT >> 1]!, s.c.limit],
  ]
  for (const [name, found, right] of known) {
    if (found !== right) s.broken('VMAP-1', `${name} is ${found}, not ${right}`)
  }
  const first = VMAP_HEADER_WORDS + words[VMAP_NR_CPUS]! * VMAP_CPU_WORDS
  const used = words[VMAP_WORDS_USED]!
  const inside = used >= first && used <= words.length && used % VMAP_RECORD_WORDS === 0
  if (words[VMAP_NR_CPUS]! < 1 || !inside) {
    s.broken('VMAP-1', `${used} words are in use, of ${first} to ${words.length}`)
  }
  const [start, end] = [numbers[VMAP_START >> 1]!, numbers[VMAP_END >> 1]!]
  const right = Number.isSafeInteger(start) && Number.isSafeInteger(end) && end <= s.c.limit
  if (!(right && start >= 0 && start < end)) s.broken('VMAP-1', `the space is [${start}, ${end})`)
  return s.whole
}

function checkValues(s: VmapSurvey): void {
  const { words, v } = s
  for (const column of [VMAP_DRAIN_PENDING, VMAP_LAZY]) {
    const value = words[column]!
    if (value !== 0 && value !== 1) v.report('VMAP-16', `word ${column} is ${value}, not 0 or 1`)
  }
}

/** Objects of areas and CPUs. */
function checkObjects(s: VmapSurvey, areas: readonly number[]): void {
  const { words, numbers, v } = s
  const seen = new Set<number>()
  const check = (object: number, whose: string) => {
    const known = Number.isSafeInteger(object) && (object > 0 || object === -1)
    if (!known) v.report('VMAP-13', `${whose} has object ${object}`)
    if (object > 0 && seen.has(object)) v.report('VMAP-13', `${whose} has an object of another`)
    seen.add(object)
  }
  for (const area of areas) check(numbers[(area + AREA_OBJECT) >> 1]!, s.text(area))
  for (let cpu = 0; cpu < words[VMAP_NR_CPUS]!; cpu++) {
    const place = VMAP_HEADER_WORDS + cpu * VMAP_CPU_WORDS + VMAP_CPU_SPARE
    const spare = numbers[place >> 1]!
    if (spare !== 0) check(spare, `CPU ${cpu}`)
  }
}

/** What is mapped in areas: vm_structs and vmap blocks. */
function checkOwners(s: VmapSurvey, areas: readonly (readonly number[])[]): void {
  const { words, v } = s
  for (const [tree, list] of areas.entries()) {
    for (const area of list) {
      const vm = words[area + AREA_VM]!
      const block = words[area + AREA_BLOCK]!
      if (vm === 0 && block === 0) continue
      if (tree !== TREE_BUSY) v.report('VMAP-14', `${s.text(area)} is ${TREES[tree]}, but mapped`)
      if (vm !== 0 && block !== 0) v.report('VMAP-14', `${s.text(area)} is mapped twice`)
      if (vm !== 0 && s.claim(vm, RECORD_VM, 'VMAP-14')) {
        const right = words[vm + VM_AREA] === area && words[vm + VM_MARK] === 1
        if (!right) v.report('VMAP-14', `the vm_struct of ${s.text(area)} is another’s`)
      }
      if (block !== 0 && s.claim(block, RECORD_BLOCK, 'VMAP-14')) {
        const right = words[block + BLOCK_AREA] === area
        if (!right) v.report('VMAP-14', `the block of ${s.text(area)} is another’s`)
      }
    }
  }
}

/** Side by side, the areas of all trees are the space. */
function checkCover(s: VmapSurvey, areas: number[]): void {
  areas.sort((a, b) => s.start(a) - s.start(b))
  let at = s.numbers[VMAP_START >> 1]!
  for (const area of areas) {
    if (s.start(area) !== at) s.v.report('VMAP-9', `${s.text(area)} follows ${at.toString(16)}`)
    at = s.end(area)
  }
  const end = s.numbers[VMAP_END >> 1]!
  if (at !== end) s.v.report('VMAP-9', `the areas end at ${at.toString(16)}`)
}

function checkSums(s: VmapSurvey, areas: readonly (readonly number[])[]): void {
  const { words, numbers, v } = s
  const bytes = areas.map((list) =>
    list.reduce((sum, area) => sum + s.end(area) - s.start(area), 0),
  )
  for (const [tree, list] of areas.entries()) {
    const count = words[VMAP_COUNTS + tree]!
    if (count !== list.length) {
      v.report('VMAP-10', `${count} areas are ${TREES[tree]}, not ${list.length}`)
    }
  }
  const lazy = numbers[VMAP_LAZY_BYTES >> 1]!
  if (lazy !== bytes[TREE_PURGE]) {
    v.report('VMAP-11', `${lazy} bytes wait for a purge, not ${bytes[TREE_PURGE]}`)
  }
  const free = numbers[VMAP_FREE_BYTES >> 1]!
  if (free !== bytes[TREE_FREE]) {
    v.report('VMAP-12', `${free} bytes are free, not ${bytes[TREE_FREE]}`)
  }
}

function checkCallers(s: VmapSurvey): void {
  let at = s.words[VMAP_CALLERS]!
  while (at !== 0 && s.claim(at, RECORD_CALLER, 'VMAP-15')) at = s.words[at + CALLER_NEXT]!
}

/** The records that were given back, and what is behind those in use. */
function checkFree(s: VmapSurvey): void {
  const { words, v } = s
  let at = words[VMAP_FREE_RECORDS]!
  while (at !== 0 && s.claim(at, RECORD_KINDS, 'VMAP-15')) {
    for (let word = at + 1; word < at + VMAP_RECORD_WORDS; word++) {
      if (words[word] !== 0) v.report('VMAP-15', `word ${word} of a free record is ${words[word]}`)
    }
    at = words[at]!
  }
  const used = words[VMAP_WORDS_USED]!
  for (let word = used; word < Math.min(words.length, used + 4096); word++) {
    if (words[word] !== 0) v.report('VMAP-15', `word ${word}, not in use, is ${words[word]}`)
  }
}

/** Every record is something, and counted. */
function checkRecords(s: VmapSurvey): void {
  const { words, v } = s
  for (const record of s.unclaimed()) v.report('VMAP-15', `the record at ${record} is nothing`)
  for (let kind = RECORD_AREA; kind < RECORD_KINDS; kind++) {
    const count = words[VMAP_RECORDS + kind]!
    if (count === s.counts[kind]) continue
    v.report('VMAP-15', `there are ${s.counts[kind]} records of a ${KINDS[kind]}, not ${count}`)
  }
}
