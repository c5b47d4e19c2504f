/** Saving a machine. The format is told in `format.ts`. */

import { InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import { writtenParts } from '../page/freshBlocks'
import { VMAP_WORDS_USED } from '../state/vmapSchema'
import { crc32, hex8 } from './checksum'
import {
  FORMAT_VERSION,
  isLittleEndian,
  MAGIC,
  PREFIX_BYTES,
  type SectionHeader,
  type SectionName,
  type SnapshotHeader,
  unitBytes,
} from './format'
import { checkMachine, ramBytes } from './machineView'
import type { SnapshotParts } from './parts'
import { pageRuns, type Runs, sectionBytes, wordRuns, writePageRuns, writeWordRuns } from './runs'
import { schemaVersions } from './schemas'
import { machineShape } from './shape'

/** What is saved. */
export interface SnapshotOptions {
  /**
   * Whether the bytes of RAM are saved; true when not given. Without them a snapshot can be looked at and compared, but
   * no machine can go on from it.
   */
  readonly content?: boolean
}

interface Section {
  readonly name: SectionName
  readonly units: number
  readonly runs: Runs
  readonly words: Int32Array
}

/**
 * Saves a machine between two calls: all three states and, unless told otherwise, the bytes of its RAM. What is zero
 * takes no room. Hooks, constructors and objects on top, such as mempools and address spaces, are not saved.
 * The page level can be saved alone, as `{ ram, pages }`.
 * Cost: reads every word in use and all of RAM once; of memory that was never used, nothing.
 * @returns a file; the caller's. The same state always gives the same bytes.
 * @throws InvalidArgument for anything but a machine between two calls, and for a file larger than the engine
 * can allocate.
 */
export function saveSnapshot(m: SnapshotParts, options: SnapshotOptions = {}): Uint8Array {
  checkMachine(m)
  const { content = true } = Object(options) as SnapshotOptions
  if (typeof content !== 'boolean') {
    throw new InvalidArgument('content', content, 'true or false')
  }
  const sections = sectionsOf(m, content && m.ram.hasContent)
  const sizes = sections.map(({ name, runs }) => sectionBytes(runs, unitBytes(name)))
  const none = sections.map(() => 0)
  const start = headBytes(m, sections, sizes, none).length
  const file = allocate(start + sizes.reduce((sum, bytes) => sum + bytes, 0))
  const view = new DataView(file.buffer)
  let at = start
  const checksums = sections.map(({ name, runs, words }, i) => {
    const end = at + (sizes[i] ?? 0)
    if (name === 'ram') writePageRuns(view, file, at, ramBytes(m), runs)
    else writeWordRuns(view, at, words, runs)
    const crc = crc32(file, at, end)
    at = end
    return crc
  })
  file.set(headBytes(m, sections, sizes, checksums))
  return file
}

function sectionsOf(m: SnapshotParts, content: boolean): Section[] {
  const { ram, pages, slabs, vm } = m
  const sections = [wordSection('pages', pages.words, writtenParts(pages.words))]
  if (slabs !== undefined) {
    const space = vm.context.space.words
    sections.push(wordSection('slabs', slabs.words, [0, slabs.wordsUsed]))
    sections.push(wordSection('space', space, [0, space[VMAP_WORDS_USED]!]))
  }
  if (!content) return sections
  const units = ram.size / PAGE_SIZE
  const { words } = ram
  return [...sections, { name: 'ram', units, runs: pageRuns(words, units), words }]
}

function wordSection(name: SectionName, words: Int32Array, parts: readonly number[]): Section {
  return { name, units: parts[parts.length - 1] ?? 0, runs: wordRuns(words, parts), words }
}

/** The file up to its sections. Its length does not depend on the checksums. */
function headBytes(
  m: SnapshotParts,
  sections: readonly Section[],
  sizes: readonly number[],
  checksums: readonly number[],
): Uint8Array {
  const told = sections.map(
    ({ name, units }, i): SectionHeader => ({
      name,
      bytes: sizes[i] ?? 0,
      units,
      crc: hex8(checksums[i] ?? 0),
    }),
  )
  const header: SnapshotHeader = {
    schemas: schemaVersions(),
    littleEndian: isLittleEndian(),
    shape: machineShape(m),
    running: {
      held: m.vm?.context.space.held ?? false,
      mapperCaller: m.vm?.context.caller ?? '',
      slabCaller: m.slabs?.context.caller ?? '',
    },
    sections: told,
  }
  const text = new TextEncoder().encode(JSON.stringify(header))
  const bytes = new Uint8Array(PREFIX_BYTES + text.length + 4)
  const view = new DataView(bytes.buffer)
  bytes.set(MAGIC)
  view.setUint32(8, FORMAT_VERSION, true)
  view.setUint32(12, text.length, true)
  bytes.set(text, PREFIX_BYTES)
  view.setUint32(PREFIX_BYTES + text.length, crc32(bytes, 0, PREFIX_BYTES + text.length), true)
  return bytes
}

function allocate(bytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes)
  } catch {
    const limit = 'bytes that this engine can allocate at once (or save with content: false)'
    throw new InvalidArgument('size of the snapshot', bytes, limit)
  }
}
