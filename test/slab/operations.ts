/** What a model-based test does to a slab allocator: each operation with what the model says must come of it. */

import fc from 'fast-check'
import { expect } from 'vitest'
import {
  __GFP_MEMALLOC,
  __GFP_NOWARN,
  __GFP_RECLAIMABLE,
  __GFP_THISNODE,
  __GFP_ZERO,
  cacheState,
  endGracePeriod,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOWAIT,
  getOrder,
  type KernelBug,
  kmallocCacheOf,
  OutOfMemory,
  onCpu,
  SLAB_HWCACHE_ALIGN,
  SLAB_NOLEAKTRACE,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_TYPESAFE_BY_RCU,
  type SlabAllocator,
  type SlabCache,
  type SlabCacheOptions,
  shrinkAllCaches,
  type VirtAddr,
  ZERO_SIZE_PTR,
} from '../../src/index'
import { kmemCacheAllocBulk, kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import { slabAt } from '../../src/slab/objects'
import { hashWords } from '../../src/state/checkState'
import {
  CACHE_MIN_ORDER,
  SLAB_CACHE,
  SLAB_CACHE_CACHE,
  SLAB_NODE_CACHE,
  SLAB_TAINT,
  SLAB_WARNED,
} from '../../src/state/slabSchema'
import { thrownBy } from '../buddy/machines'
import { expectSound, must } from './machines'
import type { ModelCache, ModelObject, SlabModel } from './model'

/** Numbers that an operation draws; each uses those that it needs. */
interface SlabDraw {
  readonly cpu: number
  readonly gfp: number
  readonly size: number
  readonly a: number
  readonly b: number
}

/** An operation on the slab allocator, checked against the model. */
type SlabOperation = (model: SlabModel, draw: SlabDraw) => void

const MASKS: readonly number[] = [
  GFP_KERNEL,
  GFP_KERNEL,
  GFP_KERNEL | __GFP_ZERO,
  GFP_KERNEL | __GFP_RECLAIMABLE,
  GFP_ATOMIC,
  GFP_NOWAIT | __GFP_NOWARN,
  GFP_ATOMIC | __GFP_MEMALLOC,
]

/** Sizes of objects: each class, and everything up to 9000. */
const sizes = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(1, 8, 24, 64, 96, 100, 192, 256, 700, 1024, 2048, 4096) },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 300 }) },
  { weight: 1, arbitrary: fc.integer({ min: 301, max: 9000 }) },
)

const draws: fc.Arbitrary<SlabDraw> = fc.record({
  cpu: fc.nat(3),
  gfp: fc.constantFrom(...MASKS),
  size: sizes,
  a: fc.nat(0xffff),
  b: fc.nat(0xffff),
})

const ALIGNS = [0, 0, 0, 8, 16, 64, 256, 4096]
const FLAGS = [
  0,
  0,
  SLAB_HWCACHE_ALIGN,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_TYPESAFE_BY_RCU,
  SLAB_TYPESAFE_BY_RCU | SLAB_RECLAIM_ACCOUNT,
  SLAB_NOLEAKTRACE,
  SLAB_HWCACHE_ALIGN | SLAB_RECLAIM_ACCOUNT,
]
const MAX_CACHES = 10

/** A cache that can still be allocated from; one is made when there is none. */
function someCache(model: SlabModel, n: number): ModelCache | undefined {
  return model.pick(
    model.caches.filter(({ gone }) => !gone),
    n,
  )
}

/** Expects that there is no block of this order for a mask. */
function expectNoPages(model: SlabModel, gfp: number, order: number, node = -1): void {
  const { pages } = model.machine
  const mask = (gfp & ~(__GFP_ZERO | __GFP_RECLAIMABLE)) | __GFP_NOWARN
  const pfn = node < 0 ? pages.allocPages(mask, order) : pages.allocPagesNode(node, mask, order)
  if (pfn === null) return
  pages.freePages(pfn, order)
  expect.fail(`no object although there was a block of order ${order}`)
}

function enterOrExplain(
  model: SlabModel,
  from: ModelCache,
  object: VirtAddr | null,
  gfp: number,
  node: number,
): void {
  const zeroed = (gfp & __GFP_ZERO) !== 0
  if (object !== null) {
    model.enter(object, from.options.size, from, zeroed)
    return
  }
  expectNoPages(model, gfp, minOrder(from.cache), node)
}

