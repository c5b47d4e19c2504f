/** Short forms for the memblock tests. */

import { expect } from 'vitest'
import { Memblock } from '../../src/boot/memblock'
import { verifyMemblock } from '../../src/boot/memblockVerify'
import type { MemblockOptions } from '../../src/boot/memblockView'

/** A range as [base, size]. */
export type Pair = readonly [number, number]

/** The alignment unit of the small tests. */
export const A = 64
/** Bytes of memory of the small tests. */
export const MEM = 16384
/** Where that memory starts: not at page 0, which is never given out. */
export const START = 0x10000
export const END = START + MEM

/** A memblock with `MEM` bytes at `START` and the given reservations. */
export function small(reserved: readonly Pair[] = [], options: MemblockOptions = {}): Memblock {
  const m = new Memblock(options)
  m.add(START, MEM)
  for (const [base, size] of reserved) m.reserve(base, size)
  return m
}

export function memoryOf(m: Memblock): Pair[] {
  return m.memoryRegions.map(({ base, size }) => [base, size] as const)
}

export function reservedOf(m: Memblock): Pair[] {
  return m.reservedRegions.map(({ base, size }) => [base, size] as const)
}

/** Everything observable, for "nothing changed". */
export function stateOf(m: Memblock): string {
  return JSON.stringify([
    m.memoryRegions,
    m.reservedRegions,
    m.physMemSize(),
    m.reservedSize(),
    m.memoryArray.max,
    m.reservedArray.max,
    m.bottomUp,
    m.currentLimit,
  ])
}

/** The memblock is sound and its reservations are these, with their sum as the total. */
export function expectReserved(m: Memblock, reserved: readonly Pair[]): void {
  expect(verifyMemblock(m)).toEqual([])
  expect(reservedOf(m)).toEqual(reserved)
  expect(m.reservedSize()).toBe(reserved.reduce((sum, [, size]) => sum + size, 0))
}
