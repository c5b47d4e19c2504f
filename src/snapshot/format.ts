/**
 * The format of snapshot files, version 1.
 *
 *     | magic | version | length | header: JSON text | checksum | section | section | ...
 *      8 bytes  u32       u32      `length` bytes      u32
 *
 * All integers are little endian, whatever the machine; nothing is aligned. The checksum, CRC-32, is of all bytes
 * before it. The header tells the shape of the machine, and each section's name, bytes and checksum:
 * `pages`, `slabs` and `space` are the states of the page allocator, the slab layer and the mapper, `ram` the bytes
 * of memory, if they are saved. A machine that is its page level alone has neither `slabs` nor `space`. A section is a
 * list of *runs*, ascending and apart:
 *
 *     | start | count | content |        states: in words of 32 bits
 *      u32     u32                       ram:    in pages of 4096 bytes, counted through RAM in address order
 *
 * What is in no run is 0. Every byte of a file is under a checksum, and the same state always gives the same file.
 */

import { PAGE_SIZE } from '../base/units'
import type { Shape } from './shape'

/** The first bytes of a file. The bytes around the letters show up a copy that was made as text. */
export const MAGIC: readonly number[] = [0x89, 0x4b, 0x4d, 0x45, 0x4d, 0x0d, 0x0a, 0x1a]
/** Version of the format; a file of another one is refused. */
export const FORMAT_VERSION = 1
/** Bytes before the header's text. */
export const PREFIX_BYTES = 16
/** Longest header. */
export const MAX_HEADER_BYTES = 16777216

/** Name of a section. */
export type SectionName = 'pages' | 'slabs' | 'space' | 'ram'
/** The sections in the order in which they come. The last may be left out, and `slabs` and `space` together. */
export const SECTION_NAMES: readonly SectionName[] = ['pages', 'slabs', 'space', 'ram']

/** What the header says of a section. */
export interface SectionHeader {
  readonly name: SectionName
  /** Bytes in the file. */
  readonly bytes: number
  /** Words in use of a state; pages of RAM. */
  readonly units: number
  /** Checksum, eight hexadecimal digits. */
  readonly crc: string
}

/** What is neither in the states nor a hook. */
export interface RunningState {
  /** Whether drain work of the mapper is held back. */
  readonly held: boolean
  /** Who calls the mapper; '' for nobody. */
  readonly mapperCaller: string
  /** Who calls the slab layer. */
  readonly slabCaller: string
}

/** The header. */
export interface SnapshotHeader {
  /** Versions of the schemas of the three states. */
  readonly schemas: readonly number[]
  /** Byte order of the words in memory: that of the machine that wrote them. */
  readonly littleEndian: boolean
  readonly shape: Shape
  readonly running: RunningState
  readonly sections: readonly SectionHeader[]
}

/** Bytes of a unit of a section's runs. */
export function unitBytes(name: SectionName): number {
  return name === 'ram' ? PAGE_SIZE : 4
}

/** Whether this machine's words have the low byte first. */
export function isLittleEndian(): boolean {
  return new Uint8Array(new Uint32Array([1]).buffer)[0] === 1
}
