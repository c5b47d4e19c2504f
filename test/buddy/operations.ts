/** What a model-based test does to an allocator: each operation with what the model says must come of it. */

import fc from 'fast-check'
import { expect } from 'vitest'
import { MAX_ORDER_PAGES, PAGEBLOCK_PAGES } from '../../src/base/units'
import {
  allocContigRange,
  allocPagesBulk,
  allocPagesExact,
  type BuddyAllocator,
  foldCounters,
  freePagesExact,
  freePagesList,
  getPage,
  InvalidArgument,
  inInterrupt,
  KernelBug,
  MIGRATE_CMA,
  MIGRATE_HIGHATOMIC,
  MIGRATE_ISOLATE,
  MIGRATE_MOVABLE,
  OutOfMemory,
  onCpu,
  PAGE_SIZE,
  type Pfn,
  pageCount,
  putPage,
  refreshVmstat,
  reservePages,
  splitPage,
  stateHash,
  toPfn,
  withPageListsHeld,
} from '../../src/index'
import * as gfp from '../../src/page/gfp'
import {
  HEADER_CURRENT_CPU,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  ZONE_BOOST,
  ZONE_FREE_CMA,
  ZONE_FREE_PAGES,
  ZONE_HIGHATOMIC,
  ZONE_INDEX,
  ZONE_RESERVE,
  ZONE_WMARK,
} from '../../src/state/schema'
import { pageblockType } from '../../src/zone/pageblock'
import { WMARK_LOW, zoneOfPfn } from '../../src/zone/zones'
import { cachedPages, faults, freeHead, zonesOf } from './machines'
import type { Block, Model } from './model'

/** Numbers that an operation draws; each uses those that it needs. */
interface Draw {
  readonly gfp: number
  readonly order: number
  readonly a: number
  readonly b: number
}

/** An operation on the allocator, checked against the model. */
export type Operation = (model: Model, pages: BuddyAllocator, draw: Draw) => void

/** Masks that ask for different things, and a few that ask for nonsense. */
const MASKS: readonly number[] = [
  gfp.GFP_KERNEL,
  gfp.GFP_KERNEL | gfp.__GFP_ZERO,
  gfp.GFP_KERNEL | gfp.__GFP_RECLAIMABLE,
  gfp.GFP_KERNEL | gfp.__GFP_COMP,
  gfp.GFP_KERNEL | gfp.__GFP_NORETRY | gfp.__GFP_NOWARN,
  gfp.GFP_KERNEL | gfp.__GFP_RETRY_MAYFAIL,
  gfp.GFP_KERNEL | gfp.__GFP_NOFAIL,
  gfp.GFP_KERNEL | gfp.__GFP_THISNODE,
  gfp.GFP_KERNEL | gfp.__GFP_DMA,
  gfp.GFP_KERNEL | gfp.__GFP_DMA32 | gfp.__GFP_ZERO,
  gfp.GFP_HIGHUSER_MOVABLE,
  gfp.GFP_HIGHUSER_MOVABLE | gfp.__GFP_COMP | gfp.__GFP_ZERO,
  gfp.GFP_TRANSHUGE_LIGHT,
  gfp.GFP_USER | gfp.__GFP_MOVABLE,
  gfp.GFP_NOFS,
  gfp.GFP_NOWAIT,
  gfp.GFP_ATOMIC,
  gfp.GFP_ATOMIC | gfp.__GFP_NOMEMALLOC,
  gfp.__GFP_MEMALLOC | gfp.__GFP_NOWARN,
  gfp.__GFP_MEMALLOC | gfp.__GFP_MOVABLE | gfp.__GFP_HIGHMEM,
  0,
]

/** Draws for an operation: mostly small orders. */
const draws: fc.Arbitrary<Draw> = fc.record({
  gfp: fc.constantFrom(...MASKS),
  order: fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 3 }) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: 10 }) },
  ),
  a: fc.nat(0xffff),
  b: fc.nat(0xffff),
})

function alloc(model: Model, pages: BuddyAllocator, { gfp: mask, order }: Draw): void {
  enterAllocation(model, pages, mask, order, () => pages.allocPages(mask, order))
}

function allocNear(model: Model, pages: BuddyAllocator, { gfp: mask, order, a }: Draw): void {
  const nodes = pages.words[HEADER_NR_NODES]!
  const node = a % (nodes + 1) === nodes ? -1 : a % (nodes + 1)
  enterAllocation(model, pages, mask, order, () => pages.allocPagesNode(node, mask, order))
}

/** As an interrupt, perhaps one that hit the CPU while it held its page lists. */
function allocInInterrupt(model: Model, pages: BuddyAllocator, { order, a }: Draw): void {
  const mask = a % 2 === 0 ? gfp.GFP_ATOMIC : gfp.GFP_NOWAIT
  const call = () => inInterrupt(pages, () => pages.allocPages(mask, order))
  enterAllocation(model, pages, mask, order, () =>
    a % 3 === 0 ? withPageListsHeld(pages, call) : call(),
  )
}

