/** Writing a state that was found to be right into a machine: nothing here fails. */

import { PAGE_SIZE } from '../base/units'
import { switchCpu } from '../buddy/context'
import { writtenParts } from '../page/freshBlocks'
import type { Ctor } from '../slab/context'
import { HEADER_CURRENT_CPU } from '../state/schema'
import { SLAB_WORDS_USED } from '../state/slabSchema'
import { VMAP_ROOT_PFN, VMAP_WORDS_USED } from '../state/vmapSchema'
import type { MachineParts } from '../vmalloc/machineParts'
import { frameOfPage, isZeroPage, ramBytes } from './machineView'
import type { Snapshot } from './parseSnapshot'
import type { SnapshotParts } from './parts'
import type { Runs } from './runs'
import type { ShapeRange } from './shape'

/** All that a machine is to go on from. */
export interface LoadedState {
  readonly pages: Int32Array
  /** Null when the page level is all there is. */
  readonly above: StateAbove | null
  readonly snapshot: Snapshot
}

/** What lies above the page level. */
export interface StateAbove {
  readonly slabs: Int32Array
  readonly space: Int32Array
  readonly ctors: readonly (readonly [id: number, ctor: Ctor])[]
}

/** The words of a section; those in no run are 0. */
export function expandWords({ view }: Snapshot, runs: Runs, length: number): Int32Array {
  const words = new Int32Array(length)
  for (const [i, start] of runs.starts.entries()) {
    const end = start + (runs.counts[i] ?? 0)
    let place = runs.offsets[i] ?? 0
    for (let word = start; word < end; word++, place += 4) words[word] = view.getInt32(place, true)
  }
  return words
}

/** Makes a machine go on from a state. */
export function loadState(m: SnapshotParts, state: LoadedState): void {
  const { words } = m.pages
  replace(words, writtenParts(words), state.pages, writtenParts(state.pages))
  if (m.vm !== undefined && state.above !== null) loadAbove(m, state.above, state.snapshot)
  const { ram } = state.snapshot.runs
  if (ram !== null) replaceRam(m, state.snapshot, ram)
  takeOver(m)
}

/** Takes over what the states say now: which CPU runs, and which pages are page tables. */
export function takeOver(m: SnapshotParts): void {
  const c = m.pages.context
  switchCpu(c, c.words[HEADER_CURRENT_CPU]!)
  if (m.vm === undefined) return
  const { space, tables } = m.vm.context
  tables.readopt(space.words[VMAP_ROOT_PFN]!, space.words[VMAP_ROOT_PFN + 1]!)
}

function loadAbove(m: MachineParts, { slabs, space, ctors }: StateAbove, from: Snapshot): void {
  const c = m.slabs.context
  const mapper = m.vm.context
  replace(c.words, [0, c.words[SLAB_WORDS_USED]!], slabs, [0, slabs.length])
  const { words } = mapper.space
  replace(words, [0, words[VMAP_WORDS_USED]!], space, [0, space.length])
  c.ctors.clear()
  for (const [id, ctor] of ctors) c.ctors.set(id, ctor)
  const { running } = from.header
  c.caller = running.slabCaller
  mapper.caller = running.mapperCaller
  mapper.space.held = running.held
}

/** Writes the parts that hold something on one of the sides: so memory that was never used is not touched. */
function replace(
  words: Int32Array,
  parts: readonly number[],
  by: Int32Array,
  partsBy: readonly number[],
): void {
  for (let i = 0; i < parts.length; i += 2) words.fill(0, parts[i], parts[i + 1])
  for (let i = 0; i < partsBy.length; i += 2) {
    words.set(by.subarray(partsBy[i], partsBy[i + 1]), partsBy[i])
  }
}

/** Writes only pages that differ: untouched memory costs nothing, and pages that stay do not become dirty. */
function replaceRam(m: SnapshotParts, { bytes, header }: Snapshot, runs: Runs): void {
  const { memory } = header.shape
  const ram = ramBytes(m)
  const { words } = m.ram
  const pages = ram.length / PAGE_SIZE
  let page = 0
  for (const [i, start] of runs.starts.entries()) {
    for (; page < start; page++) clearPage(m, memory, ram, words, page)
    const end = start + (runs.counts[i] ?? 0)
    for (let at = runs.offsets[i] ?? 0; page < end; page++, at += PAGE_SIZE) {
      const content = bytes.subarray(at, at + PAGE_SIZE)
      if (firstDifference(ram, page * PAGE_SIZE, content) < 0) continue
      ram.set(content, page * PAGE_SIZE)
      m.ram.markDirty(frameOfPage(memory, page) * PAGE_SIZE, PAGE_SIZE)
    }
  }
  for (; page < pages; page++) clearPage(m, memory, ram, words, page)
}

function clearPage(
  m: SnapshotParts,
  memory: readonly ShapeRange[],
  ram: Uint8Array,
  words: Int32Array,
  page: number,
): void {
  if (isZeroPage(words, page)) return
  ram.fill(0, page * PAGE_SIZE, (page + 1) * PAGE_SIZE)
  m.ram.markDirty(frameOfPage(memory, page) * PAGE_SIZE, PAGE_SIZE)
}

/** First byte from which on a page differs from what it is to be; -1 for none. */
function firstDifference(ram: Uint8Array, at: number, content: Uint8Array): number {
  for (let i = 0; i < PAGE_SIZE; i++) if (ram[at + i] !== content[i]) return i
  return -1
}
