/**
 * Tables as a guest might write them, right or wrong: large leaves at every level, frames beyond memory, tables that
 * point at themselves. What comes of an access is compared with the reference, and so is every entry afterwards.
 */

import { describe, expect, it } from 'vitest'
import type { PageTableFormat } from '../../src/paging/format'
import { VirtualMemory } from '../../src/paging/virtualMemory'
import { referenceWalk } from './referenceWalk'
import { FORMATS, numbers } from './spaces'
import { TableFrames, tablesIn } from './tableFrames'
import { GEOMETRY, type Geometry } from './tableReader'

const TABLES = 10
const FRAMES = 64
const ROOTS = [0, 1] as const
const MODE_BITS = ['user', 'smep', 'smap', 'sum', 'mxr', 'pan'] as const
const KINDS = ['read', 'write', 'execute'] as const
const ACCESS = { read: 1, write: 2, execute: 4 } as const

type Random = (limit: number) => number

/** An entry that is mostly valid, of a frame that is mostly one of the tables'; above the last level mostly a pointer. */
function entryOf({ family, entryBytes, levels }: Geometry, last: boolean, next: Random): bigint {
  const chance = (percent: number) => next(100) < percent
  let frame = BigInt(next(TABLES))
  if (chance(15)) frame = BigInt(next(2 ** 20)) << BigInt([0, 9, 18][next(3)] ?? 0)
  if (family === 'riscv') {
    const flags = chance(last ? 5 : 80) ? 0x01n : BigInt(next(1024)) | (chance(60) ? 0xc1n : 0x01n)
    const rare = chance(3) ? 1n << BigInt(54 + next(10)) : 0n
    return (frame << 10n) | (chance(95) ? flags : flags & ~1n) | rare
  }
  let entry = ((frame & 0xfffffffffn) << 12n) | BigInt(next(4096)) | (chance(95) ? 1n : 0n)
  if (family === 'arm64') {
    entry |= (chance(80) ? 2n : 0n) | (chance(60) ? 0x400n : 0n)
    for (const n of [51, 53, 54, 59, 60, 61, 62]) if (chance(15)) entry |= 1n << BigInt(n)
    return entry
  }
  if (chance(60)) entry |= 6n
  if (chance(70)) entry &= ~0x1e0n
  if (chance(20)) entry |= 1n << 63n
  if (chance(3)) entry |= 1n << BigInt(52 + next(11))
  // The top entries of PAE have few flags.
  if (levels[0]?.[1] === 2 && chance(50)) entry &= 0xffffffffffe19n
  return entryBytes === 4 ? BigInt.asUintN(32, entry) : entry
}

/** Makes random accesses through random tables; how many found a page. */
function compare(format: PageTableFormat, updates: boolean, tlb: number, steps: number): number {
  const geometry = GEOMETRY[format.name]
  if (geometry === undefined) throw new Error(format.name)
  const { levels, entryBytes } = geometry
  const next = numbers(format.name.length * 3 + tlb)
  const frames = new TableFrames({ size: FRAMES * 4096 })
  const { buffer, byteOffset } = frames.ram.bytes(0, FRAMES * 4096)
  const view = new DataView(buffer, byteOffset)
  const read = (at: bigint) =>
    entryBytes === 4
      ? BigInt(view.getUint32(Number(at), true))
      : view.getBigUint64(Number(at), true)
  const tables = tablesIn(frames, format, { root: ROOTS[0], highRoot: ROOTS[1] })
  const memory = new VirtualMemory(tables, { tlb, hardwareUpdates: updates ? 'set' : 'fault' })
  // A few indices at each level, so that walks get somewhere.
  const indices = levels.map(([, bits]) => [next(2 ** bits), next(2 ** bits)])
  const used = new Set<bigint>()
  const scribble = () => {
    const level = next(levels.length)
    const index = indices[level]?.[next(2)] ?? 0
    // The top tables change often, or a bad entry there would be in the way of everything.
    const at = next([2, TABLES][next(2)] ?? 1) * 4096 + index * entryBytes
    const entry = entryOf(geometry, level === levels.length - 1, next)
    view.setUint32(at, Number(entry & 0xffffffffn), true)
    if (entryBytes === 8) view.setUint32(at + 4, Number(entry >> 32n), true)
    used.add(BigInt(at))
    memory.flushTlb()
  }
  for (let i = 0; i < 100; i++) scribble()
  let found = 0
  for (let step = 0; step < steps; step++) {
    if (next(3) === 0) scribble()
    const mode = Object.fromEntries(MODE_BITS.map((name) => [name, next(2) === 0]))
    const kind = KINDS[next(3)] ?? 'read'
    let address = format.twoRoots && next(2) === 0 ? 2 ** (format.vaBits - 1) : 0
    levels.forEach(([shift], level) => {
      address += (indices[level]?.[next(2)] ?? 0) * 2 ** shift
    })
    const before = new Map([...used].map((at) => [at, read(at)]))
    const wanted = referenceWalk(geometry, { has: (pfn) => pfn < FRAMES, read }, ROOTS, {
      address: BigInt(address),
      kind,
      mode,
      updates,
    })
    const seen = tables.walk(address)
    expect(tables.translate(address)).toBe(seen.physical ?? -1)
    memory.setMode(mode)
    const physical = memory.resolve(address, ACCESS[kind])
    const { reason, level } = memory.fault
    if ('reason' in wanted) {
      expect([physical, reason, level]).toEqual([-1, wanted.reason, wanted.level])
    } else {
      expect(BigInt(physical)).toBe(wanted.pfn * 4096n)
      expect(seen.physical).toBe(physical)
      for (const [at, entry] of wanted.marks) before.set(at, entry)
      found++
    }
    for (const [at, entry] of before) if (read(at) !== entry) expect(read(at)).toBe(entry)
  }
  return found
}

describe.each(FORMATS)('%s', (_name, format) => {
  it.each([0, 8])('walks, faults and marks as the reference does, with a TLB of %i', (tlb) => {
    let found = compare(format, true, tlb, 2000)
    if (format.pfnShift === 10 || format.twoRoots) found += compare(format, false, tlb, 2000)

    expect(found).toBeGreaterThan(30)
  })
})
