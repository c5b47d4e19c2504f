/** Managed memory and pools, where one request alone fails, where addresses begin elsewhere, and at the ends of copies. */

import { describe, expect, it } from 'vitest'
import { __GFP_HIGHMEM, GFP_KERNEL, Kmalloc, LAYOUT_X86_64, type VirtAddr } from '../../src/index'
import {
  devmGetFreePages,
  devmKfree,
  devmKmalloc,
  devmKmemdup,
  devmKrealloc,
} from '../../src/slab/devm'
import { devmGenPoolCreate, dmamPoolCreate } from '../../src/slab/devmPools'
import { Devres } from '../../src/slab/devres'
import { bytesAt, must } from './heapMachine'
import { DEVICE, managed } from './managedDevice'
import { TinyMachine } from './tinyMachine'

/** A device on a machine whose addresses are a kernel's. */
function far() {
  const machine = new TinyMachine({ perNode: 128, layout: LAYOUT_X86_64 })
  const heap = new Kmalloc(machine.slabs)
  return { machine, heap, dev: new Devres(heap, { ...DEVICE, dmaMask: 2 ** 40 }) }
}

describe('managed memory', () => {
  it('leaves RAM alone when there is none for a copy', () => {
    const { machine, dev } = managed()
    machine.ram.fill(0, 64, 0xdd)
    machine.failFrom(1)
    const before = machine.state()
    expect(devmKmemdup(dev, new Uint8Array([1, 2, 3]))).toBeNull()
    expect(machine.state()).toBe(before)
  })

  it('takes along what it holds when it moves, and no byte more', () => {
    const { machine, dev } = managed()
    // Every second object of 96 bytes is in use, with a mark.
    const others = Array.from({ length: 8 }, () => must(machine.heap.kmalloc(96)))
    for (const other of others) machine.ram.fill(other, 96, 0xdd)
    for (const [i, other] of others.entries()) if (i % 2 === 0) machine.heap.kfree(other)
    const old = must(devmKmalloc(dev, 24))
    machine.ram.fill(old, 24, 0x77)
    const moved = must(devmKrealloc(dev, old, 50))
    expect(others).toContain(moved - 40)
    expect(bytesAt(machine, moved, 24)).toEqual(new Array(24).fill(0x77))
    for (const [i, other] of others.entries()) {
      if (i % 2 === 1) expect(bytesAt(machine, other, 96)).toEqual(new Array(96).fill(0xdd))
    }
  })

  it('is nothing at address 0', () => {
    const { machine, dev } = managed()
    const before = machine.state()
    for (const nothing of [0, 8, 16]) devmKfree(dev, nothing as VirtAddr)
    devmKfree(dev, null)
    expect(machine.state()).toBe(before)
    expect(() => devmKfree(dev, 17 as VirtAddr)).toThrow('17')
  })
})

describe('managed pages', () => {
  it('may begin at frame 0, and are never high memory', () => {
    const { machine, dev } = far()
    const { pages } = machine
    // The record's slab is there already.
    devmKmalloc(dev, 8)
    pages.used[0] = 0
    const asked: number[] = []
    const { allocBlock } = pages
    pages.allocBlock = (gfp, order, node) => {
      asked.push(gfp)
      return allocBlock.call(pages, gfp, order, node)
    }
    expect(devmGetFreePages(dev, GFP_KERNEL | __GFP_HIGHMEM, 0)).toBe(LAYOUT_X86_64.directMap)
    expect(asked[0]).toBe(GFP_KERNEL)
    expect(pages.used[0]).toBe(1)
    dev.releaseAll()
    expect(pages.used[0]).toBe(0)
  })
})

describe('managed pools, when one request alone fails,', () => {
  const options = { minAllocOrder: 3 }
  it.each<[string, (dev: Devres) => unknown, number]>([
    ['a dma_pool', (dev) => dmamPoolCreate(dev, { name: 'ring', size: 64 }), 2],
    ['a genalloc pool', (dev) => devmGenPoolCreate(dev, options as never), 2],
    ['a genalloc pool with a name', (dev) => devmGenPoolCreate(dev, options as never, 'sram'), 3],
  ])('%s is none, and all else goes back', (_name, create, requests) => {
    for (let fails = 1; fails <= requests + 1; fails++) {
      const { machine, dev } = managed()
      machine.ram.fill(0, 64, 0xdd)
      let calls = 0
      machine.heap.slabs.setFaults({ failSlab: () => ++calls === fails })
      const pool = create(dev)
      expect(pool === null).toBe(fails <= requests)
      expect(bytesAt(machine, 0, 64)).toEqual(new Array(64).fill(0xdd))
      expect(machine.live.size).toBe(fails <= requests ? 0 : requests)
      expect(calls).toBe(Math.min(fails, requests))
      dev.releaseAll()
      expect(machine.live.size).toBe(0)
    }
  })

  it('have their name in memory', () => {
    const { machine, dev } = far()
    const asked: number[] = []
    machine.slabs.setTrace({
      kmalloc: (object) => void asked.push(object),
      kfree() {},
      cacheAlloc() {},
      cacheFree() {},
    })
    devmGenPoolCreate(dev, options as never, 'sram')
    const text = machine.pages.ram.bytes(asked[0]! - LAYOUT_X86_64.directMap, 5)
    expect([...text]).toEqual([...'sram\0'].map((letter) => letter.charCodeAt(0)))
  })
})
