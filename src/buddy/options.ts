/** How an allocator is made: from memory, from recorded zones, or around a state that exists. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { type Log, noLog } from '../base/log'
import { GiB, PAGE_SIZE, PAGEBLOCK_PAGES, SECTION_PAGES } from '../base/units'
import type { BootMemory } from '../boot/bootMemory'
import { __GFP_BITS_MASK } from '../page/gfp'
import { checkState, formatState, type Geometry, stateWords } from '../state/layout'
import { HEADER_GFP_ALLOWED, HEADER_ONLINE_NODES, NODE_ONLINE, NR_ZONES } from '../state/schema'
import { setupStatThresholds } from '../zone/pcpLimits'
import { setupZones, type Topology } from '../zone/setup'
import { type PfnRange, type Spans, ZONES_X86_64, type ZoneProfile } from '../zone/spans'
import { buildZonelists } from '../zone/zonelist'
import { nodeRecord, zoneIndexName, zoneRecord } from '../zone/zones'
import { BuddyContext } from './context'
import { bootZones } from './handover'
import { loadZone, type ZoneState } from './nodeState'
import type { PressureOps } from './pressureOps'

/** The most memory that one machine can have: a tebibyte. */
const MAX_PFN_LIMIT = 2 ** 28
/** Memory ranges that can be added after boot. */
const SPARE_RANGES = 64