/** Makes the call, checks that it fails only where it may, and enters what it gave. */
function enterAllocation(
  model: Model,
  pages: BuddyAllocator,
  mask: number,
  order: number,
  call: () => Pfn | null,
): void {
  const must = mustSucceed(model, pages, mask, order)
  let pfn: Pfn | null = null
  try {
    pfn = call()
  } catch (error) {
    if (!(error instanceof OutOfMemory)) throw error
    expect(mask & gfp.__GFP_NOFAIL).not.toBe(0)
  }
  if (pfn === null) {
    expect(must, `gfp 0x${mask.toString(16)} order ${order} failed with memory to spare`).toBe(
      false,
    )
    return
  }
  model.enter(pfn, order, mask)
  checkZone(pages, pfn, mask)
}

/** The block comes from a zone that the mask allows. */
function checkZone(pages: BuddyAllocator, pfn: number, mask: number): void {
  const zone = zoneOfPfn(pages.words, pfn)
  expect(pages.words[zone + ZONE_INDEX]!).toBeLessThanOrEqual(gfp.gfpZone(mask))
}

/** True when some zone that the mask allows has so much memory that the request may not fail. */
function mustSucceed(model: Model, pages: BuddyAllocator, mask: number, order: number): boolean {
  // Requests for one node depend on which; they are checked where that is known.
  if ((mask & gfp.__GFP_THISNODE) !== 0) return false
  const { words } = pages
  const highest = gfp.gfpZone(mask)
  return zonesOf(pages).some((zone) => {
    if (words[zone + ZONE_INDEX]! > highest) return false
    const reserved = words[zone + ZONE_HIGHATOMIC]! + Math.max(0, words[zone + ZONE_FREE_CMA]!)
    const mark =
      words[zone + ZONE_WMARK + WMARK_LOW]! +
      words[zone + ZONE_BOOST]! +
      words[zone + ZONE_RESERVE + highest]!
    if (words[zone + ZONE_FREE_PAGES]! - reserved - (2 ** order - 1) <= mark) return false
    if (order === 0) return true
    // Pages on page lists lie between free blocks, and some reserve may hold the only large one.
    if (reserved !== 0 || cachedPages(pages, zone) !== 0 || order > 9) return false
    // In a pageblock cut by the zone's end, free pages of a former reserve stay on its lists.
    if (hasClosedLists(pages, zone)) return false
    return model.hasFreeRun(order, (pfn) => zoneOfPfn(words, pfn) === zone)
  })
}

/** True when free pages lie on lists that ordinary requests do not take from. */
function hasClosedLists(pages: BuddyAllocator, zone: number): boolean {
  for (let order = 0; order < 11; order++) {
    for (const type of [MIGRATE_HIGHATOMIC, MIGRATE_CMA, MIGRATE_ISOLATE]) {
      const head = freeHead(zone, order, type)
      if (pages.words[head] !== head) return true
    }
  }
  return false
}

function bulk(model: Model, pages: BuddyAllocator, { gfp: mask, a }: Draw): void {
  const count = a % 70
  let pfns: Pfn[] = []
  try {
    pfns = allocPagesBulk(pages, mask, count)
  } catch (error) {
    if (!(error instanceof OutOfMemory)) throw error
  }
  expect(pfns.length).toBeLessThanOrEqual(count)
  for (const pfn of pfns) {
    model.enter(pfn, 0, mask)
    checkZone(pages, pfn, mask)
  }
}

function exact(model: Model, pages: BuddyAllocator, { gfp: mask, a }: Draw): void {
  const bytes = 1 + (a % (33 * PAGE_SIZE))
  const count = Math.ceil(bytes / PAGE_SIZE)
  let pfn: Pfn | null = null
  try {
    pfn = allocPagesExact(pages, bytes, mask)
  } catch (error) {
    if (!(error instanceof OutOfMemory)) throw error
  }
  if (pfn === null) return
  for (let i = 0; i < count; i++) model.enter(pfn + i, 0, mask)
  const whole = 2 ** Math.ceil(Math.log2(count))
  if ((mask & gfp.__GFP_ZERO) !== 0) model.dropZeroed(pfn + count, pfn + whole)
}

function free(model: Model, pages: BuddyAllocator, draw: Draw): void {
  const block = model.nth(draw.a)
  if (block !== undefined) freeBlock(model, pages, block)
}

function freeBlock(model: Model, pages: BuddyAllocator, block: Block): void {
  if (block.refs > 1) {
    rejects(pages, 'STILL_REFERENCED', () => pages.freePages(block.pfn, block.order))
    return
  }
  model.leave(block)
  pages.freePages(block.pfn, block.order)
}

