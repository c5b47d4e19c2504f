/** Page allocations that fail on purpose: the first, the second, and so on, until a call gets what it needs. */

import { describe, expect, it } from 'vitest'
import {
  BuddyAllocator,
  cacheState,
  GFP_KERNEL,
  Kmalloc,
  LAYOUT_X86_64,
  OutOfMemory,
  onCpu,
  type PageSource,
  pageSource,
  SLAB_HWCACHE_ALIGN,
  SLAB_TYPESAFE_BY_RCU,
  SlabAllocator,
  SlabCache,
  shrinkAllCaches,
  slabNodeOnline,
  type VirtAddr,
} from '../../src/index'
import { kmemCacheAllocBulk, kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import { cachesOf } from '../../src/slab/hotplug'
import { CacheRecord } from '../../src/slab/slabCache'
import {
  expectSound,
  freePages,
  machineHash,
  must,
  type SlabMachine,
  type SlabMachineOptions,
  slabMachine,
} from './machines'

/** Makes block allocations fail, counted from 1 after {@link arm}. */
class Saboteur {
  /** Allocations since the last {@link arm}. */
  calls = 0
  private first = 0
  private last = -1

  /** Wraps a page source. */
  readonly between = (source: PageSource): PageSource => ({
    ...source,
    allocBlock: (gfp, order, node) => {
      this.calls += 1
      const fails = this.calls >= this.first && this.calls <= this.last
      return fails ? -1 : source.allocBlock(gfp, order, node)
    },
  })

  /** Allocations from number `first` to number `last` fail from now on. */
  arm(first: number, last: number): void {
    this.calls = 0
    this.first = first
    this.last = last
  }

  disarm(): void {
    this.last = -1
  }

  /** Whether an allocation has failed since {@link arm}. */
  get struck(): boolean {
    return this.calls >= this.first
  }
}

/** A machine with what a call needs. */
interface Prepared {
  readonly machine: SlabMachine
  /** The call; what it returns or throws tells whether it failed. */
  readonly call: () => unknown
  /** Puts back what a call that succeeded has changed for users; to be checked for leaks afterwards. */
  readonly undo: (result: unknown) => void
  /** Looks at what must be as it was after a failure. */
  readonly check?: () => void
  /** A CPU has used its slab up: that it leaves it is all that a failure changes. */
  readonly leavesSlab?: boolean
}

type Operation = readonly [name: string, prepare: (saboteur: Saboteur) => Prepared]

function machineFor(saboteur: Saboteur, options: SlabMachineOptions = {}): SlabMachine {
  return slabMachine({ mib: 4, ...options, between: saboteur.between })
}

/** A fresh cache, and a call on it. */
function onCache(
  saboteur: Saboteur,
  size: number,
  call: (cache: SlabCache) => VirtAddr | VirtAddr[] | null,
  machine = machineFor(saboteur, { nodes: 2, cpus: 2 }),
): Prepared {
  const cache = new SlabCache(machine.slabs, { name: 'fresh', size, flags: SLAB_HWCACHE_ALIGN })
  return {
    machine,
    call: () => call(cache),
    undo: (result) => {
      if (Array.isArray(result)) kmemCacheFreeBulk(cache, result)
      else cache.free(result as VirtAddr)
    },
  }
}

/** A heap, and a call on it. */
function onHeap(saboteur: Saboteur, call: (heap: Kmalloc) => VirtAddr | null): Prepared {
  const machine = machineFor(saboteur, { nodes: 2 })
  const heap = new Kmalloc(machine.slabs)
  return { machine, call: () => call(heap), undo: (p) => heap.kfree(p as VirtAddr) }
}

/** Memory of `from` bytes with content, that is to become `to` bytes. */
function reallocation(saboteur: Saboteur, from: number, to: number): Prepared {
  const machine = machineFor(saboteur)
  const heap = new Kmalloc(machine.slabs)
  const p = must(heap.kmalloc(from))
  machine.ram.fill(p, from, 0x5e)
  const expectContent = (at: number) => {
    expect([...machine.ram.bytes(at, from)].every((byte) => byte === 0x5e)).toBe(true)
  }
  return {
    machine,
    call: () => heap.krealloc(p, to),
    undo: (moved) => {
      expectContent(moved as VirtAddr)
      heap.kfree(moved as VirtAddr)
      must(heap.kmalloc(from))
    },
    check: () => {
      expect(heap.ksize(p)).toBeGreaterThanOrEqual(from)
      expectContent(p)
    },
  }
}

/** Caches until those of descriptors have no room left: the next one needs a page of each kind. */
function creation(saboteur: Saboteur, nodes: number, flags: number): Prepared {
  const machine = machineFor(saboteur, { nodes })
  const options = { name: 'one', size: 100, ctor: () => {}, flags }
  for (let k = 2; k < 64; k++) new SlabCache(machine.slabs, options)
  return {
    machine,
    call: () => new SlabCache(machine.slabs, options),
    undo: (cache) => (cache as SlabCache).destroy(),
    leavesSlab: true,
  }
}

const KMALLOC_SIZES = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192, 8193, 100_000]

