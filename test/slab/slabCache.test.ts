/** Caches by their public calls: what a new one is refused for, warned of and told the log, events, and the end. */

import { describe, expect, it } from 'vitest'
import {
  InvalidArgument,
  KernelBug,
  OutOfMemory,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_PANIC,
  SLAB_RED_ZONE,
  type SlabCacheOptions,
  slubDebug,
} from '../../src/index'
import type { SlabLogOps } from '../../src/slab/context'
import { silentSlabLog } from '../../src/slab/silentLog'
import {
  CACHE_USEROFFSET,
  CACHE_USERSIZE,
  SLAB_DEBUG_ON,
  SLAB_NR_CACHES,
  SLAB_TAINT,
} from '../../src/state/slabSchema'
import { must } from './machines'
import { errorOf, TinyMachine, type TinyOptions } from './tinyMachine'

function setUp(options: TinyOptions = {}) {
  const told: unknown[][] = []
  const log: SlabLogOps = {
    ...silentSlabLog,
    outOfMemory: () => void told.push(['out of memory']),
    warn: (_c, place, lines) => void told.push(['warn', place, lines]),
    createFailed: (_c, name, errno, panic) => void told.push(['failed', name, errno, panic]),
    busyCache: () => ['busy'],
  }
  const machine = new TinyMachine({ log, ...options })
  return { machine, words: machine.words, told }
}

describe('the part of an object that users may see', () => {
  it.each([
    [0, 0],
    [0, 1],
    [0, 64],
    [8, 16],
    [63, 1],
    [40, 24],
  ])('at %i, of %i bytes, lies inside', (useroffset, usersize) => {
    const { machine, words, told } = setUp()
    const { record } = machine.cache({ useroffset, usersize })
    expect([words[record + CACHE_USEROFFSET], words[record + CACHE_USERSIZE]]).toEqual([
      useroffset,
      usersize,
    ])
    expect(told).toEqual([])
    expect(words[SLAB_TAINT]).toBe(0)
  })

  it.each([
    [1, 0],
    [64, 0],
    [0, 65],
    [1, 64],
    [64, 1],
    [60, 5],
    [100, 10],
  ])('at %i, of %i bytes, does not: a warning, and none is kept', (useroffset, usersize) => {
    const { machine, words, told } = setUp()
    const { record } = machine.cache({ useroffset, usersize })
    expect([words[record + CACHE_USEROFFSET], words[record + CACHE_USERSIZE]]).toEqual([0, 0])
    expect(told).toEqual([['warn', 'kmem_cache_create_usercopy', []]])
    expect(words[SLAB_TAINT]).toBe(0x200)
  })
})

describe('a cache that can not be made', () => {
  it.each([
    [0, false],
    [SLAB_PANIC, true],
  ])('for want of memory, flags %i', (flags, panic) => {
    const { machine, words, told } = setUp()
    const caches = words[SLAB_NR_CACHES]
    machine.slabs.setFaults({ failSlab: () => true } as never)
    const error = errorOf(() => machine.cache({ name: 'mine', flags }))
    expect(error).toBeInstanceOf(OutOfMemory)
    expect(told).toEqual([['failed', 'mine', -12, panic]])
    expect(words[SLAB_NR_CACHES]).toBe(caches)
    machine.slabs.setFaults(null)
    machine.cache({ name: 'mine', flags })
    expect(told).toHaveLength(1)
  })

  it.each([
    [0, false],
    [SLAB_PANIC, true],
  ])('for objects that fit into no block, flags %i', (flags, panic) => {
    const { machine, told } = setUp()
    const before = machine.image()
    const error = errorOf(() =>
      machine.cache({ name: 'mine', size: 4 << 20, align: 4 << 20, ctor: () => {}, flags }),
    )
    expect(error).toBeInstanceOf(InvalidArgument)
    expect(told).toEqual([['failed', 'mine', -22, panic]])
    expect(machine.image()).toBe(before)
  })

  const wrong: [string, Partial<SlabCacheOptions>][] = [
    ['size 0', { size: 0 }],
    ['half a byte', { size: 1.5 }],
    ['more than a block', { size: (4 << 20) + 1 }],
    ['align 3', { align: 3 }],
    ['align 24', { align: 24 }],
    ['align 6', { align: 6 }],
    ['align below 0', { align: -8 }],
    ['align above a block', { align: 8 << 20 }],
    ['a constructor that is none', { ctor: 1 as never }],
    ['a constructor that is an object', { ctor: {} as never }],
    ['a useroffset below 0', { useroffset: -1 }],
    ['a usersize of half a byte', { usersize: 0.5 }],
    ['flags below 0', { flags: -1 }],
    ['flags not permitted', { flags: 1 }],
    ['checks on a machine without', { flags: SLAB_RED_ZONE }],
    ['no name', { name: '' }],
  ]
  it.each(wrong)('%s: refused, and not a word has changed', (_name, options) => {
    const { machine, told } = setUp()
    const before = machine.image()
    expect(errorOf(() => machine.cache(options))).toBeInstanceOf(InvalidArgument)
    expect(machine.image()).toBe(before)
    expect(told).toEqual([])
  })

  it.each([0, 1, 2, 4, 8, 16, 64, 1024, 4096])('but align %i may be asked for', (align) => {
    const { machine } = setUp()
    expect(machine.cache({ align }).size % Math.max(8, align)).toBe(0)
  })
})

