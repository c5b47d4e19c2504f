/**
 * A machine like that of the recordings, and a player of their rows that keeps the log by label.
 */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { type SlubDebug, type SlubDebugOptions, slubDebug } from '../../src/debug/slubDebug'
import { remainingObjects } from '../../src/debug/slubObjects'
import { TAINT_BAD_PAGE } from '../../src/debug/slubText'
import { validateCache } from '../../src/debug/slubValidate'
import {
  BuddyAllocator,
  cacheState,
  KernelBug,
  Kmalloc,
  kmallocCacheOf,
  LAYOUT_X86_64,
  loadZones,
  MiB,
  PAGE_SIZE,
  PhysicalMemory,
  SlabAllocator,
  SlabCache,
  type SlabOptions,
  slabLog,
  type VirtAddr,
  type ZoneState,
} from '../../src/index'
import { kmemCacheAllocBulk, kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import { slabNodeOnline } from '../../src/slab/hotplug'
import { SLAB_TAINT } from '../../src/state/slabSchema'

/** A machine whose slab allocator can check. */
export interface SlubMachine {
  readonly pages: BuddyAllocator
  readonly slabs: SlabAllocator
  readonly heap: Kmalloc
  readonly debug: SlubDebug
  /** Lines of the log since the last look. */
  log(): string[]
}

/**
 * Frames of node 0, half of them in use, and of node 1, which is all free: the recordings' node 1.
 */
const NODE_0_PAGES = 65536
const NODE_1 = { start: 1048576, pages: 65536 }

/**
 * Node 1 comes after the kernel's own caches were made, as in the recordings, so that the first
 * cache of a test takes a page of it for its descriptor there.
 */
export function slubMachine(
  options: SlubDebugOptions = {},
  slabOptions: SlabOptions = {},
): SlubMachine {
  const ram = new PhysicalMemory({
    map: [
      { base: 0, size: NODE_0_PAGES * PAGE_SIZE, type: 'usable', node: 0 },
      { base: NODE_1.start * PAGE_SIZE, size: NODE_1.pages * PAGE_SIZE, type: 'usable', node: 1 },
    ],
  })
  const zones = [
    zone(0, 'DMA32', 0, NODE_0_PAGES, NODE_0_PAGES / 2),
    zone(1, 'Normal', NODE_1.start, NODE_1.pages, 0),
  ]
  const pages = loadZones(zones, { ram })
  let lines: string[] = []
  const write = (line: string) => {
    lines.push(line)
  }
  const debug = slubDebug({ log: write, ...options })
  const log = slabLog(write, { remaining: remainingObjects })
  const slabs = new SlabAllocator(pages, {
    layout: LAYOUT_X86_64,
    merge: false,
    nodes: [0],
    debug,
    log,
    ...slabOptions,
  })
  const heap = new Kmalloc(slabs)
  slabNodeOnline(slabs, 1)
  return {
    pages,
    slabs,
    heap,
    debug,
    log() {
      const taken = lines
      lines = []
      return taken
    },
  }
}

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

/** A row of a recording. */
export type Row = Readonly<Record<string, unknown>>

/** The rows of a recording in test/fixtures/, without the header. */
export function readRows(path: string): Row[] {
  const file = readFileSync(new URL(`../fixtures/${path}`, import.meta.url))
  return (path.endsWith('.gz') ? gunzipSync(file) : file)
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row)
    .filter((row) => row.scenario === undefined)
}

/** What a label is followed by: what was recorded, and what the player's machine logged. */
export interface LabelLog {
  readonly label: string
  readonly expected: readonly string[]
  readonly found: readonly string[]
}

/** What a replay came to. */
export interface Replay {
  readonly logs: readonly LabelLog[]
  /** Answers that differ: the row, and ours. */
  readonly differences: readonly { readonly row: Row; readonly found: unknown }[]
  /** Answers compared. */
  readonly compared: number
}