/** Order of the smallest block that a cache makes a slab of. */
function minOrder({ slabs, record }: SlabCache): number {
  return must(slabs.words[record + CACHE_MIN_ORDER])
}

function create(model: SlabModel, { size, a, b }: SlabDraw): void {
  if (model.caches.length >= MAX_CACHES) return
  const flags = must(FLAGS[a % FLAGS.length])
  const constructed = b % 5 === 0
  const options: SlabCacheOptions = {
    name: `cache-${size}`,
    size,
    align: must(ALIGNS[b % ALIGNS.length]),
    flags,
    ...(constructed ? { ctor: (object: VirtAddr) => model.construct(object, size) } : {}),
  }
  try {
    model.create(options)
  } catch (error) {
    if (!(error instanceof OutOfMemory)) throw error
    expectNoPages(model, GFP_KERNEL, 0)
  }
}

function alloc(model: SlabModel, draw: SlabDraw): void {
  const from = someCache(model, draw.a)
  if (from === undefined) {
    create(model, draw)
    return
  }
  const gfp = from.options.ctor === undefined ? draw.gfp : draw.gfp & ~__GFP_ZERO
  enterOrExplain(model, from, from.cache.alloc(gfp), gfp, -1)
}

function allocNode(model: SlabModel, draw: SlabDraw): void {
  const from = someCache(model, draw.a)
  if (from === undefined) return
  const node = draw.b % model.nodes
  const gfp = (draw.gfp & ~__GFP_ZERO) | (draw.b % 3 === 0 ? __GFP_THISNODE : 0)
  const object = from.cache.allocNode(gfp, node)
  if (object !== null && (gfp & __GFP_THISNODE) !== 0) {
    const pfn = Math.floor(model.physical(object) / 4096)
    expect(model.machine.slabs.context.source.nodeOf(pfn)).toBe(node)
  }
  enterOrExplain(model, from, object, gfp, node)
}

function allocBulk(model: SlabModel, draw: SlabDraw): void {
  const from = someCache(model, draw.a)
  if (from === undefined) return
  const count = draw.b % 40
  const gfp = draw.gfp & ~__GFP_ZERO
  const objects = kmemCacheAllocBulk(from.cache, gfp, count)
  expect([0, count]).toContain(objects.length)
  for (const object of objects) model.enter(object, from.options.size, from, false)
}

/** Frees an object as its owner would: to its cache, or by address alone. */
function release(model: SlabModel, object: ModelObject, byAddress: boolean): void {
  model.leave(object)
  const { heap } = model
  if (object.from === null || (byAddress && heap !== null)) must(heap).kfree(object.address)
  else object.from.cache.free(object.address)
  model.afterFree(object)
}

function free(model: SlabModel, { a, b }: SlabDraw): void {
  const object = model.pick(model.objects.values(), a)
  if (object !== undefined) release(model, object, b % 3 === 0)
}

/** Frees a run of objects, one by one, so that whole slabs become empty. */
function freeMany(model: SlabModel, { a, b }: SlabDraw): void {
  const all = [...model.objects.values()]
  const start = a % Math.max(1, all.length)
  for (const object of all.slice(start, start + (b % 60))) release(model, object, false)
}

function freeBulk(model: SlabModel, { a, b }: SlabDraw): void {
  const from = model.pick(model.caches, a)
  if (from === undefined) return
  const all = model.objectsOf(from.cache)
  const chosen = all.filter((_, i) => (i * 7 + b) % 3 !== 0).slice(0, b % 50)
  for (const object of chosen) model.leave(object)
  const addresses = chosen.map(({ address }) => address)
  const given = [...addresses]
  kmemCacheFreeBulk(from.cache, given)
  expect([...given].sort((x, y) => x - y)).toEqual([...addresses].sort((x, y) => x - y))
}

function shrink(model: SlabModel, { a }: SlabDraw): void {
  const from = someCache(model, a)
  if (from === undefined) return
  const left = from.cache.shrink()
  const { nodes, cpu } = cacheState(from.cache)
  const slabs = Object.values(nodes).reduce((sum, node) => sum + node.slabs, 0)
  expect(left).toBe(slabs > 0)
  expect(left).toBe(model.objectsOf(from.cache).length > 0)
  expect([cpu.slab, cpu.partial.length]).toEqual([null, 0])
}

