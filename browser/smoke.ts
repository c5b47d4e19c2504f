/** A smoke test of the library in a page: each class and each kind of text once, and a worker. */

import {
  AddressSpace,
  type AttachOptions,
  BuddyAllocator,
  compareSnapshots,
  formatTrace,
  fragmentationPicture,
  fragmentationSample,
  freeListPicture,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  GiB,
  KernelBug,
  Kmalloc,
  LAYOUT_X86_64,
  Machine,
  MiB,
  machineFromSnapshot,
  memoryPicture,
  PAGE_SHARED,
  PageFault,
  PhysicalMemory,
  PROC_TEXTS,
  parseBuddyinfo,
  parseMeminfo,
  SlabAllocator,
  SlabCache,
  SV39,
  slabPicture,
  Tracepoints,
  Vmalloc,
  vmallocPicture,
  wasmMalloc,
} from 'kmem'
import { answersOf } from './calls'
import type { Done, Task } from './worker'

type Check = () => void | Promise<void>

/** Throws, with what was wrong, unless both are the same. */
function same(actual: unknown, expected: unknown, what: string): void {
  const [ours, theirs] = [actual, expected].map((value) => JSON.stringify(value) ?? 'undefined')
  if (ours !== theirs) throw new Error(`${what}: ${ours}, not ${theirs}`)
}

/** The value, which must not be null. */
function there<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new Error(`${what}: nothing`)
  return value
}

function thrown(body: () => unknown): unknown {
  try {
    body()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

/** Puts a picture into the page; it must be drawn. */
function show(name: string, svg: string): void {
  const parsed = new DOMParser().parseFromString(svg, 'image/svg+xml')
  same(parsed.documentElement.nodeName, 'svg', `${name} as XML`)
  const figure = document.createElement('figure')
  figure.innerHTML = svg
  figure.append(Object.assign(document.createElement('figcaption'), { textContent: name }))
  document.querySelector('#pictures')?.append(figure)
  const { width, height } = there(figure.querySelector('svg'), name).getBoundingClientRect()
  if (width < 50 || height < 20) throw new Error(`${name} is drawn ${width} by ${height}`)
}

/** What is checked, in order. */
export const CHECKS: readonly (readonly [name: string, check: Check])[] = [
  [
    'BuddyAllocator: blocks, and a double free',
    () => {
      const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 64 * MiB }), cpus: 2 })
      const pfn = there(pages.allocPages(GFP_KERNEL, 3), 'a block')
      same(pfn, 4096, 'its frame')
      pages.freePages(pfn, 3)
      same(thrown(() => pages.freePages(pfn, 3)) instanceof KernelBug, true, 'a double free')
    },
  ],
  [
    'Kmalloc over WebAssembly memory, which grows',
    () => {
      const memory = new WebAssembly.Memory({ initial: 32, maximum: 1024 })
      const ram = new PhysicalMemory({ memory })
      const heap = new Kmalloc(new BuddyAllocator({ ram }))
      const malloc = wasmMalloc(heap, { grow: (bytes) => ram.grow(bytes) })
      const pointers = Array.from({ length: 64 }, () => malloc.malloc(100_000))
      same(new Set(pointers).size, 64, 'pointers')
      same(pointers.includes(0), false, 'failures')
      same(memory.buffer.byteLength > 2 * MiB, true, 'growth')
      for (const pointer of pointers) malloc.free(pointer)
    },
  ],
  [
    'SlabCache: objects, and a constructor',
    () => {
      const slabs = new SlabAllocator(
        new BuddyAllocator({ ram: new PhysicalMemory({ size: 16 * MiB }) }),
      )
      let made = 0
      const cache = new SlabCache(slabs, { name: 'inode', size: 600, ctor: () => void made++ })
      const objects = Array.from({ length: 100 }, () => there(cache.alloc(), 'an object'))
      same(new Set(objects).size, 100, 'objects')
      same(made >= 100, true, 'constructed')
      for (const object of objects) cache.free(object)
      cache.destroy()
    },
  ],
  [
    'Vmalloc and AddressSpace: mappings, loads and faults',
    () => {
      const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 64 * MiB }) })
      const heap = new Kmalloc(new SlabAllocator(pages, { layout: LAYOUT_X86_64 }))
      const vm = new Vmalloc(pages, { heap })
      const area = there(vm.vmalloc(300_000), 'an area')
      there(vm.vmallocToPfn(area), 'its first page')
      vm.vfree(area)
      const space = new AddressSpace(pages, { format: SV39, user: true })
      const pfn = there(pages.allocPages(GFP_HIGHUSER_MOVABLE), 'a page')
      space.map(0x10000, pfn, 1, PAGE_SHARED)
      space.storeU32(0x10000, 0xcafe)
      same(space.loadU32(0x10000), 0xcafe, 'what was stored')
      const fault = thrown(() => space.loadU32(0x20000))
      same(fault instanceof PageFault && fault.code, 13, 'the fault')
    },
  ],
  [
    'Machine: calls, texts of /proc, traces',
    () => {
      const m = Machine.boot({ ram: '256MiB', cpus: 2, cmdline: 'movablecore=64M slab_nomerge' })
      const tracepoints = new Tracepoints(m)
      const ring = tracepoints.ring(100)
      m.onCpu(1, () => answersOf(m, 1))
      const text = formatTrace(ring.events(), { written: ring.written, cpus: 2 })
      same(/kmem-0 +\[001\].*kmalloc: call_site=/.test(text), true, 'the trace')
      tracepoints.close()
      for (const name of PROC_TEXTS) same(m.proc(name).length > 20, true, `/proc/${name}`)
      same(parseBuddyinfo(m.proc('buddyinfo')).length, 3, 'zones')
      same(parseMeminfo(m.proc('meminfo')).MemTotal !== undefined, true, 'meminfo')
      same(m.verify(), [], 'invariants')
    },
  ],
  [
    'snapshots: a machine goes on from a file',
    () => {
      const m = Machine.boot({ ram: '64MiB' })
      answersOf(m, 2)
      const file = m.save()
      const other = machineFromSnapshot(file)
      same(other.hash(), m.hash(), 'the machine of the file')
      same(answersOf(other, 3), answersOf(m, 3), 'what both answer')
      same(compareSnapshots(file, m).lines.length > 0, true, 'what changed')
      m.restore(file)
      same(Array.from(m.save()).length, file.length, 'the file of the restored machine')
    },
  ],
  [
    'pictures: SVG in the page',
    () => {
      const m = Machine.boot({ ram: '64MiB' })
      const samples = []
      for (let i = 0; i < 40; i++) {
        answersOf(m, i)
        samples.push(fragmentationSample(m.pages, i))
      }
      show('memoryPicture', memoryPicture(m.pages.words))
      show('freeListPicture', freeListPicture(m.pages))
      show('slabPicture', slabPicture(m.slabs))
      show('vmallocPicture', vmallocPicture(m.vm))
      show('fragmentationPicture', fragmentationPicture(samples))
    },
  ],
  [
    'BuddyAllocator: 64 GiB without content',
    () => {
      const ram = new PhysicalMemory({ size: 64 * GiB, content: false })
      const pages = new BuddyAllocator({ ram })
      const pfn = there(pages.allocPages(GFP_KERNEL, 10), 'a block')
      same(pfn >= 2 ** 20, true, 'a block of the Normal zone')
      pages.freePages(pfn, 10)
    },
  ],
  ['a worker works on the page’s machine, in turn with it', workInTurn],
]

