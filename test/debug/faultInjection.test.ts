import { describe, expect, it } from 'vitest'
import { parseFaultAttr } from '../../src/base/faultAttr'
import { allocPagesBulk } from '../../src/buddy/exactPages'
import { setPageFaults } from '../../src/buddy/pageFaults'
import {
  type FailPageAllocOptions,
  type FailslabOptions,
  failPageAlloc,
  failslab,
} from '../../src/debug/faultInjection'
import { FaultTask } from '../../src/debug/faultPoint'
import {
  __GFP_HIGHMEM,
  __GFP_NOFAIL,
  __GFP_NOWARN,
  GFP_ATOMIC,
  GFP_KERNEL,
  InvalidArgument,
  Kmalloc,
  OutOfMemory,
  SLAB_FAILSLAB,
  SlabCache,
  shrinkAllCaches,
  type VirtAddr,
} from '../../src/index'
import { kmemCacheAllocBulk, kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import { CACHE_FLAGS } from '../../src/state/slabSchema'
import { differences, faults } from '../buddy/machines'
import { expectSound, freePages, machineHash, must, slabMachine } from '../slab/machines'

/** Which of the first calls fail, by their numbers from 1 on: `size` bytes each. */
function failures(options: FailslabOptions, calls = 20, size = 64): number[] {
  const machine = slabMachine({ mib: 4 })
  const cache = new SlabCache(machine.slabs, { name: 'faulty', size })
  machine.slabs.setFaults(failslab(options))
  const failed: number[] = []
  for (let i = 1; i <= calls; i++) if (cache.alloc(GFP_ATOMIC) === null) failed.push(i)
  expectSound(machine)
  return failed
}

function upTo(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1)
}

