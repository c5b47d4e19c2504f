/** What a page frame is: its place, its block, and what it is used for. */

import { PAGE_SIZE } from '../base/units'
import { frameSource } from '../buddy/frameSource'
import { blockFlags, leadRecord } from '../page/freshBlocks'
import { blockHead, flagsOrder, pageRecord } from '../page/memmap'
import { MIGRATETYPE_NAMES } from '../page/migratetype'
import { formatPageFlags, PG_RESERVED } from '../page/pageFlags'
import {
  HEADER_MAX_PFN,
  HEADER_WORDS,
  PAGE_BUDDY,
  PAGE_KERNEL_FLAGS,
  PAGE_NEXT,
  PAGE_PFMEMALLOC,
  PAGE_REFS,
  PCP_WORDS,
  ZONE_LISTS,
  ZONE_LISTS_PER_ORDER,
  ZONE_NODE,
  ZONE_PCP,
} from '../state/schema'
import { SLAB_FRAMES, SLAB_MAX_PFN, SLAB_PFN } from '../state/slabSchema'
import { AREA_VM, VM_CALLER } from '../state/vmapSchema'
import { callerName } from '../vmalloc/callers'
import type { MachineParts } from '../vmalloc/machineParts'
import { pageblockType } from '../zone/pageblock'
import { zoneName, zoneOfPfn } from '../zone/zones'
import { areaBounds, Backing, type InspectOptions, isSetAside, ownerOf } from './backing'
import type { InspectedPage, PageUse } from './inspection'
import { inspectSlab } from './inspectSlab'

/** What a page says that is no memory. */
const NOTHING = {
  zone: '',
  node: -1,
  blockType: '',
  head: -1,
  order: 0,
  references: 0,
  flags: 0,
  flagNames: '',
  pfmemalloc: false,
  cpu: -1,
  listType: '',
  use: null,
  owner: '',
} as const

/** What is known of the byte at `offset` in page frame `pfn`, any integer from 0 on. */
export function inspectPage(
  m: MachineParts,
  pfn: number,
  offset: number,
  options: InspectOptions,
): InspectedPage {
  if (!frameSource(m.pages).isMemory(pfn)) {
    return { ...NOTHING, pfn, offset, state: 'no memory' }
  }
  const { words } = m.pages
  const zone = zoneOfPfn(words, pfn)
  const page = {
    ...NOTHING,
    pfn,
    offset,
    zone: zone < 0 ? '' : zoneName(words, zone),
    node: zone < 0 ? -1 : words[zone + ZONE_NODE]!,
    blockType: typeName(pageblockType(words, pfn)),
  }
  const head = blockHead(words, pfn)
  if (head < 0) return { ...page, state: 'unknown' }
  const record = pageRecord(head)
  const word = blockFlags(words, head)
  const references = words[record + PAGE_REFS]!
  const flags = word & PAGE_KERNEL_FLAGS
  const block = { ...page, head, order: flagsOrder(word), flags, flagNames: formatPageFlags(flags) }
  if ((word & PAGE_BUDDY) !== 0) {
    return { ...block, state: 'free', listType: freeListType(words, zone, leadRecord(words, head)) }
  }
  if (references < 0) {
    const cpu = cpuOfList(words, zone, record)
    return { ...block, state: 'cpu list', cpu, listType: typeName(-1 - references) }
  }
  if ((flags & PG_RESERVED) !== 0) return { ...block, state: 'reserved', references }
  const pfmemalloc = (word & PAGE_PFMEMALLOC) !== 0
  const [use, owner] = [pageUse(m, pfn, head, offset), ownerOf(options, pfn)]
  return { ...block, state: 'used', references, pfmemalloc, use, owner }
}

function typeName(type: number): string {
  return MIGRATETYPE_NAMES[type] ?? ''
}

/** Migratetype of the free list that a block is on. */
function freeListType(words: Int32Array, zone: number, record: number): string {
  const place = listHead(words, record) - zone - ZONE_LISTS
  return zone < 0 || place < 0 ? '' : typeName((place % ZONE_LISTS_PER_ORDER) >> 1)
}

/** The CPU on one of whose lists a block is; -1 for none. */
function cpuOfList(words: Int32Array, zone: number, record: number): number {
  const head = listHead(words, record)
  return zone < 0 || head < 0 ? -1 : Math.floor((head - words[zone + ZONE_PCP]!) / PCP_WORDS)
}

/** The head of the list that a page is on; -1 when its links do not lead to one. */
function listHead(words: Int32Array, record: number): number {
  const count = words[HEADER_MAX_PFN]!
  const end = pageRecord(count)
  let at = words[record + PAGE_NEXT]!
  for (let n = 0; n < count && at >= HEADER_WORDS && at < end; n++) at = words[at + PAGE_NEXT]!
  return at >= end ? at : -1
}

/** What a page in use is used for; null when it belongs to somebody who asked for pages. */
function pageUse(m: MachineParts, pfn: number, head: number, offset: number): PageUse | null {
  const slabs = m.slabs.context
  const mapper = m.vm.context
  const level = mapper.tables.levelOf(head)
  if (level >= 0) {
    return { kind: 'table', level, name: mapper.tables.format.levels[level]?.name ?? '' }
  }
  const backing = new Backing(mapper, m.pages.words)
  const word = head < slabs.words[SLAB_MAX_PFN]! ? slabs.words[SLAB_FRAMES + head]! : 0
  if (word > 0) {
    const at = (pfn - slabs.words[word + SLAB_PFN]!) * PAGE_SIZE + offset
    return { kind: 'slab', slab: inspectSlab(slabs, backing, word, at) }
  }
  if (word < 0) {
    const address = slabs.directMap + head * PAGE_SIZE
    const use = backing.objects.get(address) ?? ''
    return { kind: 'large', address, size: PAGE_SIZE * 2 ** (-1 - word), use }
  }
  if (isSetAside(m.pages.words, head)) return { kind: 'set aside' }
  const area = backing.pages.get(head)
  if (area === undefined) return null
  const { words } = mapper.space
  const caller = callerName(words, words[words[area + AREA_VM]! + VM_CALLER]!)
  return { kind: 'area', start: areaBounds(mapper, area)[0], caller }
}
