/** One object, the long way, called directly: addresses in and outside memory, zeroing, what is refused. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_ZERO,
  GFP_KERNEL,
  InvalidArgument,
  Kmalloc,
  PAGE_SIZE,
  SLAB_POISON,
  SLAB_TYPESAFE_BY_RCU,
  slubDebug,
  type VirtAddr,
} from '../../src/index'
import { kfreeBulk } from '../../src/slab/kmallocMore'
import {
  allocObject,
  checkLive,
  frameWord,
  freeObject,
  initObject,
  slabAt,
  wipeFreed,
  zeroedOnFree,
} from '../../src/slab/objects'
import { SLAB_FRAMES, SLAB_INUSE, SLAB_MAX_PFN, SLAB_PFN } from '../../src/state/slabSchema'
import { must } from './machines'
import { errorOf, TinyMachine, type TinyOptions } from './tinyMachine'

/** A machine with a cache and an object of it, filled with 0x55. */
function setUp(options: TinyOptions = {}, more: Parameters<TinyMachine['cache']>[0] = {}) {
  const machine = new TinyMachine(options)
  const cache = machine.cache(more)
  const object = must(cache.alloc())
  const { c } = machine
  c.ram.fill(object, 64, 0x55)
  const bytes = () => [...machine.pages.ram.bytes(object, 64)]
  return { machine, c, cache, object, bytes, slab: slabAt(c, object) }
}

describe('the frame of an address', () => {
  it('is 0 below and behind memory, and for what is no integer', () => {
    const { machine, c, object, slab } = setUp()
    const end = machine.words[SLAB_MAX_PFN]! * PAGE_SIZE
    // What lies in the state beside the frames is not to be read.
    machine.words[SLAB_FRAMES - 1] = 77
    machine.words[SLAB_FRAMES + end / PAGE_SIZE] = 77
    for (const at of [-1, -PAGE_SIZE, end, end + 1, Number.NaN, 1e300, -1e300, Infinity])
      expect(frameWord(c, at)).toBe(0)
    expect(frameWord(c, object)).toBe(slab)
    expect(frameWord(c, object + 0.5)).toBe(slab)
    machine.words[SLAB_FRAMES] = 5
    expect([0, PAGE_SIZE - 1].map((at) => frameWord(c, at))).toEqual([5, 5])
    machine.words[SLAB_FRAMES + end / PAGE_SIZE - 1] = -3
    expect(frameWord(c, end - 1)).toBe(-3)
    expect(slabAt(c, end - 1)).toBe(0)
    for (const at of ['1', null, undefined, 1n])
      expect(errorOf(() => frameWord(c, at as never))).toBeInstanceOf(InvalidArgument)
  })
})

describe('what is freed', () => {
  it('must be an object in use: else the address is told, and nothing changes', () => {
    const { machine, c, cache, object, slab } = setUp()
    const inside = machine.unchanged(() => errorOf(() => freeObject(c, slab, object + 8)))
    expect(inside?.code).toBe('NOT_AN_OBJECT')
    expect(inside?.message).toContain(`0x${(object + 8).toString(16)}`)
    const off = machine.unchanged(() => errorOf(() => checkLive(c, slab, object + 0.5)))
    expect(off?.code).toBe('NOT_AN_OBJECT')
    freeObject(c, slab, object)
    const twice = machine.unchanged(() => errorOf(() => checkLive(c, slab, object)))
    expect(twice?.code).toBe('DOUBLE_FREE')
    expect(twice?.message).toContain(`0x${object.toString(16)}`)
    expect(cache.alloc()).toBe(object)
  })

  it('of a frozen slab stays where it is, of a full one goes to the CPU', () => {
    const { machine, cache, object, c, slab } = setUp()
    const objects = [object, ...Array.from({ length: 64 }, () => must(cache.alloc()))]
    expect(slabAt(c, objects[64]!)).not.toBe(slab)
    for (const [i, each] of objects.slice(0, 64).entries()) {
      freeObject(c, slab, each)
      expect(machine.words[slab + SLAB_INUSE]).toBe(63 - i)
    }
    // Frozen on the CPU's list: its page is kept though it is empty.
    expect(machine.pages.used[machine.words[slab + SLAB_PFN]!]).toBe(1)
    expect(slabAt(c, object)).toBe(slab)
  })

  it('in bulk is all in use, each once, or nothing of it is freed', () => {
    const machine = new TinyMachine({ perNode: 128 })
    const heap = new Kmalloc(machine.slabs)
    const some = [1, 2, 3].map(() => must(heap.kmalloc(64)))
    const large = must(heap.kmalloc(9000))
    for (const [bad, code] of [
      [some[0]!, 'DOUBLE_FREE'],
      [16, 'NOT_ALLOCATED'],
      [null, null],
      [large + 8, 'NOT_ALLOCATED'],
      [some[1]! + 8, 'NOT_AN_OBJECT'],
    ] as const) {
      // Frees begin at the end: a wrong one at the start is met last.
      const list = [bad as VirtAddr, ...some, large]
      const error = machine.unchanged(() => errorOf(() => kfreeBulk(heap, list)))
      if (code === null) expect(error).toBeInstanceOf(InvalidArgument)
      else expect(error?.code).toBe(code)
    }
    kfreeBulk(heap, [some[0]!, large, some[1]!, some[2]!])
    for (const p of [...some, large]) expect(errorOf(() => heap.ksize(p))).not.toBeNull()
  })
})

