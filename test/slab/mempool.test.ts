/** mempools: what they ask of the heap, when the reserve gives, and a model of both. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  __GFP_MOVABLE,
  __GFP_NOFAIL,
  __GFP_RECLAIMABLE,
  __GFP_ZERO,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOFS,
  GFP_NOWAIT,
  InvalidArgument,
  KernelBug,
  OutOfMemory,
  toPfn,
  type VirtAddr,
} from '../../src/index'
import {
  kmallocElements,
  Mempool,
  type MempoolElements,
  pageElements,
  slabElements,
} from '../../src/slab/mempool'
import { SlabCache } from '../../src/slab/slabCache'
import { freePages, type HeapMachine, heapMachine, must } from './heapMachine'

/** NOMEMALLOC, NORETRY and NOWARN: what each request gains. */
const GAINED = 0x92000

/** Elements that are numbers, from an allocator that can be told what to answer. */
class Numbers implements MempoolElements<number> {
  /** What the allocator still has. */
  free_: number[] = []
  /** Masks that it was asked with. */
  masks: number[] = []
  /** Elements that it got back. */
  freed: number[] = []

  constructor(count: number) {
    this.free_ = Array.from({ length: count }, (_, i) => i + 1)
  }

  alloc = (gfp: number): number | null => {
    this.masks.push(gfp)
    return this.free_.shift() ?? null
  }

  free = (element: number): void => {
    this.freed.push(element)
    this.free_.push(element)
  }
}

function numbersPool(count: number, minNr: number) {
  const machine = heapMachine()
  const elements = new Numbers(count)
  const pool = must(Mempool.create(machine.heap, { minNr, ...elements }))
  elements.masks = []
  machine.calls()
  return { machine, elements, pool }
}

/** The calls without their addresses. */
function shapes(machine: HeapMachine): string[] {
  return machine.calls().map((call) => call.replace(/ -> .*/, '').replace(/^free .*/, 'free'))
}

describe('what a pool asks of the heap', () => {
  it('takes 72 zero bytes, the pointers, then the elements; gives all back, the newest element first', () => {
    const machine = heapMachine()
    const { heap } = machine
    const pool = must(Mempool.create(heap, { minNr: 3, ...kmallocElements(heap, 256) }))
    const made = machine.calls()
    const zero = (GFP_KERNEL | __GFP_ZERO).toString(16)
    expect(made.map((call) => call.split(' -> ')[0])).toEqual([
      `alloc 72 ${zero}`,
      'alloc 24 cc0',
      'alloc 256 cc0',
      'alloc 256 cc0',
      'alloc 256 cc0',
    ])
    const [structure, array, ...elements] = made.map((call) => call.split(' -> ')[1])
    pool.destroy()
    const order = [...elements.reverse(), array, structure]
    expect(machine.calls()).toEqual(order.map((address) => `free ${address}`))
    expect(machine.live.size).toBe(0)
  })

  it('puts its own structures on the node, by the mask, but not elements of a heap', () => {
    const machine = heapMachine()
    const { heap } = machine
    const options = { minNr: 1, gfp: GFP_NOFS, node: 0, ...kmallocElements(heap, 64) }
    must(Mempool.create(heap, options))
    expect(shapes(machine)).toEqual(['alloc 72 d40 node 0', 'alloc 8 c40 node 0', 'alloc 64 c40'])
  })

  it('may have no reserve at all', () => {
    const { machine, pool, elements } = numbersPool(1, 0)
    expect(pool.alloc()).toBe(1)
    expect(pool.alloc(GFP_NOWAIT)).toBeNull()
    pool.free(1)
    expect(elements.freed).toEqual([1])
    pool.destroy()
    expect(machine.live.size).toBe(0)
  })

  it('gives all back when something fails on the way, whatever it is', () => {
    const machine = heapMachine()
    const { heap } = machine
    for (let n = 1; n <= 6; n++) {
      machine.failFrom(n)
      const pool = Mempool.create(heap, { minNr: 4, ...kmallocElements(heap, 96) })
      machine.failFrom(null)
      expect(pool).toBeNull()
      expect(machine.live.size).toBe(0)
    }
    machine.failFrom(5)
    machine.calls()
    Mempool.create(heap, { minNr: 4, ...kmallocElements(heap, 96) })
    const calls = machine.calls()
    const got = calls.slice(0, 4).map((call) => call.split(' -> ')[1])
    expect(calls[4]).toMatch(/-> 0$/)
    expect(calls.slice(5)).toEqual([got[3], got[2], got[1], got[0]].map((at) => `free ${at}`))
  })

  it('gives all back when memory that may not fail runs out', () => {
    const machine = heapMachine()
    const { heap } = machine
    const elements = {
      alloc(): number | null {
        throw new OutOfMemory('none')
      },
      free() {},
    }
    const options = { minNr: 1, gfp: GFP_KERNEL | __GFP_NOFAIL, ...elements }
    expect(() => Mempool.create(heap, options)).toThrow(OutOfMemory)
    expect(machine.live.size).toBe(0)
  })
})