describe('failslab', () => {
  it('fails nothing by default', () => {
    expect(failures({})).toEqual([])
  })

  it('fails the number of times that it is told', () => {
    expect(failures({ probability: 100 })).toEqual([1])
    expect(failures({ probability: 100, times: 3 })).toEqual([1, 2, 3])
    expect(failures({ probability: 100, times: 0 })).toEqual([])
    expect(failures({ probability: 100, times: -1 })).toEqual(upTo(20))
    expect(failures({ probability: 1000, times: -1 })).toEqual(upTo(20))
  })

  it('fails at an interval, and counts no more once its times are used up', () => {
    expect(failures({ probability: 100, interval: 3, times: 2 })).toEqual([3, 6])
    expect(failures({ probability: 100, interval: 5, times: -1 })).toEqual([5, 10, 15, 20])
    expect(failures({ probability: 100, interval: 0, times: 2 })).toEqual([1, 2])
  })

  it('lets some bytes be allocated before, which do not count for the interval', () => {
    // 130 > 64, 66 > 64, then 2.
    expect(failures({ probability: 100, space: 130 })).toEqual([3])
    // As much as the size does not protect.
    expect(failures({ probability: 100, space: 64 })).toEqual([1])
    expect(failures({ probability: 100, space: 65 })).toEqual([2])
    expect(failures({ probability: 100, space: 10, times: -1 }, 5, 4)).toEqual([3, 4, 5])
    expect(failures({ probability: 100, space: 130, interval: 2 })).toEqual([4])
  })

  it('draws from its seed', () => {
    const draw = (seed: number, probability: number) =>
      failures({ probability, times: -1, seed }, 2000)
    expect(draw(1, 30)).toEqual(draw(1, 30))
    expect(draw(1, 30)).not.toEqual(draw(2, 30))
    for (const probability of [1, 30, 99]) {
      const expected = 20 * probability
      expect(Math.abs(draw(5, probability).length - expected)).toBeLessThan(80)
    }
  })

  it('spares requests that may wait, and those that may not fail', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'a', size: 64 })
    const always = { probability: 100, times: -1 }
    slabs.setFaults(failslab(always))
    expect(cache.alloc(GFP_KERNEL)).not.toBeNull()
    expect(cache.alloc(GFP_ATOMIC)).toBeNull()
    expect(cache.alloc(GFP_ATOMIC | __GFP_NOFAIL)).not.toBeNull()
    slabs.setFaults(failslab({ ...always, ignoreGfpWait: false }))
    expect(cache.alloc(GFP_KERNEL)).toBeNull()
    expect(cache.alloc(GFP_KERNEL | __GFP_NOFAIL)).not.toBeNull()
    slabs.setFaults(null)
    expect(cache.alloc(GFP_ATOMIC)).not.toBeNull()
  })

  it('with a filter fails only marked caches, and never the descriptors of caches', () => {
    const { slabs } = slabMachine()
    const plain = new SlabCache(slabs, { name: 'plain', size: 64 })
    const marked = new SlabCache(slabs, { name: 'marked', size: 64 })
    slabs.words[marked.record + CACHE_FLAGS]! |= SLAB_FAILSLAB
    expect(marked.record).toBe(plain.record)
    const other = new SlabCache(slabs, { name: 'other', size: 72 })
    slabs.setFaults(
      failslab({ probability: 100, times: -1, ignoreGfpWait: false, cacheFilter: true }),
    )
    expect(marked.alloc()).toBeNull()
    expect(other.alloc()).not.toBeNull()
    // A new cache takes objects of kmem_cache and kmem_cache_node, which are not marked.
    expect(new SlabCache(slabs, { name: 'new', size: 80 }).alloc()).not.toBeNull()
    slabs.setFaults(failslab({ probability: 100, times: -1, ignoreGfpWait: false }))
    expect(() => new SlabCache(slabs, { name: 'newer', size: 88 })).toThrow(OutOfMemory)
  })

  it('asks the task and the caller where it is told to', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'a', size: 64 })
    const task = new FaultTask()
    let spare = false
    const options = { probability: 100, times: -1, taskFilter: true, task, filter: () => !spare }
    slabs.setFaults(failslab(options))
    expect(cache.alloc(GFP_ATOMIC)).not.toBeNull()
    task.makeItFail = true
    expect(cache.alloc(GFP_ATOMIC)).toBeNull()
    spare = true
    expect(cache.alloc(GFP_ATOMIC)).not.toBeNull()
  })

  it('fails bulk allocations as a whole, asks once for each, and spares large blocks', () => {
    const machine = slabMachine()
    const { slabs } = machine
    const heap = new Kmalloc(slabs)
    const cache = new SlabCache(slabs, { name: 'a', size: 64 })
    slabs.setFaults(failslab({ probability: 100, interval: 2, times: -1 }))
    expect(kmemCacheAllocBulk(cache, GFP_ATOMIC, 40)).toHaveLength(40)
    const before = machineHash(machine)
    expect(kmemCacheAllocBulk(cache, GFP_ATOMIC, 40)).toEqual([])
    expect(machineHash(machine)).toBe(before)
    for (let i = 0; i < 4; i++) expect(heap.kmalloc(9000, GFP_ATOMIC)).not.toBeNull()
    expect(cache.alloc(GFP_ATOMIC)).not.toBeNull()
    expect(cache.alloc(GFP_ATOMIC)).toBeNull()
  })

  it('changes nothing when it fails a call', () => {
    const machine = slabMachine()
    const heap = new Kmalloc(machine.slabs)
    machine.slabs.setFaults(failslab({ probability: 100, times: -1, ignoreGfpWait: false }))
    const before = machineHash(machine)
    for (let size = 1; size <= 8192; size += 97) expect(heap.kzalloc(size)).toBeNull()
    expect(machineHash(machine)).toBe(before)
  })
})

