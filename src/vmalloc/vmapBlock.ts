/**
 * Blocks of address space that small mappings share, one block after the other for each CPU.
 *
 * A block hands its pages out upwards and never again, until all have been handed out and returned, or nothing of
 * it is in use and a purge retires it:
 *
 *     | handed out and returned (dirty) | in use | never handed out (free) |
 *
 * VMALLOC-11: a block's free and dirty pages are fewer than all of its pages; the others are in use.
 * VMALLOC-12: a block is on its CPU's list, once, exactly as long as it has free pages.
 * VMALLOC-13: a block has an area of its size, aligned to it; its dirty pages and what is mapped lie in the
 * part that has been handed out.
 *
 * A block that is given up is free at once, and its index takes no memory (DIFF-45).
 *
 * Source: spec/vmalloc.md §8.4.
 */

import { getOrder, PAGE_SIZE, type VirtAddr } from '../base/units'
import { GFP_KERNEL, GFP_RECLAIM_MASK } from '../page/gfp'
import {
  AREA_BLOCK,
  AREA_START,
  BLOCK_AREA,
  BLOCK_CPU,
  BLOCK_DIRTY,
  BLOCK_DIRTY_MAX,
  BLOCK_DIRTY_MIN,
  BLOCK_FREE,
  BLOCK_LISTED,
  BLOCK_NEXT,
  BLOCK_OBJECT,
  VMAP_BLOCK_SHIFT,
  VMAP_CPU_BLOCKS,
  VMAP_CPU_LAST_BLOCK,
  VMAP_NR_CPUS,
} from '../state/vmapSchema'
import { unmapArea, unmapRange } from './vmArea'
import type { VmallocContext } from './vmallocContext'
import { allocArea, releaseArea } from './vmapArea'
import { cpuPlace, giveRecord, RECORD_BLOCK, takeRecord, thisCpu } from './vmapContext'
import { purge } from './vmapPurge'

/** Bytes of a `struct vmap_block`. */
const BLOCK_BYTES = 96

/** Room for `count` pages in a block of the current CPU: its address, or -1. */
export function takeFromBlock(c: VmallocContext, count: number, node: number): number {
  const { words } = c.space
  const need = 1 << getOrder(count * PAGE_SIZE)
  for (let block = words[thisCpu(c.space) + VMAP_CPU_BLOCKS]!; block !== 0; ) {
    const free = words[block + BLOCK_FREE]!
    if (free >= need) {
      words[block + BLOCK_FREE] = free - need
      if (free === need) unlist(c, block)
      return blockStart(c, block) + (blockPages(c) - free) * PAGE_SIZE
    }
    block = words[block + BLOCK_NEXT]!
  }
  const block = newBlock(c, need, node)
  return block === 0 ? -1 : blockStart(c, block)
}

/** Takes `count` pages of a block back, from an address in it on; their entries are cleared. */
export function giveToBlock(
  c: VmallocContext,
  block: number,
  address: number,
  count: number,
): void {
  const { words } = c.space
  const need = 1 << getOrder(count * PAGE_SIZE)
  const first = (address - blockStart(c, block)) / PAGE_SIZE
  unmapRange(c, address, count * PAGE_SIZE)
  words[block + BLOCK_DIRTY_MIN] = Math.min(words[block + BLOCK_DIRTY_MIN]!, first)
  words[block + BLOCK_DIRTY_MAX] = Math.max(words[block + BLOCK_DIRTY_MAX]!, first + need)
  words[block + BLOCK_DIRTY]! += need
  if (words[block + BLOCK_DIRTY] === blockPages(c)) freeBlock(c, block)
}

/**
 * Purges lazily freed areas, blocks with nothing in use among them, and flushes what is stale: [start, end) with
 * it, always when `force`.
 */
export function unmapAliases(
  c: VmallocContext,
  start = Number.POSITIVE_INFINITY,
  end = 0,
  force = false,
): void {
  const { words } = c.space
  let from = start
  let to = end
  let stale = force
  for (const block of listedBlocks(c)) {
    const min = words[block + BLOCK_DIRTY_MIN]!
    const max = words[block + BLOCK_DIRTY_MAX]!
    if (words[block + BLOCK_DIRTY] === 0 || min >= max) continue
    const base = blockStart(c, block)
    from = Math.min(from, base + min * PAGE_SIZE)
    to = Math.max(to, base + max * PAGE_SIZE)
    stale = true
    words[block + BLOCK_DIRTY_MIN] = blockPages(c)
    words[block + BLOCK_DIRTY_MAX] = 0
  }
  if (!purge(c.space, true, from, to) && stale) c.tables.flush.flushTlb(from, to)
}

