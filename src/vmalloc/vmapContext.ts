/**
 * The state of an address space, and what the functions over it are handed.
 *
 *     header | CPUs | records of 16 words: areas, vm_structs, blocks, callers
 *
 * Records are cut from the end of the used words; those given back are chained by their first word. A state
 * has room for a fixed number of them: when none is left, a request fails as it does without memory.
 *
 * Source: spec/vmalloc.md §2.4, §3.1.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { isBuffer } from '../state/checkState'
import {
  AREA_END,
  AREA_MAX,
  AREA_OBJECT,
  AREA_START,
  RECORD_AREA,
  VMAP_BLOCK_SHIFT,
  VMAP_COUNTS,
  VMAP_CPU_WORDS,
  VMAP_END,
  VMAP_FREE_BYTES,
  VMAP_FREE_RECORDS,
  VMAP_GRANULE,
  VMAP_HEADER_WORDS,
  VMAP_LAZY,
  VMAP_LIMIT,
  VMAP_MAGIC,
  VMAP_NR_CPUS,
  VMAP_RECORD_WORDS,
  VMAP_RECORDS,
  VMAP_ROOTS,
  VMAP_START,
  VMAP_VERSION,
  VMAP_WORDS_USED,
} from '../state/vmapSchema'

export { RECORD_AREA, RECORD_BLOCK, RECORD_CALLER, RECORD_VM } from '../state/vmapSchema'

/** What VMAP_MAGIC holds: `vmap` in ASCII, little endian. */
export const VMAP_STATE_MAGIC = 0x70616d76
/** What VMAP_VERSION holds. Changes whenever the schema does. */
export const VMAP_STATE_VERSION = 2
/** Records when not told otherwise: 64 MiB of them. They cost nothing until they are used. */
const DEFAULT_RECORDS = 1048576
/** As many records as there can be: their offsets are 31 bits. */
const MAX_RECORDS = 134217000
const MAX_CPUS = 1024

/** What an address space needs from those who use it. */
export interface VmapOps {
  /**
   * Takes an object of the cache `vmap_area`: its address; 0 for no memory, -1 when there is nothing to take.
   * Objects with address -1 are never given back.
   */
  takeObject(gfp: number, node: number): number
  /** Gives an object of {@link takeObject} back. */
  giveObject(address: number): void
  /** Retires the vmap blocks that have nothing in use: the first step of a full purge. */
  retireBlocks(): void
  /** Translations of [start, end) are to be forgotten before any of it is used again. */
  flush(start: number, end: number): void
  /** Asks for address space: more than 0 when some was freed. */
  notify(): number
  /** A request for `size` bytes found no address space (M1). */
  failed(size: number, gfp: number): void
  /** The interval [start, end) was to be released, but [oldStart, oldEnd) is there already (M2). */
  overlap(start: number, end: number, oldStart: number, oldEnd: number): void
  /** There was no memory to split a free area: a one-time warning. */
  noSplit(): void
}

/** For an address space by itself: objects have no memory behind them, and nobody is told anything. */
export const noVmapOps: VmapOps = /* @__PURE__ */ Object.freeze({
  takeObject: () => -1,
  giveObject() {},
  retireBlocks() {},
  flush() {},
  notify: () => 0,
  failed() {},
  overlap() {},
  noSplit() {},
})

/** What a new address space is made of. */
export interface VmapOptions {
  /** First address. */
  readonly start: number
  /** One more than the last address, at most 2^53 - 1. */
  readonly end: number
  /** What all sizes are a multiple of: a power of two up to 2^30; 4096 when not given. */
  readonly granule?: number
  /** One more than the largest address that there can be: `end` to 2^53; 2^48 when not given. */
  readonly limit?: number
  /** CPUs, online: 1 to 1024; 1 when not given. */
  readonly nrCpus?: number
  /** Areas, vm_structs, blocks and callers that there can be at a time; 1,048,576 when not given. */
  readonly maxRecords?: number
  /** Whether freed ranges wait for a purge: `VmapSpace` only. */
  readonly lazy?: boolean
  /** Whether the state is a SharedArrayBuffer. */
  readonly shared?: boolean
}