describe('alloc and free', () => {
  it('asks the allocator first, without waiting; then the reserve, its top first', () => {
    const { elements, pool } = numbersPool(4, 3)
    expect(pool.alloc(GFP_KERNEL)).toBe(4)
    // Without DIRECT_RECLAIM and IO.
    expect(elements.masks).toEqual([(GFP_KERNEL & ~0x440) | GAINED])
    expect(pool.currNr).toBe(3)
    expect([pool.alloc(), pool.alloc(), pool.alloc()]).toEqual([3, 2, 1])
    expect(pool.currNr).toBe(0)
    // A light attempt each, and no second while the reserve gives.
    expect(elements.masks.length).toBe(4)
  })

  it('tries harder when the reserve is empty, and says where a kernel would sleep', () => {
    const { elements, pool } = numbersPool(1, 1)
    pool.alloc()
    elements.masks = []
    expect(() => pool.alloc(GFP_KERNEL)).toThrow(OutOfMemory)
    expect(elements.masks).toEqual([(GFP_KERNEL & ~0x440) | GAINED, GFP_KERNEL | GAINED])
    elements.masks = []
    expect(pool.alloc(GFP_ATOMIC)).toBeNull()
    expect(elements.masks).toEqual([GFP_ATOMIC | GAINED])
    // IO alone is reason enough to try again, but not to sleep.
    elements.masks = []
    expect(pool.alloc(GFP_NOWAIT | 0x40)).toBeNull()
    expect(elements.masks).toEqual([GFP_NOWAIT | GAINED, GFP_NOWAIT | 0x40 | GAINED])
  })

  it('looks at the reserve once more after it tried harder', () => {
    const stock = [7]
    let whenHarder = (): void => {}
    const elements = {
      alloc(gfp: number): number | null {
        if ((gfp & 0x400) !== 0) whenHarder()
        return stock.pop() ?? null
      },
      free() {},
    }
    const pool = must(Mempool.create(heapMachine().heap, { minNr: 1, ...elements }))
    const held = must(pool.alloc())
    // Reclaim has somebody give an element back.
    whenHarder = () => pool.free(held)
    expect(pool.alloc(GFP_KERNEL)).toBe(7)
    expect(pool.currNr).toBe(0)
  })

  it('fills the reserve before anything goes back', () => {
    const { elements, pool } = numbersPool(4, 2)
    const taken = [pool.alloc(), pool.alloc(), pool.alloc(), pool.alloc()].map(must)
    expect(pool.currNr).toBe(0)
    for (const element of taken) pool.free(element)
    expect(pool.currNr).toBe(2)
    expect(elements.freed).toEqual(taken.slice(2))
    pool.free(null)
    expect(pool.currNr).toBe(2)
  })

  it('cannot zero', () => {
    const { elements, pool } = numbersPool(4, 2)
    expect(() => pool.alloc(GFP_KERNEL | __GFP_ZERO)).toThrow(InvalidArgument)
    for (const gfp of [-1, 0.5, Number.NaN, 2 ** 32]) {
      expect(() => pool.alloc(gfp)).toThrow(InvalidArgument)
    }
    expect(elements.masks).toEqual([])
  })
})

describe('resize', () => {
  it('frees from the top, or fills up as far as it goes', () => {
    const { machine, elements, pool } = numbersPool(5, 3)
    expect(pool.resize(2)).toBe(true)
    expect(elements.freed).toEqual([3])
    expect([pool.minNr, pool.currNr]).toEqual([2, 2])
    expect(machine.calls()).toEqual([])
    expect(pool.resize(9)).toBe(true)
    expect([pool.minNr, pool.currNr]).toEqual([9, 5])
    expect(shapes(machine)).toEqual(['alloc 72 cc0', 'free'])
    // Six are asked for: three come, and the fourth answer is null.
    expect(elements.masks).toEqual([GFP_KERNEL, GFP_KERNEL, GFP_KERNEL, GFP_KERNEL])
    expect(pool.resize(9)).toBe(true)
    expect(machine.calls()).toEqual([])
  })

  it('changes nothing when there is no memory for the pointers', () => {
    const { machine, elements, pool } = numbersPool(5, 3)
    machine.failFrom(1)
    expect(pool.resize(4)).toBe(false)
    machine.failFrom(null)
    expect(pool.resize(0x7fffffff)).toBe(false)
    expect([pool.minNr, pool.currNr, elements.masks.length]).toEqual([3, 3, 0])
  })
})

