/** Replays a recording of calls through the library's public interface and compares every answer. */

import {
  allocContigRange,
  type BuddyAllocator,
  freeContigRange,
  loadZones,
  nodeState,
  type Pfn,
  type ZoneState,
} from 'kmem'

/** One row of a recording, as parsed from its line. */
export interface Row {
  readonly call?: string
  readonly [field: string]: unknown
}

/** What came of one file. */
export interface Outcome {
  /** Calls made, dumps included. */
  calls: number
  /** Calls whose answer was the recorded one. */
  identical: number
  /** Calls whose answer was another one. */
  different: number
  /** Why the file, or calls of it, were not played. */
  readonly skipped: Map<string, number>
  /** The first difference in full. */
  firstDifference: string | null
}

/** An outcome with nothing played yet. */
export function newOutcome(): Outcome {
  return { calls: 0, identical: 0, different: 0, skipped: new Map(), firstDifference: null }
}

/** What a slot holds: how it was allocated, and what the library answered. */
interface Held {
  readonly pfn: Pfn
  /** Order for `free_pages`, bytes for `free_pages_exact`. */
  readonly size: number
}

type Handler = (player: Player, row: Row) => unknown

/** The calls that the player knows, each with what it answers; `undefined` when it answers nothing. */
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
    const pfns = player.pages.allocPagesBulk(gfp(row), num(row, 'count'), num(row, 'node'))
    pfns.forEach((pfn, i) => {
      player.hold(num(row, 'slots') + i, pfn, 0)
    })
    return { pfns }
  },
  alloc_pages_exact: (player, row) => {
    const pfn = player.pages.allocPagesExact(num(row, 'bytes'), gfp(row), num(row, 'node'))
    player.hold(num(row, 'slot'), pfn, num(row, 'bytes'))
    return { pfn }
  },
  free_pages_exact: (player, row) => {
    const held = player.take(num(row, 'slot'))
    if (held !== undefined) player.pages.freePagesExact(held.pfn, held.size)
    return {}
  },
  split_page: (player, row) => {
    const held = player.take(num(row, 'slot'))
    if (held === undefined) return {}
    player.pages.splitPage(held.pfn, held.size)
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
  node_state: (player, row) => ({ zones: nodeState(player.pages, num(row, 'node')) }),
}

/** Plays the rows of a recording. The first `node_state` is the state to start from. */
export function playCalls(rows: readonly Row[]): Outcome {
  const outcome = newOutcome()
  const header = rows[0]
  const body = rows.filter((row) => row.call !== undefined && row.call !== 'label')
  const unknown = body.find((row) => !Object.hasOwn(HANDLERS, String(row.call)))
  if (unknown !== undefined) {
    outcome.skipped.set(
      `has ${unknown.call} calls, which no part of the library answers yet`,
      body.length,
    )
    return outcome
  }
  const start = body[0]
  if (start?.call !== 'node_state') {
    outcome.skipped.set('has no state to start from', body.length)
    return outcome
  }
  const cpus = typeof header?.cpus === 'number' ? header.cpus : 1
  new Player(loadZones(start.zones as ZoneState[], { cpus }), outcome).play(body)
  return outcome
}

class Player {
  readonly pages: BuddyAllocator
  private readonly outcome: Outcome
  private readonly slots = new Map<number, Held>()

  constructor(pages: BuddyAllocator, outcome: Outcome) {
    this.pages = pages
    this.outcome = outcome
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

  play(rows: readonly Row[]): void {
    rows.forEach((row, index) => {
      this.outcome.calls += 1
      // The recording kernel folded its counters before each call.
      this.pages.foldCounters()
      const answer = this.answer(row)
      const difference = firstDifference(answer, row, '')
      if (difference === null) {
        this.outcome.identical += 1
        return
      }
      this.outcome.different += 1
      this.outcome.firstDifference ??= describe(row, index, difference, this.pages, rows)
    })
  }

  private answer(row: Row): unknown {
    try {
      return HANDLERS[String(row.call)]?.(this, row)
    } catch (error) {
      return { thrown: String(error) }
    }
  }
}

/** A difference, the call it is at, and both states around it: the recorded one that follows, and ours. */
function describe(
  row: Row,
  index: number,
  difference: string,
  pages: BuddyAllocator,
  rows: readonly Row[],
): string {
  const { zones, ...call } = row
  const node = typeof row.node === 'number' ? row.node : 1
  const next = rows.slice(index).find((later) => later.call === 'node_state')
  return [
    `call ${index + 1}: ${JSON.stringify(call)}`,
    difference,
    `state now: ${JSON.stringify(nodeState(pages, node))}`,
    `next recorded state: ${next === undefined ? 'none' : JSON.stringify(next.zones)}`,
  ].join('\n')
}

/** Where `actual` differs from `expected`, comparing every field of `actual`; null when nowhere. */
export function firstDifference(actual: unknown, expected: unknown, path: string): string | null {
  if (typeof actual !== 'object' || actual === null) {
    if (actual === expected) return null
    return `at ${path}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`
  }
  if (typeof expected !== 'object' || expected === null) {
    return `at ${path}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`
  }
  const ours = actual as Record<string, unknown>
  const theirs = expected as Record<string, unknown>
  const top = path === ''
  const keys = top
    ? Object.keys(ours)
    : [...new Set([...Object.keys(theirs), ...Object.keys(ours)])]
  for (const key of keys) {
    const difference = firstDifference(ours[key], theirs[key], top ? key : `${path}.${key}`)
    if (difference !== null) return difference
  }
  return null
}

function num(row: Row, field: string): number {
  const value = row[field]
  if (typeof value !== 'number')
    throw new TypeError(`${row.call}: ${field} is ${value}, not a number`)
  return value
}

function gfp(row: Row): number {
  return Number.parseInt(String(row.gfp), 16)
}
