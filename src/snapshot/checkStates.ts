/**
 * Whether the states of a snapshot, of the pages and of the address space, are those of a machine like this one: looked
 * at before a word of the machine is changed. What can be told from a state without walking all of it; the checkers of
 * `debug/` tell the rest. The state of the slab layer is looked at in `checkCaches.ts`.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { MAX_ORDER, PAGE_SIZE } from '../base/units'
import { freshEnd } from '../page/freshBlocks'
import { flagsOrder, pageRecord } from '../page/memmap'
import { PAGE_FLAGS_CHECK_AT_FREE } from '../page/pageFlags'
import { checkState } from '../state/checkState'
import {
  CPU_NODE,
  CPU_WORDS,
  HEADER_CPUS,
  HEADER_CURRENT_CPU,
  HEADER_HIGHMEM,
  HEADER_MAX_PFN,
  HEADER_MAX_RANGES,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_NR_RANGES,
  HEADER_ONLINE_NODES,
  HEADER_WORDS_USED,
  HEADER_ZONES,
  NR_PCP_LISTS,
  NR_ZONES,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_NEXT,
  PAGE_PREV,
  PAGE_REFS,
  PCP_LISTS,
  PCP_WORDS,
  ZONE_LISTS,
  ZONE_LISTS_PER_ORDER,
  ZONE_NODE,
  ZONE_PCP,
  ZONE_WORDS,
} from '../state/schema'
import {
  AREA_NEXT,
  VMAP_AREA_CACHE,
  VMAP_BLOCK_SHIFT,
  VMAP_CPU_WORDS,
  VMAP_DRAIN_PENDING,
  VMAP_FREE_RECORDS,
  VMAP_GRANULE,
  VMAP_HEADER_WORDS,
  VMAP_LAZY,
  VMAP_LIMIT,
  VMAP_MAGIC,
  VMAP_NR_CPUS,
  VMAP_RECORD_WORDS,
  VMAP_ROOT_PFN,
  VMAP_ROOTS,
  VMAP_START,
  VMAP_VERSION,
  VMAP_WORDS_USED,
} from '../state/vmapSchema'
import type { MachineParts } from '../vmalloc/machineParts'
import type { SnapshotParts } from './parts'

/** @throws InvalidArgument unless `words` is a state of the page allocator of this machine. */
export function checkPages({ pages }: SnapshotParts, words: Int32Array): void {
  checkState(words)
  const own = pages.words
  checkColumns('pages', own, words, [
    HEADER_WORDS_USED,
    HEADER_MAX_PFN,
    HEADER_MAX_RANGES,
    HEADER_HIGHMEM,
  ])
  const cpus = own[HEADER_NR_CPUS]!
  const nodes = own[HEADER_NR_NODES]!
  checkInteger('current CPU of the snapshot', words[HEADER_CURRENT_CPU]!, 0, cpus - 1)
  checkInteger('nodes online of the snapshot', words[HEADER_ONLINE_NODES]!, 0, nodes)
  const most = own[HEADER_MAX_RANGES]!
  checkInteger('memory ranges of the snapshot', words[HEADER_NR_RANGES]!, 0, most)
  for (let cpu = 0; cpu < cpus; cpu++) {
    const node = words[words[HEADER_CPUS]! + cpu * CPU_WORDS + CPU_NODE]!
    checkInteger(`node of CPU ${cpu} of the snapshot`, node, 0, nodes - 1)
  }
  for (let i = 0; i < nodes * NR_ZONES; i++) checkZone(own, words, i, cpus)
  const frames = words[HEADER_MAX_PFN]!
  for (let pfn = freshEnd(words, 0); pfn < frames; pfn = freshEnd(words, pfn + 1)) {
    const record = pageRecord(pfn)
    const free = (words[record + PAGE_FLAGS]! & PAGE_BUDDY) !== 0 || words[record + PAGE_REFS]! < 0
    if (free) checkLinks(words, record)
  }
}

/**
 * @param pages the state of the page allocator, of the same snapshot.
 * @throws InvalidArgument unless `words` is a state of the mapper of this machine.
 */