const OPERATIONS: readonly Operation[] = [
  ['a new cache on one node', (s) => creation(s, 1, 0)],
  ['a new cache on two nodes', (s) => creation(s, 2, SLAB_TYPESAFE_BY_RCU)],
  ['alloc', (s) => onCache(s, 200, (cache) => cache.alloc())],
  ['alloc of large slabs', (s) => onCache(s, 4000, (cache) => cache.alloc())],
  ['zalloc', (s) => onCache(s, 700, (cache) => cache.zalloc())],
  ['allocNode', (s) => onCache(s, 1500, (cache) => cache.allocNode(GFP_KERNEL, 1))],
  ['allocBulk', (s) => onCache(s, 1000, (cache) => kmemCacheAllocBulk(cache, GFP_KERNEL, 70))],
  [
    'allocBulk on another CPU',
    (s) => {
      const machine = machineFor(s, { cpus: 2, nodes: 2 })
      const bulk = (cache: SlabCache) =>
        onCpu(machine.pages, 1, () => kmemCacheAllocBulk(cache, GFP_KERNEL, 60))
      return onCache(s, 500, bulk, machine)
    },
  ],
  ...KMALLOC_SIZES.map(
    (size): Operation => [`kmalloc(${size})`, (s) => onHeap(s, (heap) => heap.kmalloc(size))],
  ),
  ['kzalloc', (s) => onHeap(s, (heap) => heap.kzalloc(300))],
  ['kmalloc on a node', (s) => onHeap(s, (heap) => heap.kmalloc(30, GFP_KERNEL, 1))],
  ['kmallocArray', (s) => onHeap(s, (heap) => heap.kmallocArray(10, 7))],
  ['kcalloc', (s) => onHeap(s, (heap) => heap.kcalloc(100, 700))],
  ['krealloc of nothing', (s) => onHeap(s, (heap) => heap.krealloc(null, 50))],
  ['krealloc to another class', (s) => reallocation(s, 60, 600)],
  ['krealloc to a large block', (s) => reallocation(s, 6000, 60_000)],
  ['krealloc of a large block', (s) => reallocation(s, 10_000, 20_000)],
]

/** True when a call got nothing; lets errors other than no memory through. */
function fails(call: () => unknown): readonly [failed: boolean, result: unknown] {
  try {
    const result = call()
    return [result === null || (Array.isArray(result) && result.length === 0), result]
  } catch (error) {
    if (error instanceof OutOfMemory) return [true, null]
    throw error
  }
}

/** All that users can see of a machine once caches keep nothing back: what is in use, and where. */
function visible(machine: SlabMachine): object {
  shrinkAllCaches(machine.slabs)
  expectSound(machine)
  const { words, context } = machine.slabs
  const caches = [...cachesOf(words)].map((record) => {
    const cache = new SlabCache(machine.slabs, new CacheRecord(record))
    const cpus = Array.from({ length: context.source.nrCpus }, (_, cpu) => cacheState(cache, cpu))
    return cpus.map(({ nodes, ...state }) => ({
      ...state,
      // The order of free objects tells of what came and went; how many there are does not.
      nodes: Object.values(nodes).map((node) => ({
        ...node,
        partial: node.partial.map(({ inuse, objects }) => `${inuse} of ${objects}`),
      })),
    }))
  })
  return { caches, free: freePages(machine) }
}