/** Plays rows on a machine whose bugs do not throw. */
export function replayRows(machine: SlubMachine, rows: readonly Row[]): Replay {
  const player = new Player(machine)
  const logs: LabelLog[] = []
  const differences: { row: Row; found: unknown }[] = []
  let compared = 0
  let label: Row | null = null
  machine.log()
  const endLabel = () => {
    const found = machine.log()
    if (label !== null && label.text !== 'end') {
      const expected = (label.log ?? []) as string[]
      logs.push({ label: String(label.text), expected, found })
    }
  }
  for (const row of rows) {
    if (row.call === 'label') {
      endLabel()
      label = row
      continue
    }
    const found = player.play(row)
    if (found === undefined) continue
    compared += 1
    if (JSON.stringify(found) !== JSON.stringify(player.expected(row))) {
      differences.push({ row, found })
    }
  }
  endLabel()
  return { logs, differences, compared }
}

interface Held {
  readonly address: VirtAddr
  readonly cache: SlabCache | null
  live: boolean
}

/**
 * The recordings' driver: a slot that was freed still knows its address, and is not freed again by
 * an ordinary free.
 */
class Player {
  private readonly machine: SlubMachine
  private readonly caches = new Map<number, SlabCache>()
  private readonly slots = new Map<number, Held>()

  constructor(machine: SlubMachine) {
    this.machine = machine
  }

  /** The answer of a row, in the recordings' form; undefined when there is none. */
  play(row: Row): unknown {
    const { heap, slabs } = this.machine
    switch (row.call) {
      case 'kmem_cache_create':
        this.create(row)
        return undefined
      case 'kmalloc_cache':
        this.caches.set(num(row, 'cache'), kmallocCacheOf(heap, num(row, 'size'), num(row, 'gfp')))
        return undefined
      case 'kmem_cache_alloc_node':
        return this.alloc(row)
      case 'kmem_cache_alloc_bulk':
        return kmemCacheAllocBulk(this.cache(row), num(row, 'gfp'), num(row, 'count')).map(
          (object, i) => this.hold(num(row, 'slots') + i, object, this.cache(row)),
        )
      case 'kmem_cache_free_bulk': {
        const held = Array.from({ length: num(row, 'count') }, (_, i) =>
          this.slots.get(num(row, 'slots') + i),
        ).filter((slot) => slot !== undefined)
        for (const slot of held) slot.live = false
        kmemCacheFreeBulk(
          this.cache(row),
          held.map(({ address }) => address),
        )
        return undefined
      }
      case 'kmem_cache_free':
        this.free(row, 0, false)
        return undefined
      case 'kmem_cache_free_again':
        this.free(row, 0, true)
        return undefined
      case 'kmem_cache_free_interior':
        this.free(row, num(row, 'offset'), true)
        return undefined
      case 'kmem_cache_destroy':
        this.cache(row).destroy()
        return undefined
      case 'kmem_cache_shrink':
        return this.cache(row).shrink() ? 1 : 0
      case 'validate_slab_cache':
        return validateCache(this.cache(row))
      case 'write_byte': {
        const held = this.slots.get(num(row, 'slot'))
        if (held === undefined) throw new Error(`slot ${num(row, 'slot')} is empty`)
        const at = held.address - slabs.context.directMap + num(row, 'offset')
        slabs.context.ram.fill(at, 1, num(row, 'value'))
        return undefined
      }
      case 'kmalloc_node':
        return this.hold(
          num(row, 'slot'),
          heap.kmalloc(num(row, 'size'), num(row, 'gfp'), num(row, 'node')),
          null,
        )
      case 'kfree':
        this.free(row, 0, false)
        return undefined
      case 'cache_state':
        return nodeOne(cacheState(this.cache(row)))
      default:
        throw new Error(`no such call: ${String(row.call)}`)
    }
  }

  /** What a row says the answer was. */
  expected(row: Row): unknown {
    if (row.call === 'cache_state') return nodeOne(row.state as ReturnType<typeof cacheState>)
    if (row.call === 'validate_slab_cache' || row.call === 'kmem_cache_shrink') return row.result
    if (row.call === 'kmem_cache_alloc_bulk') return row.addresses
    return row.address
  }