export function checkSpace(m: MachineParts, words: Int32Array, pages: Int32Array): void {
  const own = m.vm.context.space.words
  const fixed = [
    VMAP_MAGIC,
    VMAP_VERSION,
    VMAP_NR_CPUS,
    VMAP_BLOCK_SHIFT,
    VMAP_GRANULE,
    VMAP_LAZY,
    VMAP_AREA_CACHE,
  ]
  // START and END, which have two words each, and LIMIT.
  const bounds = [0, 1, 2, 3].map((i) => VMAP_START + i)
  checkColumns('space', own, words, [...fixed, ...bounds, VMAP_LIMIT, VMAP_LIMIT + 1])
  const first = VMAP_HEADER_WORDS + own[VMAP_NR_CPUS]! * VMAP_CPU_WORDS
  const used = words[VMAP_WORDS_USED]!
  checkInteger('words in use of section space', words.length, first, own.length)
  checkInteger('words in use of section space', used, words.length, words.length)
  checkInteger('drain work due of the snapshot', words[VMAP_DRAIN_PENDING]!, 0, 1)
  const record = (name: string, at: number) => {
    const inside = at === 0 || (at >= first && at % VMAP_RECORD_WORDS === 0)
    const limit = `0 or the place of a record in [${first}, ${used})`
    if (!inside || at >= used) throw new InvalidArgument(`${name} of the snapshot`, at, limit)
  }
  record('free records', words[VMAP_FREE_RECORDS]!)
  for (let tree = 0; tree < 3; tree++) {
    const root = words[VMAP_ROOTS + tree]!
    record('root of areas', root)
    if (root !== 0) record('next area', words[root + AREA_NEXT]!)
  }
  for (const place of [VMAP_ROOT_PFN, VMAP_ROOT_PFN + 1]) {
    const pfn = words[place]!
    if (isPageInUse(pages, pfn) && m.ram.contains(pfn * PAGE_SIZE, PAGE_SIZE)) continue
    throw new InvalidArgument('top page table of the snapshot', pfn, 'a page that is in use')
  }
}

/** Columns that are fixed when a machine is made: equal, or these are different machines. */
export function checkColumns(
  section: string,
  own: Int32Array,
  words: Int32Array,
  columns: readonly number[],
): void {
  for (const column of columns) {
    if (words[column] === own[column]) continue
    const limit = `${own[column]}, as in this machine`
    throw new InvalidArgument(`word ${column} of section ${section}`, words[column], limit)
  }
}

function checkZone(own: Int32Array, words: Int32Array, i: number, cpus: number): void {
  const zone = words[HEADER_ZONES]! + i * ZONE_WORDS
  checkColumns('pages', own, words, [zone + ZONE_NODE, zone + ZONE_PCP])
  const heads = zone + ZONE_LISTS
  for (let at = 0; at < MAX_ORDER * ZONE_LISTS_PER_ORDER; at += 2) checkLinks(words, heads + at)
  const pcps = words[zone + ZONE_PCP]!
  for (let cpu = 0; cpu < cpus; cpu++) {
    const lists = pcps + cpu * PCP_WORDS + PCP_LISTS
    for (let list = 0; list < NR_PCP_LISTS; list++) checkLinks(words, lists + list * 2)
  }
}

/** Links lead to something of the state. */
function checkLinks(words: Int32Array, record: number): void {
  const last = words.length - 2
  checkInteger('link of the snapshot', words[record + PAGE_NEXT]!, 0, last)
  checkInteger('link of the snapshot', words[record + PAGE_PREV]!, 0, last)
}

function isPageInUse(pages: Int32Array, pfn: number): boolean {
  if (pfn < 0 || pfn >= pages[HEADER_MAX_PFN]!) return false
  const flags = pages[pageRecord(pfn) + PAGE_FLAGS]!
  const single = flagsOrder(flags) === 0 && (flags & PAGE_FLAGS_CHECK_AT_FREE) === 0
  return single && pages[pageRecord(pfn) + PAGE_REFS]! > 0
}
