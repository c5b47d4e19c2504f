/**
 * The parts of reports about objects of caches, in the kernel's words: lines, without a log to
 * write them to.
 *
 * Source: spec/slab.md §16.6.
 */

import { fullAddress } from '../base/layout'
import { formatPageFlagsAndPlace, PG_ACTIVE, PG_HEAD, PG_SLAB } from '../page/pageFlags'
import { formatName } from '../slab/cacheName'
import type { ObjectTrack, SlabContext } from '../slab/context'
import { SLAB_RED_ZONE } from '../slab/flags'
import { OUTSIDE, rawPointerHigh, rawPointerLow } from '../slab/freePointer'
import { objectAddress, slabNode, slabOrderOf } from '../slab/slabs'
import {
  CACHE_FLAGS,
  CACHE_INUSE,
  CACHE_OBJECT_SIZE,
  CACHE_PAD,
  SLAB_FLAGS,
  SLAB_FREE,
  SLAB_INUSE,
  SLAB_OBJECTS,
  SLAB_PFMEMALLOC,
  SLAB_PFN,
  SLAB_RAW,
  SLAB_TAINT,
} from '../state/slabSchema'
import { paddingStart, slabByte, slotEnd } from './slubSlot'
import { TRACK_ALLOC, TRACK_FREE } from './slubTrack'

/** Taint bit of a report: letter B. */
export const TAINT_BAD_PAGE = 1 << 5
/** Bytes of a `struct page`. */
const PAGE_STRUCT_BYTES = 64
/** Letters of the taint bits; the first one is G when its bit is not set. */
const TAINT_LETTERS = 'PFSRMBUDAWCIOELKXTN'
/** Bytes of an object that are shown at most. */
const SHOWN_BYTES = 4096
/** Bytes in front of an object that are shown when there is no red zone. */
const BYTES_BEFORE = 16
/** Characters in which the hexadecimal digits of a line fit. */
const HEX_COLUMNS = 49

/** A pointer as `0x%p` prints it. */
export function pointerText(pointer: bigint): string {
  return `0x${hex16(pointer)}`
}

/** A pointer's 16 digits. */
export function hex16(pointer: bigint): string {
  return BigInt.asUintN(64, pointer).toString(16).padStart(16, '0')
}

/** The pointer to what lies at a distance from the start of a slab. */
export function pointerAt(c: SlabContext, slab: number, offset: number): string {
  return pointerText(fullAddress(c.layout, objectAddress(c, slab, offset)))
}

/** The first lines of a report. */
export function reportHeader(
  c: SlabContext,
  cache: number,
  text: string,
  otherTaint: number,
): string[] {
  const taint = taintText(c.words[SLAB_TAINT]! | otherTaint)
  return [
    '='.repeat(77),
    // A text that ends with a newline leaves an empty line.
    ...`BUG ${formatName(c.words, cache)} (${taint}): ${text}`.split('\n'),
    '-'.repeat(77),
    '',
  ]
}

/** What is known to be wrong with the kernel already. */
export function taintText(bits: number): string {
  if (bits === 0) return 'Not tainted'
  let text = 'Tainted: '
  for (let bit = 0; bit < TAINT_LETTERS.length; bit++) {
    if ((bits & (1 << bit)) !== 0) text += TAINT_LETTERS[bit]
    else text += bit === 0 ? 'G' : ' '
  }
  return text
}

/** The line about a slab. */
export function slabLine(c: SlabContext, slab: number): string {
  const words = c.words
  const pfn = words[slab + SLAB_PFN]!
  const struct = c.layout.vmemmap + BigInt(pfn) * BigInt(PAGE_STRUCT_BYTES)
  const counts = `objects=${words[slab + SLAB_OBJECTS]} used=${words[slab + SLAB_INUSE]}`
  const free = pointerText(firstFree(c, slab))
  return `Slab ${pointerText(struct)} ${counts} fp=${free} flags=${pageFlagsText(c, slab)}`
}