/** What the allocator uses of a `PhysicalMemory`. */
export interface RamSource {
  /** Its ranges, ascending. */
  readonly ranges: readonly {
    readonly base: number
    readonly size: number
    readonly type: 'usable' | 'reserved' | 'device'
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
  /** Receives the kernel's messages line by line; nothing is logged without it. */
  readonly log?: Log
  /** Reclaim, compaction and the OOM killer; without it there is nothing to reclaim. */
  readonly pressure?: PressureOps
  /** Seconds on any clock, for the rate limit of failure reports; without it none is left out. */
  readonly clock?: () => number
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
  /** Memory that must not become Movable, as on a kernel's command line: `'512M'`, `'30%'`. */
  readonly kernelcore?: string | number
  /** Memory that should become Movable, likewise. */
  readonly movablecore?: string | number
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

/** Options of an allocator that continues from recorded zones. */
export interface LoadOptions extends CommonOptions {
  /** CPUs; 1 when not given. */
  readonly cpus?: number
  /** RAM whose frames the zones describe. */
  readonly ram?: RamSource
  /** Keep the state in a SharedArrayBuffer. */
  readonly shared?: boolean
}

/** Makes the state of a new allocator and hands memory over. */
export function createContext(options: BuddyOptions): BuddyContext {
  const boot = bootMemory(options)
  const cpus = options.cpus ?? options.cpuNodes?.length ?? 1
  checkInteger('cpus', cpus, 1, 1024)
  const cpuNodes = options.cpuNodes ?? new Array<number>(cpus).fill(0)
  for (const range of boot.memory) checkInteger('node', range.node ?? 0, 0, 63)
  for (const node of cpuNodes) checkInteger('node of a CPU', node, 0, 63)
  const memoryNodes = boot.memory.map((range) => range.node ?? 0)
  const nodes = Math.max(0, ...memoryNodes, ...cpuNodes) + 1
  const earlyPages = options.earlyPages ?? 0
  checkInteger('earlyPages', earlyPages, 0, 1 << 20)
  const end = boot.memory.reduce((top, range) => Math.max(top, range.base + range.size), 0)
  const growth = options.ram?.growable === true ? 4 * GiB : 0
  const top = Math.max(end, growth, options.maxAddress ?? 0)
  if (!Number.isSafeInteger(top) || top > MAX_PFN_LIMIT * PAGE_SIZE) {
    throw new InvalidArgument('end of memory', top, `at most ${MAX_PFN_LIMIT * PAGE_SIZE} bytes`)
  }
  const words = newState(
    {
      maxPfn: Math.max(1, Math.ceil(top / (SECTION_PAGES * PAGE_SIZE))) * SECTION_PAGES,
      nodes,
      cpus,
      maxRanges: boot.memory.length + SPARE_RANGES,
    },
    options.shared === true,
  )
  const c = new BuddyContext(words)
  connect(c, options, options.ram)
  const topology: Topology =
    options.distances === undefined
      ? { cpuNodes }
      : { cpuNodes, distances: options.distances }
  bootZones(c, boot, {
    profile: options.zones ?? ZONES_X86_64,
    nodes,
    topology,
    earlyPages,
    ...(options.kernelcore === undefined ? {} : { kernelcore: options.kernelcore }),
    ...(options.movablecore === undefined ? {} : { movablecore: options.movablecore }),
  })
  return c
}

/**
 * Makes the state of an allocator whose zones are as recorded.
 * @throws InvalidArgument for zones that contradict themselves or each other.
 */
export function loadContext(zones: readonly ZoneState[], options: LoadOptions): BuddyContext {
  if (zones.length === 0) throw new InvalidArgument('zones', zones, 'at least one zone')
  const ends = zones.map((zone) => zone.startPfn + zone.spanned)
  for (const end of ends) checkInteger('end of a zone', end, 1, MAX_PFN_LIMIT)
  for (const zone of zones) checkInteger('node', zone.node, 0, 63)
  const cpus = options.cpus ?? 1
  checkInteger('cpus', cpus, 1, 1024)
  const nodes = Math.max(...zones.map((zone) => zone.node)) + 1
  const spans = recordedSpans(zones, nodes)
  const geometry = {
    maxPfn: Math.ceil(Math.max(...ends) / SECTION_PAGES) * SECTION_PAGES,
    nodes,
    cpus,
    maxRanges: spans.ranges.length + SPARE_RANGES,
  }
  const c = new BuddyContext(newState(geometry, options.shared === true))
  connect(c, options, options.ram)
  setupZones(c.words, spans, { cpuNodes: new Array<number>(cpus).fill(0) })
  // Nodes that are not described are online all the same: the CPUs' own is one of them.
  for (let node = 0; node < nodes; node++) c.words[nodeRecord(c.words, node) + NODE_ONLINE] = 1
  c.words[HEADER_ONLINE_NODES] = nodes
  c.words[HEADER_GFP_ALLOWED] = __GFP_BITS_MASK
  for (const zone of zones) {
    loadZone(c, zoneRecord(c.words, zone.node, zoneIndex(c.words, zone)), zone)
  }
  buildZonelists(c.words, false)
  setupStatThresholds(c.words)
  return c
}

/**
 * Works on a state that exists, without a copy.
 * @throws InvalidArgument for anything but a whole state buffer of this version.
 */
export function attachContext(
  state: ArrayBuffer | SharedArrayBuffer,
  options: CommonOptions & { readonly ram?: RamSource },
): BuddyContext {
  const words = new Int32Array(state)
  checkState(words)
  const c = new BuddyContext(words)
  connect(c, options, options.ram)
  return c
}

function connect(c: BuddyContext, options: CommonOptions, ram: RamSource | undefined): void {
  c.log = options.log ?? noLog
  if (options.pressure !== undefined) c.pressure = options.pressure
  if (options.clock !== undefined) c.clock = options.clock
  if (ram !== undefined) c.ram = ram
}

function newState(geometry: Geometry, shared: boolean): Int32Array {
  const bytes = stateWords(geometry) * 4
  const words = new Int32Array(shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes))
  formatState(words, geometry)
  return words
}

function bootMemory(options: BuddyOptions): BootMemory {
  if (options.memory !== undefined) return options.memory
  if (options.ram === undefined) {
    throw new InvalidArgument('options', options, 'an object with ram or memory')
  }
  const memory = options.ram.ranges.filter((range) => range.type !== 'device')
  return { memory, reserved: memory.filter((range) => range.type === 'reserved') }
}

function zoneIndex(words: Int32Array, zone: ZoneState): number {
  for (let index = 0; index < NR_ZONES; index++) {
    if (zoneIndexName(words, index) === zone.name) return index
  }
  throw new InvalidArgument('zone name', zone.name, 'one of this machine’s zones')
}

/** Spans and memory ranges as far as the recorded zones tell: a range for each run of mapped blocks. */
function recordedSpans(zones: readonly ZoneState[], nodes: number): Spans {
  const highmem = zones.some((zone) => zone.name === 'HighMem')
  const names = highmem ? ['DMA', 'Normal', 'HighMem', 'Movable'] : ['DMA', 'DMA32', 'Normal', 'Movable']
  const ranges = zones.flatMap(mappedRuns).sort((a, b) => a.start - b.start)
  const spans = Array.from({ length: nodes }, (_, node) => {
    const own = zones.filter((zone) => zone.node === node)
    const movable = own.find((zone) => zone.name === 'Movable')
    return {
      start: own.length === 0 ? 0 : Math.min(...own.map((zone) => zone.startPfn)),
      end: Math.max(0, ...own.map((zone) => zone.startPfn + zone.spanned)),
      movablePfn: movable?.startPfn ?? 0,
      zones: names.map((name) => {
        const zone = own.find((candidate) => candidate.name === name)
        if (zone === undefined) return { start: 0, spanned: 0, present: 0 }
        return { start: zone.startPfn, spanned: zone.spanned, present: zone.present }
      }),
    }
  })
  const limits = { highmem, limits: ZONES_X86_64.limits }
  return { ranges, limits, possible: [], movableZone: 2, nodes: spans }
}

function mappedRuns(zone: ZoneState): PfnRange[] {
  const runs: PfnRange[] = []
  const end = zone.startPfn + zone.spanned
  let start = -1
  const first = zone.startPfn - (zone.startPfn % PAGEBLOCK_PAGES)
  for (let i = 0; i <= zone.pageblocks.length; i++) {
    const mapped = i < zone.pageblocks.length && zone.pageblocks[i] !== 'x'
    const pfn = Math.max(zone.startPfn, first + i * PAGEBLOCK_PAGES)
    if (mapped && start < 0) start = pfn
    if (!mapped && start >= 0) {
      runs.push({ start, end: Math.min(end, pfn), node: zone.node })
      start = -1
    }
  }
  return runs
}