function destroy(model: SlabModel, { a }: SlabDraw): void {
  const from = someCache(model, a)
  if (from === undefined) return
  const names = model.caches.filter(({ cache }) => cache.record === from.cache.record)
  if (names.length > 1 || model.objectsOf(from.cache).length === 0) {
    // Objects belong to the cache, under whichever name they came.
    for (const object of model.objectsOf(from.cache)) {
      const other = must(names.find((each) => each !== from))
      if (object.from === from) model.objects.set(object.address, { ...object, from: other })
    }
    from.cache.destroy()
    model.caches.splice(model.caches.indexOf(from), 1)
    return
  }
  const error = thrownBy(() => from.cache.destroy()) as KernelBug
  expect(error.code).toBe('CACHE_BUSY')
  from.gone = true
  const refused = thrownBy(() => from.cache.alloc()) as KernelBug
  expect(refused.code).toBe('CACHE_DESTROYED')
}

// ---- kmalloc ----

function kmalloc(model: SlabModel, { gfp, size, a, b }: SlabDraw): void {
  if (model.heap === null) return
  const bytes = a % 9 === 0 ? size * 5 : size
  const node = b % 4 === 0 ? b % model.nodes : -1
  const p = model.heap.kmalloc(bytes, gfp, node)
  if (p === null) {
    const order = bytes > 8192 ? getOrder(bytes) : minOrder(kmallocCacheOf(model.heap, bytes, gfp))
    expectNoPages(model, gfp, order, node)
    return
  }
  const usable = model.heap.ksize(p)
  expect(usable).toBeGreaterThanOrEqual(bytes)
  model.enter(p, bytes, null, (gfp & __GFP_ZERO) !== 0)
}

function krealloc(model: SlabModel, { size, a, b }: SlabDraw): void {
  const { heap } = model
  const all = [...model.objects.values()].filter(({ from }) => from === null)
  const object = model.pick(all, a)
  if (heap === null || object === undefined) return
  const bytes = b % 11 === 0 ? 0 : size
  const usable = heap.ksize(object.address)
  const moved = heap.krealloc(object.address, bytes)
  if (moved === null) {
    expect(bytes).toBeGreaterThan(usable)
    return
  }
  const { byte } = object
  if (bytes === 0) {
    expect(moved).toBe(ZERO_SIZE_PTR)
    model.objects.delete(object.address)
    return
  }
  expect(moved === object.address).toBe(bytes <= usable)
  model.expectBytes(moved, Math.min(object.size, bytes), byte)
  if (moved === object.address) {
    model.resize(object, bytes)
    return
  }
  model.objects.delete(object.address)
  model.enter(moved, bytes, null, false)
}

// ---- What happens besides ----

function takePages(model: SlabModel, { gfp, a, b }: SlabDraw): void {
  const mask = gfp & ~__GFP_ZERO & ~__GFP_RECLAIMABLE
  for (let i = 0; i < b % 8; i++) {
    const pfn = model.machine.pages.allocPages(mask, a % 4)
    if (pfn !== null) model.blocks.push({ pfn, order: a % 4 })
  }
}

/** Takes every page, but for a few. */
function takeAllPages(model: SlabModel, { b }: SlabDraw): void {
  for (let order = 10; order >= 0; ) {
    const pfn = model.machine.pages.allocPages(GFP_KERNEL | __GFP_NOWARN, order)
    if (pfn === null) order -= 1
    else model.blocks.push({ pfn, order })
  }
  for (let i = 0; i < b % 5; i++) givePage(model, model.blocks.length - 1)
}

function givePage(model: SlabModel, i: number): void {
  const [block] = model.blocks.splice(i, 1)
  if (block !== undefined) model.machine.pages.freePages(block.pfn, block.order)
}

function givePages(model: SlabModel, { a, b }: SlabDraw): void {
  for (let i = 0; i < b % 20; i++) givePage(model, a % Math.max(1, model.blocks.length))
}

