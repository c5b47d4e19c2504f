/** Operations of what sits on kmalloc: pools and managed resources. */

import {
  type Device,
  Devres,
  type DmaBlock,
  DmaPool,
  devmAddAction,
  devmAddActionOrReset,
  devmFreePages,
  devmGenPoolCreate,
  devmGetFreePages,
  devmKcalloc,
  devmKfree,
  devmKmalloc,
  devmKmallocArray,
  devmKmemdup,
  devmKrealloc,
  devmKstrdup,
  devmKzalloc,
  devmRemoveAction,
  dmaBitMask,
  dmamPoolCreate,
  GenPool,
  GFP_KERNEL,
  GFP_NOWAIT,
  kmallocElements,
  type Machine,
  Mempool,
  type MempoolElements,
  pageElements,
  SlabCache,
  slabElements,
  type VirtAddr,
} from '../../../src/index'
import { type Attempt, must, of, type Row, row } from '../rows'

const DEVICE: Device = { name: 'nic0', node: -1, dmaMask: dmaBitMask(32) }

function device(m: Machine): Devres {
  return new Devres(m.heap, DEVICE)
}

/** Memory of a device. */
function managed(m: Machine, call: (dev: Devres) => VirtAddr | null): Attempt<VirtAddr | null> {
  const dev = device(m)
  return of({ call: () => call(dev), release: (p) => devmKfree(dev, p) })
}

function pool<T>(m: Machine, elements: MempoolElements<T>, minNr = 3): Mempool<T> {
  return must(Mempool.create(m.heap, { minNr, ...elements }))
}

/** A pool is made and ended. */
function poolOf<T>(
  name: string,
  covers: string,
  elementsOf: (m: Machine) => MempoolElements<T>,
): Row {
  return row(
    name,
    ['Mempool.create', covers],
    (m) => {
      const elements = elementsOf(m)
      return of({
        call: () => Mempool.create(m.heap, { minNr: 3, ...elements }),
        release: (made) => must(made).destroy(),
      })
    },
    { leaves: ['slabs'] },
  )
}

/** A block of a pool, which is ended with it: pools keep their pages. */
function dmaBlock(
  m: Machine,
  size: number,
  call: (from: DmaPool) => DmaBlock | null,
): Attempt<DmaBlock | null> {
  const create = () => must(DmaPool.create(m.heap, { name: 'blocks', device: DEVICE, size }))
  let from = create()
  return of({
    call: () => call(from),
    release: (block) => {
      from.free(must(block).address, must(block).dma)
      from.destroy()
      from = create()
    },
  })
}

const release = (): void => {}

