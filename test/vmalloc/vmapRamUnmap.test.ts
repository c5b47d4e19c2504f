/** Each refusal of vmUnmapRam alone, with areas and blocks of every kind beside each other. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug } from '../../src/base/errors'
import { PAGE_SIZE } from '../../src/base/units'
import { ioremap } from '../../src/vmalloc/ioremap'
import { vmMapRam, vmUnmapRam } from '../../src/vmalloc/vmapRam'
import { must } from '../slab/machines'
import { expectVmSound, pa, S, takeFrames, va, vmHash, vmMachine } from './machines'

const PAGE = PAGE_SIZE

describe('vmUnmapRam', () => {
  const m = vmMachine({ mib: 2, vm: { maxRecords: 64, populate: false } })
  const pfns = takeFrames(m, 66)
  const block = must(vmMapRam(m.vm, pfns.slice(0, 3)))
  const second = must(vmMapRam(m.vm, pfns.slice(0, 4)))
  const large = must(vmMapRam(m.vm, pfns))
  const area = must(m.vm.vmalloc(PAGE))
  const wide = must(m.vm.vmalloc(65 * PAGE))
  const io = must(ioremap(m.vm, pa(0xfed00000), PAGE))

  it.each<[what: string, address: number, count: number]>([
    ['no area', S + 2 ** 30, 1],
    ['no area, many pages', S + 2 ** 30, 66],
    ['below the window', S - PAGE, 1],
    ['the direct map', m.vm.context.layout.directMap, 1],
    ['an area of vmalloc', area, 1],
    ['an area of vmalloc of as many pages, with its guard page', wide, 66],
    ['an area of vmalloc of many pages', wide, 65],
    ['I/O memory', io, 1],
    ['a whole area, of a page less', large, 65],
    ['a whole area, of a page more', large, 67],
    ['a whole area, as if it shared a block', large, 1],
    ['a block, as if it were a whole area', block, 1024],
    ['a block, by another count', block, 66],
    ['what a block has not given out yet', second + 4 * PAGE, 1],
    ['more than a block has given out', second, 8],
    ['what a mapping has not got of its own power of two', block + 3 * PAGE, 1],
    ['a mapping and what is behind it', block, 4],
  ])('refuses %s, and changes nothing', (_what, address, count) => {
    const before = vmHash(m)
    expect(() => vmUnmapRam(m.vm, va(address), count)).toThrow(KernelBug)
    expect(vmHash(m)).toBe(before)
  })

  it.each([
    [block + 1, 3],
    [m.vm.context.space.limit, 1],
    [block, 0],
    [-PAGE, 1],
  ])('refuses %i, %i pages, as an argument', (address, count) => {
    const before = vmHash(m)
    expect(() => vmUnmapRam(m.vm, va(address), count)).toThrow(InvalidArgument)
    expect(vmHash(m)).toBe(before)
  })

  it('takes each of them back once', () => {
    for (const [address, count] of [
      [block, 3],
      [second, 4],
      [large, 66],
    ] as const) {
      vmUnmapRam(m.vm, address, count)
      const before = vmHash(m)
      expect(() => vmUnmapRam(m.vm, address, count)).toThrow(KernelBug)
      expect(vmHash(m)).toBe(before)
      expectVmSound(m)
    }
  })
})
