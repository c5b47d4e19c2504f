/** The texts of `page_owner`. Source: spec/pressure.md §13.4. */

import { InvalidArgument } from '../base/errors'
import { PAGEBLOCK_ORDER } from '../base/units'
import { gfpMigratetype } from '../page/gfp'
import { formatGfp } from '../page/gfpText'
import { pageRecord } from '../page/memmap'
import { MIGRATETYPE_NAMES } from '../page/migratetype'
import { formatPageFlagsAndPlace } from '../page/pageFlags'
import { PAGE_FLAGS, PAGE_KERNEL_FLAGS, ZONE_INDEX, ZONE_NODE } from '../state/schema'
import { pageblockType } from '../zone/pageblock'
import { isPopulated, nrZones, zoneName, zoneOfPfn, zoneRecord } from '../zone/zones'

/** What the texts need to know of an owner: a `PageOwnerRecord` is one. */
export interface OwnedBlock {
  /** First frame. */
  readonly pfn: number
  /** Order of the block. */
  readonly order: number
  /** The mask that it was allocated with. */
  readonly gfp: number
  /** The task. */
  readonly pid: number
  /** Its name. */
  readonly task: string
  /** When it was allocated. */
  readonly time: number
  /** When the frame was last freed. */
  readonly freeTime: number
  /** The stack, a line for each frame. */
  readonly caller: string
}

/** Where owners come from: a `PageOwner` is one. */
export interface OwnedPages {
  /** The allocator. */
  readonly pages: {
    /** Its state. */
    readonly words: Int32Array
  }
  /** Owners of all blocks in use, ascending. */
  records(): Iterable<OwnedBlock>
}

/** Blocks that were allocated alike: by one task at one place, with one mask, of one order. */
export interface PageOwnerTotal {
  /** How many blocks. */
  readonly times: number
  /** How many pages they are. */
  readonly pages: number
  /** Order of each. */
  readonly order: number
  /** The mask. */
  readonly gfp: number
  /** The task. */
  readonly pid: number
  /** Its name. */
  readonly task: string
  /** The stack; '' for nobody. */
  readonly caller: string
}

/** The text of `/sys/kernel/debug/page_owner`: a paragraph for each block in use whose owner is known. */
export function formatPageOwner(owner: OwnedPages): string {
  let text = ''
  for (const record of owner.records()) text += formatOwnedBlock(owner.pages.words, record)
  return text
}

/** The paragraph of one block. */
export function formatOwnedBlock(words: Int32Array, block: OwnedBlock): string {
  const { pfn } = block
  const allocType = MIGRATETYPE_NAMES[gfpMigratetype(block.gfp)]
  const type = MIGRATETYPE_NAMES[pageblockType(words, pfn)]
  return (
    `${allocatedVia(block)}, ts ${block.time} ns, free_ts ${block.freeTime} ns\n` +
    `PFN ${pfn} type ${allocType} Block ${pfn >> PAGEBLOCK_ORDER} type ${type} ` +
    `Flags ${flagsText(words, pfn)}\n${stackLines(block.caller)}\n`
  )
}

/**
 * Blocks in use that were allocated alike, as the kernel's tool `page_owner_sort` counts them; times of
 * allocation do not matter.
 * @param sort by `times` or by `pages`, the largest first.
 * @throws InvalidArgument for another order.
 */
export function pageOwnerTotals(
  owner: OwnedPages,
  sort: 'times' | 'pages' = 'times',
): PageOwnerTotal[] {
  if (sort !== 'times' && sort !== 'pages') {
    throw new InvalidArgument('sort', sort, "'times' or 'pages'")
  }
  const totals = new Map<string, PageOwnerTotal>()
  for (const { order, gfp, pid, task, caller } of owner.records()) {
    const key = `${order} ${gfp} ${pid} ${task}\n${caller}`
    const { times = 0, pages = 0 } = totals.get(key) ?? {}
    const total = { times: times + 1, pages: pages + 2 ** order, order, gfp, pid, task, caller }
    totals.set(key, total)
  }
  return [...totals.values()].sort((a, b) => b[sort] - a[sort])
}

/** The text of {@link pageOwnerTotals}. */
export function formatPageOwnerTotals(
  owner: OwnedPages,
  sort: 'times' | 'pages' = 'times',
): string {
  return pageOwnerTotals(owner, sort)
    .map(
      (total) =>
        `${total.times} times, ${total.pages} pages:\n` +
        `${allocatedVia(total)}\n${stackLines(total.caller)}\n`,
    )
    .join('')
}

/** What the kernel logs of pages that were in use before: a line for each populated zone. */
export function earlyPagesLog(words: Int32Array, pages: ReadonlyMap<number, number>): string[] {
  const lines: string[] = []
  for (let number = 0; number < nrZones(words); number++) {
    const zone = zoneRecord(words, 0, number)
    if (!isPopulated(words, zone)) continue
    const title = `Node ${words[zone + ZONE_NODE]}, zone ${zoneName(words, zone).padStart(8)}`
    lines.push(`${title}: page owner found early allocated ${pages.get(zone) ?? 0} pages`)
  }
  return lines
}

function allocatedVia({ order, gfp, pid, task }: Omit<PageOwnerTotal, 'times' | 'pages'>): string {
  const mask = `0x${gfp.toString(16)}(${formatGfp(gfp)})`
  return `Page allocated via order ${order}, mask ${mask}, pid ${pid}, tgid ${pid} (${task})`
}

/** A line for each frame of the stack, one blank in front. */
function stackLines(caller: string): string {
  if (caller === '') return ''
  return caller
    .split('\n')
    .map((frame) => ` ${frame}\n`)
    .join('')
}

/** The page's flags as a number, with the bits of its node and zone, and by name. */
function flagsText(words: Int32Array, pfn: number): string {
  const flags = words[pageRecord(pfn) + PAGE_FLAGS]! & PAGE_KERNEL_FLAGS
  const zone = zoneOfPfn(words, pfn)
  const node = words[zone + ZONE_NODE]!
  const index = words[zone + ZONE_INDEX]!
  const bits = BigInt(flags) | (BigInt(node) << 58n) | (BigInt(index) << 56n)
  return `0x${bits.toString(16)}(${formatPageFlagsAndPlace(flags, node, index)})`
}
