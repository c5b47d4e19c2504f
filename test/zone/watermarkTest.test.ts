import { describe, expect, it } from 'vitest'
import {
  ALLOC_CMA,
  ALLOC_HIGHATOMIC,
  ALLOC_MIN_RESERVE,
  ALLOC_NON_BLOCK,
  ALLOC_OOM,
  ALLOC_WMARK_LOW,
} from '../../src/page/allocFlags'
import { __GFP_ATOMIC, GFP_ATOMIC, GFP_KERNEL } from '../../src/page/gfp'
import { pageRecord } from '../../src/page/memmap'
import { listAddTail } from '../../src/state/lists'
import {
  ZONE_BOOST,
  ZONE_FREE_CMA,
  ZONE_FREE_PAGES,
  ZONE_HIGHATOMIC,
  ZONE_LISTS,
  ZONE_LISTS_PER_ORDER,
  ZONE_NR_FREE,
  ZONE_RESERVE,
  ZONE_WMARK,
} from '../../src/state/schema'
import { ZONES_FLAT } from '../../src/zone/spans'
import { zoneWatermarkFast, zoneWatermarkOk } from '../../src/zone/watermarkTest'
import { zoneRecord } from '../../src/zone/zones'
import { stateFor } from './bootFixture'

function machine(): { words: Int32Array; zone: number } {
  const words = stateFor({
    ranges: [{ start: 0, end: 8192, node: 0 }],
    nodes: 1,
    limits: ZONES_FLAT,
  })
  return { words, zone: zoneRecord(words, 0, 2) }
}

function addBlock(words: Int32Array, zone: number, order: number, type: number): void {
  listAddTail(words, zone + ZONE_LISTS + order * ZONE_LISTS_PER_ORDER + 2 * type, pageRecord(1024))
  words[zone + ZONE_NR_FREE + order]! += 1
}

/** The largest free count that fails. */
function limit(mark: number, flags: number, prepare?: (words: Int32Array, zone: number) => void) {
  const { words, zone } = machine()
  prepare?.(words, zone)
  let free = 0
  while (!zoneWatermarkOk(words, zone, 0, mark, 2, flags, free)) free++
  return free - 1
}

describe('zoneWatermarkOk', () => {
  it.each([
    ['no reserves', 0, 171],
    ['__GFP_HIGH', ALLOC_MIN_RESERVE, 86],
    ['GFP_ATOMIC', ALLOC_MIN_RESERVE | ALLOC_NON_BLOCK, 65],
    ['GFP_NOWAIT', ALLOC_NON_BLOCK, 171],
    ['an OOM victim', ALLOC_OOM, 86],
    ['HIGHATOMIC alone', ALLOC_HIGHATOMIC, 171],
    ['everything', ALLOC_MIN_RESERVE | ALLOC_NON_BLOCK | ALLOC_OOM, 33],
  ])('lowers a mark of 171 for %s', (_who, flags, expected) => {
    expect(limit(171, flags)).toBe(expected)
  })

  it('keeps the reserve for lower zones', () => {
    const { words, zone } = machine()
    words[zone + ZONE_RESERVE + 3] = 50
    expect(zoneWatermarkOk(words, zone, 0, 100, 2, 0, 101)).toBe(true)
    expect(zoneWatermarkOk(words, zone, 0, 100, 3, 0, 150)).toBe(false)
    expect(zoneWatermarkOk(words, zone, 0, 100, 3, 0, 151)).toBe(true)
  })

  it('closes the high-atomic reserve to requests without reserve flags', () => {
    const prepare = (words: Int32Array, zone: number): void => {
      words[zone + ZONE_HIGHATOMIC] = 512
    }
    expect(limit(100, 0, prepare)).toBe(612)
    for (const flags of [ALLOC_NON_BLOCK, ALLOC_HIGHATOMIC]) {
      expect(limit(100, flags, prepare)).toBe(100)
    }
    expect(limit(100, ALLOC_OOM, prepare)).toBe(50)
  })

  it('closes CMA pages to requests that may not use them', () => {
    const prepare = (words: Int32Array, zone: number): void => {
      words[zone + ZONE_FREE_CMA] = 300
    }
    expect(limit(100, 0, prepare)).toBe(400)
    expect(limit(100, ALLOC_CMA, prepare)).toBe(100)
    // A counter that lags below zero shows as zero.
    expect(
      limit(100, 0, (words, zone) => {
        words[zone + ZONE_FREE_CMA] = -3
      }),
    ).toBe(100)
  })

  it('needs a block of the order or above, and the rest of it on top', () => {
    const { words, zone } = machine()
    const ok = (order: number, free: number, flags = 0): boolean =>
      zoneWatermarkOk(words, zone, order, 100, 2, flags, free)
    expect(ok(3, 5000)).toBe(false)
    addBlock(words, zone, 5, 0)
    expect([3, 4, 5, 6].map((order) => ok(order, 5000))).toEqual([true, true, true, false])
    expect(ok(3, 107)).toBe(false)
    expect(ok(3, 108)).toBe(true)
  })

  it.each([
    [0, [true, true, true, true]],
    [1, [true, true, true, true]],
    [2, [true, true, true, true]],
    [3, [false, false, true, true]],
    [4, [false, true, false, false]],
    [5, [false, false, false, false]],
  ])('accepts a block of type %d for no flag, CMA, HIGHATOMIC, OOM: %j', (type, expected) => {
    const { words, zone } = machine()
    addBlock(words, zone, 10, type)
    const flags = [0, ALLOC_CMA, ALLOC_HIGHATOMIC, ALLOC_OOM]
    expect(flags.map((flag) => zoneWatermarkOk(words, zone, 1, 100, 2, flag, 5000))).toEqual(
      expected,
    )
  })
})

