import { describe, expect, it } from 'vitest'
import * as alloc from '../../src/page/allocFlags'
import * as gfp from '../../src/page/gfp'
import { gfpToAllocFlags } from '../../src/page/gfpAllocFlags'
import { MIGRATE_UNMOVABLE } from '../../src/page/migratetype'

describe('ALLOC constants', () => {
  it('have the values of the kernel', () => {
    const constants = { ...alloc }
    expect(constants).toEqual({
      ALLOC_WMARK_MIN: 0,
      ALLOC_WMARK_LOW: 1,
      ALLOC_WMARK_HIGH: 2,
      ALLOC_WMARK_MASK: 3,
      ALLOC_NO_WATERMARKS: 0x4,
      ALLOC_OOM: 0x8,
      ALLOC_NON_BLOCK: 0x10,
      ALLOC_MIN_RESERVE: 0x20,
      ALLOC_CPUSET: 0x40,
      ALLOC_CMA: 0x80,
      ALLOC_NOFRAGMENT: 0x100,
      ALLOC_HIGHATOMIC: 0x200,
      ALLOC_KSWAPD: 0x800,
      ALLOC_RESERVES: 0x10 | 0x20 | 0x200 | 0x8,
    })
  })

  it('share two bits with GFP flags', () => {
    expect(alloc.ALLOC_MIN_RESERVE).toBe(gfp.__GFP_HIGH)
    expect(alloc.ALLOC_KSWAPD).toBe(gfp.__GFP_KSWAPD_RECLAIM)
  })
})

describe('gfpToAllocFlags', () => {
  it.each([
    ['nothing', 0, 0, false, 0x50],
    ['GFP_KERNEL', gfp.GFP_KERNEL, 0, false, 0x840],
    ['GFP_KERNEL of order 3', gfp.GFP_KERNEL, 3, false, 0x840],
    ['GFP_KERNEL, real-time task', gfp.GFP_KERNEL, 0, true, 0x860],
    ['GFP_KERNEL of order 3, real-time task', gfp.GFP_KERNEL, 3, true, 0x860],
    ['GFP_KERNEL|__GFP_HIGH', gfp.GFP_KERNEL | gfp.__GFP_HIGH, 1, false, 0x860],
    ['GFP_NOWAIT', gfp.GFP_NOWAIT, 0, false, 0x850],
    ['GFP_NOWAIT of order 2', gfp.GFP_NOWAIT, 2, false, 0x850],
    ['GFP_NOWAIT, real-time task', gfp.GFP_NOWAIT, 2, true, 0x850],
    ['GFP_NOWAIT|NOMEMALLOC', gfp.GFP_NOWAIT | gfp.__GFP_NOMEMALLOC, 0, false, 0x840],
    ['GFP_ATOMIC', gfp.GFP_ATOMIC, 0, false, 0x830],
    ['GFP_ATOMIC of order 1', gfp.GFP_ATOMIC, 1, false, 0xa30],
    ['GFP_ATOMIC of order 10, real-time task', gfp.GFP_ATOMIC, 10, true, 0xa30],
    ['GFP_ATOMIC|NOMEMALLOC', gfp.GFP_ATOMIC | gfp.__GFP_NOMEMALLOC, 1, false, 0x820],
    ['GFP_HIGHUSER_MOVABLE', gfp.GFP_HIGHUSER_MOVABLE, 0, false, 0x8c0],
    ['reclaimable', gfp.GFP_KERNEL | gfp.__GFP_RECLAIMABLE, 0, false, 0x840],
    ['GFP_TRANSHUGE_LIGHT', gfp.GFP_TRANSHUGE_LIGHT, 9, false, 0xc0],
    ['GFP_KERNEL|MEMALLOC', gfp.GFP_KERNEL | gfp.__GFP_MEMALLOC, 0, false, 0x840],
  ])('%s', (_name, mask, order, realtime, flags) => {
    expect(gfpToAllocFlags(mask, order, realtime)).toBe(flags)
  })

  it('gives no CMA to a movable request while mobility grouping is off', () => {
    const mask = gfp.GFP_HIGHUSER_MOVABLE
    expect(gfpToAllocFlags(mask, 0, false, MIGRATE_UNMOVABLE)).toBe(0x840)
  })
})
