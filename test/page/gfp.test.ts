import { describe, expect, it } from 'vitest'
import * as gfp from '../../src/page/gfp'

const BITS: Record<string, number> = {
  __GFP_DMA: 0x1,
  __GFP_HIGHMEM: 0x2,
  __GFP_DMA32: 0x4,
  __GFP_MOVABLE: 0x8,
  __GFP_RECLAIMABLE: 0x10,
  __GFP_HIGH: 0x20,
  __GFP_IO: 0x40,
  __GFP_FS: 0x80,
  __GFP_ZERO: 0x100,
  __GFP_ATOMIC: 0x200,
  __GFP_DIRECT_RECLAIM: 0x400,
  __GFP_KSWAPD_RECLAIM: 0x800,
  __GFP_WRITE: 0x1000,
  __GFP_NOWARN: 0x2000,
  __GFP_RETRY_MAYFAIL: 0x4000,
  __GFP_NOFAIL: 0x8000,
  __GFP_NORETRY: 0x10000,
  __GFP_MEMALLOC: 0x20000,
  __GFP_COMP: 0x40000,
  __GFP_NOMEMALLOC: 0x80000,
  __GFP_HARDWALL: 0x100000,
  __GFP_THISNODE: 0x200000,
  __GFP_ACCOUNT: 0x400000,
  __GFP_ZEROTAGS: 0x800000,
  __GFP_SKIP_ZERO: 0,
  __GFP_SKIP_KASAN_UNPOISON: 0,
  __GFP_SKIP_KASAN_POISON: 0,
  __GFP_NOLOCKDEP: 0,
}

const COMPOSITES: [name: string, parts: string[], without: string[]][] = [
  ['__GFP_RECLAIM', ['__GFP_DIRECT_RECLAIM', '__GFP_KSWAPD_RECLAIM'], []],
  ['GFP_ATOMIC', ['__GFP_HIGH', '__GFP_ATOMIC', '__GFP_KSWAPD_RECLAIM'], []],
  ['GFP_KERNEL', ['__GFP_RECLAIM', '__GFP_IO', '__GFP_FS'], []],
  ['GFP_KERNEL_ACCOUNT', ['GFP_KERNEL', '__GFP_ACCOUNT'], []],
  ['GFP_NOWAIT', ['__GFP_KSWAPD_RECLAIM'], []],
  ['GFP_NOIO', ['__GFP_RECLAIM'], []],
  ['GFP_NOFS', ['__GFP_RECLAIM', '__GFP_IO'], []],
  ['GFP_USER', ['GFP_KERNEL', '__GFP_HARDWALL'], []],
  ['GFP_DMA', ['__GFP_DMA'], []],
  ['GFP_DMA32', ['__GFP_DMA32'], []],
  ['GFP_HIGHUSER', ['GFP_USER', '__GFP_HIGHMEM'], []],
  ['GFP_HIGHUSER_MOVABLE', ['GFP_HIGHUSER', '__GFP_MOVABLE'], []],
  [
    'GFP_TRANSHUGE_LIGHT',
    ['GFP_HIGHUSER_MOVABLE', '__GFP_COMP', '__GFP_NOMEMALLOC', '__GFP_NOWARN'],
    ['__GFP_RECLAIM'],
  ],
  ['GFP_TRANSHUGE', ['GFP_TRANSHUGE_LIGHT', '__GFP_DIRECT_RECLAIM'], []],
  [
    'GFP_RECLAIM_MASK',
    [
      '__GFP_RECLAIM',
      '__GFP_HIGH',
      '__GFP_IO',
      '__GFP_FS',
      '__GFP_NOWARN',
      '__GFP_RETRY_MAYFAIL',
      '__GFP_NOFAIL',
      '__GFP_NORETRY',
      '__GFP_MEMALLOC',
      '__GFP_NOMEMALLOC',
      '__GFP_ATOMIC',
    ],
    [],
  ],
  ['GFP_CONSTRAINT_MASK', ['__GFP_HARDWALL', '__GFP_THISNODE'], []],
  ['GFP_BOOT_MASK', ['__GFP_BITS_MASK'], ['__GFP_RECLAIM', '__GFP_IO', '__GFP_FS']],
  ['GFP_MOVABLE_MASK', ['__GFP_MOVABLE', '__GFP_RECLAIMABLE'], []],
  ['GFP_ZONE_MASK', ['__GFP_DMA', '__GFP_HIGHMEM', '__GFP_DMA32', '__GFP_MOVABLE'], []],
]

