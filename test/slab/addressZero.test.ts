/** Where physical memory begins at address 0, nothing may lie there (DIFF-25). */

import { describe, expect, it } from 'vitest'
import { GFP_KERNEL, Kmalloc, MiB, type Pfn, SlabCache } from '../../src/index'
import { expectSound, freePages, must, slabMachine } from './machines'

const ZERO = 0 as Pfn

/** A machine with a heap, all of whose blocks of `order` are taken but that at frame 0 and `others` more. */
function zeroLeft(order: number, others: number) {
  const machine = slabMachine({ mib: 24 })
  const heap = new Kmalloc(machine.slabs)
  const cache = new SlabCache(machine.slabs, { name: 'large', size: 8192 })
  const { pages } = machine
  const taken: Pfn[] = []
  const take = () => pages.allocPages(GFP_KERNEL, order)
  for (let pfn = take(); pfn !== null; pfn = take()) taken.push(pfn)
  expect(taken).toContain(ZERO)
  // All of zone DMA, where the last one freed is the next one taken, with buddies in use, so that none of them merge.
  const apart = taken.filter(
    (pfn) => pfn !== 0 && pfn < 4096 && (order === 10 || (pfn >> order) % 2 === 0),
  )
  for (const pfn of apart.slice(0, others)) pages.freePages(pfn, order)
  pages.freePages(ZERO, order)
  return { ...machine, heap, cache }
}

describe('a block at frame 0', () => {
  it('is given back when it is larger than a slab', () => {
    const { heap, ...machine } = zeroLeft(10, 1)
    const free = freePages(machine)
    const block = must(heap.kmalloc(4 * MiB))
    expect(block).not.toBe(0)
    expect(free - freePages(machine)).toBe(1024)
    heap.kfree(block)
    expect(freePages(machine)).toBe(free)
    expectSound(machine)
  })

  it('is given back when there is no other', () => {
    const { heap, ...machine } = zeroLeft(10, 0)
    const free = freePages(machine)
    expect(heap.kmalloc(4 * MiB)).toBeNull()
    expect(freePages(machine)).toBe(free)
    expect(machine.pages.allocPages(GFP_KERNEL, 10)).toBe(ZERO)
    expectSound(machine)
  })

  it('is set aside when it is no larger than a slab', () => {
    const { cache, ...machine } = zeroLeft(3, 100)
    const free = freePages(machine)
    const first = must(cache.alloc())
    expect(first).not.toBe(0)
    expect(free - freePages(machine)).toBe(16)
    cache.free(first)
    cache.shrink()
    expect(free - freePages(machine)).toBe(8)
    expectSound(machine)
  })
})
