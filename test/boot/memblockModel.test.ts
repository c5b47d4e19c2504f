/** A memblock beside a row of 64-byte units: the same regions, free ranges, totals and places after every step. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Memblock } from '../../src/boot/memblock'
import type { MemblockRegion } from '../../src/boot/memblockRegions'
import { verifyMemblock } from '../../src/boot/memblockVerify'

const UNIT = 64
/** Units in the row: eight pages, the first of which is never given out. */
const UNITS = 512
const NO_NODE = 64
const ANY = -1

interface Unit {
  present: boolean
  nid: number
  flags: number
  reserved: boolean
  reservedNid: number
}

class Model {
  readonly units: Unit[] = Array.from({ length: UNITS }, () => ({
    present: false,
    nid: NO_NODE,
    flags: 0,
    reserved: false,
    reservedNid: NO_NODE,
  }))
  /** Bytes that trimming left in the total. */
  excess = 0
  bottomUp = false
  movable = false
  mirrored = false
  limit = UNITS * UNIT

  slice(at: number, count: number): Unit[] {
    return this.units.slice(at, at + count)
  }

  /** The runs of equal units of which `label` is not null, as regions. */
  regions(label: (unit: Unit) => Pick<MemblockRegion, 'nid' | 'flags'> | null): MemblockRegion[] {
    const regions: MemblockRegion[] = []
    let before: string | null = null
    this.units.forEach((unit, i) => {
      const value = label(unit)
      const key = value === null ? null : `${value.nid} ${value.flags}`
      const last = regions.at(-1)
      if (value !== null && last !== undefined && key === before) {
        regions[regions.length - 1] = { ...last, size: last.size + UNIT }
      } else if (value !== null) {
        regions.push({ base: i * UNIT, size: UNIT, ...value })
      }
      before = key
    })
    return regions
  }

  memory(): MemblockRegion[] {
    return this.regions(({ present, nid, flags }) => (present ? { nid, flags } : null))
  }

  reserved(): MemblockRegion[] {
    return this.regions((unit) => (unit.reserved ? { nid: unit.reservedNid, flags: 0 } : null))
  }

  visible(unit: Unit, nid: number, asked: number): boolean {
    if (!unit.present || unit.reserved) return false
    if (nid !== ANY && unit.nid !== nid) return false
    if (this.movable && unit.flags & 1 && !(asked & 1)) return false
    if (asked & 2 && !(unit.flags & 2)) return false
    return !((unit.flags & 4 && !(asked & 4)) || (unit.flags & 8 && !(asked & 8)))
  }

  free(nid: number, asked: number): number[][] {
    const runs = this.regions((unit) =>
      this.visible(unit, nid, asked) ? { nid: unit.nid, flags: unit.flags } : null,
    )
    return runs.map(({ base, size }) => [base, base + size])
  }

  /** The first place, in the order of the search, where all units are free and alike. */
  place(size: number, align: number, start: number, end: number, nid: number, asked: number) {
    const low = Math.max(start, 4096)
    const places: number[] = []
    for (let at = 0; at + size <= Math.min(end, UNITS * UNIT); at += align) {
      if (at < low) continue
      const units = this.slice(at / UNIT, size / UNIT)
      const alike = units.every(
        (unit) => unit.nid === units[0]?.nid && unit.flags === units[0]?.flags,
      )
      if (alike && units.every((unit) => this.visible(unit, nid, asked))) places.push(at)
    }
    return (this.bottomUp ? places[0] : places.at(-1)) ?? null
  }

  /** Mirrored memory first, then all; in each the node first, then, unless exact, any. */
  allocRange(r: Request, start: number, end: number): number | null {
    for (const asked of this.mirrored ? [2, 0] : [0]) {
      for (const nid of r.exact ? [r.nid] : [r.nid, ANY]) {
        const found = this.place(r.size, r.align, start, end, nid, asked)
        if (found === null) continue
        for (const unit of this.slice(found / UNIT, r.size / UNIT)) this.reserve(unit)
        return found
      }
    }
    return null
  }

  add(unit: Unit, nid: number, flags: number): void {
    if (unit.present) return
    // The first memory after none: what trimming left in the total is forgotten.
    if (!this.units.some(({ present }) => present)) this.excess = 0
    Object.assign(unit, { present: true, nid, flags })
  }

  reserve(unit: Unit): void {
    if (unit.reserved) return
    unit.reserved = true
    unit.reservedNid = NO_NODE
  }
}

interface Request {
  readonly size: number
  readonly align: number
  readonly min: number
  readonly max: number
  readonly nid: number
  readonly exact: boolean
}

