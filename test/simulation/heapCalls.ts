/** Operations on memory of any size: kmalloc and its family, and mempools. */

import {
  GFP_KERNEL,
  GFP_NOWAIT,
  kfreeBulk,
  kmallocElements,
  kmemdup,
  Mempool,
  PAGE_SIZE,
  type Pfn,
  pageElements,
  type VirtAddr,
} from '../../src/index'
import { bytesOf, isZeroed, objectMask } from './draws'
import type { LiveElement, LiveMemory } from './live'
import type { Operation, PoolEntry, Simulation } from './simulation'
import { Violation } from './violation'

const MAX_POOLS = 4

export const HEAP_CALLS: Readonly<Record<string, Operation>> = {
  'heap.kmalloc': {
    weight: 14,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const [gfp, bytes] = [objectMask(b), bytesOf(c)]
      enterMemory(
        s,
        at,
        bytes,
        gfp,
        s.attempt(() => s.machine.kmalloc(bytes, gfp)),
      )
    },
  },
  'heap.kzalloc': {
    weight: 3,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const [gfp, bytes] = [objectMask(b), bytesOf(c)]
      enterMemory(
        s,
        at,
        bytes,
        0x100,
        s.attempt(() => s.machine.kzalloc(bytes, gfp)),
      )
    },
  },
  'heap.node': {
    weight: 3,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const [gfp, bytes] = [objectMask(b), bytesOf(c)]
      const node = a % s.machine.pages.context.nrNodes
      enterMemory(
        s,
        at,
        bytes,
        gfp,
        s.attempt(() => s.machine.heap.kmalloc(bytes, gfp, node)),
      )
    },
  },
  'heap.array': {
    weight: 2,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const { heap } = s.machine
      const gfp = objectMask(b)
      const [count, size] = [1 + (c % 40), 1 + ((c >>> 8) % 200)]
      const clear = a % 2 === 0
      const p = s.attempt(() =>
        clear ? heap.kcalloc(count, size, gfp) : heap.kmallocArray(count, size, gfp),
      )
      enterMemory(s, at, count * size, clear ? 0x100 : gfp, p)
    },
  },
  'heap.krealloc': {
    weight: 4,
    run(s, { at, a, b, c }) {
      const old = heapMemory(s, at, a)
      if (old === undefined) return
      const [gfp, bytes] = [objectMask(b) & ~0x100, c % 50 === 0 ? 0 : bytesOf(c)]
      s.expectMarks(old)
      const p = s.attempt(() => s.machine.krealloc(old.address, bytes, gfp))
      s.fold(p)
      if (p === null) return s.expectMarks(old)
      s.live.remove(old.id)
      if (bytes === 0) return s.note(`frees ${old.id}`)
      const kept = Math.min(bytes, old.bytes, PAGE_SIZE - 4) & ~3
      if (kept >= 4 && s.content.lost(s.physical(p), 4, old.id, 0) >= 0) {
        throw new Violation('content', `krealloc to ${bytes} bytes lost what number ${old.id} held`)
      }
      const item = { kind: 'memory', id: at, address: p, bytes } as const
      s.live.add(item)
      s.mark(item)
      s.note(`${old.id} is now ${bytes} bytes at 0x${p.toString(16)}`)
    },
  },
  'heap.kmemdup': {
    weight: 1,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const source = new Uint8Array(1 + (c % 600)).fill(c)
      const p = kmemdup(s.machine.heap, source)
      if (p !== null && !s.content.allBytesAre(s.physical(p), source.length, c & 255)) {
        throw new Violation('content', 'kmemdup did not copy')
      }
      enterMemory(s, at, source.length, 0, p)
    },
  },
  'heap.kfreeBulk': {
    weight: 1,
    run(s, { at, a, b }) {
      const items = new Set<LiveMemory>()
      for (let i = 0; i < b % 20; i++) {
        const item = heapMemory(s, at, a + i * 97)
        if (item !== undefined) items.add(item)
      }
      for (const item of items) s.leave(item)
      kfreeBulk(
        s.machine.heap,
        [...items].map(({ address }) => address),
      )
    },
  },
  'pool.create': {
    weight: 0.4,
    run(s, { at, a, b, c }) {
      if (s.pools.size >= MAX_POOLS) return
      const { heap, pages } = s.machine
      const order = c % 3 === 0 ? a % 3 : -1
      const bytes = order < 0 ? 1 + (a % 3000) : PAGE_SIZE << order
      const elements = order < 0 ? kmallocElements(heap, bytes) : pageElements(pages, order)
      const pool = Mempool.create<number>(heap, {
        ...(elements as never as Elements),
        minNr: b % 12,
      })
      s.fold(pool === null ? null : pool.currNr)
      if (pool !== null) s.pools.set(at, { id: at, pool, bytes, order })
    },
  },
  'pool.alloc': {
    weight: 3,
    inInterrupt: true,
    run(s, { at, a, b }) {
      const entry = poolFor(s, at, a)
      if (entry === undefined || s.full) return s.free(a, at, b)
      const element = s.attempt(() => entry.pool.alloc(b % 3 === 0 ? GFP_KERNEL : GFP_NOWAIT))
      s.fold(element)
      if (element === null) return
      s.enter({ kind: 'element', id: at, pool: entry.id, holds: held(entry, at, element) })
    },
  },
  'pool.resize': {
    weight: 0.3,
    run(s, { at, a, b }) {
      const entry = poolFor(s, at, a)
      if (entry !== undefined) s.fold(entry.pool.resize(1 + (b % 20)) ? 1 : 0)
    },
  },
  'pool.destroy': {
    weight: 0.3,
    run(s, { at, a }) {
      const entry = poolFor(s, at, a)
      if (entry !== undefined) destroyPool(s, entry)
    },
  },
}

