/** What users may do behind the mapper's back: it tells, and changes nothing. */

import { describe, expect, it } from 'vitest'
import { KernelBug } from '../../src/base/errors'
import { PAGE_SIZE, type Pfn, type VirtAddr } from '../../src/base/units'
import { verifyVmalloc } from '../../src/debug/verifyVmalloc'
import { formatVmallocInfo } from '../../src/proc/vmallocinfo'
import { VM_PAGES } from '../../src/state/vmapSchema'
import { runDeferredFrees, vfreeAtomic } from '../../src/vmalloc/drainWork'
import { VM_MAP, VM_MAP_PUT_PAGES } from '../../src/vmalloc/flags'
import { kvfree } from '../../src/vmalloc/kvmalloc'
import { findVmArea } from '../../src/vmalloc/vmArea'
import { freeVmArea, vmAreaPages, vmAreas } from '../../src/vmalloc/vmAreas'
import { vmap } from '../../src/vmalloc/vmap'
import { vread } from '../../src/vmalloc/vread'
import { thrownBy } from '../buddy/machines'
import { must } from '../slab/machines'
import { expectVmSound, takeFrames, type VmMachine, va, vmHash, vmMachine } from './machines'

const PAGE = PAGE_SIZE

/** Kernel address of the page array of an area. */
function arrayOf({ vm }: VmMachine, p: VirtAddr): VirtAddr {
  const record = findVmArea(vm.context, p)
  return va(must(vm.context.space.numbers[(record + VM_PAGES) >> 1]))
}

/** A word of an area's page array. */
function arrayWord(m: VmMachine, p: VirtAddr, page: number): number {
  const array = arrayOf(m, p) + page * 8
  const { tables, layout } = m.vm.context
  const phys = m.vm.isVmallocAddr(va(array)) ? tables.translate(array) : array - layout.directMap
  return phys / 4
}

/** Expects that an area cannot be freed, in any way that frees its pages, and that nothing changes by trying. */
function expectStuck(m: VmMachine, p: VirtAddr, code: string): void {
  const before = vmHash(m)
  for (const free of [() => m.vm.vfree(p), () => kvfree(m.vm, p)]) {
    const error = thrownBy(free)
    expect(error).toBeInstanceOf(KernelBug)
    expect((error as KernelBug).code).toBe(code)
  }
  expect(vmHash(m)).toBe(before)
  expect(verifyVmalloc(m.vm).length).toBeGreaterThan(0)
  // Who only looks does not mind.
  formatVmallocInfo(m.vm)
  vmAreas(m.vm)
  vread(m.vm, new Uint8Array(3 * PAGE), p)
  expect(vmHash(m)).toBe(before)
}

describe('an area whose page array was overwritten', () => {
  it.each([3, 600])('is not freed until that is mended, of %i pages', (pages) => {
    const m = vmMachine()
    const p = must(m.vm.vmalloc(pages * PAGE))
    const other = must(m.vm.vmalloc(PAGE))
    const { words } = m.ram
    for (const page of [0, pages - 1]) {
      const word = arrayWord(m, p, page)
      const old = [must(words[word]), must(words[word + 1])] as const
      const right = vmAreaPages(m.vm, p)
      for (const [lo, hi] of [
        [0, 0],
        [-1, -1],
        [old[0] + 64, old[1]],
        [old[0], old[1] + 1],
        [must(words[arrayWord(m, p, 1)]), old[1]],
        [must(words[arrayWord(m, other, 0)]), old[1]],
      ] as const) {
        words[word] = lo
        words[word + 1] = hi
        expectStuck(m, p, 'BAD_PAGE_ARRAY')
        expect(vmAreaPages(m.vm, p)).not.toEqual(right)
      }
      words[word] = old[0]
      words[word + 1] = old[1]
      expect(vmAreaPages(m.vm, p)).toEqual(right)
    }
    m.vm.vfree(p)
    expectVmSound(m)
  })

  it('is not freed later either, but what was put aside with it is', () => {
    const m = vmMachine()
    const [a, b, c] = [1, 2, 3].map((n) => must(m.vm.vmalloc(n * PAGE)))
    for (const p of [a, b, c]) vfreeAtomic(m.vm, must(p))
    const word = arrayWord(m, must(b), 1)
    const old = must(m.ram.words[word])
    m.ram.words[word] = 64
    expect(() => runDeferredFrees(m.vm)).toThrow(KernelBug)
    runDeferredFrees(m.vm)
    expect(vmAreas(m.vm).map(({ address }) => address)).toEqual([b])
    m.ram.words[word] = old
    m.vm.vfree(must(b))
    expectVmSound(m)
  })
})

describe('an area whose page array was freed', () => {
  it('is not freed, when the array was kmalloc memory', () => {
    const m = vmMachine()
    const p = must(m.vm.vmalloc(20 * PAGE))
    const array = arrayOf(m, p)
    const copy = m.ram.bytes(array - m.vm.context.layout.directMap, 160).slice()
    m.heap.kfree(array)
    m.ram.bytes(array - m.vm.context.layout.directMap, 160).set(copy)
    const error = thrownBy(() => m.vm.vfree(p)) as KernelBug
    expect(error.code).toBe('DOUBLE_FREE')
    expect(vmAreas(m.vm)).toHaveLength(1)
    expect(verifyVmalloc(m.vm).map(({ id }) => id)).toEqual(['VMALLOC-7'])
  })

  it.each([
    ['vfree', (m: VmMachine, array: VirtAddr) => m.vm.vfree(array)],
    ['vunmap', (m: VmMachine, array: VirtAddr) => m.vm.vunmap(array)],
    ['freeVmArea', (m: VmMachine, array: VirtAddr) => freeVmArea(m.vm, array)],
    ['vfreeAtomic', (m: VmMachine, array: VirtAddr) => vfreeAtomic(m.vm, array)],
  ])('is not freed, when the array was vmalloc memory and went by %s', (_name, free) => {
    const m = vmMachine()
    const p = must(m.vm.vmalloc(1000 * PAGE))
    free(m, arrayOf(m, p))
    expectStuck(m, p, 'BAD_PAGE_ARRAY')
  })

  it('is not freed, when the array of its array was overwritten', () => {
    const m = vmMachine()
    const p = must(m.vm.vmalloc(1000 * PAGE))
    const array = arrayOf(m, p)
    m.ram.words[arrayWord(m, array, 0)]! ^= 64
    expectStuck(m, p, 'BAD_PAGE_ARRAY')
  })
})

describe('an area whose page was freed', () => {
  it('is not freed', () => {
    const m = vmMachine()
    const p = must(m.vm.vmalloc(5 * PAGE))
    const pfn = must(vmAreaPages(m.vm, p)[3]) as Pfn
    m.pages.freePages(pfn)
    expectStuck(m, p, 'NOT_ALLOCATED')
    // Whoever gets the page next shares it, and vfree frees it for both.
    expect(takeFrames(m, 1)).toEqual([pfn])
    m.vm.vfree(p)
    expectVmSound(m)
  })

  it('is not freed, when the page has become part of a block, or a slab’s', () => {
    const m = vmMachine()
    const pfns = takeFrames(m, 2)
    const p = must(vmap(m.vm, pfns, VM_MAP | VM_MAP_PUT_PAGES))
    m.pages.freePages(must(pfns[0]))
    const objects: VirtAddr[] = []
    const slab = () => Math.floor((must(objects.at(-1)) - m.vm.context.layout.directMap) / PAGE)
    do objects.push(must(m.heap.kmalloc(64)))
    while (slab() !== pfns[0])
    expectStuck(m, p, 'NOT_ALLOCATED')
  })
})
