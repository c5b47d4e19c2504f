/** The table of spec/slab.md §17.2, every row with every option. */

import { describe, expect, it } from 'vitest'
import { slubDebug } from '../../src/debug/slubDebug'
import {
  __GFP_ZERO,
  GFP_KERNEL,
  Kmalloc,
  PAGE_SIZE,
  SLAB_NOLEAKTRACE,
  SLAB_POISON,
  SLAB_RED_ZONE,
  SLAB_TYPESAFE_BY_RCU,
  SlabCache,
  type SlabCacheOptions,
  type VirtAddr,
} from '../../src/index'
import { kmemCacheAllocBulk, kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import type { SlabContext } from '../../src/slab/context'
import { initObject, wipeFreed } from '../../src/slab/objects'
import { CACHE_OFFSET, SLAB_PFN } from '../../src/state/slabSchema'
import { expectSound, must, type SlabMachine, slabMachine, slabOf } from './machines'

const PATTERN = 0xd7
const SIZE = 72

interface Kind {
  readonly name: string
  readonly options: Partial<SlabCacheOptions>
  /**
   * Whether an allocation zeroes: without options, with init_on_alloc; without and with
   * `__GFP_ZERO`.
   */
  readonly zeroes: readonly [plain: boolean, zero: boolean, init: boolean, initZero: boolean]
  /** Whether a free zeroes with init_on_free. */
  readonly wipes: boolean
}

const KINDS: readonly Kind[] = [
  { name: 'has ctor', options: { ctor() {} }, zeroes: [false, true, false, false], wipes: false },
  {
    name: 'TYPESAFE_BY_RCU',
    options: { flags: SLAB_TYPESAFE_BY_RCU },
    zeroes: [false, true, false, true],
    wipes: false,
  },
  { name: 'other', options: {}, zeroes: [false, true, true, true], wipes: true },
]

/** Bytes of an object, without its free pointer where it lies inside. */
function content(machine: SlabMachine, cache: SlabCache, object: VirtAddr): Uint8Array {
  const offset = must(machine.slabs.words[cache.record + CACHE_OFFSET])
  return machine.ram
    .bytes(object, SIZE)
    .filter((_, i) => offset >= SIZE || i < offset || i >= offset + 8)
}

function hasOnly(bytes: Uint8Array, value: number): boolean {
  return bytes.every((byte) => byte === value)
}

function make(initOnAlloc: boolean, initOnFree: boolean, options: Partial<SlabCacheOptions>) {
  const machine = slabMachine({ slabs: { initOnAlloc, initOnFree } })
  const flags = (options.flags ?? 0) | SLAB_NOLEAKTRACE
  const cache = new SlabCache(machine.slabs, { name: 'x', size: SIZE, ...options, flags })
  return { machine, cache }
}

describe.each(KINDS)('a cache that $name', ({ options, zeroes, wipes }) => {
  it.each([
    { init: false, gfp: GFP_KERNEL },
    { init: false, gfp: GFP_KERNEL | __GFP_ZERO },
    { init: true, gfp: GFP_KERNEL },
    { init: true, gfp: GFP_KERNEL | __GFP_ZERO },
  ])('zeroes on allocation as the table says: init_on_alloc $init, gfp $gfp', ({ init, gfp }) => {
    const { machine, cache } = make(init, false, options)
    const expected = zeroes[(init ? 2 : 0) + (gfp === GFP_KERNEL ? 0 : 1)]
    const object = must(cache.alloc())
    machine.ram.fill(object, SIZE, PATTERN)
    cache.free(object)
    // A free without init_on_free leaves the content.
    expect(hasOnly(content(machine, cache, object), PATTERN)).toBe(true)
    expect(cache.alloc(gfp)).toBe(object)
    expect(hasOnly(content(machine, cache, object), expected === true ? 0 : PATTERN)).toBe(true)
    // All of object_size, the place of the free pointer included.
    if (expected === true) expect(hasOnly(machine.ram.bytes(object, SIZE), 0)).toBe(true)
    expectSound(machine)
  })

  it('zeroes on free as the table says', () => {
    const { machine, cache } = make(false, true, options)
    const object = must(cache.alloc())
    machine.ram.fill(object, SIZE, PATTERN)
    cache.free(object)
    expect(hasOnly(content(machine, cache, object), wipes ? 0 : PATTERN)).toBe(true)
    expect(cache.alloc()).toBe(object)
    // With zero on free the whole object is zero, as its free pointer is cleared too.
    if (wipes) expect(hasOnly(machine.ram.bytes(object, SIZE), 0)).toBe(true)
    expectSound(machine)
  })

  it('zeroes in bulk as one by one', () => {
    const { machine, cache } = make(true, true, options)
    const objects = kmemCacheAllocBulk(cache, GFP_KERNEL, 20)
    for (const object of objects) machine.ram.fill(object, SIZE, PATTERN)
    kmemCacheFreeBulk(cache, objects)
    for (const object of objects) {
      expect(hasOnly(content(machine, cache, object), wipes ? 0 : PATTERN)).toBe(true)
    }
    for (const object of kmemCacheAllocBulk(cache, GFP_KERNEL, 20)) {
      const kept = zeroes[2] ? 0 : PATTERN
      if (objects.includes(object)) {
        expect(hasOnly(content(machine, cache, object), kept)).toBe(true)
      }
    }
    expectSound(machine)
  })
})

describe('a cache with red zones', () => {
  /**
   * The bytes of a slot of 64-byte objects after `act`. What the checks of a debug cache do is not
   * at issue here: only its layout is used, and the slot lies in the slab of another cache.
   */
  function slot(flags: number, act: (c: SlabContext, cache: number, slab: number) => void) {
    const machine = slabMachine({
      slabs: { initOnAlloc: true, initOnFree: true, debug: slubDebug() },
    })
    const { slabs, ram } = machine
    const cache = new SlabCache(slabs, { name: 'zoned', size: 64, flags })
    const plain = new SlabCache(slabs, { name: 'plain', size: 64, flags: SLAB_NOLEAKTRACE })
    const slab = slabOf(machine, must(plain.alloc()))
    const start = must(slabs.words[slab + SLAB_PFN]) * PAGE_SIZE
    ram.fill(start, PAGE_SIZE, PATTERN)
    act(slabs.context, cache.record, slab)
    const bytes = [...ram.bytes(start, PAGE_SIZE)]
    expect(hasOnly(Uint8Array.from(bytes.slice(cache.size)), PATTERN)).toBe(true)
    return bytes.slice(0, cache.size)
  }
  const init = (gfp: number) => (c: SlabContext, cache: number, slab: number) =>
    initObject(c, cache, must(c.words[slab + SLAB_PFN]) * PAGE_SIZE + 8, gfp)
  const wipe = (c: SlabContext, cache: number, slab: number) => wipeFreed(c, cache, slab, 8)
  const filled = (length: number, byte: number) => new Array<number>(length).fill(byte)
  const untouched = (length: number) => filled(length, PATTERN)

  it('and poison is zeroed on allocation only where the mask says so', () => {
    const flags = SLAB_RED_ZONE | SLAB_POISON
    expect(slot(flags, init(GFP_KERNEL))).toEqual(untouched(96))
    // Left pad; object; right red zone, free pointer and padding.
    expect(slot(flags, init(GFP_KERNEL | __GFP_ZERO))).toEqual([
      ...untouched(8),
      ...filled(64, 0),
      ...untouched(24),
    ])
  })

  it('and poison is not zeroed on free', () => {
    expect(slot(SLAB_RED_ZONE | SLAB_POISON, wipe)).toEqual(untouched(96))
  })

  it('and without poison is zeroed on both, its red zones are not', () => {
    const zeroed = [...untouched(8), ...filled(64, 0)]
    expect(slot(SLAB_RED_ZONE, init(GFP_KERNEL))).toEqual([...zeroed, ...untouched(16)])
    // The right red zone ends at inuse; what follows is metadata.
    expect(slot(SLAB_RED_ZONE, wipe)).toEqual([...zeroed, ...untouched(8), ...filled(8, 0)])
  })
})

describe('the kmalloc family', () => {
  it('zeroes the whole class with init_on_alloc, and large blocks', () => {
    const machine = slabMachine({ slabs: { initOnAlloc: true } })
    const heap = new Kmalloc(machine.slabs)
    for (const size of [10, 100, 5000, 8193, 40000]) {
      const p = must(heap.kmalloc(size))
      const room = heap.ksize(p)
      expect(hasOnly(machine.ram.bytes(p, room), 0)).toBe(true)
      machine.ram.fill(p, room, PATTERN)
      heap.kfree(p)
      const again = must(heap.kmalloc(size))
      expect(again).toBe(p)
      expect(hasOnly(machine.ram.bytes(p, room), 0)).toBe(true)
      machine.ram.fill(p, room, PATTERN)
      // krealloc in place zeroes what is behind the new size.
      expect(heap.krealloc(p, size - 1)).toBe(p)
      expect(hasOnly(machine.ram.bytes(p, size - 1), PATTERN)).toBe(true)
      expect(hasOnly(machine.ram.bytes(p + size - 1, room - size + 1), 0)).toBe(true)
    }
    expectSound(machine)
  })

  it('zeroes large blocks on free with init_on_free', () => {
    const machine = slabMachine({ slabs: { initOnFree: true } })
    const heap = new Kmalloc(machine.slabs)
    const p = must(heap.kmalloc(20000))
    machine.ram.fill(p, 32768, PATTERN)
    heap.kfree(p)
    expect(hasOnly(machine.ram.bytes(p, 32768), 0)).toBe(true)
    const q = must(heap.kmalloc(64))
    machine.ram.fill(q, 64, PATTERN)
    heap.kfree(q)
    expect(heap.kmalloc(64)).toBe(q)
    expect(hasOnly(machine.ram.bytes(q, 64), 0)).toBe(true)
    expectSound(machine)
  })
})
