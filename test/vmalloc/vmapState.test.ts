import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_FLAT, LAYOUT_X86_64, type Layout } from '../../src/base/layout'
import { verifyVmap } from '../../src/debug/verifyVmap'
import { VMAP_DRAIN_PENDING } from '../../src/state/vmapSchema'
import { freeAreaNow, releaseArea } from '../../src/vmalloc/vmapArea'
import { createVmap, noVmapOps, type VmapContext } from '../../src/vmalloc/vmapContext'
import { type AreaRange, loadVmapState, populateVmap } from '../../src/vmalloc/vmapLoad'
import { lazyPages, purge } from '../../src/vmalloc/vmapPurge'
import { type FreeAreaNode, type VmapState, vmapState } from '../../src/vmalloc/vmapState'
import { area, kernelSpace, S, startOf } from './vmapScript'

const TOP = '0xffffffffffffffff'
const X86 = LAYOUT_X86_64
const at = (page: number) => `0x${(0xffffc90000000000n + BigInt(page) * 4096n).toString(16)}`

const STATE: VmapState = {
  lazyPages: 3,
  spare: 1,
  free: ['B', at(4), at(6), ['R', '0x1', at(0), null, null], ['R', at(9), TOP, null, null]],
  unpurged: [[at(1), at(4)]],
  busy: [
    [at(0), at(1)],
    [at(6), at(8)],
    [at(8), at(9)],
  ],
}

function loaded(state: unknown, layout: Layout = X86): VmapContext {
  const c = kernelSpace()
  loadVmapState(c, state as VmapState, layout)
  return c
}

describe('loadVmapState and vmapState', () => {
  it('what was loaded is written again, and works', () => {
    const c = loaded(STATE)
    expect(vmapState(c, X86)).toEqual(STATE)
    expect(verifyVmap(c)).toEqual([])
    expect(startOf(c, area(c, 0x1000))).toBe(S + 4 * 4096)
    expect(purge(c, false)).toBe(true)
    expect(startOf(c, area(c, 0x3000))).toBe(S + 4096)
    expect(verifyVmap(c)).toEqual([])
  })

  it('a space that has lived is loaded as it is', () => {
    const c = kernelSpace()
    const areas = Array.from({ length: 300 }, (_, i) =>
      area(c, 4096 * (1 + (i % 5)), 2 ** (i % 20)),
    )
    for (const [i, record] of areas.entries()) {
      if (i % 3 === 0) freeAreaNow(c, record)
      else if (i % 7 === 1) releaseArea(c, record)
    }
    const state = JSON.parse(JSON.stringify(vmapState(c, X86)))
    const other = loaded(state)
    expect(vmapState(other, X86)).toEqual(state)
    expect(verifyVmap(other)).toEqual([])
  })

  it('addresses follow the layout', () => {
    const end = 2 ** 48 - 1
    const state = { lazyPages: 0, spare: 0, unpurged: [], busy: [] }
    const flat: FreeAreaNode = ['B', '0x1', '0xffffffffffff', null, null]
    expect(vmapState(createVmap({ start: 1, end }), LAYOUT_FLAT)).toEqual({ ...state, free: flat })
    expect(vmapState(loaded({ ...state, free: flat }, LAYOUT_FLAT), LAYOUT_FLAT).free).toEqual(flat)
    expect(() => loaded({ ...state, free: flat })).toThrow(/addresses of layout x86_64/)
    const i386: Layout = { ...LAYOUT_FLAT, name: 'i386', vaBits: 32, pointerBytes: 4 }
    const small = createVmap({ start: 1, end: 2 ** 32 - 1, limit: 2 ** 32 })
    expect(vmapState(small, i386).free).toEqual(['B', '0x1', '0xffffffff', null, null])
  })

  it('a space that is full has no free tree', () => {
    const busy = [['0x1', TOP]]
    const c = loaded({ lazyPages: 0, spare: 0, free: null, unpurged: [], busy })
    expect(area(c, 4096)).toBe(0)
    expect(verifyVmap(c)).toEqual([])
  })

  it('the areas tell how much waits, whatever the count beside them says', () => {
    expect(lazyPages(loaded({ ...STATE, lazyPages: 8193 }))).toBe(3)
  })

  it('drain work is due where more waits than may', () => {
    const c = loaded({
      lazyPages: 8193,
      spare: 0,
      free: ['B', '0x1', at(0), null, ['R', at(8193), TOP, null, null]],
      unpurged: [[at(0), at(8193)]],
      busy: [],
    })
    expect(c.words[VMAP_DRAIN_PENDING]).toBe(1)
  })

  it('what is no state of a space is refused, and nothing changes', () => {
    const [root, left, right] = ['B', '0x1', TOP] as const
    const node = (...parts: unknown[]) => ({ ...STATE, free: parts })
    const deep = () => {
      let tree: unknown = null
      for (let i = 0; i < 100; i++) tree = ['B', at(i), at(i + 1), tree, null]
      return tree
    }
    const loop: unknown[] = [root, left, right, null, null]
    loop[3] = loop
    let shared: unknown = [root, left, right, null, null]
    for (let i = 0; i < 60; i++) shared = [root, left, right, shared, shared]
    const [first, second] = [STATE.free?.[3], STATE.free?.[4]]
    const bad: Record<string, unknown> = {
      nothing: null,
      undefined: undefined,
      text: 'state',
      'no tree': { ...STATE, free: undefined },
      'a tree that is text': { ...STATE, free: 'B' },
      'a node too short': node('B', at(4), at(6), first),
      'a colour': node('G', at(4), at(6), first, second),
      'a red root': node('R', at(4), at(6), null, null),
      'a red child of a red node': node('B', at(4), at(6), ['R', '0x1', at(0), null, second], null),
      'black heights': node('B', at(4), at(6), ['B', '0x1', at(0), null, null], null),
      'out of order': node('B', at(4), at(6), second, first),
      'free areas that touch': node('B', at(4), at(9), first, second),
      'an area that is empty': node('B', at(4), at(4), first, second),
      'an overlap': node('B', at(3), at(6), first, second),
      'a gap': node('B', at(5), at(6), first, second),
      'an end within a page': node('B', at(4), `${at(5).slice(0, -1)}8`, first, second),
      'a number for an address': node('B', 4, at(6), first, second),
      'an address in capitals': node('B', at(4).toUpperCase(), at(6), first, second),
      'an address that is cut': node('B', '0xc90000004000', at(6), first, second),
      'a loop': { ...STATE, free: loop },
      'shared nodes': { ...STATE, free: shared },
      'too deep': { ...STATE, free: deep() },
      'no busy areas': { ...STATE, busy: undefined },
      'a busy area too many': { ...STATE, busy: [...STATE.busy, [at(20), at(21)]] },
      'a busy area too few': { ...STATE, busy: STATE.busy.slice(1) },
      'busy areas out of order': { ...STATE, busy: [...STATE.busy].reverse() },
      'an area of one bound': { ...STATE, busy: [[at(0)], ...STATE.busy.slice(1)] },
      'a null area': { ...STATE, busy: [null] },
      'areas that wait and touch': {
        ...STATE,
        unpurged: [
          [at(1), at(2)],
          [at(2), at(4)],
        ],
      },
      'a wrong count': { ...STATE, lazyPages: -1 },
      'no count': { ...STATE, lazyPages: undefined },
      'two to spare': { ...STATE, spare: 2 },
      'a part to spare': { ...STATE, spare: 0.5 },
    }
    for (const [what, state] of Object.entries(bad)) {
      const c = kernelSpace()
      const before = c.words.slice(0, 256)
      expect(() => loadVmapState(c, state as VmapState, X86), what).toThrow(InvalidArgument)
      expect(c.words.slice(0, 256), what).toEqual(before)
    }
  })

  it('only a new space is loaded, and one with room', () => {
    const c = kernelSpace()
    let live = 0
    c.ops = {
      ...noVmapOps,
      takeObject: () => 4096 + 64 * ++live,
      giveObject: () => {
        live -= 1
      },
    }
    const record = area(c, 4096)
    expect(() => loadVmapState(c, STATE, X86)).toThrow(/new/)
    freeAreaNow(c, record)
    area(c, 2 ** 47)
    // What is left is one free area again, and an object to spare: as good as new.
    expect(live).toBe(2)
    loadVmapState(c, { ...STATE, spare: 0 }, X86)
    expect(live).toBe(0)
    const small = createVmap({ start: 1, end: 2 ** 48 - 1, maxRecords: 6 })
    expect(() => loadVmapState(small, STATE, X86)).toThrow(/records/)
    const enough = createVmap({ start: 1, end: 2 ** 48 - 1, maxRecords: 7 })
    loadVmapState(enough, STATE, X86)
    expect(vmapState(enough, X86)).toEqual(STATE)
  })
})

