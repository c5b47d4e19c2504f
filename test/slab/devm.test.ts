/** Managed memory, pages, actions and pools: what is asked of the heap, and in which order. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_ZERO,
  GFP_ATOMIC,
  GFP_KERNEL,
  InvalidArgument,
  KernelBug,
  PAGE_SIZE,
  type VirtAddr,
} from '../../src/index'
import {
  devmAddAction,
  devmAddActionOrReset,
  devmFreePages,
  devmGetFreePages,
  devmKcalloc,
  devmKfree,
  devmKmalloc,
  devmKmallocArray,
  devmKmemdup,
  devmKrealloc,
  devmKstrdup,
  devmKzalloc,
  devmReleaseAction,
  devmRemoveAction,
} from '../../src/slab/devm'
import {
  devmGenPool,
  devmGenPoolCreate,
  dmamPoolCreate,
  dmamPoolDestroy,
} from '../../src/slab/devmPools'
import { ZERO_SIZE_PTR } from '../../src/slab/kmalloc'
import { bytesAt, freePages, must } from './heapMachine'
import { DEVICE, managed, object, ZEROED } from './managedDevice'

describe('managed memory', () => {
  it('lies 40 bytes into its object, behind a header of zeros', () => {
    const { machine, dev } = managed()
    machine.ram.fill(4 << 20, 4 << 20, 0xee)
    const used = must(machine.heap.kmalloc(128))
    machine.ram.fill(used, 128, 0xdd)
    machine.heap.kfree(used)
    machine.calls()
    const data = must(devmKmalloc(dev, 60))
    expect(machine.calls()).toEqual([`alloc 100 cc0 -> ${object(data)}`])
    expect(data).toBe(used + 40)
    expect(bytesAt(machine, used, 40)).toEqual(new Array(40).fill(0))
    // Bytes 64 to 71 of the object held its free pointer.
    expect(bytesAt(machine, data, 24)).toEqual(new Array(24).fill(0xdd))
    expect(bytesAt(machine, data + 32, 56)).toEqual(new Array(56).fill(0xdd))
    devmKfree(dev, data)
    expect(machine.calls()).toEqual([`free ${object(data)}`])
  })

  it('is near the device, and zero when asked for', () => {
    const { machine, dev } = managed({ ...DEVICE, node: 0 })
    const used = must(machine.heap.kmalloc(128))
    machine.ram.fill(used, 128, 0xdd)
    machine.heap.kfree(used)
    machine.calls()
    const data = must(devmKzalloc(dev, 88, GFP_ATOMIC))
    const gfp = (GFP_ATOMIC | __GFP_ZERO).toString(16)
    expect(machine.calls()).toEqual([`alloc 128 ${gfp} node 0 -> ${object(data)}`])
    expect(data).toBe(used + 40)
    expect(bytesAt(machine, used, 128)).toEqual(new Array(128).fill(0))
  })

  it('of 0 bytes is nothing at all', () => {
    const { machine, dev } = managed()
    expect(devmKmalloc(dev, 0)).toBe(ZERO_SIZE_PTR)
    expect(devmKmallocArray(dev, 0, 8)).toBe(ZERO_SIZE_PTR)
    expect(devmKmemdup(dev, new Uint8Array(0))).toBe(ZERO_SIZE_PTR)
    devmKfree(dev, ZERO_SIZE_PTR)
    devmKfree(dev, null)
    expect(() => devmKfree(dev, 8.5 as VirtAddr)).toThrow(KernelBug)
    expect(machine.calls()).toEqual([])
    expect(dev.releaseAll()).toBe(0)
  })

  it('is counted in arrays, and null when the product is too large', () => {
    const { machine, dev } = managed()
    const array = must(devmKmallocArray(dev, 5, 12))
    const zero = must(devmKcalloc(dev, 3, 20))
    expect(machine.calls()).toEqual([
      `alloc 100 cc0 -> ${object(array)}`,
      `alloc 100 ${ZEROED} -> ${object(zero)}`,
    ])
    for (const [n, size] of [
      [2 ** 33, 2 ** 33],
      [2 ** 27, 2 ** 27],
      [2 ** 20, 2 ** 23],
    ] as const) {
      expect(devmKmallocArray(dev, n, size)).toBeNull()
      expect(devmKcalloc(dev, n, size)).toBeNull()
    }
    expect(devmKmalloc(dev, Number.MAX_SAFE_INTEGER)).toBeNull()
    expect(dev.releaseAll()).toBe(2)
  })

  it('holds copies', () => {
    const { machine, dev } = managed()
    const copy = must(devmKmemdup(dev, Uint8Array.of(1, 2, 3)))
    const text = must(devmKstrdup(dev, 'eth0é', GFP_ATOMIC))
    expect(machine.calls()).toEqual([
      `alloc 43 cc0 -> ${object(copy)}`,
      `alloc 47 a20 -> ${object(text)}`,
    ])
    expect(bytesAt(machine, copy, 3)).toEqual([1, 2, 3])
    expect(bytesAt(machine, text, 7)).toEqual([101, 116, 104, 48, 0xc3, 0xa9, 0])
    expect(devmKstrdup(dev, null)).toBeNull()
  })

  it('grows in place as far as its object goes, and keeps its turn when it moves', () => {
    const { machine, dev } = managed()
    const order: string[] = []
    const say = (what: string) => void order.push(what)
    devmAddAction(dev, say, 'oldest')
    const data = must(devmKmalloc(dev, 8))
    devmAddAction(dev, say, 'newest')
    machine.ram.fill(data, 24, 5)
    machine.calls()
    // 40 + 24 is the size of the object.
    expect(devmKrealloc(dev, data, 24)).toBe(data)
    expect(devmKrealloc(dev, data, 3)).toBe(data)
    expect(machine.calls()).toEqual([])
    const moved = must(devmKrealloc(dev, data, 25))
    expect(machine.calls()).toEqual([`alloc 65 cc0 -> ${object(moved)}`, `free ${object(data)}`])
    expect(bytesAt(machine, moved, 24)).toEqual(new Array(24).fill(5))
    expect(bytesAt(machine, moved - 40, 40)).toEqual(new Array(40).fill(0))
    dev.releaseAll()
    expect(order).toEqual(['newest', 'oldest'])
    const frees = machine.calls()
    expect(frees.length).toBe(3)
    expect(frees[1]).toBe(`free ${object(moved)}`)
  })

  it('is allocated or freed by a reallocation of nothing, or to nothing', () => {
    const { machine, dev } = managed()
    const data = must(devmKrealloc(dev, null, 20))
    const other = must(devmKrealloc(dev, ZERO_SIZE_PTR, 20))
    expect(devmKrealloc(dev, data, 0)).toBe(ZERO_SIZE_PTR)
    expect(devmKrealloc(dev, null, 0)).toBe(ZERO_SIZE_PTR)
    expect(machine.calls()).toEqual([
      `alloc 60 cc0 -> ${object(data)}`,
      `alloc 60 cc0 -> ${object(other)}`,
      `free ${object(data)}`,
    ])
    expect(dev.releaseAll()).toBe(1)
  })

  it('stays as it was when there is none for a larger one', () => {
    const { machine, dev } = managed()
    const data = must(devmKmalloc(dev, 8))
    machine.failFrom(1)
    expect(devmKrealloc(dev, data, 100)).toBeNull()
    expect(devmKmalloc(dev, 8)).toBeNull()
    expect(devmKstrdup(dev, 'x')).toBeNull()
    machine.failFrom(null)
    devmKfree(dev, data)
    expect(machine.live.size).toBe(0)
  })
})

describe('managed pages', () => {
  it('come first, then their record; and go first', () => {
    const { machine, dev } = managed()
    must(devmKmalloc(dev, 8))
    const before = freePages(machine)
    machine.calls()
    const address = must(devmGetFreePages(dev, (GFP_ATOMIC | __GFP_ZERO) >>> 0, 2))
    expect(address % PAGE_SIZE).toBe(0)
    const [call, ...rest] = machine.calls()
    expect(call).toMatch(`alloc 56 ${ZEROED} -> `)
    expect(rest).toEqual([])
    expect(freePages(machine)).toBe(before - 4)
    devmFreePages(dev, address)
    expect(machine.calls()).toEqual([`free ${call?.split('-> ')[1]}`])
    expect(freePages(machine)).toBe(before)
    must(devmGetFreePages(dev, GFP_KERNEL, 0))
    expect(dev.releaseAll()).toBe(2)
    expect(freePages(machine)).toBe(before)
  })

  it('are given back when there is no memory for the record', () => {
    const { machine, dev } = managed()
    const before = freePages(machine)
    machine.failFrom(1)
    expect(devmGetFreePages(dev, GFP_KERNEL, 3)).toBeNull()
    machine.failFrom(null)
    expect(freePages(machine)).toBe(before)
    expect(devmGetFreePages(dev, GFP_KERNEL, 11)).toBeNull()
    expect(dev.releaseAll()).toBe(0)
  })
})

describe('actions', () => {
  it('are called on release, or by hand, or never; the newest of equal ones first', () => {
    const { machine, dev } = managed()
    const seen: number[] = []
    const see = (n: number) => void seen.push(n)
    for (const n of [1, 2, 3, 2]) expect(devmAddAction(dev, see, n)).toBe(true)
    const made = machine.calls()
    expect(made.every((call) => call.startsWith(`alloc 56 ${ZEROED} -> `))).toBe(true)
    devmReleaseAction(dev, see, 2)
    expect(seen).toEqual([2])
    expect(machine.calls()).toEqual([`free ${made[3]?.split('-> ')[1]}`])
    devmRemoveAction(dev, see, 3)
    expect(machine.calls()).toEqual([`free ${made[2]?.split('-> ')[1]}`])
    expect(seen).toEqual([2])
    expect(dev.releaseAll()).toBe(2)
    expect(seen).toEqual([2, 2, 1])
  })

  it('are called at once when they cannot be remembered, if that is wished', () => {
    const { machine, dev } = managed()
    const seen: string[] = []
    const see = (text: string) => void seen.push(text)
    machine.failFrom(1)
    expect(devmAddAction(dev, see, 'a')).toBe(false)
    expect(devmAddActionOrReset(dev, see, 'b')).toBe(false)
    machine.failFrom(null)
    expect(devmAddActionOrReset(dev, see, 'c')).toBe(true)
    expect(seen).toEqual(['b'])
  })

  it('that throw do not keep the others from being called', () => {
    const { machine, dev } = managed()
    const seen: number[] = []
    const act = (n: number) => {
      seen.push(n)
      if (n < 3) throw new Error(`action ${n}`)
    }
    for (const n of [1, 2, 3]) devmAddAction(dev, act, n)
    expect(() => dev.releaseAll()).toThrow('action 2')
    expect(seen).toEqual([3, 2, 1])
    expect(machine.live.size).toBe(0)
  })
})

describe('managed pools', () => {
  it('have a record of 8 bytes before a dma_pool, which is destroyed in its turn', () => {
    const { machine, dev } = managed()
    const pool = must(dmamPoolCreate(dev, { name: 'ring', size: 64 }))
    const made = machine.calls()
    expect(made.map((call) => call.split(' -> ')[0])).toEqual([
      `alloc 48 ${ZEROED}`,
      'alloc 104 cc0',
    ])
    const [record, structure] = made.map((call) => call.split(' -> ')[1])
    expect(dev.releaseAll()).toBe(1)
    expect(machine.calls()).toEqual([`free ${structure}`, `free ${record}`])
    expect(() => pool.alloc()).toThrow(KernelBug)
    const other = must(dmamPoolCreate(dev, { name: 'ring', size: 64 }))
    expect(dmamPoolDestroy(dev, pool)).toBe(false)
    expect(dmamPoolDestroy(dev, other)).toBe(true)
    expect(dmamPoolDestroy(dev, other)).toBe(false)
    expect(dmamPoolCreate(dev, { name: 'ring', size: 0 })).toBeNull()
    expect(() => dmamPoolCreate(dev, { name: 'ring', size: -1 })).toThrow(InvalidArgument)
    expect(machine.live.size).toBe(0)
    expect(dev.releaseAll()).toBe(0)
  })

  it('have a name, a record and a pool for genalloc', () => {
    const { machine, dev } = managed()
    const pool = must(devmGenPoolCreate(dev, { minAllocOrder: 4 }, 'sram'))
    const made = machine.calls()
    expect(made.map((call) => call.split(' -> ')[0])).toEqual([
      'alloc 5 cc0',
      `alloc 48 ${ZEROED}`,
      'alloc 56 cc0',
    ])
    const [name] = made.map((call) => Number.parseInt(call.split(' -> ')[1] ?? '', 16))
    expect(bytesAt(machine, name ?? 0, 5)).toEqual([115, 114, 97, 109, 0])
    const nameless = must(devmGenPoolCreate(dev, { minAllocOrder: 5 }))
    expect([devmGenPool(dev, 'sram'), devmGenPool(dev)]).toEqual([pool, nameless])
    expect(devmGenPool(dev, 'dram')).toBeNull()
    expect(() => devmGenPoolCreate(dev, { minAllocOrder: 4 }, 'sram')).toThrow(InvalidArgument)
    expect(() => devmGenPoolCreate(dev, { minAllocOrder: 4 })).toThrow(InvalidArgument)
    expect(dev.releaseAll()).toBe(2)
    expect(machine.live.size).toBe(0)
    expect(() => pool.alloc(8)).toThrow(KernelBug)
  })

  it('lose nothing, whichever allocation fails', () => {
    const { machine, dev } = managed()
    for (let n = 1; n <= 3; n++) {
      machine.failFrom(n)
      if (n < 3) expect(dmamPoolCreate(dev, { name: 'ring', size: 64 })).toBeNull()
      machine.failFrom(n)
      expect(devmGenPoolCreate(dev, { minAllocOrder: 4 }, 'sram')).toBeNull()
      machine.failFrom(null)
      expect(machine.live.size).toBe(0)
      expect(dev.releaseAll()).toBe(0)
    }
    expect(() => devmGenPoolCreate(dev, { minAllocOrder: 99 }, 'sram')).toThrow(InvalidArgument)
    expect(machine.live.size).toBe(0)
  })
})
