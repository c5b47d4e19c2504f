/** Operations of caches and of kmalloc. */

import {
  __GFP_DMA,
  __GFP_ZERO,
  GFP_ATOMIC,
  GFP_KERNEL,
  kmemCacheAllocBulk,
  kmemCacheFreeBulk,
  kmemdup,
  kmemdupNul,
  kreallocArray,
  kstrdup,
  kstrndup,
  type Machine,
  SLAB_HWCACHE_ALIGN,
  SLAB_TYPESAFE_BY_RCU,
  SlabCache,
  type VirtAddr,
  wasmMalloc,
} from '../../../src/index'
import { type Attempt, must, of, type Row, row } from '../rows'

/** A fresh cache. */
function fresh(m: Machine, size: number): SlabCache {
  return new SlabCache(m.slabs, { name: 'fresh', size, flags: SLAB_HWCACHE_ALIGN, ctor: () => {} })
}

/** Memory that kfree frees. */
function memory(m: Machine, call: () => VirtAddr | null): Attempt<VirtAddr | null> {
  return of({ call, release: (p) => m.kfree(p) })
}

/** Memory of `from` bytes, that is to become larger; its content has to stay. */
function larger(
  m: Machine,
  from: number,
  call: (p: VirtAddr) => VirtAddr | null,
): Attempt<VirtAddr | null> {
  let p = must(m.kmalloc(from))
  m.ram.fill(p - m.slabs.context.directMap, from, 0x5e)
  const check = () => {
    const bytes = m.ram.bytes(p - m.slabs.context.directMap, from)
    if (!bytes.every((byte) => byte === 0x5e)) throw new Error('its content was lost')
  }
  return of({
    call: () => call(p),
    check,
    release: (moved) => {
      p = moved as VirtAddr
      check()
      m.kfree(p)
      p = must(m.kmalloc(from))
      m.ram.fill(p - m.slabs.context.directMap, from, 0x5e)
    },
  })
}

const SIZES = [8, 96, 256, 2048, 8192, 8193, 100_000]

export const SLABS: readonly Row[] = [
  row(
    'a new cache',
    'SlabCache',
    (m) => {
      const options = { name: 'one', size: 100, ctor: () => {}, flags: SLAB_TYPESAFE_BY_RCU }
      // Until those of descriptors have no room left: the next one needs a slab of each kind.
      for (let k = 0; k < 16; k++) new SlabCache(m.slabs, options)
      return of({
        call: () => new SlabCache(m.slabs, options),
        release: (cache) => cache.destroy(),
      })
    },
    { leaves: ['objects', 'numbers'] },
  ),
  row('SlabCache.alloc', 'SlabCache#alloc', (m) => {
    const cache = fresh(m, 200)
    return of({ call: () => cache.alloc(), release: (object) => cache.free(must(object)) })
  }),
  row('SlabCache.alloc of large slabs', 'SlabCache#alloc', (m) => {
    const cache = fresh(m, 4000)
    return of({
      call: () => cache.alloc(GFP_ATOMIC),
      release: (object) => cache.free(must(object)),
    })
  }),
  row('SlabCache.zalloc', 'SlabCache#zalloc', (m) => {
    const cache = new SlabCache(m.slabs, { name: 'plain', size: 700, usersize: 700 })
    return of({ call: () => cache.zalloc(), release: (object) => cache.free(must(object)) })
  }),
  row('SlabCache.allocNode', 'SlabCache#allocNode', (m) => {
    const cache = fresh(m, 1500)
    return of({
      call: () => cache.allocNode(GFP_KERNEL, 0),
      release: (object) => cache.free(must(object)),
    })
  }),
  row(
    'kmemCacheAllocBulk',
    'kmemCacheAllocBulk',
    (m) => {
      const cache = fresh(m, 1000)
      return of({
        call: () => kmemCacheAllocBulk(cache, GFP_KERNEL, 40),
        release: (objects) => kmemCacheFreeBulk(cache, objects),
      })
    },
    { leaves: ['slabs'] },
  ),
  ...SIZES.map((size) =>
    row(`kmalloc(${size})`, 'Kmalloc#kmalloc', (m) => memory(m, () => m.heap.kmalloc(size))),
  ),
  row('kmalloc for a device', 'Kmalloc#kmalloc', (m) =>
    memory(m, () => m.heap.kmalloc(500, GFP_KERNEL | __GFP_DMA)),
  ),
  row('kmalloc on a node', 'Kmalloc#kmalloc', (m) =>
    memory(m, () => m.heap.kmalloc(3000, GFP_ATOMIC | __GFP_ZERO, 0)),
  ),
  row('kzalloc', 'Kmalloc#kzalloc', (m) => memory(m, () => m.heap.kzalloc(300))),
  row('kmallocArray', 'Kmalloc#kmallocArray', (m) => memory(m, () => m.heap.kmallocArray(10, 70))),
  row('kcalloc', 'Kmalloc#kcalloc', (m) => memory(m, () => m.heap.kcalloc(100, 700))),
  row('krealloc of nothing', 'Kmalloc#krealloc', (m) =>
    memory(m, () => m.heap.krealloc(null, 5000)),
  ),
  row('krealloc to another class', 'Kmalloc#krealloc', (m) =>
    larger(m, 60, (p) => m.heap.krealloc(p, 6000)),
  ),
  row('krealloc to a large block', 'Kmalloc#krealloc', (m) =>
    larger(m, 6000, (p) => m.heap.krealloc(p, 60_000)),
  ),
  row('krealloc of a large block', 'Kmalloc#krealloc', (m) =>
    larger(m, 10_000, (p) => m.heap.krealloc(p, 20_000)),
  ),
  row('kreallocArray', 'kreallocArray', (m) =>
    larger(m, 100, (p) => kreallocArray(m.heap, p, 10, 100)),
  ),
  row('kmemdup', 'kmemdup', (m) => memory(m, () => kmemdup(m.heap, new Uint8Array(500)))),
  row('kmemdupNul', 'kmemdupNul', (m) => memory(m, () => kmemdupNul(m.heap, new Uint8Array(9)))),
  row('kstrdup', 'kstrdup', (m) => memory(m, () => kstrdup(m.heap, 'a text'.repeat(100)))),
  row('kstrndup', 'kstrndup', (m) => memory(m, () => kstrndup(m.heap, 'a text', 3))),
  row('Machine.kmalloc', 'Machine#kmalloc', (m) => memory(m, () => m.kmalloc(40_000))),
  row('Machine.kzalloc', 'Machine#kzalloc', (m) => memory(m, () => m.kzalloc(4000))),
  row('Machine.krealloc', 'Machine#krealloc', (m) => larger(m, 20, (p) => m.krealloc(p, 4000))),
  ...(['malloc', 'calloc', 'realloc'] as const).map((name) =>
    row(
      `${name} of a WebAssembly module`,
      'wasmMalloc',
      (m) => {
        const c = wasmMalloc(m.heap)
        const calls = {
          malloc: () => c.malloc(5000),
          calloc: () => c.calloc(10, 50),
          realloc: () => c.realloc(0, 50_000),
        }
        return of({ call: calls[name], release: (p) => c.free(p) })
      },
      { on: (m) => m.slabs.context.directMap === 0 },
    ),
  ),
]