describe('populateVmap', () => {
  const page = 4096

  it('makes the free areas from the gaps, ascending, and takes their objects', () => {
    const given: number[] = []
    let next = 100
    const c = createVmap({ start: 0, end: 20 * page, maxRecords: 20 }, noVmapOps)
    c.ops = { ...noVmapOps, giveObject: (object) => given.push(object) }
    const busy: AreaRange[] = [
      [0, page],
      [3 * page, 5 * page],
      [5 * page, 6 * page],
      [19 * page, 20 * page],
    ]
    populateVmap(c, busy, [[8 * page, 10 * page]], () => ++next)
    expect(next).toBe(100 + busy.length + 3)
    const flat = LAYOUT_FLAT
    const state = vmapState(c, flat)
    expect(state.free).toEqual([
      'B',
      '0x6000',
      '0x8000',
      ['R', '0x1000', '0x3000', null, null],
      ['R', '0xa000', '0x13000', null, null],
    ])
    expect(state.busy).toHaveLength(4)
    expect(state.unpurged).toEqual([['0x8000', '0xa000']])
    expect(lazyPages(c)).toBe(2)
    expect(verifyVmap(c)).toEqual([])
    purge(c, false)
    // The one that waited has no object; the two free ones beside it are joined to one.
    expect(given).toHaveLength(1)
    expect(verifyVmap(c)).toEqual([])
  })

  it('refuses areas that do not belong', () => {
    const bad: [AreaRange[], AreaRange[]][] = [
      [[[page, page]], []],
      [[[2 * page, page]], []],
      [
        [
          [page, 3 * page],
          [2 * page, 4 * page],
        ],
        [],
      ],
      [[[page, 3 * page]], [[2 * page, 4 * page]]],
      [[[19 * page, 21 * page]], []],
      [[[21 * page, 22 * page]], []],
      [[[page, page + 5]], []],
      [[[page + 5, 3 * page]], []],
      [[[Number.NaN, page]], []],
      [[[-page, page]], []],
      [
        [],
        [
          [0, page],
          [page, 2 * page],
        ],
      ],
    ]
    for (const [busy, unpurged] of bad) {
      const c = createVmap({ start: 0, end: 20 * page, maxRecords: 20 })
      const before = c.words.slice()
      expect(() => populateVmap(c, busy, unpurged), JSON.stringify([busy, unpurged])).toThrow(
        InvalidArgument,
      )
      expect(c.words).toEqual(before)
    }
  })
})
