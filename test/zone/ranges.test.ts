import { expect, it } from 'vitest'
import { BuddyAllocator, MiB, PhysicalMemory } from '../../src/index'
import { HEADER_NR_RANGES } from '../../src/state/schema'
import { inRanges, rangesEnd } from '../../src/zone/ranges'

const map = [0, 32].map((mib) => ({ base: mib * MiB, size: 16 * MiB, type: 'usable' }) as const)

it('tells where memory is, and where it ends', () => {
  const { words } = new BuddyAllocator({ ram: new PhysicalMemory({ map, content: false }) })
  expect([0, 4095, 4096, 8191, 8192, 12287, 12288].map((pfn) => inRanges(words, pfn))).toEqual([
    true,
    true,
    false,
    false,
    true,
    true,
    false,
  ])
  expect(rangesEnd(words)).toBe(12288)
})

it('ends at 0 where there is none', () => {
  const words = new Int32Array(64)
  expect(words[HEADER_NR_RANGES]).toBe(0)
  expect(rangesEnd(words)).toBe(0)
  expect(inRanges(words, 0)).toBe(false)
})
