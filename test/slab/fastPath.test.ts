import { describe, expect, it } from 'vitest'
import {
  BuddyAllocator,
  cacheState,
  GiB,
  type KernelBug,
  Kmalloc,
  LAYOUT_FLAT,
  LAYOUT_X86_64,
  type Layout,
  MiB,
  PhysicalMemory,
  SlabAllocator,
  SlabCache,
  type SlabTrace,
  type VirtAddr,
} from '../../src/index'
import { cpuOf } from '../../src/slab/partial'
import { SLAB_CPU_FREE, SLAB_FREE } from '../../src/state/slabSchema'
import { thrownBy } from '../buddy/machines'
import { expectSound, machineHash, must, type SlabMachine, slabOf } from './machines'
import { SlabScript } from './script'

const STEPS = 3000
const NO_TRACE: SlabTrace = { kmalloc() {}, cacheAlloc() {}, kfree() {}, cacheFree() {} }

/** Where memory lies; the halves of an address come another way from each. */
const PLACES: readonly (readonly [name: string, base: number, layout: Layout])[] = [
  ['below 2 GiB', 0, LAYOUT_FLAT],
  ['across 2 GiB', 2 * GiB - 2 * MiB, LAYOUT_FLAT],
  ['across 4 GiB', 4 * GiB - 2 * MiB, LAYOUT_FLAT],
  ["in a kernel's direct map", 0, LAYOUT_X86_64],
  ["above 4 GiB in a kernel's direct map", 5 * GiB, LAYOUT_X86_64],
  ['in a direct map of its own', 0, { ...LAYOUT_X86_64, directMap: 0x888047000000 }],
]

function machineAt(base: number, layout: Layout): SlabMachine {
  const ram = new PhysicalMemory({ map: [{ base, size: 4 * MiB, type: 'usable' }] })
  const pages = new BuddyAllocator({ ram, cpus: 2 })
  return { ram, pages, slabs: new SlabAllocator(pages, { layout, merge: false }) }
}

describe.each(PLACES)('memory %s', (_name, base, layout) => {
  it('is handed out and taken back the fast way as the long way does it', () => {
    const fast = machineAt(base, layout)
    const long = machineAt(base, layout)
    long.slabs.setTrace(NO_TRACE)
    const scripts = [fast, long].map((machine) => new SlabScript(7).start(machine))
    for (let part = 0; part < 4; part++) {
      const [ours, theirs] = scripts.map((script) => script.run(STEPS / 4, 2, 1).answer)
      expect(ours).toBe(theirs)
      expect(machineHash(fast)).toBe(machineHash(long))
      expectSound(fast)
    }
  })

  it('holds free pointers that are full addresses', () => {
    const { ram, slabs } = machineAt(base, layout)
    const cache = new SlabCache(slabs, { name: 'objects', size: 64 })
    const objects = Array.from({ length: 3 }, () => must(cache.alloc()))
    for (const object of objects) cache.free(object)
    const [first, second] = objects as [VirtAddr, VirtAddr, VirtAddr]
    // A free pointer lies in the middle of its object.
    const at = ram.wordIndex(second - layout.directMap + 32)
    const pointer = (BigInt(ram.words[at + 1]! >>> 0) << 32n) | BigInt(ram.words[at]! >>> 0)
    expect(pointer).toBe(BigInt(first) | (BigInt(layout.signHigh) << 32n))
  })
})

describe('a mask that is no mask', () => {
  it('leaves a CPU without free objects, but with partial slabs, as it was', () => {
    const machine = machineAt(0, LAYOUT_FLAT)
    const cache = new SlabCache(machine.slabs, { name: 'objects', size: 2048 })
    const objects: VirtAddr[] = []
    const inSlab = cacheState(cache).objs
    while (objects.length < 2 * inSlab) objects.push(must(cache.alloc()))
    cache.free(must(objects[0]))
    const { cpu } = cacheState(cache)
    expect(cpu.freelist).toEqual([])
    expect(cpu.partial.length).toBe(1)
    const before = machineHash(machine)
    for (const mask of [Number.NaN, 0.5, 2 ** 32 + 0xcc0]) {
      expect(() => cache.alloc(mask)).toThrow('gfp')
      expect(machineHash(machine)).toBe(before)
    }
    expect(cache.alloc()).toBe(objects[0])
  })
})

describe('a place below 0 in the state, which no slab has', () => {
  it.each([
    ['as the first free object of a CPU', 0],
    ['as the first free object of the slab that a CPU holds', 1],
  ])('%s is found as the long way finds it', (_where, own) => {
    const machines = [machineAt(0, LAYOUT_FLAT), machineAt(0, LAYOUT_FLAT)] as const
    machines[1].slabs.setTrace(NO_TRACE)
    for (const machine of machines) {
      const { slabs } = machine
      const cache = new SlabCache(slabs, { name: 'objects', size: 512 })
      const slab = slabOf(machine, must(cache.alloc()))
      const cpu = cpuOf(slabs.context, cache.record) + SLAB_CPU_FREE
      slabs.words[slab + SLAB_FREE] = own === 1 ? -1 : 0
      slabs.words[cpu] = own === 1 ? 0 : -1
      expect((thrownBy(() => cache.alloc()) as KernelBug).code).toBe('FREELIST_CORRUPT')
      expect(cache.alloc()).not.toBeNull()
    }
    expect(machineHash(machines[0])).toBe(machineHash(machines[1]))
  })
})

describe('a full list of partial slabs', () => {
  it('overflows to the node as the long way does it', () => {
    const fast = machineAt(0, LAYOUT_FLAT)
    const long = machineAt(0, LAYOUT_FLAT)
    long.slabs.setTrace(NO_TRACE)
    for (const machine of [fast, long]) {
      const heap = new Kmalloc(machine.slabs)
      const objects = Array.from({ length: 600 }, () => must(heap.kmalloc(1024)))
      // One object of each slab: all slabs but the CPU's were full.
      for (let i = 0; i < objects.length; i += 16) heap.kfree(must(objects[i]))
    }
    expect(machineHash(fast)).toBe(machineHash(long))
    expectSound(fast)
  })
})
