/** What changed between two moments of a machine. */

import { checkInteger } from '../base/errors'
import { type AreaChanges, compareAreas } from './compareAreas'
import { compareMemory, comparePages, type MemoryChanges, type PageChanges } from './comparePages'
import { compareSlabs, type SlabChanges } from './compareSlabs'
import { changeLines } from './compareText'
import type { SnapshotParts } from './parts'
import { COMPARED, checkShape } from './shape'
import { sideOf } from './wordReader'

/** How much is told. */
export interface CompareOptions {
  /** How many changes of each kind are listed, 0 to 1,000,000; 10 when not given. All are counted. */
  readonly limit?: number
}

/** What changed from one moment to another. */
export interface SnapshotChanges {
  /** Whether nothing did, as far as is told here: order of lists, counters and such are not. */
  readonly same: boolean
  /** Blocks of pages in use. */
  readonly pages: PageChanges
  /** Slabs and objects of caches, and large kmalloc blocks. */
  readonly slabs: SlabChanges
  /** Areas in use of the vmalloc space. */
  readonly areas: AreaChanges
  /** Bytes of RAM; null when one side does not have them. */
  readonly memory: MemoryChanges | null
  /** All this in words, a line each; none when nothing changed. */
  readonly lines: readonly string[]
}

/**
 * Tells what changed between two snapshots, or between a snapshot and a machine, or two machines: the first is
 * before, the second after. Both are only read, and must have the same memory, CPUs, nodes and layout. What was
 * freed and allocated again in the same way is no change.
 * Cost: the pages and words that one of them has something in; all of RAM for a machine.
 * @throws InvalidArgument for a snapshot that is damaged, and for different machines.
 */
export function compareSnapshots(
  before: Uint8Array | SnapshotParts,
  after: Uint8Array | SnapshotParts,
  options: CompareOptions = {},
): SnapshotChanges {
  const { limit = 10 } = Object(options) as CompareOptions
  checkInteger('limit', limit, 0, 1_000_000)
  const a = sideOf(before)
  const b = sideOf(after)
  checkShape(a.shape, b.shape, COMPARED)
  const { shape } = a
  const { frames, memory } = shape
  const changes = {
    pages: comparePages(a.pages, b.pages, frames, limit),
    slabs: compareSlabs(a.slabs, b.slabs, frames, limit),
    areas: compareAreas(a.space, b.space, limit),
    memory: a.ram === null || b.ram === null ? null : compareMemory(a.ram, b.ram, memory, limit),
  }
  const lines = changeLines(changes, shape)
  return { same: lines.length === 0, ...changes, lines }
}
