/** Restoring a machine from a snapshot. */

import { checkInteger, InvalidArgument } from '../base/errors'
import type { MachineParts } from '../vmalloc/machineParts'
import { checkSlabState, constructorsFor } from './checkCaches'
import { checkPages, checkSpace } from './checkStates'
import type { SectionName } from './format'
import { expandWords, type LoadedState, loadState, type StateAbove } from './loadState'
import { checkMachine } from './machineView'
import { parseSnapshot, type Snapshot } from './parseSnapshot'
import type { SnapshotParts } from './parts'
import { saveSnapshot } from './saveSnapshot'
import { checkShape, machineShape } from './shape'

/** How a machine is restored. */
export interface RestoreOptions<M extends SnapshotParts = MachineParts> {
  /**
   * Called with the restored machine; when it throws, the machine becomes what it was, and the error is thrown on.
   * To be sure of a file from somebody else: its checksums tell of accidents only, `verifyState` and the other checkers
   * of everything. Costs a snapshot of the machine as it is.
   */
  readonly check?: (machine: M) => void
}

/**
 * Makes a machine go on from a snapshot, of itself or of another one of the same shape: the same memory, nodes, CPUs,
 * layout and options, whose first caches were made in the same order. It continues exactly as the one that was saved.
 *
 * Hooks stay the machine's. Handles of caches stay good for caches that were made in the same order as in the saved
 * machine; `findCache` finds the others, and gives those their constructor that the machine does not know. Objects
 * on top, such as mempools, are no part of it; page tables of others are to be told by `readopt`.
 *
 * A snapshot of the page level alone is for the page level of a machine alone, with or without content.
 *
 * Cost: reads all of RAM, and writes what differs.
 * @throws InvalidArgument, with nothing changed, for a snapshot that is damaged, of another version or shape, or
 * without the bytes of RAM.
 */
export function restoreSnapshot<M extends SnapshotParts>(
  m: M,
  bytes: Uint8Array,
  options: RestoreOptions<M> = {},
): void {
  checkMachine(m)
  const { check } = Object(options) as RestoreOptions<M>
  if (check !== undefined && typeof check !== 'function') {
    throw new InvalidArgument('check', check, 'a function')
  }
  const state = readState(m, parseSnapshot(bytes))
  if (check === undefined) {
    loadState(m, state)
    return
  }
  const saved = readState(m, parseSnapshot(saveSnapshot(m)))
  const ctors = [...(m.slabs?.context.ctors ?? [])]
  const before = saved.above === null ? saved : { ...saved, above: { ...saved.above, ctors } }
  loadState(m, state)
  try {
    check(m)
  } catch (error) {
    loadState(m, before)
    throw error
  }
}

/** The state that a snapshot gives this machine, found to be right. */
function readState(m: SnapshotParts, snapshot: Snapshot): LoadedState {
  const { header, runs } = snapshot
  checkShape(machineShape(m), header.shape)
  if (runs.ram === null && m.ram.hasContent) {
    throw new InvalidArgument('snapshot', 'without the bytes of RAM', 'one saved with content')
  }
  const pages = sectionWords(snapshot, 'pages', m.pages.words)
  checkPages(m, pages)
  return { pages, above: m.vm === undefined ? null : readAbove(m, snapshot, pages), snapshot }
}

function readAbove(m: MachineParts, snapshot: Snapshot, pages: Int32Array): StateAbove {
  const slabs = sectionWords(snapshot, 'slabs', m.slabs.words)
  const caches = checkSlabState(m, slabs)
  const space = sectionWords(snapshot, 'space', m.vm.context.space.words)
  checkSpace(m, space, pages)
  return { slabs, space, ctors: constructorsFor(m.slabs.context, caches) }
}

/** The words of a section, no more than the machine has room for. */
function sectionWords(snapshot: Snapshot, name: SectionName, own: Int32Array): Int32Array {
  const units = snapshot.header.sections.find((section) => section.name === name)?.units ?? 0
  const runs = snapshot.runs[name]
  checkInteger(`words in use of section ${name}`, units, 1, own.length)
  return expandWords(snapshot, runs ?? { starts: [], counts: [], offsets: [] }, units)
}
