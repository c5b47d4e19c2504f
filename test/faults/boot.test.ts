/** Machines in the making, memory that is added, and states that are taken over: without memory, and with an error. */

import { describe, expect, it } from 'vitest'
import { verifySlabs } from '../../src/debug/verifySlabs'
import {
  adjustManagedPageCount,
  adoptBlock,
  attachSlabs,
  attachState,
  BuddyAllocator,
  cacheState,
  freeReservedPages,
  InvalidArgument,
  Kmalloc,
  kernelLog,
  loadCache,
  loadVmallocState,
  loadZones,
  Machine,
  MiB,
  machineFromSnapshot,
  nodeState,
  OutOfMemory,
  PAGE_SIZE,
  type Pfn,
  PhysicalMemory,
  SlabAllocator,
  SlabCache,
  setPageFaults,
  shrinkAllCaches,
  stateHash,
  Vmalloc,
  vmallocState,
  wasmMalloc,
} from '../../src/index'
import { faults, freePagesOf, zonesOf } from '../buddy/machines'
import { Injector, type Mode, Thrown } from './machines'
import { must } from './rows'

const BASE = 14 * MiB

/** Memory and pages, with hooks that are not set off yet. */
function bare(options: { readonly nodes?: number } = {}) {
  const { nodes = 1 } = options
  const map = Array.from({ length: nodes }, (_, node) => ({
    base: BASE + node * 2 * MiB,
    size: 2 * MiB,
    type: 'usable' as const,
    node,
  }))
  const ram = new PhysicalMemory({ map })
  const pages = new BuddyAllocator({ ram, cpuNodes: [0] })
  const injector = new Injector()
  setPageFaults(pages, { failPage: injector.decide })
  return { ram, pages, injector }
}

function freePages(pages: BuddyAllocator): number {
  pages.drainAllPages()
  return zonesOf(pages).reduce((sum, zone) => sum + freePagesOf(pages, zone), 0)
}

interface Options<Before> {
  readonly nodes?: number
  /** Gives back what is kept for later. */
  readonly settle?: (given: Before) => void
}

/** Fails each request of a step of a boot in turn; the step's memory has to come back. Returns the failures. */
function failEachOf<Before, After>(
  before: (parts: ReturnType<typeof bare>) => Before,
  step: (parts: ReturnType<typeof bare>, given: Before) => After,
  { nodes = 1, settle = () => {} }: Options<Before> = {},
): number {
  let failures = 0
  for (const mode of ['from', 'throw'] satisfies Mode[]) {
    for (let n = 1; ; n++) {
      const parts = bare({ nodes })
      const given = before(parts)
      const { pages, injector } = parts
      settle(given)
      const free = freePages(pages)
      injector.arm(mode, n)
      let error: unknown = null
      try {
        step(parts, given)
      } catch (caught) {
        error = caught
      }
      const struck = injector.disarm()
      expect(faults(pages)).toEqual([])
      if (!struck) {
        expect(error).toBeNull()
        break
      }
      failures += 1
      expect(error).toBeInstanceOf(mode === 'throw' ? Thrown : OutOfMemory)
      settle(given)
      expect(freePages(pages), `${mode} ${n}`).toBe(free)
      const made = step(parts, given)
      if (made instanceof SlabAllocator) expect(verifySlabs(made, { pages })).toEqual([])
      // A mapper asks for its tables one by one.
      if (n === 3) n += 55
    }
  }
  return failures
}

describe('a machine in the making', () => {
  it.each([1, 2])('gives back what the slab allocator took of %i nodes', (nodes) => {
    const count = failEachOf(
      () => null,
      ({ pages }) => new SlabAllocator(pages),
      { nodes },
    )
    expect(count).toBeGreaterThan(nodes)
  })

  it('gives back what the kmalloc caches took', () => {
    const count = failEachOf(
      ({ pages }) => new SlabAllocator(pages),
      ({ pages }, slabs) => {
        const heap = new Kmalloc(slabs)
        expect(verifySlabs(slabs, { pages })).toEqual([])
        return heap
      },
      { settle: shrinkAllCaches },
    )
    expect(count).toBeGreaterThan(1)
  })

  it('gives back what the mapper took', () => {
    const count = failEachOf(
      ({ pages }) => new Kmalloc(new SlabAllocator(pages)),
      ({ pages }, heap) => new Vmalloc(pages, { heap, maxRecords: 64, populate: true }),
      { settle: (heap) => shrinkAllCaches(heap.slabs) },
    )
    expect(count).toBeGreaterThan(6)
  })

  it('fails with too little memory, page by page, and succeeds with enough', () => {
    const boots = (pages: number): boolean => {
      try {
        expect(Machine.boot({ ram: pages * PAGE_SIZE, base: BASE }).verify()).toEqual([])
        return true
      } catch (error) {
        expect(error).toBeInstanceOf(OutOfMemory)
        return false
      }
    }
    // 36 pages are enough: steps of a few up to there, then each.
    const sizes = [1, 2, 3, 8, 16, 24, 30, 31, 32, 33, 34, 35, 36, 37, 40]
    const outcomes = sizes.map(boots)
    const first = outcomes.indexOf(true)
    expect(first).toBeGreaterThan(4)
    expect(outcomes.slice(first)).not.toContain(false)
  })

  it('lets the same memory be used once more when it has failed', () => {
    const ram = new PhysicalMemory({ memory: new WebAssembly.Memory({ initial: 1, maximum: 64 }) })
    const ends = () => Machine.boot({ ram, cmdline: 'slub_debug=FZPU', cpus: 8 })
    let tries = 0
    for (;;) {
      try {
        const m = ends()
        const before = m.verify()
        expect(before).toEqual([])
        expect(ram.grow(65536)).toBe(true)
        expect(m.verify()).toEqual([])
        break
      } catch (error) {
        expect(error).toBeInstanceOf(OutOfMemory)
        expect(ram.grow(65536)).toBe(true)
        tries += 1
      }
    }
    expect(tries).toBeGreaterThan(0)
  })
})