/** One view of an address space. What changes while it works is in `words`, but for the last fields. */
export class VmapContext {
  /** The state. */
  readonly words: Int32Array
  /** The same buffer: addresses and bytes. */
  readonly numbers: Float64Array
  /** What sizes are a multiple of. */
  readonly granule: number
  /** One more than the largest address that there can be: 2^vaBits. */
  readonly limit: number
  /** Whose spare object is used. */
  readonly running: { readonly cpu: number }
  /** Who is asked for objects and told what happens. */
  ops: VmapOps
  /** Whether drain work is held back: it stays due until it may run. */
  held: boolean
  /** Whether a purge is under way: drain work has to wait for its end. */
  purging: boolean

  constructor(words: Int32Array, ops: VmapOps, running: { readonly cpu: number }) {
    this.words = words
    this.numbers = new Float64Array(words.buffer)
    this.granule = words[VMAP_GRANULE]!
    this.limit = this.numbers[VMAP_LIMIT >> 1]!
    this.running = running
    this.ops = ops
    this.held = false
    this.purging = false
  }
}

/**
 * Makes an address space: one free area, from start to end, whose object has no memory behind it.
 * @throws InvalidArgument for bounds that are no integers or in the wrong order, and for other wrong options.
 */
export function createVmap(
  options: VmapOptions,
  ops: VmapOps = noVmapOps,
  running: { readonly cpu: number } = { cpu: 0 },
): VmapContext {
  const { start, end, granule = 4096, limit = 2 ** 48 } = options
  const { nrCpus = 1, maxRecords = DEFAULT_RECORDS } = options
  checkInteger('start', start, 0, Number.MAX_SAFE_INTEGER - 1)
  checkInteger('end', end, start + 1, Number.MAX_SAFE_INTEGER)
  checkInteger('granule', granule, 1, 2 ** 30)
  if (!isPowerOfTwo(granule)) throw new InvalidArgument('granule', granule, 'a power of two')
  checkInteger('limit', limit, end, 2 ** 53)
  checkInteger('nrCpus', nrCpus, 1, MAX_CPUS)
  checkInteger('maxRecords', maxRecords, 1, MAX_RECORDS)
  const used = cpuPlace(nrCpus)
  const bytes = (used + maxRecords * VMAP_RECORD_WORDS) * 4
  const buffer = options.shared === true ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes)
  const words = new Int32Array(buffer)
  const numbers = new Float64Array(buffer)
  words[VMAP_MAGIC] = VMAP_STATE_MAGIC
  words[VMAP_VERSION] = VMAP_STATE_VERSION
  words[VMAP_WORDS_USED] = used
  words[VMAP_NR_CPUS] = nrCpus
  words[VMAP_GRANULE] = granule
  words[VMAP_LAZY] = options.lazy === true ? 1 : 0
  numbers[VMAP_START >> 1] = start
  numbers[VMAP_END >> 1] = end
  numbers[VMAP_LIMIT >> 1] = limit
  const c = new VmapContext(words, ops, running)
  const area = takeRecord(c, RECORD_AREA)
  numbers[(area + AREA_START) >> 1] = start
  numbers[(area + AREA_END) >> 1] = end
  numbers[(area + AREA_MAX) >> 1] = end - start
  numbers[(area + AREA_OBJECT) >> 1] = -1
  numbers[VMAP_FREE_BYTES >> 1] = end - start
  words[VMAP_ROOTS] = area
  words[VMAP_COUNTS] = 1
  return c
}

/**
 * Works on the state of an address space that exists.
 * @throws InvalidArgument for a buffer that is not one, or of another version.
 */
