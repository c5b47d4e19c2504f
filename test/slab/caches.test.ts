/** Making and ending caches, called directly: descriptors, node states, what stays when a cache can not end. */

import { describe, expect, it } from 'vitest'
import { KernelBug, Kmalloc, SLAB_TYPESAFE_BY_RCU, SlabCache } from '../../src/index'
import { cacheShift, destroyCache, loadAddress, storeAddress } from '../../src/slab/caches'
import { findMergeable } from '../../src/slab/merge'
import { cacheNode } from '../../src/slab/slabs'
import {
  CACHE_DESCRIPTOR,
  CACHE_REFCOUNT,
  CACHE_STATE,
  CACHE_WAITS,
  SLAB_CACHE_CACHE,
  SLAB_CACHES,
  SLAB_NODE_CACHE,
  SLAB_NODE_NR_PARTIAL,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_OBJECT,
  SLAB_NODE_USED,
  SLAB_NR_CACHES,
} from '../../src/state/slabSchema'
import { must } from './machines'
import { errorOf, TinyMachine } from './tinyMachine'

describe('a cache that must stay', () => {
  it('the first two, whose count is below 0: refused, and nothing changes', () => {
    const machine = new TinyMachine()
    for (const column of [SLAB_CACHE_CACHE, SLAB_NODE_CACHE]) {
      const cache = machine.words[column]!
      expect(machine.words[cache + CACHE_REFCOUNT]).toBe(-1)
      const error = machine.unchanged(() => errorOf(() => destroyCache(machine.c, cache)))
      expect(error).toBeInstanceOf(KernelBug)
      expect(error?.code).toBe('CACHE_NEEDED')
    }
  })

  it("kmalloc's: refused, and nothing changes", () => {
    const machine = new TinyMachine({ perNode: 128 })
    new Kmalloc(machine.slabs)
    const { words } = machine
    for (const at of [words[SLAB_CACHES]!, words[words[SLAB_CACHES]!]!]) {
      const error = machine.unchanged(() => errorOf(() => destroyCache(machine.c, at)))
      expect(error?.code).toBe('CACHE_NEEDED')
    }
  })
})

