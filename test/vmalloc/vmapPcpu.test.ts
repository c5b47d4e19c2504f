import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KernelBug } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { MiB } from '../../src/base/units'
import { verifyVmap } from '../../src/debug/verifyVmap'
import { GFP_KERNEL } from '../../src/page/gfp'
import { allocArea, freeAreaNow, releaseArea, reserveArea } from '../../src/vmalloc/vmapArea'
import { createVmap, noVmapOps } from '../../src/vmalloc/vmapContext'
import { pcpuAreas } from '../../src/vmalloc/vmapPcpu'
import { vmapState } from '../../src/vmalloc/vmapState'
import { area, E, endOf, kernelSpace, objectsOf, S, startOf } from './vmapScript'

const UNIT = 2 * MiB

describe('pcpuAreas', () => {
  it('puts chunks of one group downward from the top of the window', () => {
    const c = kernelSpace()
    const at = [1, 2, 3].map(() => {
      const areas = pcpuAreas(c, [0], [UNIT], UNIT, S, E, GFP_KERNEL)
      return startOf(c, areas?.[0] ?? 0)
    })
    expect(at).toEqual([0xe8ffffc00000, 0xe8ffffa00000, 0xe8ffff800000])
    expect(verifyVmap(c)).toEqual([])
  })

  it('keeps the distances of several groups, around what is in use', () => {
    const c = createVmap({ start: 0, end: 2 ** 30 })
    // In use: units 10 and 13 of 16.
    for (const unit of [10, 13]) {
      expect(reserveArea(c, unit * 4096, (unit + 1) * 4096, GFP_KERNEL, -1)).not.toBe(0)
    }
    const offsets = [0, 3 * 4096]
    const bases = () => {
      const areas = pcpuAreas(c, offsets, [4096, 4096], 4096, 0, 16 * 4096, GFP_KERNEL)
      return areas?.map((record) => startOf(c, record) / 4096)
    }
    // Base 12: 12 and 15. Base 11: 11 and 14. Base 10, 9 and 8 meet 10, 9+3 and 8+3, in use by then.
    const found: (number[] | undefined)[] = []
    for (let i = 0; i < 7; i++) found.push(bases())
    expect(found).toEqual([[12, 15], [11, 14], [6, 9], [5, 8], [4, 7], [0, 3], undefined])
    expect(verifyVmap(c)).toEqual([])
  })

  it('purges, retiring blocks, and tries once more before it gives up', () => {
    const calls: string[] = []
    const ops = {
      ...noVmapOps,
      retireBlocks: () => calls.push('retire'),
      flush: () => calls.push('flush'),
    }
    const c = createVmap({ start: 0, end: 2 ** 30 }, ops)
    const all = allocArea(c, 8 * 4096, 1, 0, 8 * 4096, GFP_KERNEL, -1)
    expect(pcpuAreas(c, [0], [4096], 4096, 0, 8 * 4096, GFP_KERNEL)).toBeNull()
    expect(calls).toEqual(['retire'])
    releaseArea(c, all)
    const areas = pcpuAreas(c, [0], [4096], 4096, 0, 8 * 4096, GFP_KERNEL)
    expect(startOf(c, areas?.[0] ?? 0)).toBe(7 * 4096)
    expect(calls).toEqual(['retire', 'retire', 'flush'])
    calls.length = 0
    // More than the window holds: not even tried.
    expect(pcpuAreas(c, [0], [9 * 4096], 4096, 0, 8 * 4096, GFP_KERNEL)).toBeNull()
    expect(calls).toEqual([])
  })

  it('without memory for an object, or for what belongs to it, nothing is left behind', () => {
    const setUp = () => {
      const live = new Set<number>()
      let next = 0
      const c = kernelSpace()
      const plan = { fail: 0, taken: 0 }
      c.ops = {
        ...noVmapOps,
        takeObject() {
          plan.taken += 1
          if (plan.fail !== 0 && plan.taken >= plan.fail) return 0
          next += 1
          live.add(next)
          return next
        },
        giveObject: (object) => expect(live.delete(object)).toBe(true),
      }
      area(c, 0x2000)
      area(c, 0x2000)
      plan.taken = 0
      return { c, live, plan }
    }
    const [offsets, sizes] = [
      [0, 2 * UNIT, 4 * UNIT],
      [UNIT, UNIT, UNIT],
    ]
    const { c, live, plan } = setUp()
    const before = JSON.stringify(vmapState(c, LAYOUT_X86_64))
    const attempt = (ready?: (i: number) => boolean) =>
      pcpuAreas(c, offsets, sizes, UNIT, S, E, GFP_KERNEL, ready)
    for (plan.fail = 1; plan.fail <= 20; plan.fail++) {
      plan.taken = 0
      const areas = attempt()
      if (areas !== null) break
      // The spare may have been used: it stays with the free areas until they are joined again.
      expect(verifyVmap(c)).toEqual([])
      const state = vmapState(c, LAYOUT_X86_64)
      expect(JSON.stringify({ ...state, spare: 1 })).toBe(before)
      expect(objectsOf(c)).toEqual(live)
    }
    // Three objects for the areas, one for each split but the first, for which there is the spare or not.
    expect(plan.fail).toBeGreaterThan(3)
    expect(plan.fail).toBeLessThan(8)
    plan.fail = 0
    const other = setUp()
    const count = other.live.size
    for (let i = 0; i < 3; i++) {
      const { c: space } = other
      expect(pcpuAreas(space, offsets, sizes, UNIT, S, E, GFP_KERNEL, (at) => at < i)).toBeNull()
      expect(other.live.size).toBe(count)
      expect(objectsOf(space)).toEqual(other.live)
    }
    const fails = () => {
      throw new Error('no vm_struct')
    }
    expect(() => pcpuAreas(other.c, offsets, sizes, UNIT, S, E, GFP_KERNEL, fails)).toThrow()
    expect(other.live.size).toBe(count)
    expect(verifyVmap(other.c)).toEqual([])
  })

  it('offsets, sizes and alignments that make no sense are a bug', () => {
    const c = kernelSpace()
    const bad: [number[], number[], number][] = [
      [[], [], UNIT],
      [[0], [], UNIT],
      [[1], [UNIT], UNIT],
      [[0], [4096], UNIT],
      [[0], [0], UNIT],
      [[-UNIT], [UNIT], UNIT],
      [[0, UNIT], [2 * UNIT, UNIT], UNIT],
      [[UNIT, 0], [UNIT, 2 * UNIT], UNIT],
      [[0], [UNIT], 3 * MiB],
      [[0], [2048], 2048],
      [[Number.NaN], [UNIT], UNIT],
    ]
    for (const [offsets, sizes, align] of bad) {
      expect(() => pcpuAreas(c, offsets, sizes, align, S, E, GFP_KERNEL)).toThrow(KernelBug)
    }
    expect(verifyVmap(c)).toEqual([])
  })

  it('finds the highest base there is, as one finds by trying them all', () => {
    const group = fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 4 })
    const taken = fc.array(fc.integer({ min: 0, max: 31 }), { maxLength: 24 })
    fc.assert(
      fc.property(group, taken, (units, busy) => {
        const c = createVmap({ start: 0, end: 2 ** 20, maxRecords: 100 })
        const used = new Set(busy)
        for (const unit of used) reserveArea(c, unit * 4096, (unit + 1) * 4096, GFP_KERNEL, -1)
        const offsets = units.map((unit) => unit * 4096)
        const sizes = units.map(() => 4096)
        const areas = pcpuAreas(c, offsets, sizes, 4096, 0, 32 * 4096, GFP_KERNEL)
        let base = 31 - Math.max(...units)
        while (base >= 0 && units.some((unit) => used.has(base + unit))) base -= 1
        const found = areas === null ? -1 : startOf(c, areas[0] ?? 0) / 4096 - (units[0] ?? 0)
        expect(found).toBe(base)
        for (const [i, record] of (areas ?? []).entries()) {
          expect(startOf(c, record)).toBe((base + (units[i] ?? 0)) * 4096)
          expect(endOf(c, record)).toBe(startOf(c, record) + 4096)
        }
        expect(verifyVmap(c)).toEqual([])
        for (const record of areas ?? []) freeAreaNow(c, record)
        expect(verifyVmap(c)).toEqual([])
      }),
      { numRuns: 300 },
    )
  })
})
