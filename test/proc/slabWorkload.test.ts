/** The slab calls of a real kernel's trace as a workload, and what the trace tells of that kernel's slabs. */

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import {
  __GFP_NOWARN,
  BuddyAllocator,
  type CacheState,
  cacheState,
  GFP_ATOMIC,
  Kmalloc,
  kmallocCacheOf,
  LAYOUT_X86_64,
  loadCache,
  loadZones,
  MiB,
  OutOfMemory,
  PhysicalMemory,
  parseFtrace,
  SlabAllocator,
  type SlabTrace,
  type ZoneState,
} from 'kmem'
import { describe, expect, it } from 'vitest'
import { parseFtraceSlab } from '../../src/proc/ftraceSlab'
import { FTRACE_KMALLOC } from '../../src/proc/ftraceSlabEvents'
import { replaySlabEvents } from '../../src/proc/slabWorkload'
import { slotOptions } from '../../src/proc/slabWorkloadCaches'
import type { SlabWorkload } from '../../src/proc/slabWorkloadResult'
import { formatSlabWorkload } from '../../src/proc/slabWorkloadText'
import { tracedCaches } from '../../src/proc/tracedCaches'
import { tracedSlabs } from '../../src/proc/tracedSlabs'
import { CacheRecord, SlabCache } from '../../src/slab/slabCache'
import { nodeCounters } from '../../src/slab/slabState'
import {
  NODE_SLAB_UNRECLAIMABLE,
  SLAB_CACHE_CACHE,
  SLAB_NODE_CACHE,
  SLAB_NR_CACHES,
} from '../../src/state/slabSchema'

const FOLDER = new URL('../fixtures/traces/', import.meta.url)
const KMALLOC_SIZES = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192]

interface States {
  readonly before: { readonly zones: ZoneState[]; readonly caches: CacheState[] }
  readonly after: { readonly caches: CacheState[] }
}

const bytes = gunzipSync(readFileSync(new URL('short-all-events.ftrace.gz', FOLDER)))
const states = JSON.parse(
  readFileSync(new URL('short-all-events.state.json', FOLDER), 'utf8'),
) as States
const events = parseFtraceSlab(bytes)

function heapOn(pages: BuddyAllocator): Kmalloc {
  return new Kmalloc(new SlabAllocator(pages, { layout: LAYOUT_X86_64 }))
}

function freshHeap(size = 256 * MiB): Kmalloc {
  return heapOn(new BuddyAllocator({ ram: new PhysicalMemory({ size }) }))
}

/** The machine of the trace in the state before it, kmalloc caches included. */
function recordedHeap(): Kmalloc {
  const ram = new PhysicalMemory({ size: 768 * MiB })
  const heap = heapOn(loadZones(states.before.zones, { ram }))
  for (const state of states.before.caches) loadCache(kmallocCacheOf(heap, state.size), state)
  return heap
}

function cachesOf(heap: Kmalloc): number {
  return heap.slabs.words[SLAB_NR_CACHES] ?? -1
}

