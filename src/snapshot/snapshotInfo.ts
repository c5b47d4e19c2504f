/** What a snapshot says of itself. */

import { busyAreas } from './compareAreas'
import { countPages } from './comparePages'
import { FORMAT_VERSION, type SectionName } from './format'
import { parseSnapshot } from './parseSnapshot'
import type { ShapeRange } from './shape'
import { fileSide } from './wordReader'

/** A section of a file. */
export interface SectionInfo {
  /** `pages`, `slabs`, `space`: the states; `ram`: the bytes of memory. */
  readonly name: SectionName
  /** Bytes in the file. */
  readonly bytes: number
  /** Words in use of a state; pages of RAM. */
  readonly units: number
}

/** What is known of a snapshot. */
export interface SnapshotInfo {
  /** Version of the format. */
  readonly version: number
  /** Bytes of RAM of the machine. */
  readonly memoryBytes: number
  /** Its ranges of RAM: first byte, bytes, type, node. */
  readonly memory: readonly ShapeRange[]
  /** CPUs of the machine. */
  readonly cpus: number
  /** Nodes of the machine. */
  readonly nodes: number
  /** Name of its address layout. */
  readonly layout: string
  /** Name of the format of its page tables. */
  readonly pageTables: string
  /** Whether the bytes of RAM were saved: a machine can go on from it. */
  readonly content: boolean
  /** Pages in use, reserved ones left out. */
  readonly pagesInUse: number
  /** Free pages, those on page lists of CPUs included. */
  readonly pagesFree: number
  /** Areas in use of the vmalloc space. */
  readonly areas: number
  /** The sections, in their order. */
  readonly sections: readonly SectionInfo[]
}

/**
 * Reads what a snapshot says, without a machine. All checksums are checked.
 * @throws InvalidArgument for a snapshot that is damaged or of another version.
 */
export function snapshotInfo(bytes: Uint8Array): SnapshotInfo {
  const snapshot = parseSnapshot(bytes)
  const { shape, sections } = snapshot.header
  const side = fileSide(snapshot)
  const { used, free } = countPages(side.pages, shape.frames)
  return {
    version: FORMAT_VERSION,
    memoryBytes: shape.memory.reduce((sum, [, size]) => sum + size, 0),
    memory: shape.memory,
    cpus: shape.cpus,
    nodes: shape.nodes,
    layout: shape.layout,
    pageTables: shape.pageTables,
    content: side.ram !== null,
    pagesInUse: used,
    pagesFree: free,
    areas: busyAreas(side.space).size,
    sections: sections.map(({ name, bytes: length, units }) => ({ name, bytes: length, units })),
  }
}
