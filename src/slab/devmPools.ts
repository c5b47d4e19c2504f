/**
 * Pools that belong to a device and are destroyed with its other resources.
 *
 * Source: spec/slab.md §20.5, §22.3.
 */

import { InvalidArgument } from '../base/errors'
import type { VirtAddr } from '../base/units'
import { GFP_KERNEL } from '../page/gfp'
import { writeBytes } from './byteWords'
import type { Devres } from './devres'
import type { DevresRelease } from './devresList'
import { DmaPool, type DmaPoolOptions } from './dmaPool'
import { GenPool, type GenPoolOptions } from './genalloc'
import type { Kmalloc } from './kmalloc'

/** Bytes of a record: a pointer to the pool. */
const RECORD_BYTES = 8

/** What a record stands for; the pool is null until it is made. */
interface Held<Pool> {
  pool: Pool | null
}

interface HeldGenPool extends Held<GenPool> {
  readonly heap: Kmalloc
  readonly name: string | null
  nameCopy: VirtAddr | null
}

/**
 * Makes a pool of blocks that is destroyed with the device's resources. Blocks in use then are a bug, as
 * in `DmaPool.destroy`.
 * @returns null as `DmaPool.create` does.
 */
export function dmamPoolCreate(
  devres: Devres,
  options: Omit<DmaPoolOptions, 'device'>,
): DmaPool | null {
  const held: Held<DmaPool> = { pool: null }
  const record = devres.alloc(releaseDmaPool, RECORD_BYTES, GFP_KERNEL, held)
  if (record === null) return null
  try {
    held.pool = DmaPool.create(devres.heap, { ...options, device: devres.device })
  } finally {
    if (held.pool === null) devres.free(record)
    else devres.add(record)
  }
  return held.pool
}

/** Destroys a pool of the device before its time; false when it is none of the device's. */
export function dmamPoolDestroy(devres: Devres, pool: DmaPool): boolean {
  return devres.release(releaseDmaPool, (_data, held) => (held as Held<DmaPool>).pool === pool)
}

/**
 * Makes a pool of addresses that is destroyed with the device's resources.
 * @param name what {@link devmGenPool} finds it by.
 * @returns null when there is no memory.
 * @throws InvalidArgument for a name that a pool of the device has; null counts as one.
 */
export function devmGenPoolCreate(
  devres: Devres,
  options: Omit<GenPoolOptions, 'heap'>,
  name: string | null = null,
): GenPool | null {
  if (devmGenPool(devres, name) !== null) {
    throw new InvalidArgument('name', name, 'different from those of the pools of the device')
  }
  const { heap } = devres
  const held: HeldGenPool = { pool: null, heap, name, nameCopy: null }
  if (name !== null) {
    held.nameCopy = copyName(devres, name)
    if (held.nameCopy === null) return null
  }
  let record: VirtAddr | null = null
  try {
    record = devres.alloc(releaseGenPool, RECORD_BYTES, GFP_KERNEL, held)
    if (record !== null) held.pool = GenPool.create({ ...options, heap })
  } finally {
    if (held.pool !== null && record !== null) devres.add(record)
    else {
      devres.free(record)
      heap.kfree(held.nameCopy)
    }
  }
  return held.pool
}

/** The pool of this name that {@link devmGenPoolCreate} made, or null. */
export function devmGenPool(devres: Devres, name: string | null = null): GenPool | null {
  const same = (held: unknown) => (held as HeldGenPool).name === name
  const record = devres.list.find(releaseGenPool, (_data, held) => same(held))
  return record === null ? null : (record.payload as HeldGenPool).pool
}

const releaseDmaPool: DevresRelease = (_data, held) => {
  ;(held as Held<DmaPool>).pool?.destroy()
}

const releaseGenPool: DevresRelease = (_data, payload) => {
  const held = payload as HeldGenPool
  held.pool?.destroy()
  held.heap.kfree(held.nameCopy)
}

function copyName(devres: Devres, name: string): VirtAddr | null {
  const bytes = new TextEncoder().encode(`${name}\0`)
  const copy = devres.heap.kmalloc(bytes.length)
  if (copy !== null) writeBytes(devres.list.c.ram, copy - devres.list.c.directMap, bytes)
  return copy
}