describe('stock elements', () => {
  it('are objects of a cache', () => {
    const machine = heapMachine()
    const cache = new SlabCache(machine.heap.slabs, { name: 'elements', size: 200 })
    const pool = must(Mempool.create(machine.heap, { minNr: 2, ...slabElements(cache) }))
    const object = must(pool.alloc())
    machine.failFrom(1)
    const others = [must(pool.alloc()), must(pool.alloc())]
    expect(pool.alloc(GFP_NOWAIT)).toBeNull()
    machine.failFrom(null)
    for (const one of [object, ...others]) pool.free(one)
    pool.destroy()
    cache.destroy()
    const withCtor = new SlabCache(machine.heap.slabs, { name: 'set up', size: 200, ctor() {} })
    expect(() => slabElements(withCtor)).toThrow(InvalidArgument)
  })

  it('are blocks of pages, from an allocator or from what the heap has', () => {
    const machine = heapMachine()
    const { heap, pages } = machine
    // The caches of the pool's own structures have their slabs from here on.
    must(Mempool.create(heap, { minNr: 2, ...kmallocElements(heap, 16) })).destroy()
    const sources = [pageElements(pages, 1), pageElements(heap.slabs.context.source, 1)]
    for (const elements of sources) {
      const before = freePages(machine)
      const pool = must(Mempool.create(heap, { minNr: 2, ...elements }))
      const block = must(pool.alloc())
      expect(block % 2).toBe(0)
      expect(freePages(machine)).toBe(before - 6)
      expect(() => pages.freePages(block, 0)).toThrow(KernelBug)
      pool.free(block)
      expect(freePages(machine)).toBe(before - 4)
      pool.destroy()
      expect(freePages(machine)).toBe(before)
    }
    expect(machine.live.size).toBe(0)
  })

  it('are none when there is no memory', () => {
    const { heap, pages } = heapMachine()
    const elements = pageElements(heap.slabs.context.source, 3)
    const pool = must(Mempool.create(heap, { minNr: 1, ...elements }))
    const taken = []
    for (let pfn = pages.allocPages(GFP_ATOMIC, 3); pfn !== null; ) {
      taken.push(pfn)
      pfn = pages.allocPages(GFP_ATOMIC, 3)
    }
    expect(elements.alloc(GFP_NOWAIT)).toBeNull()
    const last = must(pool.alloc(GFP_NOWAIT))
    expect(pool.alloc(GFP_NOWAIT)).toBeNull()
    pool.free(last)
    expect(pool.alloc(GFP_NOWAIT)).toBe(last)
  })

  it('refuse what cannot be', () => {
    const { heap, pages } = heapMachine()
    for (const size of [0, -1, 0.5])
      expect(() => kmallocElements(heap, size)).toThrow(InvalidArgument)
    for (const order of [-1, 11, 1.5])
      expect(() => pageElements(pages, order)).toThrow(InvalidArgument)
  })
})

