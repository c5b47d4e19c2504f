/** How an allocator is made from memory, and what all ways to make one share. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { GiB, PAGE_SIZE, SECTION_PAGES } from '../base/units'
import type { BootMemory } from '../boot/bootMemory'
import { formatState, type Geometry, stateWords } from '../state/layout'
import { HEADER_HIGHMEM } from '../state/schema'
import { type MovablePolicy, ZONES_X86_64, type ZoneProfile } from '../zone/spans'
import { BuddyContext, type LogOps, type LowMemory } from './context'
import { bootZones } from './handover'
import { silentLog } from './logOps'
import { noPressure } from './lowMemory'

/** The most memory that one machine can have: a tebibyte (DIFF-17). */
export const MAX_PFN_LIMIT = 268435456
/** Memory ranges that can be added after boot. */
export const SPARE_RANGES = 64

/** What the allocator uses of a `PhysicalMemory`. */
export interface RamSource {
  /** Its ranges, ascending. */
  readonly ranges: readonly {
    /** First byte. */
    readonly base: number
    /** Bytes. */
    readonly size: number
    /** Who may use it; devices are no memory. */
    readonly type: 'usable' | 'reserved' | 'device'
    /** NUMA node. */
    readonly node: number
  }[]
  /** Fills whole frames with zero. */
  zeroPages(pfn: number, count: number): void
  /** Tells of memory added later. */
  onGrow(listener: (base: number, size: number) => void): () => void
  /** Notices growth that happened elsewhere. */
  refresh(): void
  /** Whether it can grow: over a WebAssembly.Memory. */
  readonly growable?: boolean
}

/** Options that every way of making an allocator takes. */
export interface CommonOptions {
  /** Receives the kernel's messages, such as `kernelLog(console.log)`; nothing is logged without it. */
  readonly log?: LogOps
  /** Reclaim, compaction and the OOM killer: `withPressure(ops)`; without it there is nothing to reclaim. */
  readonly pressure?: LowMemory
}

/** Options of a new allocator. */
export interface BuddyOptions extends CommonOptions {
  /** The memory to manage: its usable and reserved ranges. */
  readonly ram?: RamSource
  /** Memory and reserved ranges, such as a `Memblock`, in place of those of `ram`. */
  readonly memory?: BootMemory
  /** CPUs with page lists of their own, 1 to 1024; 1 when not given. */
  readonly cpus?: number
  /** Node of each CPU; all on node 0 when not given. */
  readonly cpuNodes?: readonly number[]
  /** Distances between nodes, 10 to 255; 10 to itself and 20 to others when not given. */
  readonly distances?: readonly (readonly number[])[]
  /** Which zones there are: `ZONES_X86_64` when not given. */
  readonly zones?: ZoneProfile
  /** Which memory becomes Movable: `movableMemory({ movablecore: '256M' })`; none when not given. */
  readonly movable?: MovablePolicy
  /** One more than the highest address that memory added later may have. Bytes. */
  readonly maxAddress?: number
  /** Raise min_free_kbytes for huge pages on machines of 512 MiB and more, as kernels do; true when not given. */
  readonly hugePages?: boolean
  /** Single pages taken for good before watermarks are set; x86_64 takes 64. 0 when not given. */
  readonly earlyPages?: number
  /** Stop after the hand-over, before page lists and watermarks have sizes. `finishBoot` goes on. */
  readonly stopAtHandover?: boolean
  /** Keep the state in a SharedArrayBuffer. */
  readonly shared?: boolean
}

/** Makes the state of a new allocator and hands memory over. */
export function createContext(options: BuddyOptions): BuddyContext {
  const boot = bootMemory(options)
  const { earlyPages = 0, maxAddress = 0, zones = ZONES_X86_64 } = options
  const cpus = options.cpus ?? options.cpuNodes?.length ?? 1
  checkInteger('cpus', cpus, 1, 1024)
  const cpuNodes = options.cpuNodes ?? new Array<number>(cpus).fill(0)
  checkInteger('maxAddress', maxAddress, 0, MAX_PFN_LIMIT * PAGE_SIZE)
  checkInteger('earlyPages', earlyPages, 0, 1 << 20)
  let nodes = 1
  let top = Math.max(maxAddress, options.ram?.growable === true ? 4 * GiB : 1)
  for (const range of boot.memory) {
    nodes = Math.max(nodes, (range.node ?? 0) + 1)
    top = Math.max(top, range.base + range.size)
  }
  nodes = Math.max(nodes, ...cpuNodes.map((node) => node + 1))
  checkInteger('nodes', nodes, 1, 64)
  checkInteger('end of memory', top, 1, MAX_PFN_LIMIT * PAGE_SIZE)
  const maxPfn = Math.ceil(top / (SECTION_PAGES * PAGE_SIZE)) * SECTION_PAGES
  const maxRanges = boot.memory.length + SPARE_RANGES
  const words = newState({ maxPfn, nodes, cpus, maxRanges }, options.shared === true)
  // A view takes the zones that masks mean from here.
  words[HEADER_HIGHMEM] = zones.highmem ? 1 : 0
  const c = newContext(words, options, options.ram)
  const topology = { cpuNodes, distances: options.distances }
  bootZones(c, boot, { profile: zones, nodes, topology, earlyPages, movable: options.movable })
  return c
}

/** A view of a state, with the hooks of the options. */
export function newContext(
  words: Int32Array,
  options: CommonOptions,
  ram?: RamSource,
): BuddyContext {
  const c = new BuddyContext(words, options.log ?? silentLog, options.pressure ?? noPressure)
  if (ram !== undefined) c.ram = ram
  return c
}

/** A new state of this geometry, with nothing in it. */
export function newState(geometry: Geometry, shared: boolean): Int32Array {
  const bytes = stateWords(geometry) * 4
  const words = new Int32Array(shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes))
  formatState(words, geometry)
  return words
}

function bootMemory(options: BuddyOptions): BootMemory {
  if (options.memory) return options.memory
  if (!options.ram) {
    throw new InvalidArgument('options', options, 'with ram or memory')
  }
  const memory = options.ram.ranges.filter((range) => range.type !== 'device')
  return { memory, reserved: memory.filter((range) => range.type === 'reserved') }
}