export function attachVmap(
  state: ArrayBuffer | SharedArrayBuffer,
  ops: VmapOps = noVmapOps,
  running: { readonly cpu: number } = { cpu: 0 },
): VmapContext {
  if (!isBuffer(state) || state.byteLength < VMAP_HEADER_WORDS * 4 || state.byteLength % 64 !== 0) {
    throw new InvalidArgument('state', state, 'the state buffer of an address space')
  }
  const words = new Int32Array(state)
  if (words[VMAP_MAGIC] !== VMAP_STATE_MAGIC) {
    throw new InvalidArgument('state', words[VMAP_MAGIC], 'the state buffer of an address space')
  }
  const version = VMAP_STATE_VERSION
  checkInteger('state version', words[VMAP_VERSION]!, version, version)
  checkInteger('CPUs of the state', words[VMAP_NR_CPUS]!, 1, MAX_CPUS)
  const granule = words[VMAP_GRANULE]!
  checkInteger('granule of the state', granule, 1, 2 ** 30)
  if (!isPowerOfTwo(granule)) throw new InvalidArgument('granule', granule, 'a power of two')
  checkInteger('block shift of the state', words[VMAP_BLOCK_SHIFT]!, 0, 30)
  const first = cpuPlace(words[VMAP_NR_CPUS]!)
  checkInteger('used words of the state', words[VMAP_WORDS_USED]!, first, words.length)
  checkInteger('free records of the state', words[VMAP_FREE_RECORDS]!, 0, words.length - 1)
  const c = new VmapContext(words, ops, running)
  const start = c.numbers[VMAP_START >> 1]!
  const end = c.numbers[VMAP_END >> 1]!
  checkInteger('start of the state', start, 0, Number.MAX_SAFE_INTEGER - 1)
  checkInteger('end of the state', end, start + 1, Number.MAX_SAFE_INTEGER)
  checkInteger('limit of the state', c.limit, end, 2 ** 53)
  return c
}

/** Takes an all-zero record of a kind: its offset; 0 when the state has no room for one. */
export function takeRecord(c: VmapContext, kind: number): number {
  const { words } = c
  let record = words[VMAP_FREE_RECORDS]!
  if (record !== 0) {
    words[VMAP_FREE_RECORDS] = words[record]!
    words[record] = 0
  } else {
    record = words[VMAP_WORDS_USED]!
    if (record + VMAP_RECORD_WORDS > words.length) return 0
    words[VMAP_WORDS_USED] = record + VMAP_RECORD_WORDS
  }
  words[VMAP_RECORDS + kind]! += 1
  return record
}

/** Gives a record of a kind back. */
export function giveRecord(c: VmapContext, record: number, kind: number): void {
  const { words, numbers } = c
  const place = record >> 1
  // Eight stores beat a call of fill() (measured).
  numbers[place] = 0
  numbers[place + 1] = 0
  numbers[place + 2] = 0
  numbers[place + 3] = 0
  numbers[place + 4] = 0
  numbers[place + 5] = 0
  numbers[place + 6] = 0
  numbers[place + 7] = 0
  words[record] = words[VMAP_FREE_RECORDS]!
  words[VMAP_FREE_RECORDS] = record
  words[VMAP_RECORDS + kind]! -= 1
}

/** Whether the state has room for `count` more records. */
export function hasRecords(c: VmapContext, count: number): boolean {
  const { words } = c
  let found = (words.length - words[VMAP_WORDS_USED]!) / VMAP_RECORD_WORDS
  for (let at = words[VMAP_FREE_RECORDS]!; at !== 0 && found < count; at = words[at]!) found += 1
  return found >= count
}

/** Offset of the words of a CPU. */
export function cpuPlace(cpu: number): number {
  return VMAP_HEADER_WORDS + cpu * VMAP_CPU_WORDS
}

/** Offset of the words of the CPU that is running. */
export function thisCpu(c: VmapContext): number {
  return cpuPlace(c.running.cpu)
}

/** Whether an exact integer is 2^n for an n of 0 and more. */
export function isPowerOfTwo(value: number): boolean {
  if (value <= 0x40000000) return value > 0 && (value & (value - 1)) === 0
  let rest = value
  while (rest > 0x40000000 && rest % 2 === 0) rest /= 2
  return rest <= 0x40000000 && (rest & (rest - 1)) === 0
}