describe('the bytes of an object', () => {
  const zero = Array(64).fill(0)
  const old = Array(64).fill(0x55)

  it.each([
    ['as they were', {}, {}, 0, old],
    ['zero, when asked for', {}, {}, __GFP_ZERO, zero],
    ['zero on a machine that zeroes', { initOnAlloc: true }, {}, 0, zero],
    ['kept for RCU there', { initOnAlloc: true }, { flags: SLAB_TYPESAFE_BY_RCU }, 0, old],
    [
      'zero for RCU when asked for',
      { initOnAlloc: true },
      { flags: SLAB_TYPESAFE_BY_RCU },
      __GFP_ZERO,
      zero,
    ],
    ['kept for a constructor', { initOnAlloc: true }, { ctor: () => {} }, 0, old],
    ['kept for a constructor, asked', { initOnAlloc: true }, { ctor: () => {} }, __GFP_ZERO, old],
  ])('are %s', (_name, options, more, gfp, expected) => {
    const { c, cache, object, bytes } = setUp(options, more)
    initObject(c, cache.record, object, GFP_KERNEL | gfp)
    expect(bytes()).toEqual(expected)
  })

  it.each([
    [false, {}, false],
    [true, {}, true],
    [true, { ctor: () => {} }, false],
    [true, { flags: SLAB_TYPESAFE_BY_RCU }, false],
    [true, { flags: SLAB_POISON }, false],
  ])('are wiped at a free: machine %s, cache %o', (initOnFree, more, wiped) => {
    const debug = slubDebug({ onBug: 'throw' })
    const { machine, c, cache, bytes, object } = setUp({ initOnFree, debug }, more)
    expect(zeroedOnFree(c, cache.record)).toBe(wiped)
    const slab = slabAt(c, object)
    wipeFreed(c, cache.record, slab, object - machine.words[slab + SLAB_PFN]! * PAGE_SIZE)
    expect(bytes().every((byte) => byte === 0)).toBe(wiped)
  })
})

describe('a request', () => {
  it('that is made to fail gives 0, and changes nothing', () => {
    const { machine, c, cache } = setUp()
    machine.slabs.setFaults({ failSlab: () => true } as never)
    expect(machine.unchanged(() => allocObject(c, cache.record, GFP_KERNEL, -1, 0))).toBe(0)
  })

  it('for node 0 is answered there, and for none by the CPU', () => {
    const { c, cache, object, machine } = setUp({ nodes: 2 })
    const nodeOf = (at: number) => Math.floor(at / (64 * PAGE_SIZE))
    expect(nodeOf(object)).toBe(0)
    expect(nodeOf(allocObject(c, cache.record, GFP_KERNEL, 1, 0))).toBe(1)
    expect(nodeOf(allocObject(c, cache.record, GFP_KERNEL, 0, 0))).toBe(0)
    machine.pages.running.cpu = 1
    expect(nodeOf(allocObject(c, cache.record, GFP_KERNEL, -1, 0))).toBe(1)
    expect(nodeOf(allocObject(c, cache.record, GFP_KERNEL, 0, 0))).toBe(0)
  })
})
