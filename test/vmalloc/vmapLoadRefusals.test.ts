/** Each refusal of vmapLoad alone: states with one fault, which cover the space in all else; and what loading writes. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import {
  AREA_OBJECT,
  TREE_BUSY,
  TREE_FREE,
  VMAP_CPU_SPARE,
  VMAP_DRAIN_PENDING,
} from '../../src/state/vmapSchema'
import { createVmap, noVmapOps, thisCpu } from '../../src/vmalloc/vmapContext'
import { loadVmapState, populateVmap } from '../../src/vmalloc/vmapLoad'
import type { VmapState } from '../../src/vmalloc/vmapState'
import { area, areasOf } from './vmapScript'

const TOP = '0xffffffffffffffff'
const at = (page: number) => `0x${(0xffffc90000000000n + BigInt(page) * 4096n).toString(16)}`
const space = (maxRecords = 32) => createVmap({ start: 1, end: 2 ** 48 - 1, maxRecords })
const state = (free: unknown, busy: unknown[] = [], unpurged: unknown[] = []): unknown => ({
  lazyPages: 0,
  spare: 0,
  free,
  busy,
  unpurged,
})
const low = ['R', '0x1', at(0), null, null]
const loop: unknown[] = ['B', '0x1', TOP, null, null]
loop[3] = loop
const chain = (from: number): unknown =>
  from === 100 ? null : ['R', at(2 * from), at(2 * from + 1), null, chain(from + 1)]

describe('a state with one fault is refused, and nothing changes', () => {
  it.each<[what: string, state: unknown, text: RegExp]>([
    ['null', null, /areas of an address space/],
    ['a text', 'state', /areas of an address space/],
    ['a red root', state(['R', '0x1', TOP, null, null]), /free.*a red root/],
    [
      'red on the left of red',
      state(
        ['B', at(3), TOP, ['R', at(1), at(2), low, null], null],
        [
          [at(0), at(1)],
          [at(2), at(3)],
        ],
      ),
      /red below red at/,
    ],
    [
      'red on the right of red',
      state(
        ['B', at(3), TOP, ['R', '0x1', at(0), null, ['R', at(1), at(2), null, null]], null],
        [
          [at(0), at(1)],
          [at(2), at(3)],
        ],
      ),
      /red below red at/,
    ],
    [
      'paths with more black nodes than others',
      state(['B', at(1), TOP, ['B', '0x1', at(0), null, null], null], [[at(0), at(1)]]),
      /paths of 1 black nodes/,
    ],
    ['a node of six parts', state(['B', '0x1', TOP, null, null, null]), /free/],
    ['a node that is no array', state({ length: 5 }), /free/],
    ['a colour', state(['G', '0x1', TOP, null, null]), /of colour G/],
    ['a loop on the left', state(loop), /higher than 64/],
    ['a tree too high on the right', state(chain(0)), /higher than 64/],
    [
      'nodes out of order',
      state(['B', '0x1', at(0), ['R', at(1), TOP, null, null], null], [[at(0), at(1)]]),
      /out of order at 0x1/,
    ],
    ['free areas that touch', state(['B', at(0), TOP, low, null]), /out of order at/],
    [
      'an empty free area',
      state(
        ['B', at(1), at(1), low, ['R', at(2), TOP, null, null]],
        [
          [at(0), at(1)],
          [at(1), at(2)],
        ],
      ),
      /area/,
    ],
    ['a free area whose bound is no text', state(['B', ['0x1'], TOP, null, null]), /free/],
    ['a busy area of three bounds', state(null, [['0x1', TOP, TOP]]), /busy/],
    ['a bound that is a list', state(null, [[['0x1'], TOP]]), /busy/],
    ['a blank before an address', state(null, [[' 0x1', TOP]]), /busy/],
    ['a blank behind an address', state(null, [['0x1 ', TOP]]), /busy/],
    ['a bound that waits and is no text', state(null, [], [[1, TOP]]), /unpurged/],
    [
      'areas that wait and touch',
      state(
        null,
        [],
        [
          ['0x1', at(0)],
          [at(0), TOP],
        ],
      ),
      /start of unpurged/,
    ],
  ])('%s', (_what, bad, text) => {
    const c = space()
    const before = c.words.slice()
    const load = () => loadVmapState(c, bad as VmapState, LAYOUT_X86_64)
    expect(load).toThrow(InvalidArgument)
    expect(load).toThrow(text)
    expect(c.words).toEqual(before)
  })

  it('a space with an area in use, be it all of it', () => {
    const split = space()
    area(split, 4096, 1, 1, 2 ** 48 - 1)
    const full = createVmap({ start: 0, end: 0x10000, maxRecords: 8 })
    area(full, 0x10000, 1, 0, 0x10000)
    for (const c of [split, full]) {
      const before = c.words.slice()
      expect(() => populateVmap(c, [])).toThrow(/space.*new/)
      expect(c.words).toEqual(before)
    }
  })

  it('bounds given as numbers, by the name of their list', () => {
    const c = space()
    expect(() => populateVmap(c, [[5, 5]])).toThrow(/end of busy/)
    expect(() => populateVmap(c, [], [[5, 5]])).toThrow(/end of unpurged/)
  })
})

describe('loading', () => {
  const whole = (spare: number) =>
    ({ ...Object(state(['B', '0x1', TOP, null, null])), spare }) as VmapState
  const place = (c: ReturnType<typeof space>) => (thisCpu(c) + VMAP_CPU_SPARE) >> 1

  it.each([
    [0, 0, 0, []],
    [0, 1, -1, []],
    [-1, 0, 0, []],
    [-1, 1, -1, []],
    [4096, 0, 0, [4096]],
    [4096, 1, 4096, []],
  ])('with the object %i to spare, of %i in the state, leaves %i', (had, spare, left, given) => {
    const c = space()
    const back: number[] = []
    c.ops = { ...noVmapOps, giveObject: (object) => back.push(object) }
    c.numbers[place(c)] = had
    loadVmapState(c, whole(spare), LAYOUT_X86_64)
    expect([c.numbers[place(c)], back]).toEqual([left, given])
  })

  it.each([
    [8192, 0],
    [8193, 1],
  ])('%i pages that wait: drain work %i', (pages, due) => {
    const c = space()
    populateVmap(c, [], [[0x1000, 0x1000 * (pages + 1)]])
    expect(c.words[VMAP_DRAIN_PENDING]).toBe(due)
  })

  it('an area whose object was not to be had has none', () => {
    const c = space()
    const objects = [64, 0, -1]
    populateVmap(c, [[1, 0x1000]], [], () => objects.shift() ?? -1)
    const found = [TREE_BUSY, TREE_FREE].map((tree) =>
      areasOf(c, tree).map((record) => c.numbers[(record + AREA_OBJECT) >> 1]),
    )
    expect(found).toEqual([[64], [-1]])
  })

  it('nothing in use leaves one free area', () => {
    const c = space()
    populateVmap(c, [])
    expect(areasOf(c, TREE_FREE)).toHaveLength(1)
  })
})