describe('bad input', () => {
  it('changes nothing', () => {
    const machine = heapMachine()
    const { heap } = machine
    const pool = must(Mempool.create(heap, { minNr: 2, ...kmallocElements(heap, 64) }))
    const block = must(pool.alloc())
    machine.failFrom(1)
    const reserved = must(pool.alloc())
    machine.failFrom(null)
    const foreign = must(heap.kmalloc(64))
    pool.free(reserved)
    const before = machine.state()
    const wrong: [VirtAddr, string][] = [
      [reserved, 'DOUBLE_FREE'],
      [foreign, 'BAD_FREE'],
      [(block + 8) as VirtAddr, 'BAD_FREE'],
      [0 as VirtAddr, 'BAD_FREE'],
    ]
    for (const [address, code] of wrong) {
      let caught: unknown
      try {
        pool.free(address)
      } catch (error) {
        caught = error
      }
      expect((caught as KernelBug).code).toBe(code)
    }
    for (const minNr of [0, -1, 1.5, 2 ** 31, Number.NaN]) {
      expect(() => pool.resize(minNr)).toThrow(InvalidArgument)
    }
    for (const minNr of [-1, 1.5, 2 ** 31, Number.NaN]) {
      const options = { minNr, ...kmallocElements(heap, 64) }
      expect(() => Mempool.create(heap, options)).toThrow(InvalidArgument)
    }
    expect(machine.state()).toBe(before)
    expect([pool.minNr, pool.currNr]).toEqual([2, 2])
    pool.free(block)
    expect(() => pool.free(block)).toThrow(KernelBug)
  })

  it('is a free past the pool that the pool must survive', () => {
    const machine = heapMachine()
    const { heap } = machine
    const pool = must(Mempool.create(heap, { minNr: 1, ...kmallocElements(heap, 64) }))
    const block = must(pool.alloc())
    heap.kfree(block)
    expect(pool.alloc()).toBe(block)
  })

  it('is an allocator that hands out what the reserve holds', () => {
    const { heap } = heapMachine()
    const same = { alloc: () => toPfn(5), free() {} }
    expect(() => Mempool.create(heap, { minNr: 2, ...same })).toThrow(KernelBug)
    const pool = must(Mempool.create(heap, { minNr: 1, ...same }))
    expect(() => pool.alloc()).toThrow(KernelBug)
    expect(pool.currNr).toBe(1)
  })

  it('is any use of a pool that was destroyed', () => {
    const { pool } = numbersPool(4, 2)
    const element = must(pool.alloc())
    pool.destroy()
    const calls = [
      () => pool.alloc(),
      () => pool.free(element),
      () => pool.resize(3),
      () => pool.destroy(),
    ]
    for (const call of calls) expect(call).toThrow(KernelBug)
  })

  it('is a mask that no page can be asked for with: all is given back', () => {
    const machine = heapMachine()
    const gfp = GFP_KERNEL | __GFP_MOVABLE | __GFP_RECLAIMABLE
    const options = { minNr: 1, gfp, ...pageElements(machine.pages, 0) }
    expect(() => Mempool.create(machine.heap, options)).toThrow(InvalidArgument)
    expect(machine.live.size).toBe(0)
  })
})

describe('a pool beside a model', () => {
  it('holds min(minNr, what came back) and never one element twice', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ alloc: fc.constantFrom(GFP_NOWAIT, GFP_KERNEL) }) },
      { weight: 4, arbitrary: fc.record({ free: fc.nat(100) }) },
      fc.record({ stock: fc.integer({ min: 0, max: 6 }) }),
      fc.record({ resize: fc.integer({ min: 1, max: 8 }) }),
    )
    const machine = heapMachine()
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 6 }),
        fc.array(step, { maxLength: 80 }),
        (min, list) => {
          let next = min
          /** Elements that the allocator still gives. */
          let stock = min
          const back: number[] = []
          const elements = {
            alloc() {
              if (stock === 0) return null
              stock -= 1
              next += 1
              return next
            },
            free: (element: number) => void back.push(element),
          }
          const pool = must(Mempool.create(machine.heap, { minNr: min, ...elements }))
          const out: number[] = []
          let limit = min
          let reserve = min
          for (const one of list) {
            if ('alloc' in one) {
              const has = stock > 0 || reserve > 0
              if (stock === 0 && reserve > 0) reserve -= 1
              if (has) out.push(must(pool.alloc(one.alloc)))
              else if (one.alloc === GFP_NOWAIT) expect(pool.alloc(one.alloc)).toBeNull()
              else expect(() => pool.alloc(one.alloc)).toThrow(OutOfMemory)
              expect(new Set(out).size).toBe(out.length)
            } else if ('free' in one) {
              const element = out.splice(one.free % (out.length + 1), 1)[0]
              if (element === undefined) continue
              const given = back.length
              pool.free(element)
              expect(back.length).toBe(reserve < limit ? given : given + 1)
              if (reserve < limit) reserve += 1
            } else if ('stock' in one) {
              stock = one.stock
            } else {
              const grows = one.resize > limit
              limit = one.resize
              const filled = reserve + Math.min(stock, Math.max(0, limit - reserve))
              expect(pool.resize(limit)).toBe(true)
              reserve = grows ? filled : Math.min(reserve, limit)
            }
            expect([pool.minNr, pool.currNr]).toEqual([limit, reserve])
          }
          pool.destroy()
          expect(new Set([...back, ...out]).size).toBe(back.length + out.length)
          expect(back.length + out.length).toBe(next - min)
          expect(machine.live.size).toBe(0)
        },
      ),
      { numRuns: 150 },
    )
  })
})
