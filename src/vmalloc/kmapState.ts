/**
 * The state of the mappings of high memory: every word of it, and the checks of a saved one.
 *
 *     header | slots of kmap: count, page | CPUs: depth, atomic, 16 pages
 *
 * Which page has which slot follows from it, and what is mapped stands in the page tables too.
 *
 * KMAP-1: a slot of kmap with a count of 0 has no page (-1); any other has one, and no two the same.
 * KMAP-2: of a CPU's slots those below its depth have a page, all others -1.
 *
 * Source: spec/vmalloc.md §14.3, §14.4.
 */

import { InvalidArgument } from '../base/errors'

/** Marks the buffer: the letters `kmap`. */
const KMAP_MAGIC = 0
/** Slots of kmap; 0 without high memory. count */
const KMAP_SLOTS = 1
/** CPUs. count */
const KMAP_CPUS = 2
/** Slot that was looked at last. */
export const KMAP_CURSOR = 3
/** Whether the one-time warning of kunmapLocal has fired: 0 or 1. */
export const KMAP_WARNED = 4
/** Words of the header. */
const KMAP_HEADER_WORDS = 8

/** Of a slot: 0 free and flushed, 1 mapped without users, n > 1 mapped with n - 1 users. */
export const SLOT_COUNT = 0
/** Of a slot: its page; -1 for none. pfn */
export const SLOT_PAGE = 1
/** Words of a slot. */
const SLOT_WORDS = 2

/** Of a CPU: mappings on its stack. count */
export const CPU_DEPTH = 0
/** Of a CPU: those of kmapAtomic that were not undone. count */
export const CPU_ATOMIC = 1
/** Of a CPU: the pages on its stack, the oldest first; -1 for none. pfn */
export const CPU_PAGES = 2
/** Slots of a CPU's stack: `KM_MAX_IDX`. */
export const STACK_SLOTS = 16
/** Words of a CPU. */
const CPU_WORDS = 18

/** `kmap` in ASCII, little endian. */
const MAGIC = 0x70616d6b

/** A state in which nothing is mapped. */
export function newKmapState(slots: number, cpus: number): Int32Array {
  const words = new Int32Array(kmapStateWords(slots, cpus))
  words.fill(-1, KMAP_HEADER_WORDS)
  words.set([MAGIC, slots, cpus])
  for (let slot = 0; slot < slots; slot++) words[slotWord(slot) + SLOT_COUNT] = 0
  for (let cpu = 0; cpu < cpus; cpu++) words.fill(0, cpuWord(slots, cpu), cpuWord(slots, cpu) + 2)
  return words
}

/** First word of a slot of kmap. */
export function slotWord(slot: number): number {
  return KMAP_HEADER_WORDS + slot * SLOT_WORDS
}

/** First word of a CPU. */
export function cpuWord(slots: number, cpu: number): number {
  return KMAP_HEADER_WORDS + slots * SLOT_WORDS + cpu * CPU_WORDS
}

/**
 * Checks that words are a state of a machine with so many slots and CPUs.
 * @param isHigh whether a frame number is one of high memory.
 * @throws InvalidArgument naming what is wrong.
 */
export function checkKmapState(
  words: Int32Array,
  slots: number,
  cpus: number,
  isHigh: (pfn: number) => boolean,
): void {
  const size = kmapStateWords(slots, cpus)
  if (!(words instanceof Int32Array) || words.length !== size) {
    throw new InvalidArgument('state', words, `an Int32Array of ${size} words`)
  }
  const cursor = words[KMAP_CURSOR]!
  const header = words[KMAP_MAGIC] === MAGIC && words[KMAP_SLOTS] === slots
  const inRange = cursor >= 0 && cursor < Math.max(slots, 1) && words[KMAP_WARNED]! >>> 1 === 0
  if (!header || words[KMAP_CPUS] !== cpus || !inRange) {
    throw new InvalidArgument('state', words, `one of ${slots} slots and ${cpus} CPUs`)
  }
  const pages = new Set<number>()
  for (let slot = 0; slot < slots; slot++) {
    const count = words[slotWord(slot) + SLOT_COUNT]!
    const page = words[slotWord(slot) + SLOT_PAGE]!
    const right = count === 0 ? page === -1 : count > 0 && isHigh(page) && !pages.has(page)
    if (!right) throw new InvalidArgument('state', words, `one with a right slot ${slot}`)
    pages.add(page)
  }
  for (let cpu = 0; cpu < cpus; cpu++) checkCpu(words, cpuWord(slots, cpu), cpu, isHigh)
}

/** Words of a state. */
function kmapStateWords(slots: number, cpus: number): number {
  return KMAP_HEADER_WORDS + slots * SLOT_WORDS + cpus * CPU_WORDS
}

function checkCpu(
  words: Int32Array,
  first: number,
  cpu: number,
  isHigh: (pfn: number) => boolean,
): void {
  const depth = words[first + CPU_DEPTH]!
  let right = depth >= 0 && depth <= STACK_SLOTS && words[first + CPU_ATOMIC]! >= 0
  for (let i = 0; i < STACK_SLOTS; i++) {
    const page = words[first + CPU_PAGES + i]!
    right &&= i < depth ? isHigh(page) : page === -1
  }
  if (!right) throw new InvalidArgument('state', words, `one with a right stack of CPU ${cpu}`)
}
