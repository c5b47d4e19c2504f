/** The kernel's dump of a page and its report of a page in a bad state. Source: spec/page-allocator.md §7.7. */

import { type Pfn, structPageAddress } from '../base/units'
import { PAGE_BUDDY, PAGE_FLAGS, PAGE_KERNEL_FLAGS, PAGE_REFS } from '../state/schema'
import { blockFlags } from './freshBlocks'
import { compoundHead, flagsOrder, pageRecord } from './memmap'
import { formatPageFlagsAndPlace, PG_HEAD } from './pageFlags'

/** Where a page belongs, as its flags word says it. */
export interface PagePlace {
  readonly node: number
  readonly zoneIndex: number
  /** True in a pageblock of CMA. */
  readonly cma: boolean
}

/** The lines of `BUG: Bad page state`, for a page that `task` was about to free or use. */
export function badPageReport(
  words: Int32Array,
  pfn: number,
  reason: string,
  place: PagePlace,
  task: string,
): string[] {
  const number = pfn.toString(16).padStart(5, '0')
  return [
    `BUG: Bad page state in process ${task}  pfn:${number}`,
    ...pageDump(words, pfn, place),
    `page dumped because: ${reason}`,
  ]
}

/** The dump of one page: identity, compound head, flags, and the words of its `struct page`. */
function pageDump(words: Int32Array, pfn: number, place: PagePlace): string[] {
  const flags = blockFlags(words, pfn)
  const refs = words[pageRecord(pfn) + PAGE_REFS]!
  const lines = [
    `page:${pointer(pfn)} refcount:${refs} mapcount:${(flags & PAGE_BUDDY) !== 0 ? -128 : 0} ` +
      `mapping:${hex64(0n)} index:0x0 pfn:0x${pfn.toString(16)}`,
  ]
  const head = compoundHead(words, pfn as Pfn)
  const headFlags = words[pageRecord(head) + PAGE_FLAGS]!
  if ((headFlags & PG_HEAD) !== 0) {
    lines.push(
      `head:${pointer(head)} order:${flagsOrder(headFlags)} compound_mapcount:0 compound_pincount:0`,
    )
  }
  const kernelFlags =
    BigInt(flags & PAGE_KERNEL_FLAGS) |
    (BigInt(place.node) << 58n) |
    (BigInt(place.zoneIndex) << 56n)
  const names = formatPageFlagsAndPlace(flags & PAGE_KERNEL_FLAGS, place.node, place.zoneIndex)
  lines.push(
    `flags: 0x${kernelFlags.toString(16)}(${names})${place.cma ? ' CMA' : ''}`,
    `raw: ${[kernelFlags, 0xdead000000000100n, 0xdead000000000122n, 0n].map(hex64).join(' ')}`,
    `raw: ${[0n, 0n, (BigInt(refs) << 32n) | 0xffffffffn, 0n].map(hex64).join(' ')}`,
  )
  return lines
}

function pointer(pfn: number): string {
  return hex64(structPageAddress(pfn))
}

function hex64(value: bigint): string {
  return BigInt.asUintN(64, value).toString(16).padStart(16, '0')
}
