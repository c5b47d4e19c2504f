/**
 * GFP masks as text: the names that the kernel prints, and their parsing.
 * Source: spec/page-allocator.md §2.7.
 */

import { InvalidArgument } from '../base/errors'
import {
  __GFP_ACCOUNT,
  __GFP_ATOMIC,
  __GFP_COMP,
  __GFP_DIRECT_RECLAIM,
  __GFP_DMA,
  __GFP_DMA32,
  __GFP_FS,
  __GFP_HARDWALL,
  __GFP_HIGH,
  __GFP_HIGHMEM,
  __GFP_IO,
  __GFP_KSWAPD_RECLAIM,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_NOFAIL,
  __GFP_NOLOCKDEP,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_RECLAIM,
  __GFP_RECLAIMABLE,
  __GFP_RETRY_MAYFAIL,
  __GFP_SKIP_KASAN_POISON,
  __GFP_SKIP_KASAN_UNPOISON,
  __GFP_SKIP_ZERO,
  __GFP_THISNODE,
  __GFP_WRITE,
  __GFP_ZERO,
  __GFP_ZEROTAGS,
  GFP_ATOMIC,
  GFP_DMA,
  GFP_DMA32,
  GFP_HIGHUSER,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  GFP_KERNEL_ACCOUNT,
  GFP_NOFS,
  GFP_NOIO,
  GFP_NOWAIT,
  GFP_TRANSHUGE,
  GFP_TRANSHUGE_LIGHT,
  GFP_USER,
} from './gfp'

/**
 * Masks and names in the order in which they are printed: a mask that contains others comes first.
 * __GFP_RECLAIM and __GFP_KSWAPD_RECLAIM are read but never printed: GFP_NOIO and GFP_NOWAIT have
 * the same masks and come earlier.
 */
const PRINTED: readonly (readonly [mask: number, name: string])[] = [
  [GFP_TRANSHUGE, 'GFP_TRANSHUGE'],
  [GFP_TRANSHUGE_LIGHT, 'GFP_TRANSHUGE_LIGHT'],
  [GFP_HIGHUSER_MOVABLE, 'GFP_HIGHUSER_MOVABLE'],
  [GFP_HIGHUSER, 'GFP_HIGHUSER'],
  [GFP_USER, 'GFP_USER'],
  [GFP_KERNEL_ACCOUNT, 'GFP_KERNEL_ACCOUNT'],
  [GFP_KERNEL, 'GFP_KERNEL'],
  [GFP_NOFS, 'GFP_NOFS'],
  [GFP_ATOMIC, 'GFP_ATOMIC'],
  [GFP_NOIO, 'GFP_NOIO'],
  [GFP_NOWAIT, 'GFP_NOWAIT'],
  [GFP_DMA, 'GFP_DMA'],
  [__GFP_HIGHMEM, '__GFP_HIGHMEM'],
  [GFP_DMA32, 'GFP_DMA32'],
  [__GFP_HIGH, '__GFP_HIGH'],
  [__GFP_ATOMIC, '__GFP_ATOMIC'],
  [__GFP_IO, '__GFP_IO'],
  [__GFP_FS, '__GFP_FS'],
  [__GFP_NOWARN, '__GFP_NOWARN'],
  [__GFP_RETRY_MAYFAIL, '__GFP_RETRY_MAYFAIL'],
  [__GFP_NOFAIL, '__GFP_NOFAIL'],
  [__GFP_NORETRY, '__GFP_NORETRY'],
  [__GFP_COMP, '__GFP_COMP'],
  [__GFP_ZERO, '__GFP_ZERO'],
  [__GFP_NOMEMALLOC, '__GFP_NOMEMALLOC'],
  [__GFP_MEMALLOC, '__GFP_MEMALLOC'],
  [__GFP_HARDWALL, '__GFP_HARDWALL'],
  [__GFP_THISNODE, '__GFP_THISNODE'],
  [__GFP_RECLAIMABLE, '__GFP_RECLAIMABLE'],
  [__GFP_MOVABLE, '__GFP_MOVABLE'],
  [__GFP_ACCOUNT, '__GFP_ACCOUNT'],
  [__GFP_WRITE, '__GFP_WRITE'],
  [__GFP_RECLAIM, '__GFP_RECLAIM'],
  [__GFP_DIRECT_RECLAIM, '__GFP_DIRECT_RECLAIM'],
  [__GFP_KSWAPD_RECLAIM, '__GFP_KSWAPD_RECLAIM'],
  [__GFP_ZEROTAGS, '__GFP_ZEROTAGS'],
]

/** Names that are read but never printed. */
const READ_ONLY: readonly (readonly [mask: number, name: string])[] = [
  [__GFP_DMA, '__GFP_DMA'],
  [__GFP_DMA32, '__GFP_DMA32'],
  [__GFP_SKIP_ZERO, '__GFP_SKIP_ZERO'],
  [__GFP_SKIP_KASAN_UNPOISON, '__GFP_SKIP_KASAN_UNPOISON'],
  [__GFP_SKIP_KASAN_POISON, '__GFP_SKIP_KASAN_POISON'],
  [__GFP_NOLOCKDEP, '__GFP_NOLOCKDEP'],
]

const MASKS: ReadonlyMap<string, number> = /* @__PURE__ */ maskTable()

/**
 * Text of a GFP mask as printk prints it, such as `GFP_KERNEL|__GFP_ZERO`; '' for 0. Bits without a
 * name follow as hex, as in `0x9000000`. `gfp` is taken modulo 2^32.
 */
export function formatGfp(gfp: number): string {
  let rest = gfp >>> 0
  let text = ''
  for (const [mask, name] of PRINTED) {
    if (rest === 0) return text
    if ((rest & mask) !== mask) continue
    rest = (rest & ~mask) >>> 0
    text += rest === 0 ? name : `${name}|`
  }
  return rest === 0 ? text : `${text}0x${rest.toString(16)}`
}

/** Text of a GFP mask as trace events print it: {@link formatGfp}, but `none` for 0. */
export function formatGfpTrace(gfp: number): string {
  const text = formatGfp(gfp)
  return text === '' ? 'none' : text
}

/**
 * The mask that `text` names: flag names and hex numbers joined by `|`; '' and `none` give 0.
 * Undoes {@link formatGfp}, and reads what trace events print; the result is in [0, 2^32).
 * @throws InvalidArgument for an unknown name, which the message contains.
 */
export function parseGfp(text: string): number {
  if (text === '' || text === 'none') return 0
  let gfp = 0
  for (const part of text.split('|')) {
    const mask = MASKS.get(part) ?? parseHex(part)
    if (Number.isNaN(mask)) {
      throw new InvalidArgument('gfp flag', part, 'a GFP flag name or a hex number below 2^32')
    }
    gfp |= mask
  }
  return gfp >>> 0
}

/** The value of `0x` and 1 to 8 hex digits; NaN for anything else. */
function parseHex(text: string): number {
  return /^0x[0-9a-f]{1,8}$/i.test(text) ? Number(text) : Number.NaN
}

function maskTable(): Map<string, number> {
  const masks = new Map<string, number>()
  for (const [mask, name] of PRINTED) masks.set(name, mask)
  for (const [mask, name] of READ_ONLY) masks.set(name, mask)
  return masks
}
