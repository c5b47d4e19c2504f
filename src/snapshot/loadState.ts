/** Writing a state that was found to be right into a machine: nothing here fails. */

import { PAGE_SIZE } from '../base/units'
import { switchCpu } from '../buddy/context'
import type { Ctor } from '../slab/context'
import { HEADER_CURRENT_CPU } from '../state/schema'
import { SLAB_WORDS_USED } from '../state/slabSchema'
import { VMAP_ROOT_PFN, VMAP_WORDS_USED } from '../state/vmapSchema'
import type { MachineParts } from '../vmalloc/machineParts'
import type { RunningState } from './format'
import { frameOfPage, isZeroPage, ramBytes } from './machineView'
import type { Snapshot } from './parseSnapshot'
import type { Runs } from './runs'
import type { ShapeRange } from './shape'

/** All that a machine is to go on from. */
export interface LoadedState {
  readonly pages: Int32Array
  readonly slabs: Int32Array
  readonly space: Int32Array
  readonly snapshot: Snapshot
  readonly ctors: readonly (readonly [id: number, ctor: Ctor])[]
  readonly running: RunningState
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
export function loadState(m: MachineParts, state: LoadedState): void {
  const c = m.pages.context
  const slabs = m.slabs.context
  const mapper = m.vm.context
  replace(c.words, state.pages, state.pages.length)
  replace(slabs.words, state.slabs, slabs.words[SLAB_WORDS_USED]!)
  replace(mapper.space.words, state.space, mapper.space.words[VMAP_WORDS_USED]!)
  slabs.ctors.clear()
  for (const [id, ctor] of state.ctors) slabs.ctors.set(id, ctor)
  slabs.caller = state.running.slabCaller
  mapper.caller = state.running.mapperCaller
  mapper.space.held = state.running.held
  const { ram } = state.snapshot.runs
  if (ram !== null) replaceRam(m, state.snapshot, ram)
  takeOver(m)
}

/** Takes over what the states say now: which CPU runs, and which pages are page tables. */
export function takeOver(m: MachineParts): void {
  const c = m.pages.context
  const { space, tables } = m.vm.context
  switchCpu(c, c.words[HEADER_CURRENT_CPU]!)
  tables.readopt(space.words[VMAP_ROOT_PFN]!, space.words[VMAP_ROOT_PFN + 1]!)
}

/** Words behind those in use are 0, so only those that were in use before are written. */
function replace(words: Int32Array, by: Int32Array, usedBefore: number): void {
  words.set(by)
  if (usedBefore > by.length) words.fill(0, by.length, usedBefore)
}

/** Writes only pages that differ: untouched memory costs nothing, and pages that stay do not become dirty. */
function replaceRam(m: MachineParts, { bytes, header }: Snapshot, runs: Runs): void {
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
  m: MachineParts,
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
