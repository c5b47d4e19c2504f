/** Options of a slab allocator: what each changes alone, what none given means, and when fast paths are on. */

import { describe, expect, it } from 'vitest'
import {
  InvalidArgument,
  Kmalloc,
  LAYOUT_X86_64,
  slabHardening,
  type VirtAddr,
  wasmMalloc,
} from '../../src/index'
import { checkMask, checkNodeHint } from '../../src/slab/checks'
import { largeSize } from '../../src/slab/large'
import { newSlabContext, type SlabOptions } from '../../src/slab/options'
import { must } from './machines'
import { errorOf, TinyMachine } from './tinyMachine'
import { TinyPages } from './tinyPages'

function made(options: SlabOptions) {
  const c = newSlabContext(new TinyPages(64, 1, 1), options)
  return {
    shared: c.words.buffer instanceof SharedArrayBuffer,
    initOnAlloc: c.initOnAlloc,
    initOnFree: c.initOnFree,
    merging: c.merging,
    plain: c.plain,
    cycles: c.cycles(),
    caller: c.caller,
  }
}

const USUAL = {
  shared: false,
  initOnAlloc: false,
  initOnFree: false,
  merging: true,
  plain: true,
  cycles: 0,
  caller: '',
}

describe('a slab allocator with', () => {
  it.each<[SlabOptions, object]>([
    [{}, {}],
    [{ shared: true }, { shared: true }],
    [{ initOnAlloc: true }, { initOnAlloc: true, plain: false }],
    [{ initOnFree: true }, { initOnFree: true, plain: false }],
    [{ merge: false }, { merging: false }],
    [{ merge: true, shared: false, initOnAlloc: false, initOnFree: false }, {}],
    [{ cycles: () => 9 }, { cycles: 9 }],
    [{ hardening: slabHardening({ seed: 1 }) }, { plain: false }],
  ])('%o', (options, differs) => {
    expect(made(options)).toEqual({ ...USUAL, ...differs })
  })

  it('hooks is plain again without them', () => {
    const { slabs, c } = new TinyMachine()
    slabs.setFaults({ failSlab: () => false } as never)
    expect(c.plain).toBe(false)
    slabs.setFaults(null)
    expect(c.plain).toBe(true)
    slabs.setTrace({} as never)
    expect(c.plain).toBe(false)
    slabs.setTrace(null)
    expect(c.plain).toBe(true)
  })
})

describe('arguments', () => {
  it('masks are unsigned integers', () => {
    for (const gfp of [0, 1, 0xcc0, 0xffffffff]) expect(errorOf(() => checkMask(gfp))).toBeNull()
    for (const gfp of [-1, 0.5, 2 ** 32, Number.NaN, '1'])
      expect(errorOf(() => checkMask(gfp as never))).toBeInstanceOf(InvalidArgument)
  })

  it('nodes are those that there are, or -1', () => {
    const { c } = new TinyMachine({ nodes: 2 })
    for (const node of [-1, 0, 1]) expect(errorOf(() => checkNodeHint(c, node))).toBeNull()
    for (const node of [-2, 2, 3, 0.5])
      expect(errorOf(() => checkNodeHint(c, node))).toBeInstanceOf(InvalidArgument)
  })
})

describe('a large block', () => {
  it.each([{}, { layout: LAYOUT_X86_64 }])(
    'has its size at its first byte alone: %#',
    (options) => {
      const { slabs, c } = new TinyMachine({ perNode: 128, ...options })
      const heap = new Kmalloc(slabs)
      const p = must(heap.kmalloc(9000))
      expect(largeSize(c, p)).toBe(16384)
      for (const at of [1, 8, 4095, 4096, 16384]) expect(largeSize(c, p + at)).toBe(0)
      heap.kfree(p)
      expect(largeSize(c, p)).toBe(0)
    },
  )
})

describe("a module's malloc", () => {
  it('takes 0 as no memory, and counts only what 32 bits hold', () => {
    const heap = new Kmalloc(new TinyMachine({ perNode: 128 }).slabs)
    const calls = wasmMalloc(heap)
    expect(calls.calloc(65536, 65536)).toBe(0)
    expect(calls.calloc(65537, 65536)).toBe(0)
    const p = calls.realloc(0, 40)
    expect(heap.ksize(p as VirtAddr)).toBe(64)
    expect(() => calls.free(0)).not.toThrow()
    calls.free(p)
    expect(() => heap.ksize(p as VirtAddr)).toThrow()
  })
})
