/** A slab allocator over a few pages, for tests that call its parts directly and look at single words of its state. */

import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import {
  type KernelBug,
  SlabAllocator,
  SlabCache,
  type SlabCacheOptions,
  type SlabOptions,
} from '../../src/index'
import type { SlabContext } from '../../src/slab/context'
import { TinyPages } from './tinyPages'

/** What a machine is made of. */
export interface TinyOptions extends Omit<SlabOptions, 'nodes'> {
  /** Pages of each node; 64 when not given. */
  readonly perNode?: number
  /** CPUs, one node after the other and round again; 2 when not given. */
  readonly cpus?: number
  /** Nodes; 1 when not given. */
  readonly nodes?: number
}

export class TinyMachine {
  readonly pages: TinyPages
  readonly slabs: SlabAllocator
  readonly c: SlabContext
  readonly words: Int32Array

  constructor(options: TinyOptions = {}) {
    const { perNode = 64, cpus = 2, nodes = 1, ...slabs } = options
    this.pages = new TinyPages(perNode, cpus, nodes)
    this.slabs = new SlabAllocator(this.pages, { merge: false, ...slabs })
    this.c = this.slabs.context
    this.words = this.slabs.words
  }

  /** A cache; of 64 objects of 64 bytes in each slab unless something else is said. */
  cache(options: Partial<SlabCacheOptions> = {}): SlabCache {
    return new SlabCache(this.slabs, { name: 'objects', size: 64, ...options })
  }

  /** A hash of all words, all bytes, and all pages in use. */
  image(): string {
    const { pages, slabs, words } = this
    const hash = createHash('sha1')
    for (const part of [words.subarray(0, slabs.wordsUsed + 64), pages.ram.words, pages.used]) {
      hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
    }
    return hash.digest('hex')
  }

  /** Expects a call to change no word, no byte and no page; returns what it returns. */
  unchanged<T>(call: () => T): T {
    const before = this.image()
    const answer = call()
    expect(this.image()).toBe(before)
    return answer
  }

  /** Columns of a record, by their places in it. */
  columns(record: number, ...places: readonly number[]): number[] {
    return places.map((place) => this.words[record + place]!)
  }
}

/** What a call throws, or null. */
export function errorOf(call: () => unknown): KernelBug | null {
  try {
    call()
    return null
  } catch (error) {
    return error as KernelBug
  }
}