type Elements = { alloc(gfp: number): number | null; free(element: number): void }

/** Ends a pool. What it handed out is freed as what it is from now on. */
export function destroyPool(s: Simulation, entry: PoolEntry): void {
  for (const item of [...s.live.items]) {
    if (item.kind === 'element' && item.pool === entry.id) s.live.replace(item.holds)
  }
  entry.pool.destroy()
  s.pools.delete(entry.id)
}

function poolFor(s: Simulation, at: number, draw: number): PoolEntry | undefined {
  const wanted = draw % (at + 1)
  let found: PoolEntry | undefined
  for (const entry of s.pools.values()) {
    found = entry
    if (entry.id >= wanted) break
  }
  return found
}

function held({ order, bytes }: PoolEntry, id: number, element: number): LiveElement['holds'] {
  if (order < 0) return { kind: 'memory', id, address: element as VirtAddr, bytes }
  return { kind: 'block', id, pfn: element as Pfn, order, compound: false, refs: 1 }
}

/** Memory that kmalloc gave. */
function heapMemory(s: Simulation, at: number, draw: number): LiveMemory | undefined {
  const item = s.live.pick(draw, at, 'memory')
  return item?.kind === 'memory' && !s.isVmalloc(item.address) ? item : undefined
}

/** Takes note of memory of any size. */
export function enterMemory(
  s: Simulation,
  at: number,
  bytes: number,
  gfp: number,
  p: VirtAddr | null,
): void {
  s.fold(p)
  if (p === null) return
  if (p % alignment(bytes) !== 0 && !s.isVmalloc(p)) {
    throw new Violation('align', `${bytes} bytes at 0x${p.toString(16)}`)
  }
  const zeroed = isZeroed(gfp)
  s.enter({ kind: 'memory', id: at, address: p, bytes }, zeroed)
}

/** What memory of kmalloc is aligned to. */
function alignment(bytes: number): number {
  if (bytes > 8192) return PAGE_SIZE
  if ((bytes > 64 && bytes <= 96) || (bytes > 128 && bytes <= 192)) return 8
  return Math.max(8, 2 ** Math.ceil(Math.log2(bytes)))
}
