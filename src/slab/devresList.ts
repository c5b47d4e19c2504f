/**
 * The list behind a device's managed resources: records and group markers in the order in which they
 * were registered, and how ranges of it are released.
 *
 * A record is an object of the heap: a header of 40 zero bytes, then the data. What the kernel's header
 * says (links, release function, name, size) is kept in JavaScript, and is no part of a saved state.
 *
 *     object            object + 40
 *     | header: zero    | data ...                    |
 *
 * DEVRES-1: an object is a registered record's, a group's or a loose record's (allocated, not yet added),
 * and only one of these.
 * DEVRES-2: a group's closing marker comes after its opening one.
 *
 * Source: spec/slab.md §21.
 */

import { KernelBug } from '../base/errors'
import type { VirtAddr } from '../base/units'
import type { SlabContext } from './context'
import type { Kmalloc } from './kmalloc'

/** Bytes of a record's header. */
export const DEVRES_HEADER_BYTES = 40

/**
 * Gives back what a record stands for; the record itself is freed afterwards.
 * @param data address of the record's data.
 * @param payload what `alloc` was given.
 */
export type DevresRelease = (data: VirtAddr, payload: unknown) => void

/** Tells whether a record is the one that is looked for, by the same arguments. */
export type DevresMatch = (data: VirtAddr, payload: unknown) => boolean

/** A record. */
export interface DevresRecord {
  readonly object: VirtAddr
  readonly data: VirtAddr
  readonly release: DevresRelease
  readonly payload: unknown
}

/** A group: two markers in the list, the second once it is closed. */
export interface DevresGroup {
  readonly object: VirtAddr
  readonly id: unknown
  closed: boolean
}

/** A marker of a group. */
export interface DevresMarker {
  readonly group: DevresGroup
  readonly opens: boolean
}

/** What a device's list holds. */
export type DevresEntry = DevresRecord | DevresMarker

/** Records and markers of one device, oldest first. */
export class DevresList {
  readonly heap: Kmalloc
  readonly c: SlabContext
  readonly entries: DevresEntry[] = []
  /** Records that are not registered, by the address of their data. */
  readonly loose = new Map<VirtAddr, DevresRecord>()

  constructor(heap: Kmalloc) {
    this.heap = heap
    this.c = heap.slabs.context
  }

  /** Allocates a record with `size` bytes of data; null when there is no memory. It is nowhere yet. */
  make(
    release: DevresRelease,
    size: number,
    gfp: number,
    node: number,
    payload: unknown,
  ): DevresRecord | null {
    const total = size + DEVRES_HEADER_BYTES
    if (total > Number.MAX_SAFE_INTEGER) return null
    const object = this.heap.kmalloc(total, gfp, node)
    if (object === null) return null
    this.c.ram.fill(object - this.c.directMap, DEVRES_HEADER_BYTES, 0)
    return { object, data: (object + DEVRES_HEADER_BYTES) as VirtAddr, release, payload }
  }

  /** The newest registered record of a release function that matches, or null. */
  find(release: DevresRelease, match: DevresMatch | undefined): DevresRecord | null {
    for (let at = this.entries.length - 1; at >= 0; at--) {
      const entry = this.entries[at]
      if (entry === undefined || !isRecord(entry) || entry.release !== release) continue
      if (match === undefined || match(entry.data, entry.payload)) return entry
    }
    return null
  }

  /** The newest registered record of a release function with its data at `data`. */
  findAt(release: DevresRelease, data: VirtAddr): DevresRecord | null {
    return this.find(release, (address) => address === data)
  }

  /** Takes a registered record out of the list, or puts another in its place. */
  replace(record: DevresRecord, ...others: DevresRecord[]): void {
    this.entries.splice(this.entries.indexOf(record), 1, ...others)
  }

  /** Takes a registered record out of the list and frees it, without a call to its release function. */
  drop(record: DevresRecord): void {
    this.replace(record)
    this.heap.kfree(record.object)
  }

  /** Takes a registered record out of the list, releases what it stands for and frees it. */
  letGo(record: DevresRecord): void {
    this.replace(record)
    this.releaseAll([record])
  }

  /**
   * Releases and frees records, and frees groups, from the last to the first; returns how many records.
   * An error of a release function is thrown at the end, the first of them.
   */
  releaseAll(list: readonly (DevresRecord | DevresGroup)[]): number {
    const failures: unknown[] = []
    let records = 0
    for (const entry of [...list].reverse()) {
      if ('release' in entry) {
        records += 1
        try {
          entry.release(entry.data, entry.payload)
        } catch (error) {
          failures.push(error)
        }
      }
      this.heap.kfree(entry.object)
    }
    if (failures.length > 0) throw failures[0]
    return records
  }

  /** A loose record by its data, which is loose no more. */
  takeLoose(data: VirtAddr): DevresRecord {
    const record = this.loose.get(data)
    if (record === undefined) throw notManaged(data, 'no unregistered record')
    this.loose.delete(data)
    return record
  }
}

/** Whether an entry is a record, not a marker. */
export function isRecord(entry: DevresEntry): entry is DevresRecord {
  return 'release' in entry
}

/** The error for an address that does not belong to the device. */
export function notManaged(address: unknown, what: string): KernelBug {
  return new KernelBug('NOT_MANAGED', `${String(address)} is ${what} of the device`)
}
