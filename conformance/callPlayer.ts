/** Replays a recording of calls through the library's public interface and compares every answer. */

import {
  allocContigRange,
  allocPagesBulk,
  allocPagesExact,
  type BuddyAllocator,
  foldCounters,
  freeContigRange,
  freePagesExact,
  loadZones,
  nodeState,
  PAGE_SIZE,
  type Pfn,
  slabOptions,
  splitPage,
  type ZoneState,
} from 'kmem'
import { PRISTINE_NODE, type SlabMachineOptions, slabMachine } from './machine'
import {
  count,
  firstDifference,
  newOutcome,
  type Outcome,
  skippedOutcome,
  stateText,
} from './outcome'
import { type Answer, gfp, num, type Row } from './row'
import { isSlabCall, SlabPlayer } from './slabCalls'
import { isVmallocCall, VmallocPlayer } from './vmallocCalls'

export type { Row } from './row'

/** What a slot holds: how it was allocated, and what the library answered. */
interface Held {
  readonly pfn: Pfn
  /** Order for `free_pages`, bytes for `free_pages_exact`. */
  readonly size: number
}

/** One more than any frame of a recording: addresses above are virtual. */
const MAX_PFN = 2 ** 28

type Handler = (player: Player, row: Row) => Answer

/** The calls that the player knows, each with the fields that it answers. */
const HANDLERS: Readonly<Record<string, Handler>> = {
  alloc_pages: (player, row) => {
    const pfn = player.pages.allocPagesNode(num(row, 'node'), gfp(row), num(row, 'order'))
    player.hold(num(row, 'slot'), pfn, num(row, 'order'))
    return { pfn }
  },
  free_pages: (player, row) => {
    const held = player.take(num(row, 'slot'))
    if (held !== undefined) player.pages.freePages(held.pfn, held.size)
    return {}
  },
  alloc_pages_bulk: (player, row) => {
    const pfns = allocPagesBulk(player.pages, gfp(row), num(row, 'count'), num(row, 'node'))
    pfns.forEach((pfn, i) => {
      player.hold(num(row, 'slots') + i, pfn, 0)
    })
    return { pfns }
  },
  alloc_pages_exact: (player, row) => {
    const pfn = allocPagesExact(player.pages, num(row, 'bytes'), gfp(row), num(row, 'node'))
    player.hold(num(row, 'slot'), pfn, num(row, 'bytes'))
    return { pfn }
  },
  free_pages_exact: (player, row) => {
    const held = player.take(num(row, 'slot'))
    if (held !== undefined) freePagesExact(player.pages, held.pfn, held.size)
    return {}
  },
  split_page: (player, row) => {
    const held = player.take(num(row, 'slot'))
    if (held === undefined) return {}
    splitPage(player.pages, held.pfn, held.size)
    for (let i = 0; i < 1 << held.size; i++) {
      player.hold(num(row, 'slots') + i, (held.pfn + i) as Pfn, 0)
    }
    return {}
  },
  alloc_contig_range: (player, row) => ({
    result: allocContigRange(
      player.pages,
      num(row, 'start') as Pfn,
      num(row, 'end') as Pfn,
      num(row, 'migratetype'),
    ),
  }),
  free_contig_range: (player, row) => {
    freeContigRange(player.pages, num(row, 'pfn') as Pfn, num(row, 'count'))
    return {}
  },
  drain_local_pages: (player) => {
    player.pages.drainLocalPages()
    return {}
  },
  node_state: (player, row) => {
    const node = num(row, 'node')
    // Others than those that the recording starts with are the kernel's own, and not described.
    return player.nodes.has(node) ? { zones: nodeState(player.pages, node) } : {}
  },
}

/**
 * Plays the rows of a recording, its header first. Its first `node_state` is the state to start from,
 * unless `start` is given.
 */
export function playCalls(rows: readonly Row[], start?: readonly ZoneState[]): Outcome {
  const body = rows.filter((row) => row.call !== undefined)
  const unknown = body.find((row) => !isKnown(String(row.call)))
  if (unknown !== undefined) {
    return skippedOutcome(`has ${unknown.call} calls, which the library lacks so far`, body.length)
  }
  const slabs = body.some(({ call }) => isSlabCall(String(call)) || isVmallocCall(String(call)))
  const recorded = startState(body)
  const zones = start ?? recorded ?? (slabs ? PRISTINE_NODE : null)
  if (zones === null) return skippedOutcome('has no node_state to start from', body.length)
  const header = rows[0] ?? {}
  const cpus = typeof header.cpus === 'number' ? header.cpus : 1
  const options = optionsOf(String(header.args ?? ''))
  const outcome = newOutcome()
  const player = new Player(zones, cpus, slabs, options)
  body.forEach((row, index) => {
    const difference = player.play(row)
    count(outcome, difference === null, () =>
      describe(body, index, String(difference), new Player(zones, cpus, slabs, options)),
    )
  })
  return outcome
}