function check(model: Model, real: Memblock): void {
  expect(verifyMemblock(real)).toEqual([])
  const some = (regions: readonly MemblockRegion[]): MemblockRegion[] =>
    regions.filter(({ size }) => size > 0)
  expect(some(real.memoryRegions)).toEqual(model.memory())
  expect(some(real.reservedRegions)).toEqual(model.reserved())
  const bytes = (of: (unit: Unit) => boolean): number => model.units.filter(of).length * UNIT
  expect(real.physMemSize()).toBe(bytes((unit) => unit.present) + model.excess)
  expect(real.reservedSize()).toBe(bytes((unit) => unit.reserved))
  for (const nid of [ANY, 0, 1]) {
    for (const flags of [0, 1, 2, 12]) {
      const free = model.free(nid, flags)
      const pairs = (ranges: Iterable<{ start: number; end: number }>): number[][] =>
        [...ranges].map(({ start, end }) => [start, end])
      expect(pairs(real.freeRanges({ nid, flags }))).toEqual(free)
      expect(pairs(real.freeRangesReverse({ nid, flags }))).toEqual(free.reverse())
    }
  }
}

type Step = fc.Command<Model, Memblock>

function step(text: string, act: (model: Model, real: Memblock) => void): Step {
  return {
    check: () => true,
    run: (model, real) => {
      act(model, real)
      check(model, real)
    },
    toString: () => text,
  }
}

/** A step over a range: `change` alters each of its units. */
function rangeStep(
  name: string,
  [at, count]: readonly [number, number],
  call: (real: Memblock, base: number, size: number) => boolean,
  change: (unit: Unit, model: Model) => void,
): Step {
  return step(`${name}(${at}, ${count})`, (model, real) => {
    expect(call(real, at * UNIT, count * UNIT)).toBe(true)
    for (const unit of model.slice(at, count)) change(unit, model)
  })
}

function trim(model: Model, align: number): void {
  for (const { base, size } of model.memory()) {
    const start = Math.ceil(base / align) * align
    const end = Math.floor((base + size) / align) * align
    for (let at = base; at < base + size; at += UNIT) {
      if (at < start || at >= end)
        for (const unit of model.slice(at / UNIT, 1)) unit.present = false
    }
    if (start < end) model.excess += size - (end - start)
  }
}

function removeFrom(model: Model, limit: number): void {
  let left = limit / UNIT
  if (limit === 0 || left > model.units.filter((unit) => unit.present).length) return
  for (const unit of model.units) {
    if (left === 0) Object.assign(unit, { present: false, reserved: false })
    else if (unit.present) left--
  }
}

const range = fc
  .oneof(
    fc.tuple(fc.nat(UNITS - 1), fc.integer({ min: 0, max: 100 })),
    fc.tuple(fc.nat(UNITS - 1), fc.integer({ min: 0, max: 6 })),
    fc
      .tuple(fc.nat(7), fc.nat(3))
      .map(([page, pages]) => [page * 64, pages * 64] as [number, number]),
  )
  .map(([at, count]) => [at, Math.min(count, UNITS - at)] as const)
const node = fc.constantFrom(NO_NODE, 0, 1)
const FLAGS = ['Hotplug', 'Nomap'] as const

const request: fc.Arbitrary<Request> = fc.record({
  size: fc
    .oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 130 }))
    .map((n) => n * UNIT),
  align: fc.constantFrom(64, 128, 256, 1024, 4096, 8192),
  min: fc.oneof(
    fc.constant(0),
    fc.nat(UNITS).map((n) => n * UNIT),
  ),
  max: fc.oneof(
    fc.constant(0),
    fc.integer({ min: 1, max: UNITS }).map((n) => n * UNIT),
  ),
  nid: fc.constantFrom(ANY, 0, 1),
  exact: fc.boolean(),
})

function allocStep(mapped: boolean, r: Request): Step {
  return step(`${mapped ? 'mapped' : 'ranged'} ${JSON.stringify(r)}`, (model, real) => {
    const { size, align, min, max, nid, exact } = r
    const end = max === 0 ? model.limit : max
    if (!mapped) {
      const found = real.allocRangeNid(size, align, min, max, nid, exact)
      expect(found).toBe(model.allocRange(r, min, end))
      return
    }
    const found = exact
      ? real.allocExactNid(size, align, min, max, nid)
      : real.allocTryNid(size, align, min, max, nid)
    const capped = Math.min(end, model.limit)
    expect(found).toBe(model.allocRange(r, min, capped) ?? model.allocRange(r, 0, capped))
  })
}