function freeInInterrupt(model: Model, pages: BuddyAllocator, draw: Draw): void {
  inInterrupt(pages, () => withPageListsHeld(pages, () => free(model, pages, draw)))
}

/** Frees most of what there is, from one end: memory comes back in long runs. */
function freeMany(model: Model, pages: BuddyAllocator, { a, b }: Draw): void {
  const blocks = [...model.blocks.values()]
  if (b % 2 === 0) blocks.reverse()
  for (const block of blocks.slice(0, Math.floor(blocks.length * ((a % 8) / 8)))) {
    if (block.refs === 1) freeBlock(model, pages, block)
  }
}

/** Frees something that is no block in use of that order, wherever it may lie. */
function freeWrong(model: Model, pages: BuddyAllocator, { order, a, b }: Draw): void {
  const block = model.nth(a)
  const near = block === undefined ? a : block.pfn + (b % 40) - 20
  const pfn = Math.max(0, b % 5 === 0 ? a : near)
  const own = model.blocks.get(pfn)
  if (own !== undefined && own.order === order && own.refs === 1) return
  rejects(pages, null, () => pages.freePages(toPfn(pfn), order))
}

function freeList(model: Model, pages: BuddyAllocator, { a, b }: Draw): void {
  const singles = [...model.blocks.values()].filter(
    (block) => block.order === 0 && block.refs === 1,
  )
  if (singles.length === 0) return
  const first = a % singles.length
  const chosen = singles.slice(first, first + 1 + (b % 40))
  const pfns = chosen.map((block) => block.pfn)
  if (b % 7 === 0) {
    const twice = [...pfns, pfns[a % pfns.length] ?? toPfn(0)]
    rejects(pages, null, () => freePagesList(pages, twice))
    return
  }
  for (const block of chosen) model.leave(block)
  freePagesList(pages, pfns)
}

function freeExact(model: Model, pages: BuddyAllocator, { a, b }: Draw): void {
  const block = model.nth(a)
  if (block === undefined) return
  const count = 1 + (b % 20)
  const run = Array.from({ length: count }, (_, i) => model.blocks.get(block.pfn + i))
  const bytes = count * PAGE_SIZE - (b % PAGE_SIZE)
  const single = (page: Block | undefined) => page?.order === 0 && page.refs === 1
  if (!run.every(single)) {
    rejects(pages, null, () => freePagesExact(pages, block.pfn, bytes))
    return
  }
  for (const page of run) if (page !== undefined) model.leave(page)
  freePagesExact(pages, block.pfn, bytes)
}

function split(model: Model, pages: BuddyAllocator, { a }: Draw): void {
  const block = model.nth(a)
  if (block === undefined || block.compound) return
  if (block.refs > 1) {
    rejects(pages, 'STILL_REFERENCED', () => splitPage(pages, block.pfn, block.order))
    return
  }
  splitPage(pages, block.pfn, block.order)
  model.split(block)
}

function reference(model: Model, pages: BuddyAllocator, { a, b }: Draw): void {
  const block = model.nth(a)
  if (block === undefined) return
  const page = toPfn(block.pfn + (b % block.pages))
  if (page !== block.pfn && !block.compound) {
    rejects(pages, 'NOT_REFERENCED', () => getPage(pages, page))
    rejects(pages, 'NOT_REFERENCED', () => putPage(pages, page))
    return
  }
  getPage(pages, page)
  block.refs += 1
  expect(pageCount(pages, block.pfn)).toBe(block.refs)
}

function dereference(model: Model, pages: BuddyAllocator, { a, b }: Draw): void {
  const block = model.nth(a)
  if (block === undefined) return
  const page = block.compound ? toPfn(block.pfn + (b % block.pages)) : block.pfn
  block.refs -= 1
  if (block.refs === 0) model.leave(block)
  putPage(pages, page)
  if (block.refs > 0) expect(pageCount(pages, block.pfn)).toBe(block.refs)
}

function reserve(model: Model, pages: BuddyAllocator, { a, b }: Draw): void {
  const count = 1 + (b % 30)
  const pfn = a % model.top
  const free = model.allFree(pfn, pfn + count)
  const reserved = unlessChanged(pages, free, () => reservePages(pages, toPfn(pfn), count))
  expect(reserved).toBe(free)
  if (reserved) for (let i = 0; i < count; i++) model.enter(pfn + i, 0, 0)
}

