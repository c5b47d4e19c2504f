/**
 * Every bit of an entry against a table of what each means: one bit at a time is turned over in an
 * entry that is known, and the table says what comes of it.
 */

import { expect } from 'vitest'
import { entryPfn, type PageTableFormat } from '../../src/paging/format'

/**
 * What turning a bit over does: makes the entry of another kind; sets that bit of the frame number
 * ('frame'); changes nothing ('-'); or turns over bits of the protection (a number).
 */
export type Effect = 'none' | 'bad' | 'table' | 'leaf' | 'frame' | '-' | number

/** First and last bit, and what they do. Rows cover all bits of an entry, in order. */
export type Rows = readonly (readonly [number, number, Effect])[]

/** The two halves of an entry. */
export function halves(entry: bigint): [lo: number, hi: number] {
  return [Number(BigInt.asIntN(32, entry)), Number(BigInt.asIntN(32, entry >> 32n))]
}

/** An entry of two halves. */
export function whole(bits: { lo: number; hi: number }): bigint {
  return (BigInt(bits.hi >>> 0) << 32n) | BigInt(bits.lo >>> 0)
}

/**
 * What a leaf that is turned over bit by bit is. `base` is a leaf of frame 0 with protection
 * `prot`.
 */
export function expectLeafBits(
  format: PageTableFormat,
  level: number,
  base: bigint,
  prot: number,
  rows: Rows,
): void {
  expectBits(format, level, base, 'leaf', prot, rows, (lo, hi) => format.protOf(lo, hi, level))
}

/** The same for a pointer to a table at frame 0, and what it leaves of protection `prot`. */
export function expectTableBits(
  format: PageTableFormat,
  level: number,
  base: bigint,
  prot: number,
  rows: Rows,
): void {
  const left = (lo: number, hi: number) => format.restrict(prot, lo, hi, level)
  expectBits(format, level, base, 'table', prot, rows, left)
}

function expectBits(
  format: PageTableFormat,
  level: number,
  base: bigint,
  kind: 'leaf' | 'table',
  prot: number,
  rows: Rows,
  protOf: (lo: number, hi: number) => number,
): void {
  const name = `${format.name} ${format.levels[level]?.name}`
  const size = kind === 'leaf' ? 2 ** ((format.levels[level]?.shift ?? 0) - 12) : 1
  const say = (frame: number, allowed: number) => `${kind} ${frame} 0x${allowed.toString(16)}`
  const seen = (entry: bigint) => {
    const [lo, hi] = halves(entry)
    const found = format.kindOf(lo, hi, level)
    if (found !== kind) return found
    const pfn = entryPfn(format, lo, hi)
    return say(pfn - (pfn % size), protOf(lo, hi))
  }
  expect(seen(base), `${name}, nothing turned over`).toBe(say(0, prot))
  let next = 0
  for (const [first, last, effect] of rows) {
    expect(first, `${name}: rows in order`).toBe(next)
    for (let bit = first; bit <= last; bit++) {
      const what = seen(base ^ (1n << BigInt(bit)))
      expect(`${name} bit ${bit}: ${what}`).toBe(`${name} bit ${bit}: ${wanted(bit, effect)}`)
    }
    next = last + 1
  }
  expect(next, `${name}: rows for all bits`).toBe(8 * format.entryBytes)

  function wanted(bit: number, effect: Effect): string {
    if (effect === 'frame') return say(2 ** (bit - format.pfnShift), prot)
    if (effect === '-') return say(0, prot)
    return typeof effect === 'number' ? say(0, prot ^ effect) : effect
  }
}

/**
 * Every protection at every level with leaves: written and read back. `readBack` says what it
 * becomes: null where it is refused, 'none' where nothing may use it.
 */
export function expectRoundTrips(
  format: PageTableFormat,
  readBack: (prot: number) => number | 'none' | null,
): void {
  for (const [level, { leaf, shift }] of format.levels.entries()) {
    if (!leaf) continue
    // Both ends of the frame number, as far as the level has them.
    const frame = 2n ** BigInt(format.physBits - 13) + 2n ** BigInt(shift - 12)
    for (let prot = 0; prot <= 0x5ff; prot++) {
      const found = written(format, prot, level, frame)
      expect(`${level} ${prot}: ${found}`).toBe(`${level} ${prot}: ${readBack(prot)}`)
    }
  }
}

function written(
  format: PageTableFormat,
  prot: number,
  level: number,
  frame: bigint,
): number | string | null {
  let bits: { lo: number; hi: number }
  try {
    bits = format.leafBits(prot, level)
  } catch (error) {
    return (error as Error).name === 'InvalidArgument' ? null : String(error)
  }
  const [lo, hi] = halves(whole(bits) | (frame << BigInt(format.pfnShift)))
  const kind = format.kindOf(lo, hi, level)
  if (kind !== 'leaf') return kind
  const last = level === format.levels.length - 1
  if (!last && (lo & format.leafMask) === format.leafNone) return 'looks like a table'
  const size = 2 ** ((format.levels[level]?.shift ?? 0) - 12)
  const pfn = entryPfn(format, lo, hi)
  return pfn - (pfn % size) === Number(frame) ? format.protOf(lo, hi, level) : `frame ${pfn}`
}