/** What the kernel was given besides the words that it always has. */
function optionsOf(args: string): SlabMachineOptions {
  const { merge = false, slubDebug } = slabOptions(args)
  return { merge, ...(slubDebug === undefined ? {} : { debug: { boot: slubDebug } }) }
}

/** The first state that is told, unless something has been handed out by then. */
function startState(rows: readonly Row[]): readonly ZoneState[] | null {
  const first = rows.find((row) => row.call === 'node_state' || 'slot' in row || 'slots' in row)
  return recordedState(first)
}

function isKnown(call: string): boolean {
  const known = Object.hasOwn(HANDLERS, call) || isSlabCall(call) || isVmallocCall(call)
  return call === 'label' || known
}

class Player {
  readonly pages: BuddyAllocator
  /** Nodes that the recording describes. */
  readonly nodes: ReadonlySet<number>
  private readonly slabs: SlabPlayer | null
  private readonly vmalloc: VmallocPlayer | null
  private readonly slots = new Map<number, Held>()

  /** Plays on a machine of the zones; one with a slab layer when `slabs`. */
  constructor(
    private readonly zones: readonly ZoneState[],
    cpus: number,
    slabs: boolean,
    options: SlabMachineOptions,
  ) {
    this.nodes = new Set(zones.map(({ node }) => node))
    const machine = slabs ? slabMachine(zones, cpus, options) : null
    const pageOf = (slot: number) => this.slots.get(slot)?.pfn
    this.slabs = machine === null ? null : new SlabPlayer(machine)
    this.vmalloc = machine === null ? null : new VmallocPlayer(machine.vm, pageOf)
    this.pages = this.slabs?.machine.pages ?? loadZones(zones, { cpus })
  }

  hold(slot: number, pfn: Pfn | null, size: number): void {
    if (pfn === null) this.slots.delete(slot)
    else this.slots.set(slot, { pfn, size })
  }

  take(slot: number): Held | undefined {
    const held = this.slots.get(slot)
    this.slots.delete(slot)
    return held
  }

  /** Makes the call of a row. Gives where its answer is not the recorded one, in words, or null. */
  play(row: Row): string | null {
    try {
      // The recording kernel folded its counters before each call.
      foldCounters(this.pages)
      if (row.call === 'label') return this.slabs?.label(row) ?? null
      const handler = HANDLERS[String(row.call)]
      const own = handler?.(this, row)
      const answer = own ?? this.vmalloc?.play(row) ?? this.slabs?.play(row) ?? {}
      if (this.isElsewhere(answer.address) && this.isElsewhere(row.address)) delete answer.address
      const recorded = Object.fromEntries(Object.keys(answer).map((field) => [field, row[field]]))
      return firstDifference(answer, recorded)
    } catch (error) {
      return `expected an answer, got ${error}`
    }
  }

  /** Whether a physical address is one of memory that the recording does not describe. */
  private isElsewhere(address: unknown): boolean {
    const pfn = typeof address === 'string' ? Math.floor(Number(address) / PAGE_SIZE) : 0
    const described = this.zones.some(
      ({ startPfn, spanned }) => pfn >= startPfn && pfn < startPfn + spanned,
    )
    return pfn > 0 && pfn < MAX_PFN && !described
  }
}

/** The call at `index`, how its answer differs, and the states around it: ours and the recorded ones. */
function describe(rows: readonly Row[], index: number, difference: string, player: Player): string {
  const { zones, ...call } = rows[index] ?? {}
  const node = nodeOf(rows, index)
  const isState = (row: Row) => row.call === 'node_state' && row.node === node
  const before = rows.findLastIndex((row, i) => i < index && isState(row))
  const after = rows.findIndex((row, i) => i >= index && isState(row))
  for (const row of rows.slice(0, index)) player.play(row)
  const ours = nodeState(player.pages, node)
  player.play(rows[index] ?? {})
  return [
    `call ${index + 1}: ${JSON.stringify(call)}`,
    difference,
    `our state before call ${index + 1}:`,
    stateText(ours),
    `our state after it:`,
    stateText(nodeState(player.pages, node)),
    ...recordedText('last recorded state before it', rows, before),
    ...recordedText('first recorded state after it', rows, after),
  ].join('\n')
}

/** The node that a call is about: its own field, or that of the recorded state next to it. */
function nodeOf(rows: readonly Row[], index: number): number {
  const near = [...rows.slice(index), ...rows.slice(0, index)]
  return Number(near.find((row) => typeof row.node === 'number')?.node ?? 0)
}

function recordedText(title: string, rows: readonly Row[], index: number): string[] {
  const zones = recordedState(rows[index])
  if (zones === null) return [`${title}: none`]
  return [`${title}, call ${index + 1}:`, stateText(zones)]
}

function recordedState(row: Row | undefined): readonly ZoneState[] | null {
  return row?.call === 'node_state' && Array.isArray(row.zones) ? row.zones : null
}
