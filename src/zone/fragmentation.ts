/** Fragmentation indices from the counts of free blocks by order. Source: spec/page-allocator.md §9.7. */

/** 0 to 1000: the part of free memory in blocks smaller than `order`; 1000 when nothing is free. */
export function unusableIndex(freeBlocks: ArrayLike<number>, order: number): number {
  const free = freePagesOf(freeBlocks)
  if (free === 0) return 1000
  return Math.floor(((free - suitable(freeBlocks, order) * 2 ** order) * 1000) / free)
}

/**
 * Why a request of `order` would fail: -1000 when it would not; else from 0, lack of memory, to 1000,
 * fragmentation. 0 when no block is free.
 */
export function fragmentationIndex(freeBlocks: ArrayLike<number>, order: number): number {
  let blocks = 0
  for (let o = 0; o < freeBlocks.length; o++) blocks += freeBlocks[o]!
  if (blocks === 0) return 0
  if (suitable(freeBlocks, order) > 0) return -1000
  const requests = Math.floor((freePagesOf(freeBlocks) * 1000) / 2 ** order)
  return 1000 - Math.floor((1000 + requests) / blocks)
}

function freePagesOf(freeBlocks: ArrayLike<number>): number {
  let pages = 0
  for (let o = 0; o < freeBlocks.length; o++) pages += freeBlocks[o]! * 2 ** o
  return pages
}

/** Blocks of `order` that the free blocks of that order and above make. */
function suitable(freeBlocks: ArrayLike<number>, order: number): number {
  let blocks = 0
  for (let o = order; o < freeBlocks.length; o++) blocks += freeBlocks[o]! * 2 ** (o - order)
  return blocks
}
