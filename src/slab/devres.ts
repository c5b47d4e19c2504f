/**
 * devres: resources that belong to a device and are released with it, the newest first.
 *
 * `Devres` is the list with what works on any record. Managed memory, pages and actions are functions
 * that take one (`devm.ts`, `devmPools.ts`), so that they are bundled only where they are used.
 *
 * Source: spec/slab.md §21.
 */

import { checkInteger } from '../base/errors'
import { NUMA_NO_NODE, type VirtAddr } from '../base/units'
import { GFP_KERNEL } from '../page/gfp'
import { zeroMask } from './checks'
import { closeGroup, openGroup, releaseGroup, removeGroup, takeRange } from './devresGroups'
import { DevresList, type DevresMatch, type DevresRelease, notManaged } from './devresList'
import { checkDevice, type Device } from './dmaCoherent'
import type { Kmalloc } from './kmalloc'

/** What names a group: anything that is equal only to itself. */
export type DevresGroupId = string | number | symbol | object

/**
 * The managed resources of a device.
 *
 * ```ts
 * const nic = new Devres(heap, { name: 'nic0', node: 0, dmaMask: dmaBitMask(32) })
 * const ring = devmKzalloc(nic, 4000)
 * devmAddAction(nic, (queue) => queue.stop(), queue)
 * nic.releaseAll() // stops the queue, then frees the ring
 * ```
 */
export class Devres {
  /** The device. */
  readonly device: Device
  /** Where records are allocated. */
  readonly heap: Kmalloc
  /** The records. @internal */
  readonly list: DevresList

  /** @throws InvalidArgument for a device that the machine cannot have. */
  constructor(heap: Kmalloc, device: Device) {
    checkDevice(heap.slabs.context, device)
    this.device = device
    this.heap = heap
    this.list = new DevresList(heap)
  }

  // ---- Records ----

  /**
   * Allocates a record with `size` zero bytes of data, to be registered with {@link add}.
   * @param release called with `payload` when the record is released.
   * @returns the address of the data, which belongs to the caller until it is added; null when there is
   * no memory.
   */
  alloc(
    release: DevresRelease,
    size: number,
    gfp = GFP_KERNEL,
    payload?: unknown,
  ): VirtAddr | null {
    checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER)
    const zero = zeroMask(gfp)
    const record = this.list.make(release, size, zero, NUMA_NO_NODE, payload)
    if (record === null) return null
    this.list.loose.set(record.data, record)
    return record.data
  }

  /** Registers a record. @throws KernelBug unless it was allocated here and is not registered. */
  add(data: VirtAddr): void {
    this.list.entries.push(this.list.takeLoose(data))
  }

  /** Frees a record that is not registered; null is nothing. @throws KernelBug for any other. */
  free(data: VirtAddr | null): void {
    if (data !== null) this.heap.kfree(this.list.takeLoose(data).object)
  }

  /** Data of the newest record with this release function, and which matches; null when there is none. */
  find(release: DevresRelease, match?: DevresMatch): VirtAddr | null {
    return this.list.find(release, match)?.data ?? null
  }

  /**
   * The record that has the same release function as `data` and matches: an older one, and `data` is freed;
   * or `data`, which is registered.
   * @throws KernelBug when `data` is not an unregistered record.
   */
  get(data: VirtAddr, match?: DevresMatch): VirtAddr {
    const { list } = this
    const mine = list.loose.get(data)
    if (mine === undefined) throw notManaged(data, 'no unregistered record')
    const older = list.find(mine.release, match)
    if (older === null) this.add(data)
    else this.free(data)
    return (older ?? mine).data
  }

  /** Takes a record out, found as {@link find} does. It is the caller's then, as after {@link alloc}. */
  remove(release: DevresRelease, match?: DevresMatch): VirtAddr | null {
    const record = this.list.find(release, match)
    if (record === null) return null
    this.list.replace(record)
    this.list.loose.set(record.data, record)
    return record.data
  }

  /** Frees a record without calling its release function; false when there is none. */
  destroy(release: DevresRelease, match?: DevresMatch): boolean {
    const record = this.list.find(release, match)
    if (record !== null) this.list.drop(record)
    return record !== null
  }

  /** Calls the release function of a record and frees it; false when there is none. */
  release(release: DevresRelease, match?: DevresMatch): boolean {
    const record = this.list.find(release, match)
    if (record !== null) this.list.letGo(record)
    return record !== null
  }

  /**
   * Releases everything, in the reverse order of registration.
   * @returns how many records that were.
   * @throws what a release function threw, the first of them, after all were called.
   */
  releaseAll(): number {
    const { entries } = this.list
    return this.list.releaseAll(takeRange(entries, 0, entries.length))
  }

  // ---- Groups ----

  /**
   * Opens a group: what is registered from now on belongs to it, until it is closed.
   * @param id null for the address of the group itself.
   * @returns the id, or null when there is no memory.
   */
  openGroup(id: DevresGroupId | null = null, gfp = GFP_KERNEL): DevresGroupId | null {
    const group = openGroup(this.list, id, gfp)
    return group === null ? null : (id ?? group.object)
  }

  /** Closes a group, or the newest open one. @throws KernelBug when there is none, or it is closed. */
  closeGroup(id: DevresGroupId | null = null): void {
    closeGroup(this.list, id)
  }

  /** Forgets a group, or the newest open one; its records stay. @throws KernelBug when there is none. */
  removeGroup(id: DevresGroupId | null = null): void {
    removeGroup(this.list, id)
  }

  /**
   * Releases the records of a group, or of the newest open one, as {@link releaseAll} does; groups inside
   * it go with it. One that is open reaches to the end.
   * @returns how many records that were.
   * @throws KernelBug when there is no such group, unless the device has nothing at all.
   */
  releaseGroup(id: DevresGroupId | null = null): number {
    return releaseGroup(this.list, id)
  }
}
