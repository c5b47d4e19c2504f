/** What every part of the allocator is handed: the state buffer, where its tables are, and the hooks. */

import { GFP_ZONE_TABLE, GFP_ZONE_TABLE_HIGHMEM } from '../page/gfp'
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
  HEADER_PCPS,
  HEADER_ZONELISTS,
  HEADER_ZONES,
  NR_ZONES,
  PCP_WORDS,
  ZONE_PCP,
} from '../state/schema'
import { noPageTrace, type PageTrace } from '../state/trace'
import { PLAN_WORDS, PLANS } from './contextBits'
import { type LogOps, silentLog } from './logOps'
import { noPressure, type PressureOps } from './pressureOps'

/** Zeroes page frames; what the allocator needs of RAM. */
export interface PageZeroer {
  /** Fills `count` frames from `pfn` on with zero. */
  zeroPages(pfn: number, count: number): void
}

/** For machines without content. */
export const noRam: PageZeroer = Object.freeze({ zeroPages() {} })

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
  /** Offset of the per-CPU page-list table. */
  readonly pcps: number
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
  /** Index of the Normal zone; requests for lower zones never kill. */
  readonly normalIndex: number
  /** Distance from CPU 0's page lists of a zone to the current CPU's. */
  pcpShift: number
  /** Offset of the current CPU's record. */
  cpuRecord: number
  /** What the fast path knows of requests, see `fastPath.ts`; made anew when `planEpoch` is over. */
  plans: Int32Array
  /** The epoch that all plans were made in; -1 for none: then every allocation takes the long way. */
  planEpoch: number
  /** The plans of each CPU. */
  readonly plansByCpu: readonly Int32Array[]
  /** Frees of PFNs below may be fast; 0 while every call must take the long way. */
  fastLimit: number
  /** CONTEXT_ bits: what the running code is and may do. */
  contextBits: number
  /** True when somebody listens to `trace`. */
  tracing: boolean
  /** Receives the page events while `tracing`. */
  trace: PageTrace
  /** True while an interrupt hit code that holds the CPU's page lists: they cannot be used. */
  pcpLocked: boolean
  /** Receives the kernel's messages. */
  log: LogOps
  /** Reclaim, compaction and the OOM killer. */
  pressure: PressureOps
  /** Zeroes pages. */
  ram: PageZeroer
  /** Name of the running task in reports. */
  taskName: string

  constructor(words: Int32Array) {
    this.words = words
    this.maxPfn = words[HEADER_MAX_PFN]!
    this.blocks = words[HEADER_BLOCKS]!
    this.zones = words[HEADER_ZONES]!
    this.nrNodes = words[HEADER_NR_NODES]!
    this.nrZones = this.nrNodes * NR_ZONES
    this.pcps = words[HEADER_PCPS]!
    this.nodes = words[HEADER_NODES]!
    this.cpus = words[HEADER_CPUS]!
    this.nrCpus = words[HEADER_NR_CPUS]!
    this.zonelists = words[HEADER_ZONELISTS]!
    const highmem = words[HEADER_HIGHMEM] === 1
    this.zoneTable = highmem ? GFP_ZONE_TABLE_HIGHMEM : GFP_ZONE_TABLE
    this.normalZone = highmem ? -1 : 2
    this.normalIndex = highmem ? 1 : 2
    this.pcpShift = words[HEADER_CURRENT_CPU]! * PCP_WORDS
    this.cpuRecord = this.cpus + words[HEADER_CURRENT_CPU]! * CPU_WORDS
    this.plansByCpu = Array.from({ length: this.nrCpus }, () => new Int32Array(PLANS * PLAN_WORDS))
    this.plans = this.plansByCpu[words[HEADER_CURRENT_CPU]!] ?? new Int32Array(PLANS * PLAN_WORDS)
    this.planEpoch = -1
    this.fastLimit = this.maxPfn
    this.contextBits = 0
    this.tracing = false
    this.trace = noPageTrace
    this.pcpLocked = false
    this.log = silentLog
    this.pressure = noPressure
    this.ram = noRam
    this.taskName = 'kmem'
  }
}

/** Makes `cpu` the one that runs. */
export function switchCpu(c: BuddyContext, cpu: number): void {
  c.words[HEADER_CURRENT_CPU] = cpu
  c.plans = c.plansByCpu[cpu] ?? c.plans
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

/** The fast paths are for the ordinary case: no listener, no context, no page lists held. */
function decideFast(c: BuddyContext): void {
  c.fastLimit = c.tracing || c.pcpLocked || c.contextBits !== 0 ? 0 : c.maxPfn
  c.planEpoch = -1
}
