/** What a machine's RAM is made of: reads the options and returns the map and the buffer under it. */

import { InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import { isRam, type MappedRange, type MemoryRange, resolveMap, singleRange } from './memoryMap'

/** The bytes under RAM. */
export type RamBuffer = ArrayBuffer | SharedArrayBuffer

/** RAM in one usable range, over a buffer of its own. */
export interface SizeOptions {
  /** Bytes, a multiple of 4096. */
  readonly size: number
  /** Physical address of the first byte, a multiple of 4096; 0 when left out. */
  readonly base?: number
  /** Whether the buffer is a `SharedArrayBuffer`. */
  readonly shared?: boolean
  /** `false`: addresses without bytes, for machines larger than any buffer; every access throws. */
  readonly content?: boolean
  /** Whether pages that were written are remembered. */
  readonly dirtyTracking?: boolean
}

/** RAM in one usable range, over the whole of a given buffer. */
export interface BufferOptions {
  /** Its length is a multiple of 4096 and fixed. The caller may go on using it. */
  readonly buffer: RamBuffer
  /** Physical address of the first byte, a multiple of 4096; 0 when left out. */
  readonly base?: number
  /** Whether pages that were written are remembered. */
  readonly dirtyTracking?: boolean
}

/** RAM in one usable range, over the whole of a WebAssembly memory; it grows as the memory does. */
export interface WasmOptions {
  /** The memory; the caller may go on using and growing it. */
  readonly memory: WebAssembly.Memory
  /** Physical address of the first byte, a multiple of 4096; 0 when left out. */
  readonly base?: number
  /** Whether pages that were written are remembered. */
  readonly dirtyTracking?: boolean
}

/** RAM and devices by a memory map. RAM is packed into the buffer without gaps, in address order. */
export interface MapOptions {
  /** The ranges, in any order; holes are allowed. */
  readonly map: readonly MemoryRange[]
  /** A given buffer, at least as long as the map's RAM. */
  readonly buffer?: RamBuffer
  /** Whether the buffer is a `SharedArrayBuffer`; not together with `buffer`. */
  readonly shared?: boolean
  /** `false`: addresses without bytes, for machines larger than any buffer; not together with `buffer`. */
  readonly content?: boolean
  /** Whether pages that were written are remembered. */
  readonly dirtyTracking?: boolean
}

/** How to make RAM: by exactly one of `size`, `buffer`, `memory` and `map`; `map` may come with a `buffer`. */
export type PhysicalMemoryOptions = SizeOptions | BufferOptions | WasmOptions | MapOptions

/** RAM as it was made: `buffer` is null without content, `memory` is null unless it is WebAssembly's. */
export interface Backing {
  readonly ranges: readonly MappedRange[]
  readonly buffer: RamBuffer | null
  readonly memory: WebAssembly.Memory | null
}

type Loose = Partial<SizeOptions & BufferOptions & WasmOptions & MapOptions>

/**
 * Checks the options and makes or takes over the buffer.
 * @throws InvalidArgument for options that contradict each other or are malformed, and for a size that the
 * engine cannot allocate.
 */
export function openBacking(options: PhysicalMemoryOptions): Backing {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidArgument('options', options, 'an object')
  }
  const given: Loose = options
  checkFlag('shared', given.shared)
  checkFlag('content', given.content)
  checkFlag('dirtyTracking', given.dirtyTracking)
  if (given.map !== undefined) return openMap(given, given.map)
  if (given.memory !== undefined) return openMemory(given, given.memory)
  if (given.buffer !== undefined) return openBuffer(given, given.buffer)
  if (given.size !== undefined) {
    return makeBacking(given, singleRange(given.base ?? 0, given.size), given.size)
  }
  throw new InvalidArgument('options', options, 'given one of size, buffer, memory and map')
}

/** Whether a buffer is shared between threads; also true for one from another realm. */
export function isShared(buffer: RamBuffer): boolean {
  return tagOf(buffer) === '[object SharedArrayBuffer]'
}

function openMap(given: Loose, map: readonly MemoryRange[]): Backing {
  forbid(given, 'map', ['size', 'base', 'memory'])
  const ranges = resolveMap(map)
  const bytes = ranges.reduce((sum, range) => (isRam(range) ? sum + range.size : sum), 0)
  const buffer = given.buffer
  if (buffer === undefined) return makeBacking(given, ranges, bytes)
  forbid(given, 'buffer', ['shared', 'content'])
  checkBuffer(buffer)
  if (buffer.byteLength < bytes) {
    const limit = `at least as long as the RAM of the map, ${bytes} bytes`
    throw new InvalidArgument('buffer.byteLength', buffer.byteLength, limit)
  }
  return { ranges, buffer, memory: null }
}

function openMemory(given: Loose, memory: WebAssembly.Memory): Backing {
  forbid(given, 'memory', ['size', 'buffer', 'shared', 'content'])
  if (tagOf(memory) !== '[object WebAssembly.Memory]') {
    throw new InvalidArgument('memory', memory, 'a WebAssembly.Memory')
  }
  const buffer: RamBuffer = memory.buffer
  checkLength('memory.buffer.byteLength', buffer.byteLength)
  return { ranges: singleRange(given.base ?? 0, buffer.byteLength), buffer, memory }
}

function openBuffer(given: Loose, buffer: RamBuffer): Backing {
  forbid(given, 'buffer', ['size', 'shared', 'content'])
  checkBuffer(buffer)
  checkLength('buffer.byteLength', buffer.byteLength)
  return { ranges: singleRange(given.base ?? 0, buffer.byteLength), buffer, memory: null }
}

function makeBacking(given: Loose, ranges: readonly MappedRange[], bytes: number): Backing {
  if (given.content === false) {
    forbid(given, 'content: false', ['shared'])
    return { ranges, buffer: null, memory: null }
  }
  const shared = given.shared === true
  if (shared && typeof SharedArrayBuffer === 'undefined') {
    throw new InvalidArgument('shared', true, 'false where there is no SharedArrayBuffer')
  }
  try {
    const buffer = shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes)
    return { ranges, buffer, memory: null }
  } catch {
    const limit = 'bytes that this engine can allocate in one buffer (or give content: false)'
    throw new InvalidArgument('size', bytes, limit)
  }
}

function forbid(given: Loose, beside: string, names: readonly (keyof Loose)[]): void {
  for (const name of names) {
    if (given[name] !== undefined) {
      throw new InvalidArgument(name, given[name], `left out together with ${beside}`)
    }
  }
}

function checkFlag(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean') {
    throw new InvalidArgument(name, value, 'true or false')
  }
}

function checkBuffer(buffer: RamBuffer): void {
  const tag = tagOf(buffer)
  if (tag !== '[object ArrayBuffer]' && tag !== '[object SharedArrayBuffer]') {
    throw new InvalidArgument('buffer', buffer, 'an ArrayBuffer or a SharedArrayBuffer')
  }
  const kind = buffer as { readonly resizable?: boolean; readonly growable?: boolean }
  if (kind.resizable === true || kind.growable === true) {
    // They are several times slower, and one that shrank would take RAM away from under the allocators.
    throw new InvalidArgument('buffer', buffer, 'of a fixed length, not resizable or growable')
  }
}

function checkLength(name: string, length: number): void {
  if (length === 0 || length % PAGE_SIZE !== 0) {
    throw new InvalidArgument(name, length, 'a positive multiple of 4096')
  }
}

// By tag, not by instanceof: a buffer may come from another realm.
function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value)
}
