/** A cache with slabs that are put together by hand, for tests of partial slabs. */

import { expect } from 'vitest'
import { GFP_KERNEL, PAGE_SIZE } from '../../src/index'
import { readFreePointer, setLive } from '../../src/slab/freePointer'
import { addPartial } from '../../src/slab/partial'
import { cacheNode, countSlab, newSlab } from '../../src/slab/slabs'
import {
  CACHE_CPUS,
  SLAB_CPU_FREE,
  SLAB_CPU_NR_PARTIAL,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SHIFT,
  SLAB_CPU_SLAB,
  SLAB_FLAGS,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_INUSE,
  SLAB_NEXT,
  SLAB_NODE_NR_PARTIAL,
  SLAB_NODE_PARTIAL,
} from '../../src/state/slabSchema'
import { TinyMachine, type TinyOptions } from './tinyMachine'

/** Bytes of an object: 64 of them fill a slab. */
export const SIZE = 64
export const IN_SLAB = PAGE_SIZE / SIZE

/** A cache on a machine, with slabs that are put together by hand. */
export class Setup {
  readonly machine: TinyMachine
  readonly cache: number
  constructor(options: TinyOptions = {}) {
    this.machine = new TinyMachine({ nodes: 2, ...options })
    this.cache = this.machine.cache().record
  }
  get c() {
    return this.machine.c
  }
  get words() {
    return this.machine.words
  }
  /** Record of a CPU. */
  cpu(number: number): number {
    return this.words[this.cache + CACHE_CPUS]! + (number << SLAB_CPU_SHIFT)
  }
  node(id: number): number {
    return cacheNode(this.words, this.cache, id)
  }
  /** A counted slab on no list whose first `inuse` objects are in use. */
  slab(inuse: number, node = 0): number {
    const { c, words, cache } = this
    const slab = newSlab(c, cache, GFP_KERNEL, node)
    for (let i = 0; i < inuse; i++) {
      const first = words[slab + SLAB_FREE]! - 1
      words[slab + SLAB_FREE] = readFreePointer(c, cache, slab, first)
      setLive(words, cache, slab, first, true)
    }
    words[slab + SLAB_INUSE] = inuse
    countSlab(words, cache, slab, 1)
    return slab
  }
  /** The same at the end of its node's list. */
  partial(inuse: number, node = 0): number {
    const slab = this.slab(inuse, node)
    addPartial(this.words, this.cache, slab, false)
    return slab
  }
  /** Slabs of a node's list, in order; their count has to be that of the node. */
  listOf(id: number): number[] {
    const { words } = this
    const head = this.node(id) + SLAB_NODE_PARTIAL
    const slabs: number[] = []
    for (let slab = words[head]!; slab !== head; slab = words[slab + SLAB_NEXT]!) slabs.push(slab)
    expect(words[this.node(id) + SLAB_NODE_NR_PARTIAL]).toBe(slabs.length)
    return slabs
  }
  /** Slabs of a CPU's list, in order; their count has to be that of the CPU. */
  chainOf(number: number): number[] {
    const { words } = this
    const slabs: number[] = []
    for (let slab = words[this.cpu(number) + SLAB_CPU_PARTIAL]!; slab !== 0; ) {
      slabs.push(slab)
      slab = words[slab + SLAB_NEXT]!
    }
    expect(words[this.cpu(number) + SLAB_CPU_NR_PARTIAL]).toBe(slabs.length)
    return slabs
  }
  /** Gives a CPU a slab to work with, and its free objects. */
  activate(number: number, slab: number): void {
    const { words } = this
    words[this.cpu(number) + SLAB_CPU_SLAB] = slab
    words[this.cpu(number) + SLAB_CPU_FREE] = words[slab + SLAB_FREE]!
    words[slab + SLAB_FREE] = 0
    words[slab + SLAB_INUSE] = IN_SLAB
    words[slab + SLAB_FLAGS]! |= SLAB_FROZEN
  }
  /** Free objects of a slab's own list, by number. */
  freeOf(slab: number): number[] {
    const free: number[] = []
    for (let at = this.words[slab + SLAB_FREE]!; at !== 0 && free.length <= IN_SLAB; ) {
      free.push((at - 1) / SIZE)
      at = readFreePointer(this.c, this.cache, slab, at - 1)
    }
    return free
  }
}

/** The numbers from `from` on, below `to`. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i)
}