/** Every kind of step. */
const kinds: Record<string, fc.Arbitrary<Step>> = {
  add: range.map((at) =>
    rangeStep(
      'add',
      at,
      (real, ...r) => real.add(...r),
      (unit, model) => model.add(unit, NO_NODE, 0),
    ),
  ),
  addNode: fc.tuple(range, node, fc.constantFrom(0, 0, 0, 1, 4, 8)).map(([at, nid, flags]) =>
    rangeStep(
      `addNode ${nid} ${flags}`,
      at,
      (real, base, size) => real.addNode(base, size, nid, flags),
      (unit, model) => model.add(unit, nid, flags),
    ),
  ),
  reserve: range.map((at) =>
    rangeStep(
      'reserve',
      at,
      (real, ...r) => real.reserve(...r),
      (unit, m) => m.reserve(unit),
    ),
  ),
  remove: range.map((at) =>
    rangeStep(
      'remove',
      at,
      (real, ...r) => real.remove(...r),
      (unit) => {
        unit.present = false
      },
    ),
  ),
  free: range.map((at) =>
    rangeStep(
      'free',
      at,
      (real, ...r) => real.free(...r),
      (unit) => {
        unit.reserved = false
      },
    ),
  ),
  mark: fc.tuple(range, fc.constantFrom(...FLAGS)).map(([at, name]) =>
    rangeStep(
      `mark${name}`,
      at,
      (real, ...r) => real[`mark${name}`](...r),
      (unit) => {
        unit.flags |= name === 'Nomap' ? 4 : 1
      },
    ),
  ),
  clear: fc.tuple(range, fc.constantFrom(...FLAGS)).map(([at, name]) =>
    rangeStep(
      `clear${name}`,
      at,
      (real, ...r) => real[`clear${name}`](...r),
      (unit) => {
        unit.flags &= name === 'Nomap' ? ~4 : ~1
      },
    ),
  ),
  mirror: range
    .filter(([, count]) => count > 0)
    .map((at) =>
      rangeStep(
        'markMirror',
        at,
        (real, ...r) => {
          real.setMirroredKernelMemory()
          return real.markMirror(...r)
        },
        (unit, model) => {
          unit.flags |= 2
          model.mirrored = true
        },
      ),
    ),
  memoryNode: fc.tuple(range, node).map(([at, nid]) =>
    rangeStep(
      `setNode memory ${nid}`,
      at,
      (real, base, size) => real.setNode(base, size, 'memory', nid),
      (unit) => {
        unit.nid = nid
      },
    ),
  ),
  reservedNode: fc.tuple(range, node).map(([at, nid]) =>
    rangeStep(
      `setNode reserved ${nid}`,
      at,
      (real, base, size) => real.setNode(base, size, 'reserved', nid),
      (unit) => {
        unit.reservedNid = nid
      },
    ),
  ),
  trim: fc.constantFrom(128, 512, 4096).map((align) =>
    step(`trim ${align}`, (model, real) => {
      real.trimMemory(align)
      trim(model, align)
    }),
  ),
  limitMemory: fc.integer({ min: UNITS / 2, max: UNITS }).map((units) =>
    step(`enforceMemoryLimit ${units}`, (model, real) => {
      expect(real.enforceMemoryLimit(units * UNIT)).toBe(true)
      removeFrom(model, units * UNIT)
    }),
  ),
  currentLimit: fc.integer({ min: 0, max: UNITS }).map((units) =>
    step(`currentLimit ${units}`, (model, real) => {
      real.currentLimit = units * UNIT
      model.limit = units * UNIT
    }),
  ),
  direction: fc.tuple(fc.boolean(), fc.boolean()).map(([bottomUp, movable]) =>
    step(`bottomUp ${bottomUp} movable ${movable}`, (model, real) => {
      Object.assign(real, { bottomUp, movableNode: movable })
      Object.assign(model, { bottomUp, movable })
    }),
  ),
  ranged: request.map((r) => allocStep(false, r)),
  mapped: request.map((r) => allocStep(true, r)),
}

/** Steps of a seed: each kind has its own weight, often none. */
const names = Object.keys(kinds)
const runs = fc
  .record({
    weights: fc.tuple(...names.map(() => fc.constantFrom(0, 1, 2, 6))),
    nid: node,
    units: fc.integer({ min: 100, max: UNITS - 32 }),
  })
  .chain(({ weights, nid, units }) => {
    const chosen = names.flatMap((name, i) => {
      const kind = kinds[name]
      return kind === undefined ? [] : Array.from({ length: weights[i] ?? 0 }, () => kind)
    })
    const commands = fc.commands(chosen.length === 0 ? Object.values(kinds) : chosen, {
      maxCommands: 40,
      size: 'max',
    })
    return fc.record({ nid: fc.constant(nid), units: fc.constant(units), commands })
  })

describe('memblock and its model', () => {
  it('agree after every step', () => {
    fc.assert(
      fc.property(runs, ({ nid, units, commands }) => {
        const setup = () => {
          const real = new Memblock({ maxRegions: 2 * UNITS })
          const model = new Model()
          real.currentLimit = UNITS * UNIT
          real.addNode(32 * UNIT, units * UNIT, nid, 0)
          for (const unit of model.slice(32, units)) model.add(unit, nid, 0)
          return { model, real }
        }
        fc.modelRun(setup, commands)
      }),
      { numRuns: 150 },
    )
  })
})
