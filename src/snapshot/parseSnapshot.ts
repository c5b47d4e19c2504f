/** Taking a snapshot apart. Nothing of it is believed before its checksums were found right. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { crc32, hex8 } from './checksum'
import {
  FORMAT_VERSION,
  MAGIC,
  MAX_HEADER_BYTES,
  PREFIX_BYTES,
  type SectionName,
  type SnapshotHeader,
  unitBytes,
} from './format'
import { parseHeader } from './headerText'
import { type Runs, readRuns } from './runs'

/** A snapshot whose checksums, lengths and runs are right. */
export interface Snapshot {
  readonly header: SnapshotHeader
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Runs of each section; null where there is none: RAM that was not saved. */
  readonly runs: Readonly<Record<SectionName, Runs | null>>
}

/**
 * Takes a file apart. Cost: reads all bytes; allocates less than twice the file.
 * @throws InvalidArgument saying what is wrong, and where.
 */
export function parseSnapshot(given: Uint8Array): Snapshot {
  const bytes = ownBytes(given)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { header, end } = readHead(bytes, view)
  let total = end
  for (const section of header.sections) total += section.bytes
  if (bytes.length !== total) {
    const what = bytes.length < total ? 'the end is missing' : 'something follows'
    throw new InvalidArgument('length of the snapshot', bytes.length, `${total} bytes: ${what}`)
  }
  const runs: Record<SectionName, Runs | null> = {
    pages: null,
    slabs: null,
    space: null,
    ram: null,
  }
  let at = end
  for (const { name, bytes: length, units, crc } of header.sections) {
    checkSum(bytes, `section ${name}`, at, at + length, crc)
    runs[name] = readRuns(view, name, at, at + length, unitBytes(name), units)
    at += length
  }
  return { header, bytes, view, runs }
}

/** The bytes, as nobody else can change them meanwhile. */
function ownBytes(given: Uint8Array): Uint8Array {
  if (!(given instanceof Uint8Array)) throw new InvalidArgument('snapshot', given, 'a Uint8Array')
  return given.buffer instanceof ArrayBuffer ? given : new Uint8Array(given)
}

function readHead(bytes: Uint8Array, view: DataView): { header: SnapshotHeader; end: number } {
  const least = PREFIX_BYTES + 4
  if (bytes.length < least) {
    const limit = `at least ${least}: the end is missing`
    throw new InvalidArgument('length of the snapshot', bytes.length, limit)
  }
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) {
    const first = [...bytes.subarray(0, MAGIC.length)].map((byte) => byte.toString(16)).join(' ')
    throw new InvalidArgument('start of the snapshot', first, 'that of a snapshot of kmem')
  }
  const version = view.getUint32(8, true)
  checkInteger('format version of the snapshot', version, FORMAT_VERSION, FORMAT_VERSION)
  const length = view.getUint32(12, true)
  checkInteger('length of the header of the snapshot', length, 2, MAX_HEADER_BYTES)
  const end = PREFIX_BYTES + length
  if (bytes.length < end + 4) {
    const limit = `at least ${end + 4} bytes: the end of its header is missing`
    throw new InvalidArgument('length of the snapshot', bytes.length, limit)
  }
  checkSum(bytes, 'header', 0, end, hex8(view.getUint32(end, true)))
  const text = new TextDecoder().decode(bytes.subarray(PREFIX_BYTES, end))
  return { header: parseHeader(text), end: end + 4 }
}

function checkSum(
  bytes: Uint8Array,
  what: string,
  start: number,
  end: number,
  expected: string,
): void {
  const found = hex8(crc32(bytes, start, end))
  if (found === expected) return
  const name = `checksum of the ${what}, bytes ${start} to ${end}, of the snapshot`
  throw new InvalidArgument(name, found, expected)
}
