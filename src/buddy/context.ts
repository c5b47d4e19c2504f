/** What every part of the allocator is handed: the state buffer, where its tables are, and the hooks. */

import { GFP_ZONE_TABLE, GFP_ZONE_TABLE_HIGHMEM } from '../page/gfp'
import type { PageSource } from '../page/pageSource'
import {
  CPU_WORDS,
  HEADER_BLOCKS,
  HEADER_CPUS,
  HEADER_CURRENT_CPU,
  HEADER_HIGHMEM,
  HEADER_MAX_PFN,
  HEADER_NODES,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_ZONELISTS,
  HEADER_ZONES,
  NR_ZONES,
  PCP_WORDS,
  ZONE_PCP,
} from '../state/schema'
import { noPageTrace, type PageTrace } from '../state/trace'
import type { Spans } from '../zone/spans'
import type { MinFreeLog } from '../zone/watermark'
import { forgetPlans } from '../zone/zones'

/** Nodes that a request may use: `mask[node]` is not 0. `null` stands for all of them. */
export type Nodemask = Int32Array | null

/** Receives what happens in the kernel's words. Methods may read the allocator but must not call it. */
export interface LogOps {
  /** The default of min_free_kbytes met a user's value, see `MinFreeLog`. */
  readonly minFree: MinFreeLog
  /** A one-time warning, by its WARN_ number; called the first time only. */
  warn(c: BuddyContext, warning: number): void
  /** A request that may sleep, where sleeping is a bug. */
  sleepInAtomic(c: BuddyContext): void
  /** A request that failed. */
  failure(c: BuddyContext, gfp: number, order: number, highest: number, nodemask: Nodemask): void
  /** A request of a layer above that failed, in its words; under the same limit as {@link failure}. */
  warnAlloc?(c: BuddyContext, gfp: number, message: string): void
  /** A page in a bad state; returns the lines of the report. */
  badPage(c: BuddyContext, pfn: number, reason: string): readonly string[]
  /** Zones have been set up; `totalPages` is what decided on mobility grouping. */
  zones(words: Int32Array, spans: Spans, totalPages: number): void
  /** All memory has been handed over. */
  handedOver(words: Int32Array): void
}

/** A request in the slow path. */
export interface SlowRequest {
  /** Its GFP mask. */
  readonly gfp: number
  /** Its order, 0 to 10. */
  readonly order: number
  /** The node it prefers. */
  readonly node: number
  /** The highest zone index it may use. */
  readonly highestZone: number
  /** Its migratetype. */
  readonly type: number
  /** Its zonelist. */
  readonly list: number
  /** The nodes it may use. */
  nodemask: Nodemask
  /** Place of the preferred zone in the zonelist, 0 for none. */
  start: number
  /** Pages that the last direct reclaim freed. */
  progress: number
}

/** What the slow path asks for when the free lists cannot serve a request. */
export interface LowMemory {
  /** Wakes the background reclaimer of `node`. */
  wakeKswapd(node: number, order: number, highestZone: number, gfp: number): void
  /** Compacts, before any reclaim, for a request that may wait. Returns a PFN, -1, or -2 to give up at once. */
  compactFirst(c: BuddyContext, r: SlowRequest, flags: number): number
  /** Makes memory and takes the block. Returns a PFN or -1. */
  rescue(c: BuddyContext, r: SlowRequest, flags: number): number
}

/** What the allocator needs of RAM. */
export interface PageZeroer {
  /** Fills `count` frames from `pfn` on with zero. */
  zeroPages(pfn: number, count: number): void
  /** Notices memory that came elsewhere, and tells the allocator. */
  refresh(): void
}

/** Decides whether a request for pages is made to fail. */
export interface PageFaults {
  /** True to fail a request of `order` with this mask, before anything is touched. */
  failPage(gfp: number, order: number): boolean
}

/** For machines without content. */
const noRam: PageZeroer = /* @__PURE__ */ Object.freeze({ zeroPages() {}, refresh() {} })

/**
 * One allocator's view of its state. The offsets are copies of header words, kept here because a
 * field of an object is cheaper than a word of the buffer (measured); everything that changes while
 * the allocator works is in `words`, but for the hooks.
 */
