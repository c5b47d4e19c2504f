/** A heap for tests of what sits on top of it: every call to it is written down, and its state can be compared. */

import { createHash } from 'node:crypto'
import {
  BuddyAllocator,
  type BuddyOptions,
  KernelBug,
  MiB,
  PhysicalMemory,
  type PhysicalMemoryOptions,
} from '../../src/index'
import { Kmalloc } from '../../src/slab/kmalloc'
import type { SlabOptions } from '../../src/slab/options'
import { SlabAllocator } from '../../src/slab/slabAllocator'
import { freePagesOf, zonesOf } from '../buddy/machines'

/** A machine with a heap. */
export interface HeapMachine {
  readonly ram: PhysicalMemory
  readonly pages: BuddyAllocator
  readonly heap: Kmalloc
  /** Calls to the heap since the last look: `alloc 96 cc0 -> 1000`, `free 1000`; addresses in hex. */
  calls(): string[]
  /** Bytes asked for, by address, of what is allocated. */
  readonly live: ReadonlyMap<number, number>
  /** A hash of all that the pages, the heap and the RAM hold. */
  state(): string
  /** Makes allocations from caches fail, from the `n`th on; null stops that. */
  failFrom(n: number | null): void
}

/** Options of {@link heapMachine}. */
export interface HeapOptions {
  readonly ram?: PhysicalMemoryOptions
  readonly pages?: Omit<BuddyOptions, 'ram' | 'memory'>
  readonly slabs?: SlabOptions
}

export function heapMachine(options: HeapOptions = {}): HeapMachine {
  const ram = new PhysicalMemory(options.ram ?? { size: 8 * MiB })
  const pages = new BuddyAllocator({ ram, ...options.pages })
  const slabs = new SlabAllocator(pages, options.slabs)
  const heap = new Kmalloc(slabs)
  const live = new Map<number, number>()
  let log: string[] = []
  slabs.setTrace({
    kmalloc(object, bytesReq, _bytesAlloc, gfp, node) {
      const where = node < 0 ? '' : ` node ${node}`
      log.push(`alloc ${bytesReq} ${gfp.toString(16)}${where} -> ${object.toString(16)}`)
      if (object > 16) live.set(object, bytesReq)
    },
    kfree(object) {
      log.push(`free ${object.toString(16)}`)
      live.delete(object)
    },
    cacheAlloc() {},
    cacheFree() {},
  })
  return {
    ram,
    pages,
    heap,
    live,
    calls() {
      const calls = log
      log = []
      return calls
    },
    state() {
      const hash = createHash('sha1')
      for (const part of [pages.words, slabs.words, ram.bytes(ram.base, ram.size)]) {
        hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
      }
      return hash.digest('hex')
    },
    failFrom(n) {
      let left = n ?? 0
      slabs.setFaults(n === null ? null : { failSlab: () => --left <= 0 })
    },
  }
}

/** An address, or a failure of the test. */
export function must<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('no memory')
  return value
}

/** The bug that a call throws. */
export function thrown(call: () => unknown): KernelBug {
  try {
    call()
  } catch (error) {
    if (error instanceof KernelBug) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** Free pages, those on page lists included. */
export function freePages(machine: HeapMachine): number {
  machine.pages.drainAllPages()
  return zonesOf(machine.pages).reduce((sum, zone) => sum + freePagesOf(machine.pages, zone), 0)
}

/** The bytes at a kernel address of a flat machine. */
export function bytesAt(machine: HeapMachine, address: number, length: number): number[] {
  return [...machine.ram.bytes(address, length)]
}