describe('zoneWatermarkFast', () => {
  function fast(free: number, order = 0, mark = 100, flags = 0, gfp: number = GFP_KERNEL): boolean {
    const { words, zone } = machine()
    words[zone + ZONE_FREE_PAGES] = free
    words[zone + ZONE_WMARK] = 100
    words[zone + ZONE_BOOST] = mark - 100
    return zoneWatermarkFast(words, zone, order, mark, 2, flags, gfp)
  }

  it('agrees with the full test on single pages', () => {
    expect([fast(100), fast(101)]).toEqual([false, true])
    expect(fast(-5, 0, 0)).toBe(false)
    // Passed only by the full test, whose mark is lowered.
    expect([fast(50, 0, 100, ALLOC_MIN_RESERVE), fast(51, 0, 100, ALLOC_MIN_RESERVE)]).toEqual([
      false,
      true,
    ])
  })

  it('looks at the lists for larger blocks', () => {
    expect(fast(5000, 1)).toBe(false)
  })

  it('does not count the closed reserve', () => {
    const { words, zone } = machine()
    words[zone + ZONE_FREE_PAGES] = 500
    words[zone + ZONE_HIGHATOMIC] = 512
    expect(zoneWatermarkFast(words, zone, 0, 0, 2, 0, GFP_KERNEL)).toBe(false)
    expect(zoneWatermarkFast(words, zone, 0, 0, 2, ALLOC_NON_BLOCK, GFP_KERNEL)).toBe(true)
  })

  it('lets an atomic request at the min watermark ignore the boost', () => {
    expect(fast(150, 0, 700, 0, GFP_ATOMIC)).toBe(true)
    expect(fast(100, 0, 700, 0, __GFP_ATOMIC)).toBe(false)
    expect(fast(150, 0, 700, 0, GFP_KERNEL)).toBe(false)
    expect(fast(150, 0, 700, ALLOC_WMARK_LOW, GFP_ATOMIC)).toBe(false)
    expect(fast(150, 1, 700, 0, GFP_ATOMIC)).toBe(false)
  })

  it('does not ignore a mark that is no boost', () => {
    const { words, zone } = machine()
    words[zone + ZONE_FREE_PAGES] = 150
    words[zone + ZONE_WMARK] = 100
    expect(zoneWatermarkFast(words, zone, 0, 700, 2, 0, GFP_ATOMIC)).toBe(false)
  })
})
