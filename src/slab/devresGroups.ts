/**
 * Groups of a device's managed resources: what was registered between two markers can be released at
 * once. Groups may be nested, and may stay open.
 *
 * Source: spec/slab.md §21.2.
 */

import { KernelBug } from '../base/errors'
import {
  type DevresEntry,
  type DevresGroup,
  type DevresList,
  type DevresMarker,
  type DevresRecord,
  isRecord,
} from './devresList'

/** Bytes of the kernel's group structure. */
const GROUP_BYTES = 96

/** Opens a group, whose id is its own address unless one is given; null when there is no memory. */
export function openGroup(list: DevresList, id: unknown, gfp: number): DevresGroup | null {
  const object = list.heap.kmalloc(GROUP_BYTES, gfp)
  if (object === null) return null
  const group = { object, id: id ?? object, closed: false }
  list.entries.push({ group, opens: true })
  return group
}

/** Closes a group. @throws KernelBug when it is not there, or closed. */
export function closeGroup(list: DevresList, id: unknown): void {
  const group = findGroup(list.entries, id)
  if (group === null) throw noGroup(id)
  if (group.closed) throw new KernelBug('GROUP_CLOSED', `group ${String(id)} is closed already`)
  group.closed = true
  list.entries.push({ group, opens: false })
}

/** Forgets a group; its records stay. @throws KernelBug when it is not there. */
export function removeGroup(list: DevresList, id: unknown): void {
  const group = findGroup(list.entries, id)
  if (group === null) throw noGroup(id)
  const { entries } = list
  const mine = (entry: DevresEntry) => isMarkerOf(entry, group)
  entries.splice(entries.findLastIndex(mine), 1)
  if (group.closed) entries.splice(entries.findIndex(mine), 1)
  list.heap.kfree(group.object)
}

/** Releases a group's records; returns how many. @throws KernelBug when it is not there, unless nothing is. */
export function releaseGroup(list: DevresList, id: unknown): number {
  const { entries } = list
  const group = findGroup(entries, id)
  if (group === null) {
    if (entries.length === 0) return 0
    throw noGroup(id)
  }
  const from = entries.findIndex((entry) => isMarkerOf(entry, group))
  const last = entries.findLastIndex((entry) => isMarkerOf(entry, group))
  return list.releaseAll(takeRange(entries, from, group.closed ? last + 1 : entries.length))
}

/**
 * Takes the records of [from, to) out of the list, and the groups that lie wholly in there; an open group
 * ends with its opening marker. Returns the records in their order, then the groups by their last markers.
 */
export function takeRange(
  entries: DevresEntry[],
  from: number,
  to: number,
): (DevresRecord | DevresGroup)[] {
  const range = entries.slice(from, to)
  const groups = new Set<DevresGroup>()
  const opened = new Set<DevresGroup>()
  for (const entry of range) {
    if (isRecord(entry)) continue
    const { group, opens } = entry
    if (opens) opened.add(group)
    if (opened.has(group) && opens !== group.closed) groups.add(group)
  }
  const stay = range.filter((entry) => !isRecord(entry) && !groups.has(entry.group))
  entries.splice(from, to - from, ...stay)
  return [...range.filter(isRecord), ...groups]
}

/** The newest group of this id, or without an id the newest that is open. */
function findGroup(entries: readonly DevresEntry[], id: unknown): DevresGroup | null {
  const opening = entries.findLast((entry): entry is DevresMarker => {
    if (isRecord(entry) || !entry.opens) return false
    return id === null ? !entry.group.closed : entry.group.id === id
  })
  return opening?.group ?? null
}

function isMarkerOf(entry: DevresEntry, group: DevresGroup): boolean {
  return !isRecord(entry) && entry.group === group
}

function noGroup(id: unknown): KernelBug {
  const what = id === null ? 'open group' : `group ${String(id)}`
  return new KernelBug('NO_GROUP', `the device has no ${what}`)
}