export const ON_TOP: readonly Row[] = [
  poolOf('a mempool of memory', 'kmallocElements', (m) => kmallocElements(m.heap, 3000)),
  poolOf('a mempool of objects', 'slabElements', (m) =>
    slabElements(new SlabCache(m.slabs, { name: 'elements', size: 2000, usersize: 2000 })),
  ),
  poolOf('a mempool of pages', 'pageElements', (m) => pageElements(m.pages, 1)),
  row('Mempool.alloc without a reserve', 'Mempool#alloc', (m) => {
    const made = pool(m, kmallocElements(m.heap, 3000), 0)
    return of({ call: () => made.alloc(GFP_NOWAIT), release: (element) => made.free(element) })
  }),
  row('Mempool.alloc with a reserve', 'Mempool#alloc', (m) => {
    const made = pool(m, kmallocElements(m.heap, 3000))
    return of({
      call: () => made.alloc(GFP_KERNEL),
      release: (element) => made.free(element),
    })
  }),
  row(
    'Mempool.resize',
    'Mempool#resize',
    (m) => {
      let made = pool(m, kmallocElements(m.heap, 64))
      const renew = () => {
        made.destroy()
        made = pool(m, kmallocElements(m.heap, 64))
      }
      // What the allocator of elements throws comes when the pool is larger already, and not yet full.
      return of({ call: () => made.resize(70), release: renew, undo: renew })
    },
    { leaves: ['slabs', 'elements'] },
  ),
  row('DmaPool.create', 'DmaPool.create', (m) =>
    of({
      call: () => DmaPool.create(m.heap, { name: 'blocks', device: DEVICE, size: 64 }),
      release: (made) => must(made).destroy(),
    }),
  ),
  row('a block of a DMA pool', 'DmaPool#alloc', (m) => dmaBlock(m, 6000, (from) => from.alloc()), {
    leaves: ['objects'],
  }),
  row(
    'a zeroed block of a DMA pool',
    'DmaPool#zalloc',
    (m) => dmaBlock(m, 64, (from) => from.zalloc()),
    { leaves: ['objects'] },
  ),
  row('GenPool.create', ['GenPool.create', 'GenPool'], (m) =>
    of({
      call: () => GenPool.create({ minAllocOrder: 4, heap: m.heap }),
      release: (made) => must(made).destroy(),
    }),
  ),
  row('Devres.alloc', 'Devres#alloc', (m) => {
    const dev = device(m)
    return of({ call: () => dev.alloc(release, 3000), release: (data) => dev.free(data) })
  }),
  row('Devres.openGroup', 'Devres#openGroup', (m) => {
    const dev = device(m)
    return of({ call: () => dev.openGroup(), release: (id) => dev.removeGroup(id) })
  }),
  row('devmKmalloc', 'devmKmalloc', (m) => managed(m, (dev) => devmKmalloc(dev, 100))),
  row('devmKzalloc', 'devmKzalloc', (m) => managed(m, (dev) => devmKzalloc(dev, 9000))),
  row('devmKmallocArray', 'devmKmallocArray', (m) =>
    managed(m, (dev) => devmKmallocArray(dev, 10, 100)),
  ),
  row('devmKcalloc', 'devmKcalloc', (m) => managed(m, (dev) => devmKcalloc(dev, 10, 10))),
  row('devmKmemdup', 'devmKmemdup', (m) =>
    managed(m, (dev) => devmKmemdup(dev, new Uint8Array(100))),
  ),
  row('devmKstrdup', 'devmKstrdup', (m) => managed(m, (dev) => devmKstrdup(dev, 'a text'))),
  row('devmKrealloc', 'devmKrealloc', (m) => {
    const dev = device(m)
    let p = must(devmKmalloc(dev, 100))
    return of({
      call: () => devmKrealloc(dev, p, 1000),
      release: (moved) => {
        devmKfree(dev, moved)
        p = must(devmKmalloc(dev, 100))
      },
    })
  }),
  row(
    'devmGetFreePages',
    'devmGetFreePages',
    (m) => {
      const dev = device(m)
      return of({
        call: () => devmGetFreePages(dev, GFP_KERNEL, 1),
        release: (address) => devmFreePages(dev, must(address)),
      })
    },
    { leaves: ['pages'] },
  ),
  row('devmAddAction', 'devmAddAction', (m) => {
    const dev = device(m)
    return of({
      call: () => devmAddAction(dev, release, 1),
      release: () => devmRemoveAction(dev, release, 1),
    })
  }),
  row('devmAddActionOrReset', 'devmAddActionOrReset', (m) => {
    const dev = device(m)
    let called = 0
    const action = () => void called++
    return of({
      call: () => devmAddActionOrReset(dev, action, 1),
      release: () => devmRemoveAction(dev, action, 1),
    })
  }),
  row(
    'dmamPoolCreate',
    'dmamPoolCreate',
    (m) => {
      const dev = device(m)
      return of({
        call: () => dmamPoolCreate(dev, { name: 'blocks', size: 64 }),
        release: () => void dev.releaseAll(),
      })
    },
    { leaves: ['objects'] },
  ),
  row(
    'devmGenPoolCreate',
    'devmGenPoolCreate',
    (m) => {
      const dev = device(m)
      return of({
        call: () => devmGenPoolCreate(dev, { minAllocOrder: 4 }, 'sram'),
        release: () => void dev.releaseAll(),
      })
    },
    { leaves: ['slabs'] },
  ),
]