describe('that a machine has checks', () => {
  it('is known from the first cache that asks for them', () => {
    const { machine, words } = setUp({ debug: slubDebug({ onBug: 'throw' }) })
    const before = words[SLAB_DEBUG_ON]
    machine.cache()
    expect(words[SLAB_DEBUG_ON]).toBe(before)
    expect(before).toBe(0)
    machine.cache({ flags: SLAB_CONSISTENCY_CHECKS })
    expect(words[SLAB_DEBUG_ON]).toBe(1)
  })
})

describe('events of a cache', () => {
  it('tell the object, its bytes, the mask and the node', () => {
    const { machine } = setUp({ nodes: 2 })
    const cache = machine.cache({ size: 60, name: 'mine' })
    const told: unknown[][] = []
    machine.slabs.setTrace({
      cacheAlloc: (...all: unknown[]) => told.push(['alloc', ...all]),
      cacheFree: (...all: unknown[]) => told.push(['free', ...all]),
      kmalloc: (...all: unknown[]) => told.push(['kmalloc', ...all]),
      kfree: (...all: unknown[]) => told.push(['kfree', ...all]),
    } as never)
    const a = must(cache.alloc(0xcc0))
    const b = must(cache.zalloc(0xcc0))
    const d = must(cache.allocNode(0xcc0, 1))
    cache.free(a)
    machine.slabs.setFaults({ failSlab: () => true } as never)
    expect(cache.alloc(0xcc0)).toBeNull()
    expect(told).toEqual([
      ['alloc', a, 60, 64, 0xcc0, -1],
      ['alloc', b, 60, 64, 0xdc0, -1],
      ['alloc', d, 60, 64, 0xcc0, 1],
      ['free', a, 'mine'],
      ['alloc', 0, 60, 64, 0xcc0, -1],
    ])
  })
})

describe('a cache that has ended', () => {
  it('is known as such by each of its calls, though another has its record', () => {
    const { machine } = setUp()
    const cache = machine.cache()
    const { record } = cache
    const object = must(cache.alloc())
    cache.free(object)
    cache.destroy()
    const calls = [
      () => cache.alloc(),
      () => cache.zalloc(),
      () => cache.allocNode(0xcc0, 0),
      () => cache.free(object),
      () => cache.shrink(),
      () => cache.destroy(),
      () => cache.name,
      () => cache.record,
      () => cache.flags,
    ]
    const refuse = () => {
      for (const call of calls) {
        const before = machine.image()
        const error = errorOf(call)
        expect(error).toBeInstanceOf(KernelBug)
        expect((error as KernelBug).code).toBe('CACHE_DESTROYED')
        expect(machine.image()).toBe(before)
      }
    }
    refuse()
    const next = machine.cache()
    expect(next.record).toBe(record)
    refuse()
  })

  it('with objects left stays, for their frees alone', () => {
    const { machine, words, told } = setUp()
    const cache = machine.cache()
    const object = must(cache.alloc())
    const error = errorOf(() => cache.destroy())
    expect((error as KernelBug).code).toBe('CACHE_BUSY')
    expect((error as KernelBug).message).toContain('cache objects still has objects')
    expect(words[SLAB_TAINT]).toBe(0x200)
    expect(told).toEqual([])
    expect((errorOf(() => cache.alloc()) as KernelBug).code).toBe('CACHE_DESTROYED')
    expect((errorOf(() => cache.destroy()) as KernelBug).code).toBe('CACHE_DESTROYED')
    expect(errorOf(() => cache.free(object))).toBeNull()
  })
})