  private create(row: Row): void {
    const { slabs } = this.machine
    const { ram, directMap } = slabs.context
    // The driver's constructor writes four bytes.
    const ctor = (object: VirtAddr) => {
      ram.bytes(object - directMap, 4).set([0xee, 0xff, 0xc0, 0x00])
    }
    const cache = new SlabCache(slabs, {
      name: String(row.name),
      size: num(row, 'size'),
      align: num(row, 'align'),
      flags: num(row, 'flags'),
      ...(row.ctor === true ? { ctor } : {}),
    })
    this.caches.set(num(row, 'cache'), cache)
  }

  private alloc(row: Row): unknown {
    const cache = this.cache(row)
    return this.hold(num(row, 'slot'), cache.allocNode(num(row, 'gfp'), num(row, 'node')), cache)
  }

  private hold(slot: number, address: VirtAddr | null, cache: SlabCache | null): string | null {
    if (address === null) return null
    this.slots.set(slot, { address, cache, live: true })
    return `0x${(address - this.machine.slabs.context.directMap).toString(16)}`
  }

  private free(row: Row, offset: number, again: boolean): void {
    const held = this.slots.get(num(row, 'slot'))
    if (held === undefined || (!held.live && !again)) return
    if (!again) held.live = false
    const address = (held.address + offset) as VirtAddr
    if (held.cache === null) this.machine.heap.kfree(address)
    else held.cache.free(address)
  }

  private cache(row: Row): SlabCache {
    const cache = this.caches.get(num(row, 'cache'))
    if (cache === undefined) throw new Error(`no cache ${num(row, 'cache')}`)
    return cache
  }
}

function num(row: Row, field: string): number {
  const value = Number(row[field])
  if (Number.isNaN(value)) throw new Error(`${String(row.call)} without ${field}`)
  return value
}

/** A cache's state with node 1 only: the recordings' node 0 is not described. */
function nodeOne(state: ReturnType<typeof cacheState>): unknown {
  return { ...state, nodes: { 1: state.nodes['1'] } }
}

/** The bug that a call throws. */
export function thrown(call: () => unknown): KernelBug {
  try {
    call()
  } catch (error) {
    if (error instanceof KernelBug) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** A machine of one node and 4 MiB at address 0, for what needs no kernel's addresses. */
export interface SmallMachine {
  readonly ram: PhysicalMemory
  readonly pages: BuddyAllocator
  readonly slabs: SlabAllocator
  readonly debug: SlubDebug
  log(): string[]
  /** Everything that the pages, the slabs and the RAM hold, as one number in hex. */
  state(): string
}

/** Its reports have been made before, so that the next one does not change the taint. */
export function smallMachine(
  options: SlubDebugOptions = {},
  slabOptions: SlabOptions = {},
): SmallMachine {
  const ram = new PhysicalMemory({ size: 4 * MiB })
  const pages = new BuddyAllocator({ ram })
  let lines: string[] = []
  const write = (line: string) => {
    lines.push(line)
  }
  const debug = slubDebug({ log: write, ...options })
  const log = slabLog(write, { remaining: remainingObjects })
  const slabs = new SlabAllocator(pages, { merge: false, debug, log, ...slabOptions })
  slabs.words[SLAB_TAINT]! |= TAINT_BAD_PAGE
  return {
    ram,
    pages,
    slabs,
    debug,
    log() {
      const taken = lines
      lines = []
      return taken
    },
    state() {
      const hash = createHash('sha1')
      const used = slabs.words.subarray(0, slabs.wordsUsed)
      for (const part of [pages.words, used, ram.bytes(0, 4 * MiB)]) {
        hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
      }
      return hash.digest('hex')
    },
  }
}

/** A cache for tests. */
export function makeCache(
  machine: { readonly slabs: SlabAllocator },
  name: string,
  size: number,
  flags: number,
  ctor?: (object: VirtAddr) => void,
): SlabCache {
  const options = { name, size, flags }
  return new SlabCache(machine.slabs, ctor === undefined ? options : { ...options, ctor })
}

/** An object; the test fails without memory. */
export function take(cache: SlabCache): VirtAddr {
  const object = cache.alloc()
  if (object === null) throw new Error('no memory')
  return object
}

/** An address at a distance from an object. */
export function past(object: VirtAddr, offset: number): VirtAddr {
  return (object + offset) as VirtAddr
}
