/** Layout of objects and order of slabs, by the tables of spec/slab.md §4.2, §4.5, §4.6, §4.7, §5.2. */

import { describe, expect, it } from 'vitest'
import * as flags from '../../src/slab/flags'
import { kmallocClassSize, kmallocIndex } from '../../src/slab/kmallocClass'
import {
  cpuPartial,
  layOut,
  minPartial,
  type OrderPolicy,
  objectAlign,
  slabOrder,
} from '../../src/slab/objectLayout'

function policy(cpus: number): OrderPolicy {
  return { minOrder: 0, maxOrder: 3, minObjects: 0, cpus }
}

const { SLAB_RED_ZONE: Z, SLAB_POISON: P, SLAB_STORE_USER: U, SLAB_CONSISTENCY_CHECKS: F } = flags

describe('alignment', () => {
  it.each([
    [1, 8],
    [8, 8],
    [9, 16],
    [16, 16],
    [17, 32],
    [32, 32],
    [33, 64],
    [5000, 64],
  ])('to a cache line of %i bytes is %i', (size, align) => {
    expect(objectAlign(flags.SLAB_HWCACHE_ALIGN, 0, size)).toBe(align)
    expect(objectAlign(flags.SLAB_HWCACHE_ALIGN, 256, size)).toBe(256)
  })

  it('is 8 at least, and a multiple of 8', () => {
    expect([0, 1, 8, 16, 4096].map((align) => objectAlign(0, align, 100))).toEqual([
      8, 8, 8, 16, 4096,
    ])
  })
})

describe('layout', () => {
  it.each([
    ['none', 0, 64, 32, 0, 64, 64],
    ['Z', Z, 72, 32, 8, 88, 46],
    ['P', P, 64, 64, 0, 72, 56],
    ['U', U, 64, 32, 0, 128, 32],
    ['ZP', Z | P, 72, 72, 8, 96, 42],
    ['FZPU', F | Z | P | U, 72, 72, 8, 160, 25],
  ])('of 64 bytes with %s', (_letters, asked, inuse, offset, redLeftPad, size, objects) => {
    const layout = layOut(asked, 64, 8, false, false, policy(1))
    expect(layout).toMatchObject({ inuse, offset, redLeftPad, size })
    expect(Math.floor(4096 / (layout?.size ?? 0))).toBe(objects)
  })

  it.each([
    [8, 16, 8, 112, 0, 36],
    [16, 24, 16, 128, 0, 32],
    [32, 40, 32, 160, 0, 25],
    [64, 72, 64, 256, 0, 16],
    [96, 104, 8, 200, 0, 20],
    [128, 136, 128, 384, 0, 10],
    [192, 200, 8, 296, 0, 13],
    [256, 264, 256, 768, 1, 10],
    [512, 520, 512, 1536, 2, 10],
    [1024, 1032, 1024, 3072, 3, 10],
    [2048, 2056, 2048, 6144, 3, 5],
    [4096, 4104, 4096, 12288, 3, 2],
    [8192, 8200, 8192, 24576, 3, 1],
  ])('of kmalloc-%i with FZPU', (bytes, inuse, redLeftPad, size, order, objects) => {
    const align = (bytes & (bytes - 1)) === 0 ? bytes : 8
    const asked = flags.SLAB_KMALLOC | F | Z | P | U
    expect(layOut(asked, bytes, align, false, false, policy(1))).toMatchObject({
      inuse,
      offset: inuse,
      redLeftPad,
      size,
      order,
      objects,
    })
  })

  it.each([
    [8, 0],
    [16, 8],
    [24, 8],
    [32, 16],
    [40, 16],
    [64, 32],
    [96, 48],
    [100, 48],
    [192, 96],
    [256, 128],
  ])('puts the free pointer of %i bytes at %i', (size, offset) => {
    expect(layOut(0, size, 8, false, false, policy(1))?.offset).toBe(offset)
  })

  it('puts it behind the object for a constructor, RCU, poison, and small red-zoned objects', () => {
    expect(layOut(0, 100, 8, true, false, policy(1))).toMatchObject({ offset: 104, size: 112 })
    const rcu = flags.SLAB_TYPESAFE_BY_RCU
    expect(layOut(rcu, 100, 8, false, false, policy(1))).toMatchObject({ offset: 104, size: 112 })
    expect(layOut(Z, 4, 8, false, false, policy(1))).toMatchObject({ offset: 8 })
    expect(layOut(Z, 8, 8, false, false, policy(1))).toMatchObject({ offset: 0 })
  })

  it('poisons the payload unless a constructor or RCU needs it', () => {
    const poisoned = (asked: number, ctor: boolean) =>
      ((layOut(asked, 64, 8, ctor, false, policy(1))?.flags ?? 0) & flags.__OBJECT_POISON) !== 0
    expect(poisoned(P, false)).toBe(true)
    expect(poisoned(P, true)).toBe(false)
    expect(poisoned(P | flags.SLAB_TYPESAFE_BY_RCU, false)).toBe(false)
    expect(poisoned(0, false)).toBe(false)
  })

  it('gives red zones, poison and tracks up where they would cost an order, and keeps the pad', () => {
    const full = layOut(F | Z | P | U, 4096, 4096, false, false, policy(1))
    const lean = layOut(F | Z | P | U, 4096, 4096, false, true, policy(1))
    expect(full).toMatchObject({ size: 12288, pad: 4096, redLeftPad: 4096 })
    expect(lean).toMatchObject({ size: 4096, pad: 0, redLeftPad: 4096, flags: F })
    const small = layOut(F | Z | P | U, 64, 8, false, true, policy(1))
    expect(small).toMatchObject({ size: 160, flags: (F | Z | P | U | flags.__OBJECT_POISON) >>> 0 })
  })

  it('takes slabs from the zone and of the kind that the flags say', () => {
    const gfp = (asked: number, size = 64) =>
      layOut(asked, size, 8, false, false, policy(1))?.allocFlags
    expect([gfp(0), gfp(0, 2200)]).toEqual([0, 0x40000])
    expect(gfp(flags.SLAB_CACHE_DMA)).toBe(0x1)
    expect(gfp(flags.SLAB_CACHE_DMA32)).toBe(0x4)
    expect(gfp(flags.SLAB_RECLAIM_ACCOUNT)).toBe(0x10)
  })

  it('does not exist for more than the largest block', () => {
    expect(layOut(0, 4194304, 8, false, false, policy(1))).toMatchObject({ order: 10, objects: 1 })
    expect(layOut(Z, 4194304, 8, false, false, policy(1))).toBeNull()
  })
})