function row(result: SlabWorkload, name: string): SlabWorkload['caches'][number] {
  const found = result.caches.filter((cache) => cache.name === name)
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} of ${name}`)
  return found[0]
}

/** What the text says of one cache: allocations, frees of them, other frees, live at the end. */
function countsByText(): Map<string, number[]> {
  const sizes = new Map<string, string>()
  const counts = new Map<string, number[]>()
  const live = new Map<string, string>()
  const bump = (name: string, i: number) => {
    const count = counts.get(name) ?? [0, 0, 0, 0]
    count[i] = (count[i] ?? 0) + 1
    counts.set(name, count)
  }
  const texts = bytes
    .toString('latin1')
    .matchAll(/: (kmalloc|kfree|kmem_cache_\w+): .* ptr=(\S+)(.*)/g)
  for (const [, event = '', ptr = '', rest = ''] of texts) {
    const size = /bytes_req=(\d+) bytes_alloc=(\d+)/.exec(rest)
    if (size !== null) {
      live.set(ptr, event === 'kmalloc' ? `kmalloc-${size[2]}` : `${size[1]}/${size[2]}`)
      bump(live.get(ptr) ?? '', 0)
      continue
    }
    const name = rest.replace(' name=', '')
    const from = live.get(ptr)
    if (from !== undefined) {
      if (name !== '') sizes.set(from, name)
      bump(from, 1)
      live.delete(ptr)
    } else if (name !== '') bump(`of ${name}`, 2)
  }
  for (const from of live.values()) bump(from, 3)
  const named = new Map<string, number[]>()
  for (const [from, count] of counts) {
    if (from.startsWith('of ')) continue
    const name = sizes.get(from) ?? from.replace(/^(kmalloc-\d)\d{3}$/, '$1k')
    count[2] = counts.get(`of ${name}`)?.[2] ?? 0
    named.set(name, count)
  }
  return named
}

describe('short-all-events on a fresh machine', () => {
  const heap = freshHeap()
  const cachesBefore = cachesOf(heap)
  const pagesBefore = slabPagesOf(heap)
  let during = 0
  const result = replaySlabEvents(events, heap, {
    onProgress: (done, total) => {
      if (done === total) during = cachesOf(heap)
    },
  })

  it('makes every call that it can', () => {
    expect(result.events).toBe(69_820)
    expect(result.total).toMatchObject({
      allocs: 803 + 33_180,
      failed: 0,
      frees: 801 + 33_088,
      unknownFrees: 1_673,
      live: 94,
      slabsBefore: 0,
      pagesBefore: 0,
    })
    expect(result.nullFrees).toBe(275)
    expect(result.total.frees + result.total.unknownFrees + result.nullFrees).toBe(34_761 + 1_076)
    expect([result.failedInTrace, result.impliedFrees]).toEqual([0, 0])
  })

  it('counts the objects of each cache as the text has them', () => {
    const found = new Map(
      result.caches.map((c) => [c.name, [c.allocs, c.frees, c.unknownFrees, c.live]]),
    )
    expect(found).toEqual(countsByText())
    expect(result.caches).toHaveLength(28)
    expect(found.get('dentry')).toEqual([3_819, 3_799, 2, 20])
    expect(found.get('kmalloc-1k')).toEqual([55, 55, 0, 0])
    for (const { allocs, frees, live } of result.caches) expect(live).toBe(allocs - frees)
  })

  it('has the slots of the kernel, and the orders', () => {
    for (const { slotSize, ownSlotSize } of result.caches) expect(ownSlotSize).toBe(slotSize)
    for (const { name, made, pagesMade } of tracedSlabs(events, parseFtrace(bytes))) {
      expect([name, 2 ** row(result, name).order]).toEqual([name, pagesMade / made])
    }
    for (const { name, order, objs } of states.before.caches) {
      const ours = result.caches.find((cache) => cache.name === name)
      if (ours !== undefined) expect([ours.order, ours.objectsPerSlab]).toEqual([order, objs])
    }
  })

  it('accounts for its slabs and pages', () => {
    for (const cache of [...result.caches, result.total]) {
      expect(cache.slabs).toBe(cache.slabsBefore + cache.slabsMade - cache.slabsReturned)
      expect(cache.peakSlabs).toBeGreaterThanOrEqual(cache.slabs)
      expect(cache.peakPages).toBeGreaterThanOrEqual(cache.pages)
    }
    for (const {
      slabs,
      peakSlabs,
      peakLive,
      live,
      objectsPerSlab,
      order,
      pages,
    } of result.caches) {
      expect(pages).toBe(slabs * 2 ** order)
      expect(slabs * objectsPerSlab).toBeGreaterThanOrEqual(live)
      expect(peakSlabs * objectsPerSlab).toBeGreaterThanOrEqual(peakLive)
    }
    for (const key of ['allocs', 'frees', 'live', 'slabs', 'slabsMade', 'pages'] as const) {
      const sum = result.caches.reduce((total, cache) => total + cache[key], 0)
      expect(result.total[key]).toBe(sum)
    }
  })

  it('leaves nothing behind', () => {
    expect(during).toBe(cachesBefore + 20)
    expect(cachesOf(heap)).toBe(cachesBefore)
    for (const size of KMALLOC_SIZES) {
      const cache = kmallocCacheOf(heap, size)
      expect(cache.shrink()).toBe(false)
      const { cpu, nodes } = cacheState(cache)
      expect([cpu.slab, nodes[0]?.slabs, nodes[0]?.totalObjects]).toEqual([null, 0, 0])
    }
    for (const column of [SLAB_CACHE_CACHE, SLAB_NODE_CACHE]) {
      new SlabCache(heap.slabs, new CacheRecord(heap.slabs.words[column] ?? 0)).shrink()
    }
    expect(slabPagesOf(heap)).toBe(pagesBefore)
  })

  it('does the same again', () => {
    expect(replaySlabEvents(events, freshHeap())).toEqual(result)
    expect(replaySlabEvents(events, heap)).toMatchObject({
      total: { allocs: result.total.allocs, live: 94, slabs: result.total.slabs },
    })
  })
})

/** Pages of slabs, those of descriptors included, and of large blocks. */
function slabPagesOf(heap: Kmalloc): number {
  const { words } = heap.slabs
  return words[nodeCounters(words, 0) + NODE_SLAB_UNRECLAIMABLE] ?? -1
}

describe('short-all-events on the recorded state', () => {
  const heap = recordedHeap()
  const ours: [object: number, ...fields: number[]][] = []
  const nothing = () => {}
  const listener: SlabTrace = {
    kmalloc: (...event) => ours.push(event),
    cacheAlloc: nothing,
    kfree: nothing,
    cacheFree: nothing,
  }
  heap.slabs.setTrace(listener)
  const result = replaySlabEvents(events, heap)
  const slabs = tracedSlabs(events, parseFtrace(bytes))

  it('gives every kmalloc object the address that the kernel gave it', () => {
    const theirs: typeof ours = []
    for (let i = 0; i < events.count; i++) {
      if (events.kind[i] !== FTRACE_KMALLOC) continue
      const { ptr, bytesReq, bytesAlloc, gfp, node } = events
      theirs.push([ptr[i]!, bytesReq[i]!, bytesAlloc[i]!, gfp[i]!, node[i]!])
    }
    expect(ours).toHaveLength(803)
    const differences = ours.flatMap((event, i) => {
      const same = event.every((field, j) => field === theirs[i]?.[j])
      return same ? [] : [[event, theirs[i] ?? []]]
    })
    // One object lies in a slab made during the trace: the workload makes no page calls, so its page is
    // another one. Its place in the page is the same.
    expect(differences).toHaveLength(1)
    const [[object = 0, ...fields] = [], [kernel = 0, ...kernelFields] = []] = differences[0] ?? []
    expect(fields).toEqual(kernelFields)
    expect(fields.slice(0, 2)).toEqual([168, 192])
    expect(object % 4096).toBe(kernel % 4096)
    const pages = parseFtrace(bytes)
    const made = pages.pfn.indexOf(Math.floor((kernel - 0x888000000000) / 4096))
    expect(pages.kind[made]).toBe(1)
  })

  it('changes the slabs of the kmalloc caches as the kernel did', () => {
    let caches = 0
    for (const cache of result.caches) {
      if (!cache.name.startsWith('kmalloc-')) continue
      caches++
      const state = states.before.caches.find(({ name }) => name === cache.name)
      const kernel = slabs.find(({ name }) => name === cache.name)
      expect(cache.slabsBefore).toBe(state?.nodes[0]?.slabs)
      expect([cache.name, cache.slabsMade, cache.slabsReturned]).toEqual([
        cache.name,
        kernel?.made ?? 0,
        kernel?.returned ?? 0,
      ])
    }
    expect(caches).toBe(8)
    expect(row(result, 'kmalloc-192')).toMatchObject({ slabsBefore: 4, slabsMade: 1, slabs: 5 })
  })
})

describe('tracedSlabs', () => {
  it('finds the slabs that the kernel made and gave back', () => {
    const found = tracedSlabs(events, parseFtrace(bytes))
    const numbers = found.map((s) => [s.name, s.made, s.returned, s.pagesMade, s.pagesReturned])
    expect(new Map(numbers.map(([name, ...counts]) => [name, counts]))).toEqual(
      new Map([
        ['vm_area_struct', [1, 0, 1, 0]],
        ['maple_node', [2, 0, 2, 0]],
        ['task_struct', [1, 0, 8, 0]],
        ['signal_cache', [1, 0, 2, 0]],
        ['pid', [1, 0, 1, 0]],
        ['dentry', [43, 31, 43, 31]],
        ['shmem_inode_cache', [59, 45, 118, 90]],
        ['filp', [15, 14, 15, 14]],
        ['proc_inode_cache', [1, 0, 2, 0]],
        ['radix_tree_node', [14, 2, 28, 4]],
        ['kmalloc-192', [1, 0, 1, 0]],
      ]),
    )
    expect(numbers).toHaveLength(11)
  })

  it('tells slabs from other blocks, and finds those from before the trace', () => {
    const text = lines([
      pageAlloc(0x100, 1),
      pageAlloc(0x200, 0),
      alloc(0x101_800, 64, 64),
      alloc(0x101_840, 64, 64),
      free(0x101_800, 'a'),
      // A page from before the trace, the second of a block of two.
      free(0x301_000, 'a'),
      pageFree(0x300, 1),
      pageFree(0x200, 0),
      pageFree(0x400, 3),
      free(0x101_840, 'a'),
      pageFree(0x100, 1),
      // The same pages are no slab now, whatever they were before.
      pageAlloc(0x100, 1),
      pageFree(0x100, 1),
      pageAlloc(0x100, 1),
      kmalloc(0x100_000, 5000, 8192),
    ])
    expect(tracedSlabs(parseFtraceSlab(text), parseFtrace(text))).toEqual([
      { name: 'a', made: 1, returned: 2, pagesMade: 2, pagesReturned: 4 },
      { name: 'kmalloc-8k', made: 1, returned: 0, pagesMade: 2, pagesReturned: 0 },
    ])
  })
})

describe('tracedCaches', () => {
  const cachesIn = (texts: string[]) => {
    const { caches, cacheOf, endOf } = tracedCaches(parseFtraceSlab(lines(texts)))
    return { names: [...cacheOf].map((i) => caches[i]?.name ?? null), endOf: [...endOf], caches }
  }

  it('names what is freed, and what has the sizes of one named cache only', () => {
    const { names, endOf } = cachesIn([
      alloc(0x1000, 56, 64),
      alloc(0x1040, 56, 64),
      free(0x1000, 'a'),
      alloc(0x2000, 64, 64),
      alloc(0x3000, 100, 104),
    ])
    expect(names).toEqual(['a', 'a', 'a', 'unnamed-64-64', 'unnamed-100-104'])
    expect(endOf).toEqual([-1, -1, 0, -1, -1])
  })

  it('keeps caches of the same sizes and of the same name apart', () => {
    const { names, caches } = cachesIn([
      alloc(0x1000, 56, 64),
      alloc(0x1040, 56, 64),
      alloc(0x1080, 56, 64),
      alloc(0x2000, 40, 40),
      free(0x1000, 'a'),
      free(0x1040, 'b'),
      free(0x2000, 'b'),
      free(0x5000, 'a'),
      // Which of the two caches named b this one was in, nothing tells.
      free(0x6000, 'b'),
      free(0x7000, 'c'),
    ])
    expect(names).toEqual(['a', 'b', 'unnamed-56-64', 'b', 'a', 'b', 'b', 'a', null, 'c'])
    expect(caches.filter(({ name }) => name === 'b').map((b) => b.slotSize)).toEqual([64, 40])
    expect(caches.find(({ name }) => name === 'c')).toMatchObject({ objectSize: 0, slotSize: 0 })
  })

  it('names kmalloc caches by size and kind', () => {
    const { names } = cachesIn([
      kmalloc(0x1000, 90, 96),
      kmalloc(0x2000, 1500, 2048, 'GFP_KERNEL|__GFP_RECLAIMABLE'),
      kmalloc(0x4000, 8000, 8192, 'GFP_KERNEL|GFP_DMA'),
      kmalloc(0x8000, 8193, 16384),
      kfree(0x1000),
      kfree(0x9000),
      kfree(0x10),
      kmalloc(0, 90, 96),
    ])
    expect(names.slice(0, 4)).toEqual([
      'kmalloc-96',
      'kmalloc-rcl-2k',
      'dma-kmalloc-8k',
      'kmalloc-large',
    ])
    expect(names.slice(4)).toEqual(['kmalloc-96', null, null, null])
  })
})

describe('replaySlabEvents', () => {
  it('counts what it leaves out, and what it infers', () => {
    const heap = freshHeap(32 * MiB)
    const text = lines([
      kmalloc(0, 100, 128),
      alloc(0, 56, 64),
      kfree(0),
      kfree(0x10),
      kfree(0x7000),
      free(0x6000, 'other'),
      kmalloc(0x1000, 100, 128),
      // The same address again: it was freed without an event.
      kmalloc(0x1000, 90, 96),
      alloc(0x2000, 56, 64),
      // An object of a cache, freed by its address alone.
      kfree(0x2000),
    ])
    const result = replaySlabEvents(parseFtraceSlab(text), heap)
    expect(result).toMatchObject({ failedInTrace: 2, nullFrees: 2, impliedFrees: 1 })
    expect(result.total).toMatchObject({ allocs: 3, frees: 2, unknownFrees: 2, live: 1, failed: 0 })
    expect(row(result, 'other')).toMatchObject({
      ...{ allocs: 0, unknownFrees: 1, objectSize: 0, slotSize: 0, ownSlotSize: 0, slabs: 0 },
    })
    expect(row(result, 'unnamed-56-64')).toMatchObject({ allocs: 1, frees: 1, slabs: 1, pages: 1 })
  })

  it('counts the pages of large blocks', () => {
    const heap = freshHeap(32 * MiB)
    const before = slabPagesOf(heap)
    const text = lines([
      kmalloc(0x100_000, 20_000, 32_768),
      kmalloc(0x200_000, 8_193, 16_384),
      kfree(0x100_000),
    ])
    const result = replaySlabEvents(parseFtraceSlab(text), heap)
    expect(row(result, 'kmalloc-large')).toMatchObject({
      ...{ allocs: 2, frees: 1, live: 1, slabs: 0, peakSlabs: 0, pages: 4, peakPages: 12 },
    })
    expect(slabPagesOf(heap)).toBe(before)
  })

  it('goes on when memory runs out, and still leaves nothing behind', () => {
    const heap = freshHeap(4 * MiB)
    const caches = cachesOf(heap)
    const texts = Array.from({ length: 2000 }, (_, i) => alloc((i + 1) * 4096, 4096, 4096))
    const frees = Array.from({ length: 2000 }, (_, i) => free((i + 1) * 4096, 'page'))
    const result = replaySlabEvents(parseFtraceSlab(lines([...texts, ...frees])), heap)
    const { allocs, failed, frees: freed, live, peakLive, unknownFrees } = result.total
    expect(allocs).toBeGreaterThan(400)
    expect(failed).toBe(2000 - allocs)
    expect([freed, live, peakLive, unknownFrees]).toEqual([allocs, 0, allocs, 0])
    // Slabs of the smaller order fill the last gaps: pages are counted by slab all the same.
    expect(result.total.peakPages).toBe(allocs)
    expect(cachesOf(heap)).toBe(caches)
  })

  it('takes sizes, names, masks and nodes that no cache here has', () => {
    const text = lines([
      alloc(0x1000, 0, 8),
      alloc(0x2000, 100, 50),
      alloc(0x3000, 5_000_000, 8_388_608),
      alloc(0x4000, 8_000_000, 8_388_608),
      alloc(0x5000, 5, 5),
      alloc(0x6000, 40, 40, 'GFP_KERNEL|__GFP_NOFAIL|0x80000000', 5),
      kmalloc(0x7000, 9_000_000, 16_777_216),
      kmalloc(0x8000, 40, 64, 'GFP_KERNEL|__GFP_NOFAIL|0x80000000', 5),
      free(0x6000, `${'n'.repeat(70)}\u0001\u00e9`),
    ])
    const result = replaySlabEvents(parseFtraceSlab(text), freshHeap(32 * MiB))
    expect(result.total).toMatchObject({ allocs: 4, failed: 4, frees: 1, live: 3 })
    expect(row(result, 'unnamed-5-5')).toMatchObject({ slotSize: 5, ownSlotSize: 8 })
    expect(formatSlabWorkload(result)).toContain(
      'unnamed-5-5 has slots of 8 bytes here, of 5 in the trace\n',
    )
  })

  it('takes requests that go to other caches here', () => {
    const text = lines([
      kmalloc(0x4000, 100, 16_384),
      kmalloc(0x8000, 9_000, 8_192),
      kmalloc(0xc000, 0, 8),
      kfree(0x4000),
      kfree(0x8000),
      kfree(0xc000),
    ])
    const result = replaySlabEvents(parseFtraceSlab(text), freshHeap(32 * MiB))
    expect(result.total).toMatchObject({ allocs: 3, frees: 3, live: 0, slabs: 0, pages: 0 })
  })

  it('leaves nothing behind when there is no memory for the caches', () => {
    const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 16 * MiB }) })
    const heap = heapOn(pages)
    const before = [cachesOf(heap), slabPagesOf(heap)]
    while (pages.allocPages(GFP_ATOMIC | __GFP_NOWARN, 0) !== null);
    const texts = Array.from({ length: 200 }, (_, i) => alloc((i + 1) * 4096, 8, 8 * (i + 1)))
    expect(() => replaySlabEvents(parseFtraceSlab(lines(texts)), heap)).toThrow(OutOfMemory)
    expect([cachesOf(heap), slabPagesOf(heap)]).toEqual(before)
  })

  it('does nothing for no events', () => {
    const steps: [number, number][] = []
    const result = replaySlabEvents(parseFtraceSlab(''), freshHeap(32 * MiB), {
      onProgress: (done, total) => steps.push([done, total]),
    })
    expect(result.caches).toEqual([])
    expect(new Set(Object.values(result.total))).toEqual(new Set([0]))
    expect(steps).toEqual([[0, 0]])
  })

  it('reports progress up to the end', () => {
    const steps: number[] = []
    replaySlabEvents(events, freshHeap(), { onProgress: (done) => steps.push(done) })
    expect(steps).toEqual([...steps].sort((a, b) => a - b))
    expect(steps.length).toBeGreaterThan(5)
    expect(steps.at(-1)).toBe(events.count)
  })
})

describe('slotOptions', () => {
  it('makes slots of the size asked for', () => {
    const { slabs } = freshHeap(32 * MiB)
    for (let size = 1; size <= 260; size += 3) {
      const padded = Math.ceil(size / 8) * 8
      for (const slot of [0, 8, 16, 24, 64, 100].map(
        (more) => padded + more - ((padded + more) % 8),
      )) {
        for (const zeroed of [false, true]) {
          const { ctor, ...options } = slotOptions(size, slot, zeroed)
          expect(options.size === size || options.size === slot).toBe(true)
          if (zeroed) expect(ctor).toBeUndefined()
          const cache = new SlabCache(slabs, {
            name: `slots-of-${slot}`,
            ...options,
            ...(ctor === undefined ? {} : { ctor }),
          })
          expect([size, slot, cache.size]).toEqual([size, slot, slot])
          cache.destroy()
        }
      }
    }
  })

  it('prefers an alignment, then a constructor, then larger objects', () => {
    expect(slotOptions(56, 64, false)).toEqual({ size: 56, align: 16 })
    expect(slotOptions(136, 192, false)).toEqual({ size: 136, align: 64 })
    expect(slotOptions(96, 104, false)).toEqual({ size: 96, align: 8, ctor: expect.any(Function) })
    expect(slotOptions(96, 104, true)).toEqual({ size: 104 })
    expect(slotOptions(40, 1000, false)).toEqual({ size: 1000 })
  })
})

describe('formatSlabWorkload', () => {
  const text = lines([
    pageAlloc(0x1, 0),
    alloc(0x1000, 56, 64),
    free(0x1000, 'a'),
    free(0x7000, 'c'),
    kmalloc(0x2000, 100, 128),
    kfree(0),
  ])
  const small = parseFtraceSlab(text)
  const result = replaySlabEvents(small, freshHeap(32 * MiB))

  it('is a table of the caches', () => {
    expect(formatSlabWorkload(result)).toBe(
      [
        '5 slab events: 2 objects allocated, 1 freed, 1 left at the end, at most 1 at a time',
        '0 objects at the address that they have in the trace',
        'left out: 1 frees of objects whose allocation is not in the trace, 1 frees of null, 0 failed allocations',
        '',
        'cache        object  slot  order  per-slab  allocs  same-address  frees  left-out  live  peak  slabs  peak  pages  peak',
        'a                56    64      0        64       1             0      1         0     0     1      1     1      1     1',
        'kmalloc-128     128   128      0        32       1             0      0         0     1     1      1     1      1     1',
        'c                 -     -      -         -       0             0      0         1     0     0      0     0      0     0',
        'total                                            2             0      1         1     1     1      2     2      2     2',
        '',
      ].join('\n'),
    )
  })

  it('sets the slabs of the kernel beside ours', () => {
    const state = states.before.caches.find(({ name }) => name === 'kmalloc-128')
    const other = states.before.caches.find(({ name }) => name === 'kmalloc-1k')
    if (state === undefined || other === undefined) throw new Error('not recorded')
    const slabs = tracedSlabs(small, parseFtrace(text))
    const report = formatSlabWorkload(result, { before: [state, other], after: [], slabs })
    expect(report.startsWith(formatSlabWorkload(result))).toBe(true)
    expect(report).toContain('This is a report, not a test')
    expect(report.slice(report.indexOf('\n             kernel') + 1)).toBe(
      [
        '             kernel                           kmem                         kernel    kmem',
        'cache        before  made  returned  after  before  made  returned  after  +pages  +pages',
        'a                 -     1         0      -       0     1         0      1       1       1',
        'kmalloc-128       6     0         0      6       0     1         0      1       0       1',
        'c                 -     0         0      -       0     0         0      0       0       0',
        'kmalloc-1k        6     0         0      6       -     0         0      -       0       0',
        'total             -     1         0      -       -     2         0      -       1       2',
        '',
      ].join('\n'),
    )
  })

  it('takes recorded states alone', () => {
    const state = states.before.caches.find(({ name }) => name === 'kmalloc-1k')
    if (state === undefined) throw new Error('not recorded')
    // Two slabs more, one of them of the smaller order: 4 objects instead of 8.
    const nodes = { 0: { ...state.nodes[0], slabs: 8, totalObjects: 60 } } as CacheState['nodes']
    const report = formatSlabWorkload(result, { before: [state], after: [{ ...state, nodes }] })
    expect(report).toMatch(/\nkmalloc-1k +6 +- +- +8 +- +0 +0 +- +3 +0\n/)
  })

  it('reports on the trace of a real kernel', () => {
    const real = replaySlabEvents(events, freshHeap())
    const report = formatSlabWorkload(real, {
      before: states.before.caches,
      after: states.after.caches,
      slabs: tracedSlabs(events, parseFtrace(bytes)),
    })
    expect(report).toMatch(/^69820 slab events: 33983 objects allocated, 33889 freed, 94 left at/)
    expect(report).toMatch(/\ndentry +- +43 +31 +- +0 +45 +32 +13 +12 +13\n/)
    expect(report).toMatch(/\nkmalloc-192 +4 +1 +0 +5 +0 +1 +0 +1 +1 +1\n/)
    expect(report).toMatch(/\nkmalloc-2k +13 +0 +0 +13 +- +0 +0 +- +0 +0\n/)
  })
})

// ---- Lines of a trace ----

function lines(texts: readonly string[]): string {
  return texts.map((text, i) => `  a-1 [000] ..... ${i}.5: ${text}\n`).join('')
}

/** A kernel address, printed in full; 0 stays 0, and small ones are no addresses of memory. */
function pointer(physical: number): string {
  const address = physical < 0x1000 ? physical : 0x888000000000 + physical
  const digits = address.toString(16)
  return address < 0x1000 ? digits.padStart(16, '0') : `ffff${digits}`
}

function allocLine(
  event: string,
  at: number,
  request: number,
  slot: number,
  gfp: string,
  node: number,
): string {
  return (
    `${event}: call_site=f+0x1/0x2 ptr=${pointer(at)} bytes_req=${request} bytes_alloc=${slot} ` +
    `gfp_flags=${gfp} node=${node} accounted=false`
  )
}

function alloc(at: number, request: number, slot: number, gfp = 'GFP_KERNEL', node = -1): string {
  return allocLine('kmem_cache_alloc', at, request, slot, gfp, node)
}

function kmalloc(at: number, request: number, slot: number, gfp = 'GFP_KERNEL', node = -1): string {
  return allocLine('kmalloc', at, request, slot, gfp, node)
}

function free(at: number, name: string): string {
  return `kmem_cache_free: call_site=f+0x1/0x2 ptr=${pointer(at)} name=${name}`
}

function kfree(at: number): string {
  return `kfree: call_site=f+0x1/0x2 ptr=${pointer(at)}`
}

function pageAlloc(pfn: number, order: number): string {
  return `mm_page_alloc: page=x pfn=0x${pfn.toString(16)} order=${order} migratetype=0 gfp_flags=none`
}

function pageFree(pfn: number, order: number): string {
  return `mm_page_free: page=x pfn=0x${pfn.toString(16)} order=${order}`
}