/** The slab's first free object, as the pointer that a kernel has. */
export function firstFree(c: SlabContext, slab: number): bigint {
  const first = c.words[slab + SLAB_FREE]!
  if (first === 0) return 0n
  if (first === OUTSIDE) return pointerOf(c.words[slab + SLAB_RAW]!, c.words[slab + SLAB_RAW + 1]!)
  return fullAddress(c.layout, objectAddress(c, slab, first - 1))
}

/** Everything about an object that starts at a place of its slab. */
export function objectLines(c: SlabContext, cache: number, slab: number, offset: number): string[] {
  const words = c.words
  const dump = (prefix: string, start: number, end: number) =>
    hexDump(c, prefix, slabByte(c, slab, offset + start), end - start)
  const size = words[cache + CACHE_OBJECT_SIZE]!
  const pad = words[cache + CACHE_PAD]!
  const redZones = (words[cache + CACHE_FLAGS]! & SLAB_RED_ZONE) !== 0
  const free = pointerOf(
    rawPointerLow(c, cache, slab, offset),
    rawPointerHigh(c, cache, slab, offset),
  )
  const lines = [
    ...trackLines(c, cache, slab, offset),
    slabLine(c, slab),
    `Object ${pointerAt(c, slab, offset)} @offset=${offset} fp=${pointerText(free)}`,
    '',
  ]
  if (redZones) lines.push(...dump('Redzone  ', -pad, 0))
  else if (offset > BYTES_BEFORE) lines.push(...dump('Bytes b4 ', -BYTES_BEFORE, 0))
  lines.push(...dump('Object   ', 0, Math.min(size, SHOWN_BYTES)))
  if (redZones) lines.push(...dump('Redzone  ', size, words[cache + CACHE_INUSE]!))
  lines.push(...dump('Padding  ', paddingStart(words, cache), slotEnd(words, cache)))
  return lines
}

/** Who allocated and who freed an object, as far as that is known. */
export function trackLines(c: SlabContext, cache: number, slab: number, offset: number): string[] {
  return [TRACK_ALLOC, TRACK_FREE].flatMap((kind) => {
    const track = c.debug?.track(c, cache, slab, offset, kind) ?? null
    if (track === null || track.address === 0n) return []
    return [
      `${kind === TRACK_ALLOC ? 'Allocated' : 'Freed'} in ${track.label} age=${ageText(track)} ` +
        `cpu=${track.cpu} pid=${track.pid | 0}`,
      ...track.stack.map((frame) => ` ${frame}`),
    ]
  })
}

/**
 * A dump of bytes by their kernel addresses, 16 a line; no line for none. `at` is a physical
 * address.
 */
export function hexDump(c: SlabContext, prefix: string, at: number, length: number): string[] {
  const lines: string[] = []
  if (length <= 0) return lines
  const bytes = c.ram.bytes(at, length)
  for (let start = 0; start < length; start += 16) {
    const row = [...bytes.subarray(start, start + 16)]
    const digits = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'))
    const address = hex16(fullAddress(c.layout, at + start + c.directMap))
    lines.push(`${prefix}${address}: ${digits.padEnd(HEX_COLUMNS)}${text.join('')}`)
  }
  return lines
}

/** A pointer from its halves. */
function pointerOf(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
}

function pageFlagsText(c: SlabContext, slab: number): string {
  const words = c.words
  const node = slabNode(words, slab)
  const zone = c.source.zoneIndexOf(words[slab + SLAB_PFN]!)
  const head = slabOrderOf(words, slab) > 0 ? PG_HEAD : 0
  const reserve = (words[slab + SLAB_FLAGS]! & SLAB_PFMEMALLOC) !== 0 ? PG_ACTIVE : 0
  const flags = PG_SLAB | head | reserve
  const word = (BigInt(node) << 58n) | (BigInt(zone) << 56n) | BigInt(flags)
  return `0x${word.toString(16)}(${formatPageFlagsAndPlace(flags, node, zone)})`
}

function ageText(track: ObjectTrack): string {
  return BigInt.asUintN(64, BigInt(track.age)).toString()
}