describe('reports of failslab', () => {
  function logged(options: FailslabOptions, gfp = GFP_ATOMIC, calls = 1): string[] {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'a', size: 64 })
    const lines: string[] = []
    const stack = () => ['Call Trace:', ' test']
    slabs.setFaults(failslab({ ...options, stack, log: (line) => lines.push(line) }))
    for (let i = 0; i < calls; i++) cache.alloc(gfp)
    return lines
  }

  const report = [
    'FAULT_INJECTION: forcing a failure.',
    'name failslab, interval 1, probability 100, space 0, times 5',
  ]

  it('have two lines, with the times before they are counted, and a stack dump', () => {
    const options = { probability: 100, times: 5 }
    expect(logged(options)).toEqual([...report, 'Call Trace:', ' test'])
    expect(logged({ ...options, verbose: 1 })).toEqual(report)
    expect(logged({ ...options, verbose: 0 })).toEqual([])
    expect(logged({ ...options, verbose: 1, times: -1, interval: 2 }, GFP_ATOMIC, 2)).toEqual([
      report[0],
      'name failslab, interval 2, probability 100, space 0, times -1',
    ])
  })

  it('are left out with NOWARN, and the failure counts', () => {
    expect(logged({ probability: 100, times: 2 }, GFP_ATOMIC | __GFP_NOWARN, 5)).toEqual([])
  })

  it('are limited in number, with a clock and an interval', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'a', size: 64 })
    let now = 1000
    let lines = 0
    const log = () => {
      lines += 1
    }
    const injection = failslab({ probability: 100, times: -1, verbose: 1, log, clock: () => now })
    slabs.setFaults(injection)
    const reports = (calls: number) => {
      lines = 0
      for (let i = 0; i < calls; i++) cache.alloc(GFP_ATOMIC)
      return lines / 2
    }
    expect(reports(30)).toBe(30)
    injection.attributes.write('verbose_ratelimit_interval_ms', '100\n')
    injection.attributes.write('verbose_ratelimit_burst', '4')
    expect(reports(30)).toBe(4)
    now += 99
    expect(reports(30)).toBe(0)
    now += 1
    expect(reports(30)).toBe(4)
  })
})

describe('attributes', () => {
  it('of failslab have the defaults and the texts of the kernel', () => {
    const { attributes } = failslab()
    const texts = Object.fromEntries(attributes.files.map((file) => [file, attributes.read(file)]))
    expect(texts).toEqual({
      probability: '0\n',
      interval: '1\n',
      times: '1\n',
      space: '0\n',
      verbose: '2\n',
      verbose_ratelimit_interval_ms: '0\n',
      verbose_ratelimit_burst: '10\n',
      'task-filter': 'N\n',
      'ignore-gfp-wait': 'Y\n',
      'cache-filter': 'N\n',
    })
  })

  it('of fail_page_alloc have three of their own', () => {
    const { attributes } = failPageAlloc({ minOrder: 3, ignoreGfpHighmem: false })
    expect(attributes.read('min-order')).toBe('3\n')
    expect(attributes.read('ignore-gfp-highmem')).toBe('N\n')
    expect(attributes.read('ignore-gfp-wait')).toBe('Y\n')
    expect(failPageAlloc().attributes.read('min-order')).toBe('1\n')
    expect(failPageAlloc().attributes.read('ignore-gfp-highmem')).toBe('Y\n')
  })

  it('can be written, and are obeyed', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'a', size: 64 })
    const injection = failslab()
    const { attributes } = injection
    slabs.setFaults(injection)
    expect(cache.alloc()).not.toBeNull()
    for (const [file, text] of [
      ['probability', '100\n'],
      ['times', '-1'],
      ['ignore-gfp-wait', 'N\n'],
      ['space', '-5\n'],
    ] as const) {
      attributes.write(file, text)
      expect(attributes.read(file)).toBe(`${text.trim()}\n`)
    }
    expect(cache.alloc()).toBeNull()
    attributes.write('times', '2')
    expect([cache.alloc(), cache.alloc(), cache.alloc()].map((p) => p === null)).toEqual([
      true,
      true,
      false,
    ])
    expect(attributes.read('times')).toBe('0\n')
  })

  it('refuse other texts, values and files, with nothing changed', () => {
    const { attributes } = failslab({ times: 7 })
    for (const text of ['', 'x', '1x', '0x10', '1.5', ' 1', '2147483648', '-2147483649', '--1']) {
      expect(() => attributes.write('times', text)).toThrow(InvalidArgument)
    }
    for (const text of ['', 'yes', '2', '-1']) {
      expect(() => attributes.write('task-filter', text)).toThrow(InvalidArgument)
    }
    expect(() => attributes.write('probability', '-1')).toThrow(InvalidArgument)
    for (const file of ['min-order', 'toString', '']) {
      expect(() => attributes.read(file)).toThrow(InvalidArgument)
      expect(() => attributes.write(file, '1')).toThrow(InvalidArgument)
    }
    expect(attributes.read('times')).toBe('7\n')
    expect(() => failslab({ probability: -1 })).toThrow(InvalidArgument)
    expect(() => failslab({ times: 0.5 })).toThrow(InvalidArgument)
    expect(() => failslab({ seed: -1 })).toThrow(InvalidArgument)
    expect(() => failPageAlloc({ minOrder: -1 })).toThrow(InvalidArgument)
  })

  it('come from a boot parameter', () => {
    expect(parseFaultAttr('10,100,4096,-1')).toEqual({
      interval: 10,
      probability: 100,
      space: 4096,
      times: -1,
    })
    expect(failures({ ...parseFaultAttr('4,100,0,2') })).toEqual([4, 8])
    for (const text of ['', '1,2,3', '1,2,3,4,5', '1,2,3,x', '-1,100,0,1', '1, 2,3,4', '1,2,3,']) {
      expect(() => parseFaultAttr(text)).toThrow(InvalidArgument)
    }
    expect(() => parseFaultAttr('1,2,3,4294967296')).toThrow(InvalidArgument)
  })
})

