/** The invariants of a state, by id, and the list that breaches of them go to. */

import { MAX_ORDER } from '../base/units'
import {
  HEADER_NR_CPUS,
  HEADER_PCPS,
  HEADER_ZONES,
  NR_ZONES,
  PCP_LISTS,
  PCP_WORDS,
  PCP_WORDS_SHIFT,
  ZONE_LISTS,
  ZONE_LISTS_PER_ORDER,
  ZONE_WORDS,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import { zoneIndexName } from '../zone/zones'

/** What holds between any two calls, a sentence each; files that keep an invariant name its id. */
export const INVARIANTS = {
  'HEADER-1': 'The buffer is a whole state of this version, each table where its geometry puts it.',
  'HEADER-2': 'Every value in the header is one that it may have.',
  'RANGE-1': 'Memory ranges ascend without overlaps, below the highest frame, on nodes that exist.',
  'CPU-1': 'Every CPU runs on a node with a record.',
  'CPU-2':
    'A plan of a CPU names a populated zone of its node, its own record of the zone, and a list of ' +
    'single pages there.',
  'NODE-1': 'A node is online or not, counts its CPUs, and spans all of its zones.',
  'ZONELIST-1': 'A zonelist holds populated zones only, each once.',
  'ZONELIST-2':
    'Each list of an online node names its own zones, the highest first; the fallback list then ' +
    'those of all other nodes, node by node; a 0 ends both.',
  'ZONE-1': 'The zones of one node do not overlap.',
  'ZONE-2':
    'Stored free pages, with what is pending on all CPUs, are the pages on non-ISOLATE lists.',
  'ZONE-3':
    'A zone record names its node, index and page lists, and managed ≤ present ≤ spanned pages.',
  'ZONE-4': 'Every block lies wholly in the memory of one zone, and on lists of that zone only.',
  'ZONE-5': 'Stored free CMA pages, with what is pending on all CPUs, are the pages on CMA lists.',
  'ZONE-6':
    'A quiet zone has no flag, and is above the low mark and every reserve for a single page of any ' +
    'request.',
  'WMARK-1':
    'Watermarks ascend from min over low and high to promo; no mark, boost or reserve is negative.',
  'HIGHATOMIC-1':
    'The high-atomic reserve counts whole pageblocks, no fewer than are HIGHATOMIC unless the zone ' +
    'shares a pageblock, and no more than the limit of about a hundredth of the zone allows.',
  'ISOLATE-1':
    'A zone’s count of isolated pageblocks is the number of its pageblocks of type ISOLATE.',
  'BLOCK-1': 'A pageblock’s word has a type from 0 to 5, a zone that exists, and no unknown bit.',
  'BLOCK-2': 'Memory lies in present pageblocks, and in the span of the zone that they name.',
  'LIST-1': 'For every record r of a list, next(prev(r)) = prev(next(r)) = r.',
  'LIST-2': 'The head of an empty list links to itself.',
  'BUDDY-1': 'Each list (zone, order, type) holds exactly the blocks marked free with that order.',
  'BUDDY-2': 'A zone’s count of free blocks of an order is the length of that order’s six lists.',
  'BUDDY-3': 'No two free buddies below order 9 lie apart.',
  'BUDDY-4': 'No block, free, on a CPU’s list or in use, overlaps another.',
  'PCP-1': 'A page-list count is the number of pages in the blocks on the 14 lists.',
  'PCP-2':
    'Each block on a CPU’s list has the order of the list and a cached type that may be there.',
  'PCP-3': 'Each page with a negative count is on a CPU’s list.',
  'PCP-4':
    'Limits of page lists are sane: batch 1 or more, free factor 0 to 5, expiry 0 to 3, and the ' +
    'limit is high, or under reclaim at most four batches.',
  'EVENT-1': 'Both words of an event are positive or 0.',
  'PAGE-1':
    'A page with the buddy mark has no other bit but its order, no references, and starts on a ' +
    'multiple of its block.',
  'PAGE-2': 'Every page of a block but the first has an all-zero flag word and no references.',
  'PAGE-3':
    'A page that heads a block on a CPU’s list has a count of -1 less the migratetype that it goes ' +
    'back to, no bit but its order, and starts on a multiple of its block.',
  'PAGE-4': 'Every frame of memory is reserved or in a block: free, on a CPU’s list or in use.',
  'PAGE-5':
    'A block in use has references and starts on a multiple of its size; only blocks of order 1 ' +
    'and more are compound, only those of order 0 reserved.',
  'FRESH-1':
    'A fresh block is two pageblocks of one zone and type, both marked, whose page records are all ' +
    'zero. The block before it in memory is of the same zone and type, and fresh too or a free block ' +
    'of order 10.',
} as const

/** Id of an invariant. */
export type InvariantId = keyof typeof INVARIANTS

/** A breach of an invariant, of the page allocator's when not told otherwise. */
export interface Violation<Id extends string = InvariantId> {
  readonly id: Id
  /** Where: names the frame, zone or list, and what is wrong there. */
  readonly message: string
}

/** A state may be broken all over; nobody reads more than this. */
const MAX_VIOLATIONS = 100

/** Collects breaches, up to a hundred. */
export class Violations<Id extends string = InvariantId> {
  readonly found: Violation<Id>[] = []

  /** True when no more are taken: time to stop looking. */
  get full(): boolean {
    return this.found.length >= MAX_VIOLATIONS
  }

  report(id: Id, message: string): void {
    if (!this.full) this.found.push({ id, message })
  }
}

/** A frame in messages. */
export function pfnText(pfn: number): string {
  return `pfn 0x${pfn.toString(16)}`
}

/** A zone in messages, by number. */
export function zoneText(words: Int32Array, number: number): string {
  const node = Math.floor(number / NR_ZONES)
  return `node ${node} zone ${zoneIndexName(words, number % NR_ZONES)}`
}

/** The list with this head in messages: of a zone or of a CPU. */
export function listText(words: Int32Array, head: number): string {
  const pcps = words[HEADER_PCPS]!
  if (head < pcps) {
    const offset = head - words[HEADER_ZONES]!
    const place = (offset & (ZONE_WORDS - 1)) - ZONE_LISTS
    const order = Math.floor(place / ZONE_LISTS_PER_ORDER)
    const type = (place % ZONE_LISTS_PER_ORDER) >> 1
    const list = order < MAX_ORDER ? `order ${order} type ${type}` : `word ${place}`
    return `${zoneText(words, offset >> ZONE_WORDS_SHIFT)} free list ${list}`
  }
  const offset = head - pcps
  const cpus = words[HEADER_NR_CPUS]!
  const record = offset >> PCP_WORDS_SHIFT
  const index = ((offset & (PCP_WORDS - 1)) - PCP_LISTS) >> 1
  const zone = zoneText(words, Math.floor(record / cpus))
  return `${zone} CPU ${record % cpus} page list ${index}`
}