export class BuddyContext {
  /** The state buffer. */
  readonly words: Int32Array
  /** One more than the highest PFN with a record. */
  readonly maxPfn: number
  /** Offset of the pageblock table. */
  readonly blocks: number
  /** Offset of the zone table. */
  readonly zones: number
  /** Zones in the table, populated or not. */
  readonly nrZones: number
  /** Offset of the node table. */
  readonly nodes: number
  /** Nodes in the table. */
  readonly nrNodes: number
  /** Offset of the CPU table. */
  readonly cpus: number
  /** CPUs. */
  readonly nrCpus: number
  /** Offset of the first zonelist. */
  readonly zonelists: number
  /** Highest zone index by the low four GFP bits, two bits each. */
  readonly zoneTable: number
  /** Index of the zone that keeps migratetypes apart (NOFRAGMENT): Normal, or -1. */
  readonly normalZone: number
  /** The CPU that runs. */
  cpu: number
  /** Distance from CPU 0's page lists of a zone to the current CPU's. */
  pcpShift: number
  /** Offset of the current CPU's record. */
  cpuRecord: number
  /** Frees of PFNs below may be fast; 0 while every call must take the long way. */
  fastLimit: number
  /** CONTEXT_ bits: what the running code is and may do. */
  contextBits: number
  /** True when somebody listens to `trace`. */
  tracing: boolean
  /** Receives the page events while `tracing`. */
  trace: PageTrace
  /** True while every page has to have an owner: requests for many pages are then served one by one. */
  owned: boolean
  /** True while an interrupt hit code that holds the CPU's page lists: they cannot be used. */
  pcpLocked: boolean
  /** Receives the kernel's messages. */
  log: LogOps
  /** Reclaim, compaction and the OOM killer. */
  pressure: LowMemory
  /** Makes requests fail; null when none are to. */
  faults: PageFaults | null
  /** Zeroes pages. */
  ram: PageZeroer
  /** The way to pages for layers above, once one has asked for it. */
  source: PageSource | null
  /** Name of the running task in reports. */
  taskName: string

  constructor(words: Int32Array, log: LogOps, pressure: LowMemory) {
    this.words = words
    this.maxPfn = words[HEADER_MAX_PFN]!
    this.blocks = words[HEADER_BLOCKS]!
    this.zones = words[HEADER_ZONES]!
    this.nrNodes = words[HEADER_NR_NODES]!
    this.nrZones = this.nrNodes * NR_ZONES
    this.nodes = words[HEADER_NODES]!
    this.cpus = words[HEADER_CPUS]!
    this.nrCpus = words[HEADER_NR_CPUS]!
    this.zonelists = words[HEADER_ZONELISTS]!
    const highmem = words[HEADER_HIGHMEM] === 1
    this.zoneTable = highmem ? GFP_ZONE_TABLE_HIGHMEM : GFP_ZONE_TABLE
    this.normalZone = highmem ? -1 : 2
    this.cpu = words[HEADER_CURRENT_CPU]!
    this.pcpShift = this.cpu * PCP_WORDS
    this.cpuRecord = this.cpus + this.cpu * CPU_WORDS
    this.fastLimit = this.maxPfn
    this.contextBits = 0
    this.tracing = false
    this.trace = noPageTrace
    this.owned = false
    this.pcpLocked = false
    this.log = log
    this.pressure = pressure
    this.faults = null
    this.ram = noRam
    this.source = null
    this.taskName = 'kmem'
  }
}

/** Makes `cpu` the one that runs. */
export function switchCpu(c: BuddyContext, cpu: number): void {
  c.words[HEADER_CURRENT_CPU] = cpu
  c.cpu = cpu
  c.pcpShift = cpu * PCP_WORDS
  c.cpuRecord = c.cpus + cpu * CPU_WORDS
}

/** Offset of the current CPU's page lists of `zone`. */
export function currentPcp(c: BuddyContext, zone: number): number {
  return c.words[zone + ZONE_PCP]! + c.pcpShift
}

/** Listens to the page events; null stops that. */
export function listen(c: BuddyContext, trace: PageTrace | null): void {
  c.trace = trace ?? noPageTrace
  c.tracing = trace !== null
  decideFast(c)
}

/** Marks the page lists as held, or not. */
export function holdPageLists(c: BuddyContext, held: boolean): void {
  c.pcpLocked = held
  decideFast(c)
}

/** Sets the CONTEXT_ bits. */
export function enterContext(c: BuddyContext, bits: number): void {
  c.contextBits = bits
  decideFast(c)
}

/** The fast paths are for the ordinary case: no listener, no context, no page lists held, no faults. */
export function decideFast(c: BuddyContext): void {
  const ordinary = !c.tracing && !c.pcpLocked && c.contextBits === 0 && c.faults === null
  c.fastLimit = ordinary ? c.maxPfn : 0
  forgetPlans(c.words)
}