const HEX: Record<string, number> = {
  __GFP_RECLAIM: 0xc00,
  GFP_ATOMIC: 0xa20,
  GFP_KERNEL: 0xcc0,
  GFP_KERNEL_ACCOUNT: 0x400cc0,
  GFP_NOWAIT: 0x800,
  GFP_NOIO: 0xc00,
  GFP_NOFS: 0xc40,
  GFP_USER: 0x100cc0,
  GFP_HIGHUSER: 0x100cc2,
  GFP_HIGHUSER_MOVABLE: 0x100cca,
  GFP_TRANSHUGE_LIGHT: 0x1c20ca,
  GFP_TRANSHUGE: 0x1c24ca,
  __GFP_BITS_SHIFT: 27,
  __GFP_BITS_MASK: 0x7ffffff,
  GFP_BOOT_MASK: 0x7fff33f,
  GFP_RECLAIM_MASK: 0xbeee0,
  GFP_CONSTRAINT_MASK: 0x300000,
  GFP_SLAB_BUG_MASK: 0xf8000006,
}

const values = new Map<string, unknown>(Object.entries(gfp))

function value(name: string): number {
  const found = values.get(name)
  if (typeof found !== 'number') throw new Error(`no constant ${name}`)
  return found
}

describe('GFP constants', () => {
  it.each(Object.entries(BITS))('%s', (name, bit) => {
    expect(value(name)).toBe(bit)
  })

  it.each(COMPOSITES)('%s is the union of its parts', (name, parts, without) => {
    let mask = 0
    for (const part of parts) mask |= value(part)
    for (const part of without) mask &= ~value(part)
    expect(value(name)).toBe(mask)
  })

  it.each(Object.entries(HEX))('%s has the value of the kernel', (name, mask) => {
    expect(value(name)).toBe(mask)
  })

  it('the slab mask finds DMA32, HIGHMEM and every bit from 27 up, and nothing else', () => {
    for (let bit = 0; bit < 32; bit++) {
      const bad = bit >= 27 || bit === 1 || bit === 2
      expect(((1 << bit) & gfp.GFP_SLAB_BUG_MASK) !== 0).toBe(bad)
    }
  })
})

describe('gfpZone', () => {
  const zones = [2, 0, 2, 0, 1, 0, 0, 0, 2, 0, 3, 0, 1, 0, 0, 0]
  const zonesHighmem = [1, 0, 2, 0, 1, 0, 0, 0, 1, 0, 3, 0, 1, 0, 0, 0]

  it.each(zones.map((zone, selector) => [selector, zone]))('selector %i: zone %i', (low, zone) => {
    expect(gfp.gfpZone(low)).toBe(zone)
    expect(gfp.gfpZone(low | 0x7fffff0)).toBe(zone)
  })

  it.each(zonesHighmem.map((zone, selector) => [selector, zone]))(
    'with highmem, selector %i: zone %i',
    (low, zone) => {
      expect(gfp.gfpZoneHighmem(low)).toBe(zone)
      expect(gfp.gfpZoneHighmem(low | 0x7fffff0)).toBe(zone)
    },
  )
})

describe('gfpMigratetype', () => {
  it.each([
    [0, 0],
    [gfp.__GFP_MOVABLE, 1],
    [gfp.__GFP_RECLAIMABLE, 2],
    [gfp.__GFP_MOVABLE | gfp.__GFP_RECLAIMABLE, 3],
  ])('0x%x: %i', (mask, type) => {
    expect(gfp.gfpMigratetype(mask)).toBe(type)
    expect(gfp.gfpMigratetype(mask | (0x7ffffff & ~0x18))).toBe(type)
  })
})
