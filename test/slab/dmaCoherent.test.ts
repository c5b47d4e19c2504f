/** Coherent memory: which devices there can be, and which zones are asked for them. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_HIGHMEM,
  __GFP_ZERO,
  GFP_DMA,
  GFP_DMA32,
  GFP_KERNEL,
  InvalidArgument,
  LAYOUT_X86_64,
} from '../../src/index'
import { allocCoherent, checkDevice, type Device, dmaBitMask } from '../../src/slab/dmaCoherent'
import { TinyMachine } from './tinyMachine'

const DEVICE: Device = { name: 'nic0', node: -1, dmaMask: dmaBitMask(64) }

describe('dmaBitMask', () => {
  it('has so many bits', () => {
    expect([1, 24, 32, 53].map(dmaBitMask)).toEqual([1, 0xffffff, 0xffffffff, 2 ** 53 - 1])
  })
})

describe('checkDevice', () => {
  it('refuses nodes that are not there or not online, and masks below 0', () => {
    const { c, pages } = new TinyMachine({ nodes: 3 })
    pages.isOnline = () => true
    for (const node of [-1, 0, 1, 2]) checkDevice(c, { ...DEVICE, node })
    pages.isOnline = ((id: number) => id === 1) as never
    for (const node of [-1, 1]) checkDevice(c, { ...DEVICE, node })
    for (const node of [-2, 0, 2, 3, 4, 0.5]) {
      expect(() => checkDevice(c, { ...DEVICE, node })).toThrow(InvalidArgument)
    }
    checkDevice(c, { ...DEVICE, dmaMask: 0 })
    for (const dmaMask of [-1, Number.NaN]) {
      expect(() => checkDevice(c, { ...DEVICE, dmaMask })).toThrow(InvalidArgument)
    }
  })
})

describe('allocCoherent', () => {
  it.each([
    [0xffffff, [GFP_DMA]],
    [0x1000000, [GFP_DMA32]],
    [0xffffffff, [GFP_DMA32]],
    [0x100000000, [0]],
    [0xfff, [GFP_DMA]],
  ])('asks for a zone that a device with the mask 0x%x can reach', (dmaMask, zones) => {
    const { c, pages } = new TinyMachine()
    const asked: number[] = []
    const { allocBlock } = pages
    pages.allocBlock = (gfp, order, node) => {
      asked.push(gfp)
      return allocBlock.call(pages, gfp, order, node)
    }
    const noise = __GFP_HIGHMEM | __GFP_ZERO | GFP_DMA | GFP_DMA32
    const pfn = allocCoherent(c, { ...DEVICE, dmaMask }, 100, GFP_KERNEL | noise)
    expect(asked).toEqual(zones.map((zone) => GFP_KERNEL | zone))
    expect(pfn > 0).toBe(dmaMask > 0xfff)
    // What lies beyond its reach went back.
    const before = pages.count
    if (pfn < 0) expect(new TinyMachine().pages.count).toBe(before)
  })

  it('goes on to lower zones as long as what it gets lies too high', () => {
    const { c, pages } = new TinyMachine()
    const asked: number[] = []
    pages.allocBlock = (gfp) => {
      asked.push(gfp)
      return 50
    }
    const freed: number[] = []
    pages.freeBlock = (pfn) => void freed.push(pfn)
    // Beyond all memory here, so that it begins with any zone; then as if it reached nothing.
    const device = { ...DEVICE, dmaMask: 2 ** 40 }
    expect(allocCoherent(c, device, 4096, GFP_KERNEL)).toBe(50)
    let reads = 0
    const shrinking = { ...DEVICE, node: -1 }
    Object.defineProperty(shrinking, 'dmaMask', {
      get: () => (reads++ === 0 ? 2 ** 40 : 50 * 4096 - 1),
    })
    expect(allocCoherent(c, shrinking, 4096, GFP_KERNEL)).toBe(-1)
    const zones = [0, 0, GFP_DMA32, GFP_DMA]
    expect(asked).toEqual(zones.map((zone) => GFP_KERNEL | zone))
    expect(freed).toEqual([50, 50, 50])
  })

  it('may have the frame at 0 where that is no address 0, up to the last byte of its reach', () => {
    const { c, pages } = new TinyMachine({ layout: LAYOUT_X86_64 })
    pages.used[0] = 0
    c.ram.fill(0, 8192, 7)
    expect(allocCoherent(c, { ...DEVICE, dmaMask: 4095 }, 1, GFP_KERNEL)).toBe(0)
    const bytes = c.ram.bytes(0, 8192)
    expect([bytes[0], bytes[4095], bytes[4096]]).toEqual([0, 0, 7])
  })
})
