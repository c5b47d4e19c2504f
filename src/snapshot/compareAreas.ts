/** What changed between two states of the mapper: which areas are in use. */

import type { VirtAddr } from '../base/units'
import {
  AREA_BLOCK,
  AREA_END,
  AREA_LEFT,
  AREA_NEXT,
  AREA_START,
  AREA_VM,
  TREE_BUSY,
  VM_CALLER,
  VM_FLAGS,
  VM_NR_PAGES,
  VMAP_COUNTS,
  VMAP_RECORD_WORDS,
  VMAP_ROOTS,
} from '../state/vmapSchema'
import { callerName } from '../vmalloc/callers'
import { Lister, type Listing } from './listing'
import type { WordReader } from './wordReader'

/** Levels of a tree of areas: at most twice the log2 of its nodes. */
const MOST_LEVELS = 64

/** An area in use. */
export interface UsedArea {
  /** First address. */
  readonly address: VirtAddr
  /** Bytes, guard page included. */
  readonly size: number
  /** VM_ flags; 0 for a block of small mappings. */
  readonly flags: number
  /** Pages that belong to it. */
  readonly nrPages: number
  /** Who asked for it; '' when nobody is named. */
  readonly caller: string
  /** Whether it is a block that small mappings share. */
  readonly block: boolean
}

/** An area that was there before and is now, but not the same. */
export interface ChangedArea {
  /** What it was. */
  readonly before: UsedArea
  /** What it is. */
  readonly after: UsedArea
}

/** What changed among areas. */
export interface AreaChanges {
  /** Areas that are there now only. */
  readonly added: Listing<UsedArea>
  /** Areas that were there before only. */
  readonly removed: Listing<UsedArea>
  /** At the same address, but of another size, kind or caller. */
  readonly changed: Listing<ChangedArea>
}

/** Compares the areas in use. */
export function compareAreas(a: WordReader, b: WordReader, limit: number): AreaChanges {
  const before = busyAreas(a)
  const after = busyAreas(b)
  const added = new Lister<UsedArea>(limit)
  const removed = new Lister<UsedArea>(limit)
  const changed = new Lister<ChangedArea>(limit)
  for (const [address, old] of before) {
    const now = after.get(address)
    if (now === undefined) removed.add(old)
    else if (!sameArea(old, now)) changed.add({ before: old, after: now })
  }
  for (const [address, now] of after) if (!before.has(address)) added.add(now)
  return { added: added.listing, removed: removed.listing, changed: changed.listing }
}

/** The areas in use by address, in ascending order. */
export function busyAreas(words: WordReader): Map<number, UsedArea> {
  const areas = new Map<number, UsedArea>()
  let area = words.at(VMAP_ROOTS + TREE_BUSY)
  for (let level = 0; level < MOST_LEVELS; level++) {
    const left = words.at(area + AREA_LEFT)
    if (area === 0 || left === 0) break
    area = left
  }
  const most = Math.min(words.at(VMAP_COUNTS + TREE_BUSY), words.length / VMAP_RECORD_WORDS)
  for (let i = 0; i < most && area > 0; i++) {
    const found = areaAt(words, area)
    areas.set(found.address, found)
    area = words.at(area + AREA_NEXT)
  }
  return areas
}

function areaAt(words: WordReader, area: number): UsedArea {
  const start = numberAt(words, area + AREA_START)
  const vm = words.at(area + AREA_VM)
  const told = (column: number) => (vm === 0 ? 0 : words.at(vm + column))
  return {
    address: start as VirtAddr,
    size: numberAt(words, area + AREA_END) - start,
    flags: told(VM_FLAGS) >>> 0,
    nrPages: told(VM_NR_PAGES),
    caller: callerOf(words, told(VM_CALLER)),
    block: words.at(area + AREA_BLOCK) !== 0,
  }
}

function callerOf(words: WordReader, record: number): string {
  if (record === 0) return ''
  // At the same place in a record of its own: record 0 stands for no name.
  const copy = Int32Array.from({ length: 2 * VMAP_RECORD_WORDS }, (_, i) =>
    words.at(record + i - VMAP_RECORD_WORDS),
  )
  return callerName(copy, VMAP_RECORD_WORDS)
}

/** A column of two words. */
function numberAt(words: WordReader, place: number): number {
  const halves = Int32Array.of(words.at(place), words.at(place + 1))
  return new Float64Array(halves.buffer)[0] ?? 0
}

function sameArea(a: UsedArea, b: UsedArea): boolean {
  return (
    a.size === b.size &&
    a.flags === b.flags &&
    a.nrPages === b.nrPages &&
    a.caller === b.caller &&
    a.block === b.block
  )
}