/** Frees what is free already: refused, with nothing changed. */
function freeTwice(model: SlabModel, { a, b }: SlabDraw): void {
  const object = model.pick(model.freed, a)
  const cache = object?.from?.cache ?? null
  if (object === undefined || model.objects.has(object.address)) return
  if (cache !== null && !model.caches.some((each) => each.cache === cache)) return
  const { slabs } = model.machine
  // The page may have become one of descriptors since, which are in use.
  const owner = slabs.words[slabAt(slabs.context, object.address) + SLAB_CACHE]
  const firsts = [slabs.words[SLAB_CACHE_CACHE], slabs.words[SLAB_NODE_CACHE]]
  if (firsts.includes(owner)) return
  const before = stateWithoutTaint(slabs)
  const inside = [...model.objects.values()].some(
    ({ address, size }) => object.address > address && object.address < address + size,
  )
  const byAddress = cache === null || b % 2 === 0
  if (byAddress && model.heap === null) return
  const call = () =>
    byAddress ? must(model.heap).kfree(object.address) : cache.free(object.address)
  const { code } = thrownBy(call) as KernelBug
  expect(stateWithoutTaint(slabs)).toBe(before)
  if (slabs.context.debug !== null) expect(code).toMatch(/^[A-Z_]+$/)
  else if (inside)
    expect(['NOT_AN_OBJECT', 'WRONG_CACHE', 'NOT_ALLOCATED', 'NOT_A_SLAB']).toContain(code)
  else expect(code).toMatch(/DOUBLE_FREE|NOT_AN_OBJECT|WRONG_CACHE|NOT_ALLOCATED|NOT_A_SLAB/)
}

/** A hash of the state; reports and warnings may leave taint bits, and marks that they were written. */
function stateWithoutTaint(slabs: SlabAllocator): number {
  const marks = [SLAB_TAINT, SLAB_WARNED].map((column) => [column, slabs.words[column]!] as const)
  for (const [column] of marks) slabs.words[column] = 0
  const hash = hashWords(slabs.words, slabs.wordsUsed)
  for (const [column, mark] of marks) slabs.words[column] = mark
  return hash
}

/** Runs an operation on the CPU drawn. */
function onDrawnCpu(operation: SlabOperation): SlabOperation {
  return (model, draw) =>
    onCpu(model.machine.pages, draw.cpu % model.cpus, () => operation(model, draw))
}

const SLAB_OPERATIONS: Readonly<Record<string, SlabOperation>> = {
  create: onDrawnCpu(create),
  alloc: onDrawnCpu(alloc),
  allocNode: onDrawnCpu(allocNode),
  allocBulk: onDrawnCpu(allocBulk),
  free: onDrawnCpu(free),
  freeMany: onDrawnCpu(freeMany),
  freeBulk: onDrawnCpu(freeBulk),
  shrink: onDrawnCpu(shrink),
  destroy: onDrawnCpu(destroy),
  kmalloc: onDrawnCpu(kmalloc),
  krealloc: onDrawnCpu(krealloc),
  freeTwice: onDrawnCpu(freeTwice),
  takePages: onDrawnCpu(takePages),
  givePages: onDrawnCpu(givePages),
  takeAllPages,
  shrinkAll: (model) => shrinkAllCaches(model.machine.slabs),
  endGracePeriod: (model) => endGracePeriod(model.machine.slabs),
}

/** One drawn operation, checked and followed by a look at the whole state. */
class Step implements fc.Command<SlabModel, null> {
  constructor(
    private readonly name: string,
    private readonly draw: SlabDraw,
  ) {}

  check(): boolean {
    return true
  }

  run(model: SlabModel): void {
    SLAB_OPERATIONS[this.name]?.(model, this.draw)
    expectSound(model.machine)
  }

  toString(): string {
    const { cpu, gfp, size, a, b } = this.draw
    return `${this.name}(${cpu}, 0x${gfp.toString(16)}, ${size}, ${a}, ${b})`
  }
}

/** Operations without which nothing happens. */
const NEEDED = ['create', 'alloc', 'kmalloc']

/** Sequences of operations, each with a weight drawn for the sequence; a third of the weights are 0. */
export function slabSequences(
  maxCommands: number,
): fc.Arbitrary<Iterable<fc.Command<SlabModel, null>>> {
  const names = Object.keys(SLAB_OPERATIONS)
  const weight = fc.constantFrom(0, 1, 5)
  const weights = fc.array(weight, { minLength: names.length, maxLength: names.length })
  return weights.chain((drawn) => {
    const choices = names.map((name, i) => ({
      weight: (drawn[i] ?? 0) + (NEEDED.includes(name) ? 1 : 0),
      arbitrary: draws.map((draw) => new Step(name, draw)),
    }))
    return fc.commands([fc.oneof(...choices)], { maxCommands, size: 'max' })
  })
}

/** Runs commands; afterwards frees everything and expects every page back. */
export function playSlabs(model: SlabModel, commands: Iterable<fc.Command<SlabModel, null>>): void {
  expectSound(model.machine)
  fc.modelRun(() => ({ model, real: null }), commands)
  model.releaseAll(() => endGracePeriod(model.machine.slabs))
}