describe.each(OPERATIONS)('%s', (_name, prepare) => {
  it.each([
    ['one page allocation after the other fails', 0],
    ['all page allocations from one on fail', 1e6],
  ])('loses nothing when %s', (_how, more) => {
    const twin = new Saboteur()
    const expected = visible(prepare(twin).machine)
    let failures = 0
    for (let n = 1; ; n++) {
      const saboteur = new Saboteur()
      const { machine, call, undo, check, leavesSlab } = prepare(saboteur)
      const before = machineHash(machine)
      saboteur.arm(n, n + more)
      const [failed, result] = fails(call)
      const { struck } = saboteur
      saboteur.disarm()
      expectSound(machine)
      if (failed) {
        failures += 1
        expect(struck, 'failed although all page allocations succeeded').toBe(true)
        // With nothing got, nothing is changed at all.
        if (n === 1 && leavesSlab !== true) expect(machineHash(machine)).toBe(before)
        check?.()
      } else {
        undo(result)
      }
      expect(visible(machine)).toEqual(expected)
      const [again, second] = fails(call)
      expect(again, 'fails once there is memory again').toBe(false)
      expect(second).toBeTruthy()
      expectSound(machine)
      if (!struck) break
      expect(n).toBeLessThan(100)
    }
    if (more > 0) expect(failures).toBeGreaterThan(0)
  })
})

describe('the start of a machine', () => {
  it.each([1, 2])(
    'gives all pages back when there are too few for the first caches, of %i nodes',
    (nodes) => {
      for (let n = 1; ; n++) {
        const saboteur = new Saboteur()
        const whole = slabMachine({ mib: 4, nodes })
        const pages = new BuddyAllocator({ ram: whole.ram, cpuNodes: [0] })
        const source = saboteur.between(pageSource(pages))
        const start = () => new SlabAllocator(source, { layout: LAYOUT_X86_64 })
        const machine = { ram: whole.ram, pages }
        const before = freePages(machine)
        saboteur.arm(n, 1e6)
        const [failed] = fails(start)
        const { struck } = saboteur
        saboteur.disarm()
        if (!failed) {
          expect(struck).toBe(false)
          expect(n).toBeGreaterThan(nodes)
          break
        }
        expect(freePages(machine)).toBe(before)
        expectSound({ ...machine, slabs: start() })
      }
    },
  )

  it('makes all kmalloc caches or none', () => {
    const expected = visible(slabMachine({ mib: 4, nodes: 2 }))
    for (let n = 1; ; n++) {
      const saboteur = new Saboteur()
      const machine = machineFor(saboteur, { nodes: 2 })
      saboteur.arm(n, 1e6)
      const [failed] = fails(() => new Kmalloc(machine.slabs))
      saboteur.disarm()
      expectSound(machine)
      if (!failed) {
        expect(n).toBeGreaterThan(2)
        break
      }
      expect(visible(machine)).toEqual(expected)
      const heap = new Kmalloc(machine.slabs)
      for (const size of KMALLOC_SIZES) heap.kfree(must(heap.kmalloc(size)))
      expectSound(machine)
    }
  })
})

describe('a node that comes online', () => {
  it('is not used as long as not all caches have a state for it', () => {
    for (let n = 1; ; n++) {
      const saboteur = new Saboteur()
      const machine = machineFor(saboteur, { nodes: 2, slabs: { nodes: [0], merge: false } })
      const { slabs } = machine
      const caches = Array.from({ length: 70 }, (_, i) => {
        return new SlabCache(slabs, { name: `cache ${i}`, size: 64 })
      })
      const free = freePages(machine)
      saboteur.arm(n, 1e6)
      const online = slabNodeOnline(slabs, 1)
      saboteur.disarm()
      expectSound(machine)
      if (online) {
        expect(n).toBeGreaterThan(1)
        break
      }
      // States that caches got are kept for the next time, as a kernel keeps them.
      expect(freePages(machine)).toBe(free - (n - 1))
      const cache = must(caches[5])
      const object = must(cache.allocNode(GFP_KERNEL, 1))
      expect(slabs.context.source.nodeOf(Math.floor(object / 4096))).toBe(0)
      expect(slabNodeOnline(slabs, 1)).toBe(true)
      const there = must(cache.allocNode(GFP_KERNEL, 1))
      expect(slabs.context.source.nodeOf(Math.floor(there / 4096))).toBe(1)
      expectSound(machine)
    }
  })
})