/** Retires the blocks with nothing in use: the first step of a full purge. */
export function retireBlocks(c: VmallocContext): void {
  const { words } = c.space
  const pages = blockPages(c)
  for (let cpu = 0; cpu < words[VMAP_NR_CPUS]!; cpu++) {
    const retired = cpuBlocks(c, cpu).filter((block) => {
      const dirty = words[block + BLOCK_DIRTY]!
      return words[block + BLOCK_FREE]! + dirty === pages && dirty !== pages
    })
    for (const block of retired) {
      words[block + BLOCK_FREE] = 0
      words[block + BLOCK_DIRTY] = pages
      words[block + BLOCK_DIRTY_MIN] = 0
      words[block + BLOCK_DIRTY_MAX] = pages
      unlist(c, block)
    }
    for (const block of retired) freeBlock(c, block)
  }
}

/** Pages of a block. */
export function blockPages(c: VmallocContext): number {
  return 1 << c.space.words[VMAP_BLOCK_SHIFT]!
}

/** First address of a block. */
export function blockStart(c: VmallocContext, block: number): number {
  return c.space.numbers[(c.space.words[block + BLOCK_AREA]! + AREA_START) >> 1]!
}

/** A new block with its first `need` pages handed out; 0 when there is no memory or address space. */
function newBlock(c: VmallocContext, need: number, node: number): number {
  const { words, numbers } = c.space
  const { vmallocStart, vmallocEnd } = c.layout
  const object = c.heap.kmalloc(BLOCK_BYTES, GFP_KERNEL & GFP_RECLAIM_MASK, node)
  if (object === null) return 0
  const block = takeRecord(c.space, RECORD_BLOCK)
  const bytes = blockPages(c) * PAGE_SIZE
  let area = 0
  try {
    if (block !== 0) {
      area = allocArea(c.space, bytes, bytes, vmallocStart, vmallocEnd, GFP_KERNEL, node)
    }
  } finally {
    // After an error too, which a hook may throw.
    if (area === 0) {
      if (block !== 0) giveRecord(c.space, block, RECORD_BLOCK)
      c.heap.kfree(object)
    }
  }
  if (area === 0) return 0
  words[area + AREA_BLOCK] = block
  words[block + BLOCK_AREA] = area
  words[block + BLOCK_FREE] = blockPages(c) - need
  words[block + BLOCK_DIRTY_MIN] = blockPages(c)
  words[block + BLOCK_CPU] = c.frames.running.cpu
  numbers[(block + BLOCK_OBJECT) >> 1] = object
  if (words[block + BLOCK_FREE] !== 0) list(c, block)
  return block
}

/** Puts a block's addresses aside, and gives its descriptor back. It is on no list. */
function freeBlock(c: VmallocContext, block: number): void {
  const { words, numbers } = c.space
  const area = words[block + BLOCK_AREA]!
  const object = numbers[(block + BLOCK_OBJECT) >> 1]! as VirtAddr
  words[area + AREA_BLOCK] = 0
  unmapArea(c, area)
  releaseArea(c.space, area)
  giveRecord(c.space, block, RECORD_BLOCK)
  c.heap.kfree(object)
}

/** Puts a block at the end of its CPU's list. */
function list(c: VmallocContext, block: number): void {
  const { words } = c.space
  const cpu = cpuPlace(words[block + BLOCK_CPU]!)
  const last = words[cpu + VMAP_CPU_LAST_BLOCK]!
  words[last === 0 ? cpu + VMAP_CPU_BLOCKS : last + BLOCK_NEXT] = block
  words[cpu + VMAP_CPU_LAST_BLOCK] = block
  words[block + BLOCK_LISTED] = 1
}

/** Takes a block off its CPU's list, which it is on. */
function unlist(c: VmallocContext, block: number): void {
  const { words } = c.space
  const cpu = cpuPlace(words[block + BLOCK_CPU]!)
  const next = words[block + BLOCK_NEXT]!
  let before = 0
  for (let at = words[cpu + VMAP_CPU_BLOCKS]!; at !== block; at = words[at + BLOCK_NEXT]!)
    before = at
  words[before === 0 ? cpu + VMAP_CPU_BLOCKS : before + BLOCK_NEXT] = next
  if (next === 0) words[cpu + VMAP_CPU_LAST_BLOCK] = before
  words[block + BLOCK_NEXT] = 0
  words[block + BLOCK_LISTED] = 0
}

/** Blocks on a CPU's list, first one first. */
function cpuBlocks(c: VmallocContext, cpu: number): number[] {
  const { words } = c.space
  const blocks: number[] = []
  const head = cpuPlace(cpu) + VMAP_CPU_BLOCKS
  for (let at = words[head]!; at !== 0; at = words[at + BLOCK_NEXT]!) blocks.push(at)
  return blocks
}

/** Blocks on the lists of all CPUs. */
function listedBlocks(c: VmallocContext): number[] {
  const cpus = Array.from({ length: c.space.words[VMAP_NR_CPUS]! }, (_, cpu) => cpu)
  return cpus.flatMap((cpu) => cpuBlocks(c, cpu))
}