describe('a cache', () => {
  it('has a descriptor, and one on each node; they go back with it', () => {
    const machine = new TinyMachine({ nodes: 2 })
    const { words } = machine
    machine.cache().destroy()
    const caches = words[SLAB_NR_CACHES]!
    const cache = machine.cache()
    const { record } = cache
    expect(words[SLAB_NR_CACHES]).toBe(caches + 1)
    expect(words[record + CACHE_REFCOUNT]).toBe(1)
    expect(words[SLAB_CACHES]).toBe(record)
    expect(loadAddress(words, record + CACHE_DESCRIPTOR)).not.toBe(0)
    const seen = new Set<number>([loadAddress(words, record + CACHE_DESCRIPTOR)])
    for (const id of [0, 1]) {
      const node = cacheNode(words, record, id)
      expect(words[node + SLAB_NODE_USED]).toBe(1)
      seen.add(loadAddress(words, node + SLAB_NODE_OBJECT))
    }
    expect(seen.size).toBe(3)
    cache.destroy()
    expect(words[SLAB_NR_CACHES]).toBe(caches)
    const again = machine.cache()
    expect(again.record).toBe(record)
    again.destroy()
  })

  it('ends with the last of its names', () => {
    const machine = new TinyMachine({ merge: true })
    const { words } = machine
    const one = machine.cache()
    const caches = words[SLAB_NR_CACHES]!
    const two = machine.cache({ name: 'other', size: 60 })
    expect(two.record).toBe(one.record)
    expect(words[one.record + CACHE_REFCOUNT]).toBe(2)
    const object = must(one.alloc())
    two.destroy()
    expect(words[one.record + CACHE_REFCOUNT]).toBe(1)
    expect(words[SLAB_NR_CACHES]).toBe(caches)
    one.free(object)
    one.destroy()
    expect(words[SLAB_NR_CACHES]).toBe(caches - 1)
  })

  it('takes no other in when it has a constructor, a part for users, or could not end', () => {
    const machine = new TinyMachine({ merge: true })
    const plain = { name: 'plain', size: 64 }
    const withCtor = machine.cache({ ctor: () => {} })
    const forUsers = machine.cache({ usersize: 8 })
    const first = machine.cache(plain)
    expect(new Set([withCtor.record, forUsers.record, first.record]).size).toBe(3)
    expect(machine.cache({ ctor: () => {} }).record).not.toBe(first.record)
    expect(machine.cache({ usersize: 64 }).record).not.toBe(first.record)
    expect(machine.cache({ size: 57 }).record).toBe(first.record)
    expect(machine.cache({ size: 56 }).record).not.toBe(first.record)
    const request = {
      name: new Uint8Array([97]),
      size: 64,
      wishedAlign: 0,
      align: 8,
      flags: 0,
      ctor: null,
      useroffset: 0,
      usersize: 0,
    }
    expect(findMergeable(machine.c, request)).toBe(first.record)
    machine.words[first.record + CACHE_REFCOUNT] = 0
    expect(findMergeable(machine.c, request)).toBe(0)
  })

  it.each([1, 2])('with objects on %i nodes stays, without memory for empty slabs', (nodes) => {
    const machine = new TinyMachine({ nodes })
    const cache = machine.cache()
    const { record } = cache
    const objects = Array.from({ length: 65 }, () => must(cache.allocNode(0xcc0, nodes - 1)))
    for (const object of objects.slice(0, 64)) cache.free(object)
    expect(errorOf(() => cache.destroy())?.code).toBe('CACHE_BUSY')
    const node = cacheNode(machine.words, record, nodes - 1)
    expect(machine.words[node + SLAB_NODE_NR_SLABS]).toBe(1)
    expect(machine.words[node + SLAB_NODE_NR_PARTIAL]).toBe(1)
    cache.free(objects[64]!)
  })

  it('all of whose slabs are full stays', () => {
    const machine = new TinyMachine()
    const cache = machine.cache()
    for (let i = 0; i < 128; i++) must(cache.alloc())
    const node = cacheNode(machine.words, cache.record, 0)
    expect(machine.words[node + SLAB_NODE_NR_PARTIAL]).toBe(0)
    expect(errorOf(() => cache.destroy())?.code).toBe('CACHE_BUSY')
    expect(machine.words[node + SLAB_NODE_NR_SLABS]).toBe(2)
  })

  it('whose slabs wait for a grace period is buried after it', () => {
    const machine = new TinyMachine()
    const cache = machine.cache({ flags: SLAB_TYPESAFE_BY_RCU, ctor: () => {} })
    const { record } = cache
    const caches = machine.words[SLAB_NR_CACHES]!
    cache.free(must(cache.alloc()))
    cache.destroy()
    expect(machine.words[SLAB_NR_CACHES]).toBe(caches - 1)
    expect(machine.words[record + CACHE_STATE]! & CACHE_WAITS).toBe(CACHE_WAITS)
    expect(loadAddress(machine.words, record + CACHE_DESCRIPTOR)).not.toBe(0)
    // Its record is not to be had yet.
    expect(machine.cache().record).not.toBe(record)
  })

  it.each([0, 1, 2, 3])('is not left half made when request %i for a descriptor fails', (at) => {
    const machine = new TinyMachine({ nodes: 2 })
    const make = (size: number) => new SlabCache(machine.slabs, { name: 'mine', size })
    make(200).destroy()
    const caches = machine.words[SLAB_NR_CACHES]
    const used = machine.slabs.wordsUsed
    let left = at
    machine.slabs.setFaults({ failSlab: () => left-- === 0 } as never)
    if (at === 3) expect(make(200).size).toBe(200)
    else {
      expect(errorOf(() => make(200))).not.toBeNull()
      expect(machine.words[SLAB_NR_CACHES]).toBe(caches)
      expect(machine.slabs.wordsUsed).toBe(used)
    }
  })
})

describe('words of caches', () => {
  it.each([0, 8, 2 ** 31, 2 ** 32 - 8, 2 ** 32, 2 ** 47 + 4096])(
    'hold the address %d',
    (address) => {
      const words = new Int32Array([7, 7, 7, 7])
      storeAddress(words, 1, address)
      expect(loadAddress(words, 1)).toBe(address)
      expect([words[0], words[3]]).toEqual([7, 7])
    },
  )

  it('of a record are enough for its CPUs and nodes', () => {
    const shifts = [
      [1, 1],
      [32, 1],
      [1, 8],
      [64, 8],
    ].map(([cpus, nodes]) =>
      cacheShift(new TinyMachine({ cpus: cpus!, nodes: nodes!, perNode: 16 }).words),
    )
    expect(shifts[1]).toBeGreaterThan(shifts[0]!)
    expect(shifts[3]).toBeGreaterThan(shifts[1]!)
  })
})