describe('memory that is added', () => {
  function growing() {
    const ram = new PhysicalMemory({ memory: new WebAssembly.Memory({ initial: 32, maximum: 40 }) })
    return Machine.boot({ ram })
  }

  it('and refused changes nothing', () => {
    const m = growing()
    const before = m.hash()
    expect(m.ram.grow(9 * 65536)).toBe(false)
    expect(m.hash()).toBe(before)
    expect(m.ram.grow(65536)).toBe(true)
    expect(m.verify()).toEqual([])
  })

  it('and refused to a module leaves its heap as it was', () => {
    const m = growing()
    const c = wasmMalloc(m.heap, { grow: () => false })
    const blocks: number[] = []
    for (let p = c.malloc(8000); p !== 0; p = c.malloc(8000)) blocks.push(p)
    expect(blocks.length).toBeGreaterThan(100)
    expect(c.calloc(10, 900)).toBe(0)
    expect(c.realloc(blocks[0] ?? 0, 20_000)).toBe(0)
    expect(m.verify()).toEqual([])
    for (const p of blocks) c.free(p)
    expect(m.verify()).toEqual([])
    const eager = wasmMalloc(m.heap, { grow: (bytes) => m.ram.grow(bytes) })
    expect(eager.malloc(8000)).not.toBe(0)
  })

  it('in more ranges than there is room for changes nothing', () => {
    const pages = new BuddyAllocator({
      memory: { memory: [{ base: 0, size: 2 * MiB }], reserved: [] },
      maxAddress: 512 * MiB,
    })
    let added = 0
    for (let at = 4 * MiB; ; at += MiB) {
      const before = stateHash(pages)
      try {
        pages.addMemory(at, 64 * PAGE_SIZE)
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidArgument)
        expect(stateHash(pages)).toBe(before)
        break
      }
      added += 1
      expect(faults(pages)).toEqual([])
    }
    expect(added).toBeGreaterThan(3)
    expect(faults(pages)).toEqual([])
  })

  it('with a log that throws is there all the same', () => {
    const lines: string[] = []
    let armed = false
    const pages = new BuddyAllocator({
      memory: { memory: [{ base: 0, size: 2 * MiB }], reserved: [] },
      maxAddress: 512 * MiB,
      log: kernelLog((line) => {
        lines.push(line)
        if (armed) throw new Thrown(line)
      }),
    })
    armed = true
    try {
      pages.addMemory(4 * MiB, 4 * MiB)
    } catch (error) {
      expect(error).toBeInstanceOf(Thrown)
    }
    armed = false
    expect(faults(pages)).toEqual([])
    expect(freePages(pages)).toBe((6 * MiB) / PAGE_SIZE)
  })
})

describe('a state that is taken over', () => {
  it('asks for no page: by attaching, and from a file', () => {
    const m = Machine.boot({ ram: 4 * MiB, base: BASE })
    m.kmalloc(100)
    m.vmalloc(3 * PAGE_SIZE)
    const before = m.hash()
    expect(Machine.attach(m.buffers).hash()).toBe(before)
    m.resume()
    expect(m.hash()).toBe(before)
    expect(machineFromSnapshot(m.save()).hash()).toBe(before)
    const pages = attachState(m.pages.state)
    expect(stateHash(pages)).toBe(stateHash(m.pages))
    expect(() => attachSlabs(pages, m.slabs.words.buffer)).toThrow(InvalidArgument)
    expect(m.hash()).toBe(before)
  })

  it('asks for no page: of zones, caches and areas, and pages that are handed over', () => {
    const { ram, pages, injector } = bare()
    const slabs = new SlabAllocator(pages)
    const heap = new Kmalloc(slabs)
    const cache = new SlabCache(slabs, { name: 'loaded', size: 100, usersize: 100 })
    const vm = new Vmalloc(pages, { heap, maxRecords: 64 })
    const reserved = must(pages.allocPages(0))
    injector.arm('from', 1)
    loadCache(cache, cacheState(cache))
    loadVmallocState(vm, vmallocState(vm))
    adjustManagedPageCount(pages, reserved, 0)
    expect(loadZones(nodeState(pages)).words.length).toBeGreaterThan(0)
    expect(injector.calls).toBe(0)
    injector.disarm()
    expect(faults(pages)).toEqual([])
    expect(ram.size).toBe(2 * MiB)
  })

  it('asks for no page to adopt one, or to hand reserved ones over', () => {
    const pages = new BuddyAllocator({
      memory: {
        memory: [{ base: 0, size: 4 * MiB }],
        reserved: [{ base: 2 * MiB, size: 16 * PAGE_SIZE }],
      },
    })
    const injector = new Injector()
    setPageFaults(pages, { failPage: injector.decide })
    injector.arm('from', 1)
    freeReservedPages(pages, 512 as Pfn, 16)
    const loaded = loadZones(nodeState(pages))
    const free = must(loaded.allocPages(0))
    loaded.freePages(free)
    expect(() => adoptBlock(loaded, free)).toThrow()
    expect(injector.calls).toBe(0)
    expect(faults(pages)).toEqual([])
  })
})