/** A machine in shared memory, the worker's turn after the page's, against one that did the same alone. */
async function workInTurn(): Promise<void> {
  same(self.crossOriginIsolated, true, 'isolation of the page')
  const options: AttachOptions = { shared: true, cpus: 2, layout: LAYOUT_X86_64 }
  const [m, alone] = [0, 1].map(() => Machine.boot({ ram: '64MiB', ...options })) as [
    Machine,
    Machine,
  ]
  const worker = new Worker('/worker.js', { type: 'module' })
  for (let turn = 0; turn < 4; turn++) {
    same(answersOf(m, turn), answersOf(alone, turn), `the page's answers in turn ${turn}`)
    const address = m.kmalloc(100)
    alone.kfree(alone.kmalloc(100))
    const done = await answerOf(worker, { buffers: m.buffers, options, address, seed: turn + 50 })
    same(done.answers, answersOf(alone, turn + 50), `the worker's answers in turn ${turn}`)
    same(done.broken, 0, 'invariants in the worker')
    m.resume()
    same(m.hash(), done.hash, 'the hash of both')
    same(m.hash(), alone.hash(), 'the hash of the machine alone')
  }
  worker.terminate()
  same(m.verify(), [], 'invariants')
}

function answerOf(worker: Worker, task: Task): Promise<Done> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Done>) => resolve(data)
    worker.onerror = ({ message }) => reject(new Error(`worker: ${message}`))
    worker.postMessage(task)
  })
}