describe('failNth', () => {
  it('fails one call, whatever the attributes say', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'a', size: 64 })
    const injection = failslab()
    slabs.setFaults(injection)
    injection.failNth(3)
    // Spared calls do not count.
    for (let i = 0; i < 5; i++) expect(cache.alloc(GFP_KERNEL)).not.toBeNull()
    expect(injection.task.failNth).toBe(3)
    const results = Array.from({ length: 6 }, () => cache.alloc(GFP_ATOMIC) === null)
    expect(results).toEqual([false, false, true, false, false, false])
    expect(injection.task.failNth).toBe(0)
    injection.failNth(1)
    injection.failNth(0)
    expect(cache.alloc(GFP_ATOMIC)).not.toBeNull()
    expect(() => injection.failNth(-1)).toThrow(InvalidArgument)
    expect(() => injection.failNth(0.5)).toThrow(InvalidArgument)
  })

  it('keeps all other failures off while it counts', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'a', size: 64 })
    const injection = failslab({ probability: 100, times: -1 })
    slabs.setFaults(injection)
    injection.failNth(2)
    const results = Array.from({ length: 4 }, () => cache.alloc(GFP_ATOMIC) === null)
    expect(results).toEqual([false, true, true, true])
  })

  it('counts objects and pages of one task together', () => {
    const machine = slabMachine()
    const { slabs, pages } = machine
    const cache = new SlabCache(slabs, { name: 'a', size: 64 })
    const task = new FaultTask()
    slabs.setFaults(failslab({ task }))
    setPageFaults(pages, failPageAlloc({ task, minOrder: 0 }))
    task.setFailNth(2)
    expect(cache.alloc(GFP_ATOMIC)).not.toBeNull()
    expect(task.failNth).toBe(0)
    // The first call was for the object, the second for its slab: which is asked for twice.
    expectSound(machine)
    task.setFailNth(1)
    expect(pages.allocPages(GFP_ATOMIC)).toBeNull()
  })
})