/** Takes a range, or fails and leaves every block where it was. */
function contig(model: Model, pages: BuddyAllocator, { a, b }: Draw): void {
  const start = a % model.top
  const end = start + 1 + (b % (b % 3 === 0 ? 1500 : 60))
  const free = model.allFree(start, end)
  if (end > model.top) return
  // As in the kernel, turning pageblocks that were not CMA into CMA can leave CMA pages on other lists,
  // where their counter does not see them: only what is CMA already is asked for as that.
  const cma = b % 5 === 0 && allCma(pages, start, end)
  const type = cma ? MIGRATE_CMA : MIGRATE_MOVABLE
  const result = allocContigRange(pages, toPfn(start), toPfn(end), type)
  if (result !== 0) return
  expect(free).toBe(true)
  for (let page = start; page < end; page++) model.enter(page, 0, 0)
}

/** Whether the whole blocks around a range, as large as ranges are isolated, are CMA. */
function allCma(pages: BuddyAllocator, start: number, end: number): boolean {
  const last = Math.ceil(end / MAX_ORDER_PAGES) * MAX_ORDER_PAGES
  for (let pfn = start & -MAX_ORDER_PAGES; pfn < last; pfn += PAGEBLOCK_PAGES) {
    if (zoneOfPfn(pages.words, pfn) < 0 || pageblockType(pages.words, pfn) !== MIGRATE_CMA)
      return false
  }
  return true
}

function unlessChanged<T>(pages: BuddyAllocator, may: boolean, call: () => T): T {
  const before = may ? 0 : stateHash(pages)
  const result = call()
  if (!may) expect(stateHash(pages)).toBe(before)
  return result
}

/** Expects a KernelBug, of this code if any, and nothing changed. */
function rejects(pages: BuddyAllocator, code: string | null, call: () => void): void {
  const before = stateHash(pages)
  let thrown: unknown
  try {
    call()
  } catch (error) {
    thrown = error
  }
  if (!(thrown instanceof KernelBug) && !(thrown instanceof InvalidArgument)) {
    expect.fail(`not rejected: ${String(thrown)}`)
  }
  if (code !== null) expect(thrown).toMatchObject({ code })
  expect(stateHash(pages)).toBe(before)
}

function onOtherCpu(operation: Operation): Operation {
  return (model, pages, draw) => {
    const cpu = (draw.b >> 4) % pages.words[HEADER_NR_CPUS]!
    onCpu(pages, cpu, () => operation(model, pages, draw))
  }
}

/** All operations by name. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  alloc: onOtherCpu(alloc),
  allocNear: onOtherCpu(allocNear),
  allocInInterrupt: onOtherCpu(allocInInterrupt),
  bulk: onOtherCpu(bulk),
  exact: onOtherCpu(exact),
  free: onOtherCpu(free),
  freeMany: onOtherCpu(freeMany),
  freeInInterrupt: onOtherCpu(freeInInterrupt),
  freeWrong,
  freeList: onOtherCpu(freeList),
  freeExact: onOtherCpu(freeExact),
  split,
  reference,
  dereference: onOtherCpu(dereference),
  reserve,
  contig: onOtherCpu(contig),
  drainLocal: onOtherCpu((_model, pages) => pages.drainLocalPages()),
  drainAll: (_model, pages) => pages.drainAllPages(),
  fold: (_model, pages) => foldCounters(pages),
  refresh: (_model, pages) => refreshVmstat(pages),
}

/** One drawn operation, checked and followed by a look at the whole state. */
class Step implements fc.Command<Model, BuddyAllocator> {
  constructor(
    private readonly name: string,
    private readonly draw: Draw,
    private readonly operations: Readonly<Record<string, Operation>>,
  ) {}

  check(): boolean {
    return true
  }

  run(model: Model, pages: BuddyAllocator): void {
    this.operations[this.name]?.(model, pages, this.draw)
    expect(pages.words[HEADER_CURRENT_CPU]).toBe(0)
    const found = faults(pages)
    if (found.length > 0) expect.fail(found.join('\n'))
  }

  toString(): string {
    const { gfp: mask, order, a, b } = this.draw
    return `${this.name}(0x${mask.toString(16)}, ${order}, ${a}, ${b})`
  }
}

/** Sequences of operations, each with a weight drawn for the sequence; a third of the weights are 0. */
export function sequences(
  operations: Readonly<Record<string, Operation>>,
  maxCommands: number,
): fc.Arbitrary<Iterable<fc.Command<Model, BuddyAllocator>>> {
  const names = Object.keys(operations)
  const weight = fc.constantFrom(0, 1, 5)
  const weights = fc.array(weight, { minLength: names.length, maxLength: names.length })
  return weights.chain((drawn) => {
    // Without allocations nothing happens.
    const choices = names.map((name, i) => ({
      weight: (drawn[i] ?? 0) + (name === 'alloc' ? 2 : 0),
      arbitrary: draws.map((draw) => new Step(name, draw, operations)),
    }))
    return fc.commands([fc.oneof(...choices)], { maxCommands, size: 'max' })
  })
}
