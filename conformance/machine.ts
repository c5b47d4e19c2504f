/** The machine that recordings of calls start from. */

import {
  type BuddyAllocator,
  Kmalloc,
  kernelLog,
  LAYOUT_X86_64,
  loadZones,
  PAGE_SIZE,
  PhysicalMemory,
  remainingObjects,
  SlabAllocator,
  type SlabOptions,
  type SlubDebug,
  type SlubDebugOptions,
  slabLog,
  slabNodeOnline,
  slubDebug,
  Vmalloc,
  vmallocLog,
  type ZoneState,
} from 'kmem'

/** Node 1 of the recording kernel when nothing has used it: for recordings that do not tell. */
export const PRISTINE_NODE: readonly ZoneState[] = [zone(1, 'Normal', 1048576, 65536, 0)]

/** Frames of node 0. */
const NODE_0_PAGES = 65536
/** Those of them that are in use. */
const NODE_0_USED = 32768

/** Areas and the like that a recording has at a time, at most. */
const MAX_RECORDS = 65536

/** A machine that plays calls of the slab layer. */
export interface SlabMachine {
  readonly pages: BuddyAllocator
  readonly slabs: SlabAllocator
  readonly heap: Kmalloc
  readonly debug: SlubDebug
  readonly vm: Vmalloc
  /** Lines that were logged since the last look. */
  log(): string[]
}

/** What a recording kernel was given besides the words that it always has. */
export interface SlabMachineOptions {
  /** Whether caches may share slabs. */
  readonly merge?: boolean
  /** Options of its checks: a kernel goes on after a report. */
  readonly debug?: SlubDebugOptions
  /** Other options of the slab layer. */
  readonly slabs?: SlabOptions
}

/**
 * Node 0 of the recording kernel is its own, and not described: ours has half its frames free and half in
 * use, so that the descriptors of caches lie there. Node 1, which all recorded calls are about, comes after
 * the kernel's own caches were made, as it did there.
 */
export function slabMachine(
  zones: readonly ZoneState[],
  cpus: number,
  options: SlabMachineOptions = {},
): SlabMachine {
  const ram = new PhysicalMemory({
    map: [nodeRange(0, 0, NODE_0_PAGES * PAGE_SIZE), ...zones.map(zoneRange)],
  })
  let lines: string[] = []
  const write = (line: string): void => {
    lines.push(line)
  }
  // All that a recording logs happened within the seconds of the limit of reports.
  const pages = loadZones([zone(0, 'DMA32', 0, NODE_0_PAGES, NODE_0_USED), ...zones], {
    cpus,
    ram,
    log: kernelLog(write, { clock: () => 0 }),
  })
  const debug = slubDebug({ onBug: 'continue', log: write, ...options.debug })
  const slabs = new SlabAllocator(pages, {
    layout: LAYOUT_X86_64,
    merge: options.merge === true,
    nodes: [0],
    debug,
    log: slabLog(write, { remaining: remainingObjects }),
    ...options.slabs,
  })
  slabs.context.caller = 'run_line'
  const heap = new Kmalloc(slabs)
  const vm = new Vmalloc(pages, {
    heap,
    log: vmallocLog(write, { layout: LAYOUT_X86_64 }),
    maxRecords: MAX_RECORDS,
  })
  for (const node of new Set(zones.map(({ node }) => node))) slabNodeOnline(slabs, node)
  const log = (): string[] => {
    const taken = lines
    lines = []
    return taken
  }
  return { pages, slabs, heap, debug, vm, log }
}

/** A zone of free blocks, the first `used` frames apart: those are in use. */
function zone(
  node: number,
  name: ZoneState['name'],
  start: number,
  pages: number,
  used: number,
): ZoneState {
  const blocks: number[] = []
  for (let pfn = start + used; pfn < start + pages; pfn += 1024) blocks.push(pfn)
  return {
    node,
    name,
    startPfn: start,
    spanned: pages,
    present: pages,
    managed: pages,
    free: pages - used,
    watermark: { min: 313, low: 391, high: 469 },
    boost: 0,
    highatomicReserved: 0,
    lowmemReserve: [0, 0, 0, 0],
    pcp: { count: 0, high: 391, batch: 15, freeFactor: 0, lists: {} },
    freeLists: { 10: { 1: blocks } },
    pageblocks: '1'.repeat(pages / 512),
  }
}

function zoneRange({ node, startPfn, spanned }: ZoneState) {
  return nodeRange(node, startPfn * PAGE_SIZE, spanned * PAGE_SIZE)
}

function nodeRange(node: number, base: number, size: number) {
  return { base, size, type: 'usable' as const, node }
}
