/** What drawn numbers stand for: masks, orders, sizes. */

import {
  __GFP_ACCOUNT,
  __GFP_COMP,
  __GFP_DMA,
  __GFP_DMA32,
  __GFP_HIGH,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_NOFAIL,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_RECLAIMABLE,
  __GFP_RETRY_MAYFAIL,
  __GFP_THISNODE,
  __GFP_WRITE,
  __GFP_ZERO,
  GFP_ATOMIC,
  GFP_HIGHUSER,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  GFP_NOFS,
  GFP_NOIO,
  GFP_NOWAIT,
  GFP_TRANSHUGE,
  GFP_TRANSHUGE_LIGHT,
  GFP_USER,
} from '../../src/index'

const PAGE_MASKS: readonly number[] = [
  ...[GFP_KERNEL, GFP_KERNEL, GFP_KERNEL, GFP_KERNEL],
  ...[GFP_HIGHUSER_MOVABLE, GFP_HIGHUSER_MOVABLE, GFP_HIGHUSER_MOVABLE | __GFP_ZERO],
  ...[GFP_KERNEL | __GFP_RECLAIMABLE, GFP_KERNEL | __GFP_RECLAIMABLE],
  GFP_KERNEL | __GFP_ZERO,
  GFP_KERNEL | __GFP_COMP,
  GFP_KERNEL | __GFP_COMP | __GFP_ZERO,
  GFP_KERNEL | __GFP_ACCOUNT,
  GFP_KERNEL | __GFP_DMA,
  GFP_KERNEL | __GFP_DMA32,
  GFP_KERNEL | __GFP_MEMALLOC,
  GFP_KERNEL | __GFP_NOFAIL,
  GFP_KERNEL | __GFP_RETRY_MAYFAIL,
  GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN,
  GFP_KERNEL | __GFP_THISNODE,
  GFP_KERNEL | __GFP_MOVABLE,
  GFP_ATOMIC,
  GFP_ATOMIC | __GFP_NOMEMALLOC,
  GFP_NOWAIT,
  GFP_NOWAIT | __GFP_HIGH,
  GFP_NOIO,
  GFP_NOFS,
  GFP_USER | __GFP_WRITE,
  GFP_HIGHUSER,
  GFP_TRANSHUGE,
  GFP_TRANSHUGE_LIGHT,
  0,
]

const OBJECT_MASKS: readonly number[] = [
  ...[GFP_KERNEL, GFP_KERNEL, GFP_KERNEL, GFP_KERNEL],
  ...[GFP_KERNEL | __GFP_ZERO, GFP_KERNEL | __GFP_RECLAIMABLE],
  GFP_KERNEL | __GFP_ACCOUNT,
  GFP_KERNEL | __GFP_DMA,
  GFP_KERNEL | __GFP_NOFAIL,
  GFP_KERNEL | __GFP_MEMALLOC,
  GFP_ATOMIC,
  GFP_ATOMIC | __GFP_ZERO,
  GFP_NOWAIT | __GFP_NOWARN,
  GFP_NOIO,
  GFP_NOFS,
]

const ORDERS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 9, 10]
const ALIGNS = [0, 0, 0, 0, 8, 16, 32, 64, 64, 128, 256, 1024, 4096]

/** A mask for pages. */
export function pageMask(draw: number): number {
  return PAGE_MASKS[draw % PAGE_MASKS.length]!
}

/** A mask for objects and memory of any size. */
export function objectMask(draw: number): number {
  return OBJECT_MASKS[draw % OBJECT_MASKS.length]!
}

/** An order: mostly small. */
export function orderOf(draw: number): number {
  return ORDERS[draw % ORDERS.length]!
}

/** An alignment of objects. */
export function alignOf(draw: number): number {
  return ALIGNS[draw % ALIGNS.length]!
}

/** A count of bytes: of all classes of objects, and seldom of blocks of pages. */
export function bytesOf(draw: number): number {
  const size = draw >>> 5
  switch (draw & 31) {
    case 0:
      return 1 + (size % 4_194_304)
    case 1:
    case 2:
      return 1 + (size % 66_000)
    case 3:
    case 4:
    case 5:
      return 1 + (size % 8192)
    case 6:
    case 7:
      return 2 ** (size % 14)
    default:
      return 1 + (size % 300)
  }
}

/** A count of pages for the virtual mapper: mostly few. */
export function pagesOf(draw: number): number {
  const count = draw >>> 4
  const limits = [1, 2, 4, 4, 4, 8, 8, 8, 30, 30, 30, 30, 70, 130, 130, 700]
  return 1 + (count % limits[draw & 15]!)
}

/** Whether a mask asks for memory filled with zero. */
export function isZeroed(gfp: number): boolean {
  return (gfp & __GFP_ZERO) !== 0
}