/** Calls of the slab layer that allocate, each undone by the function that it returns. */
const OPERATIONS: Record<string, (heap: Kmalloc) => (() => void) | null> = {
  kmalloc: (heap) => freeing(heap, heap.kmalloc(100)),
  'kmalloc, reclaimable': (heap) => freeing(heap, heap.kmalloc(100, 0xcd0)),
  kzalloc: (heap) => freeing(heap, heap.kzalloc(3000)),
  kcalloc: (heap) => freeing(heap, heap.kcalloc(30, 7)),
  krealloc: (heap) => freeing(heap, heap.krealloc(null, 500)),
  'kmalloc, large': (heap) => freeing(heap, heap.kmalloc(20000)),
  SlabCache: (heap) => {
    try {
      const cache = new SlabCache(heap.slabs, { name: 'nth', size: 1000, align: 256 })
      return () => cache.destroy()
    } catch (error) {
      if (error instanceof OutOfMemory) return null
      throw error
    }
  },
  allocBulk: (heap) => {
    const cache = new SlabCache(heap.slabs, { name: 'bulk', size: 900, flags: 0x800000 })
    const objects = kmemCacheAllocBulk(cache, GFP_KERNEL, 50)
    if (objects.length > 0) kmemCacheFreeBulk(cache, objects)
    cache.destroy()
    return objects.length > 0 ? () => {} : null
  },
}

function freeing(heap: Kmalloc, p: VirtAddr | null): (() => void) | null {
  return p === null ? null : () => heap.kfree(p)
}

describe('the nth allocation, for each operation of the slab layer', () => {
  it.each(Object.keys(OPERATIONS))('%s', (name) => {
    const operation = must(OPERATIONS[name])
    // Each time the next call to the slabs or the pages fails, until the operation needs no more.
    for (let n = 1, failed = 0; ; n++) {
      const machine = slabMachine()
      const { slabs, pages } = machine
      const heap = new Kmalloc(slabs)
      shrinkAllCaches(slabs)
      const before = freePages(machine)
      const task = new FaultTask()
      slabs.setFaults(failslab({ task, ignoreGfpWait: false }))
      setPageFaults(pages, failPageAlloc({ task, ignoreGfpWait: false, minOrder: 0 }))
      task.setFailNth(n)
      let undo: (() => void) | null = null
      try {
        undo = operation(heap)
      } catch (error) {
        if (!(error instanceof OutOfMemory)) throw error
      }
      const reached = task.failNth === 0
      task.setFailNth(0)
      expectSound(machine)
      if (undo === null) failed += 1
      undo?.()
      shrinkAllCaches(slabs)
      expect(freePages(machine)).toBe(before)
      expectSound(machine)
      if (!reached) {
        expect(failed).toBeGreaterThan(0)
        expect(undo).not.toBeNull()
        break
      }
      expect(n).toBeLessThan(200)
    }
  })
})

