import { describe, expect, it } from 'vitest'
import {
  getOrder,
  NUMA_NO_NODE,
  PAGE_SIZE,
  type Pfn,
  type PhysAddr,
  pfnToPhys,
  physToPfn,
  toPfn,
  toPhysAddr,
} from '../../src/base/units'

describe('frames and addresses', () => {
  it('are the number that was given', () => {
    expect(toPfn(17)).toBe(17)
    expect(toPhysAddr(0x12345)).toBe(0x12345)
  })

  it.each([
    [0, 0],
    [1, 4096],
    [524287, 2 ** 31 - 4096],
    [524288, 2 ** 31],
    [2 ** 40 - 1, 2 ** 52 - 4096],
  ])('frame %i begins at byte %i', (pfn, address) => {
    expect(pfnToPhys(pfn as Pfn)).toBe(address)
    expect(physToPfn(address as PhysAddr)).toBe(pfn)
    expect(physToPfn((address + 4095) as PhysAddr)).toBe(pfn)
  })

  it('leave -1 for any node, which is what a kernel takes', () => {
    expect(NUMA_NO_NODE).toBe(-1)
  })
})

describe('getOrder', () => {
  it('is 0 for nothing and up to a page', () => {
    for (const bytes of [0, 1, PAGE_SIZE]) expect(getOrder(bytes)).toBe(0)
  })

  it('is the smallest order whose block holds the bytes', () => {
    for (let order = 1; order <= 20; order++) {
      const block = 2 ** order * PAGE_SIZE
      expect(getOrder(block)).toBe(order)
      expect(getOrder(block / 2 + 1)).toBe(order)
      expect(getOrder(block + 1)).toBe(order + 1)
    }
  })
})