describe('order of slabs', () => {
  it.each([
    [24, 0, 0, 0, 0],
    [264, 0, 0, 1, 1],
    [344, 1, 1, 1, 1],
    [400, 0, 1, 1, 1],
    [520, 1, 1, 2, 2],
    [704, 1, 2, 2, 2],
    [760, 2, 2, 2, 2],
    [1000, 1, 2, 2, 3],
    [1088, 2, 2, 3, 3],
    [2200, 3, 3, 3, 3],
    [5000, 3, 3, 3, 3],
    [12000, 2, 2, 2, 2],
    [20000, 3, 3, 3, 3],
    [33000, 4, 4, 4, 4],
    [100000, 5, 5, 5, 5],
    [4194304, 10, 10, 10, 10],
    [4194312, -1, -1, -1, -1],
  ])('for slots of %i bytes, on 1, 2, 4 and 8 CPUs', (size, ...orders) => {
    expect([1, 2, 4, 8].map((cpus) => slabOrder(size, policy(cpus)))).toEqual(orders)
  })

  it('follows the boot words', () => {
    expect(slabOrder(64, { ...policy(1), minOrder: 2 })).toBe(2)
    expect(slabOrder(256, { ...policy(1), maxOrder: 0 })).toBe(0)
    expect(slabOrder(256, { ...policy(1), minObjects: 64 })).toBe(2)
    expect(slabOrder(8, { ...policy(1), minOrder: 6 })).toBe(5)
  })
})

describe('limits', () => {
  it.each([
    [8, 5],
    [4095, 5],
    [4096, 6],
    [16383, 6],
    [16384, 7],
    [65536, 8],
    [262144, 9],
    [1048576, 10],
    [4194304, 10],
  ])('of %i bytes: %i partial slabs stay', (size, slabs) => {
    expect(minPartial(size)).toBe(slabs)
  })

  it.each([
    [255, 120],
    [256, 52],
    [1023, 52],
    [1024, 24],
    [4095, 24],
    [4096, 6],
  ])('of %i bytes: a CPU holds %i objects', (size, objects) => {
    expect(cpuPartial(size, false)).toBe(objects)
    expect(cpuPartial(size, true)).toBe(0)
  })
})

describe('classes of kmalloc', () => {
  it('hold every size from 1 to 8192, and none smaller would', () => {
    const sizes = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192]
    for (let size = 1; size <= 8192; size++) {
      const smallest = sizes.find((bytes) => bytes >= size)
      expect(kmallocClassSize(kmallocIndex(size))).toBe(smallest)
    }
  })
})