describe('failPageAlloc', () => {
  function pagesThatFail(options: FailPageAllocOptions, requests: readonly [number, number][]) {
    const machine = slabMachine()
    setPageFaults(machine.pages, failPageAlloc({ probability: 100, times: -1, ...options }))
    const results = requests.map(([gfp, order]) => machine.pages.allocPages(gfp, order) === null)
    expect(faults(machine.pages)).toEqual([])
    return results
  }

  it('spares small orders, and requests that may wait, use high memory or may not fail', () => {
    const requests: [number, number][] = [
      [GFP_ATOMIC, 0],
      [GFP_ATOMIC, 1],
      [GFP_ATOMIC, 3],
      [GFP_KERNEL, 3],
      [GFP_ATOMIC | __GFP_HIGHMEM, 3],
      [GFP_ATOMIC | __GFP_NOFAIL, 1],
    ]
    expect(pagesThatFail({}, requests)).toEqual([false, true, true, false, false, false])
    expect(pagesThatFail({ minOrder: 2 }, requests)).toEqual([
      false,
      false,
      true,
      false,
      false,
      false,
    ])
    const all = { minOrder: 0, ignoreGfpWait: false, ignoreGfpHighmem: false }
    expect(pagesThatFail(all, requests)).toEqual([true, true, true, true, true, false])
  })

  it('counts space in pages', () => {
    const order3 = new Array<[number, number]>(4).fill([GFP_ATOMIC, 3])
    expect(pagesThatFail({ space: 20 }, order3)).toEqual([false, false, true, true])
  })

  it('gives null at once: no event, no page and no word of the state changes', () => {
    const { pages } = slabMachine()
    const twin = slabMachine().pages
    let events = 0
    pages.setTrace({
      pageAlloc: () => {
        events += 1
      },
      pageFree() {},
      pageFreeBatched() {},
      zoneLocked() {},
      pcpuDrain() {},
      extfrag() {},
    })
    const options = { probability: 100, times: -1, minOrder: 0, ignoreGfpWait: false }
    setPageFaults(pages, failPageAlloc(options))
    for (let order = 0; order <= 10; order++) {
      expect(pages.allocPages(GFP_KERNEL, order)).toBeNull()
      expect(pages.allocPagesNode(0, GFP_KERNEL, order)).toBeNull()
    }
    expect(events).toBe(0)
    expect(differences(pages, twin)).toEqual([])
    expect(() => pages.allocPages(-1)).toThrow(InvalidArgument)
  })

  it("reports in the kernel's words", () => {
    const { pages } = slabMachine()
    const lines: string[] = []
    setPageFaults(
      pages,
      failPageAlloc({ probability: 100, interval: 2, log: (line) => lines.push(line) }),
    )
    expect(pages.allocPages(GFP_ATOMIC, 1)).not.toBeNull()
    expect(pages.allocPages(GFP_ATOMIC, 1)).toBeNull()
    expect(lines).toEqual([
      'FAULT_INJECTION: forcing a failure.',
      'name fail_page_alloc, interval 2, probability 100, space 0, times 1',
    ])
  })

  it('takes the fast path away while it is there, and not for longer', () => {
    const { pages } = slabMachine()
    for (let i = 0; i < 3; i++) pages.freePages(must(pages.allocPages(GFP_ATOMIC)))
    let asked = 0
    setPageFaults(pages, {
      failPage(gfp, order) {
        expect([gfp, order]).toEqual([GFP_ATOMIC, 0])
        asked += 1
        return asked % 2 === 0
      },
    })
    const got = Array.from({ length: 6 }, () => pages.allocPages(GFP_ATOMIC))
    expect(got.map((pfn) => pfn === null)).toEqual([false, true, false, true, false, true])
    setPageFaults(pages, null)
    for (const pfn of got) if (pfn !== null) pages.freePages(pfn)
    expect(pages.allocPages(GFP_ATOMIC)).not.toBeNull()
    expect(asked).toBe(6)
    expect(faults(pages)).toEqual([])
  })

  it('asks once for a bulk request', () => {
    const { pages } = slabMachine()
    const orders: number[] = []
    let fail = false
    setPageFaults(pages, {
      failPage(_gfp, order) {
        orders.push(order)
        return fail
      },
    })
    expect(allocPagesBulk(pages, GFP_KERNEL, 10)).toHaveLength(10)
    expect(allocPagesBulk(pages, GFP_KERNEL, 1)).toHaveLength(1)
    expect(orders).toEqual([0, 0])
    fail = true
    expect(allocPagesBulk(pages, GFP_KERNEL, 10)).toEqual([])
    expect(allocPagesBulk(pages, GFP_KERNEL, 1)).toEqual([])
    expect(orders).toEqual([0, 0, 0, 0])
  })

  it('makes slabs fail, which report it', () => {
    const machine = slabMachine()
    const { slabs, pages } = machine
    const cache = new SlabCache(slabs, { name: 'a', size: 3000 })
    const options = { probability: 100, times: -1, minOrder: 0, ignoreGfpWait: false }
    setPageFaults(pages, failPageAlloc(options))
    expect(cache.alloc()).toBeNull()
    // Only the larger blocks fail: the cache makes do with a smaller one.
    setPageFaults(pages, failPageAlloc({ ...options, minOrder: 1 }))
    expect(cache.alloc()).not.toBeNull()
    expectSound(machine)
  })
})
