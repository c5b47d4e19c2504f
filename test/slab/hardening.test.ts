import { describe, expect, it } from 'vitest'
import { randomBelow, seedRandom } from '../../src/base/prng'
import {
  attachSlabs,
  attachState,
  GFP_KERNEL,
  InvalidArgument,
  KernelBug,
  Kmalloc,
  LAYOUT_X86_64,
  PhysicalMemory,
  SlabCache,
  shrinkAllCaches,
  slabStateHash,
  type VirtAddr,
} from '../../src/index'
import { kmemCacheAllocBulk } from '../../src/slab/cacheBulk'
import { type HardeningOptions, slabHardening } from '../../src/slab/hardening'
import { CACHE_OFFSET, CACHE_SECRET, SLAB_RANDOM } from '../../src/state/slabSchema'
import { expectSound, must, type SlabMachine, slabMachine } from './machines'

function hardened(options: HardeningOptions, mib = 8): SlabMachine & { readonly heap: Kmalloc } {
  const machine = slabMachine({
    mib,
    slabs: { layout: LAYOUT_X86_64, hardening: slabHardening(options) },
  })
  return { ...machine, heap: new Kmalloc(machine.slabs) }
}

const DIRECT_MAP = LAYOUT_X86_64.directMap

/** Addresses of the first allocations of many sizes. */
function addresses(options: HardeningOptions): number[] {
  const { heap } = hardened(options)
  return Array.from({ length: 200 }, (_, i) => must(heap.kmalloc(8 << (i % 8))))
}

/** The 8 bytes at an object's free pointer. */
function stored({ ram }: SlabMachine, cache: SlabCache, object: VirtAddr): bigint {
  const offset = must(cache.slabs.words[cache.record + CACHE_OFFSET])
  return ram.readBigU64(object - DIRECT_MAP + offset)
}

/** Random allocations and frees with a pattern in each block; the number of calls made. */
function play(machine: SlabMachine & { readonly heap: Kmalloc }, calls: number, seed: number) {
  const { heap, ram } = machine
  const random = new Int32Array(1)
  seedRandom(random, 0, seed)
  const live: { p: VirtAddr; size: number; byte: number }[] = []
  for (let i = 0; i < calls; i++) {
    if (live.length > 0 && randomBelow(random, 0, 100) < 48) {
      const [block] = live.splice(randomBelow(random, 0, live.length), 1)
      const { p, size, byte } = must(block)
      const wrong = ram.bytes(p - DIRECT_MAP, size).findIndex((found) => found !== byte)
      if (wrong >= 0) expect.fail(`call ${i}: byte ${wrong} of a block of ${size} has changed`)
      heap.kfree(p)
    } else {
      const size = 1 + randomBelow(random, 0, 700)
      const p = must(heap.kmalloc(size))
      const byte = i & 0xff
      ram.fill(p - DIRECT_MAP, size, byte)
      live.push({ p, size, byte })
    }
    if (i % 500 === 0) expectSound(machine)
  }
  expectSound(machine)
  return live
}

describe('encoded free pointers', () => {
  it('are the pointer XOR the secret XOR the place with its bytes reversed', () => {
    const machine = hardened({ seed: 1, shuffle: false })
    const cache = new SlabCache(machine.slabs, { name: 'a', size: 512, flags: 0x800000 })
    const objects = kmemCacheAllocBulk(cache, GFP_KERNEL, 8)
    const [a, b] = [must(objects[2]), must(objects[5])]
    cache.free(b)
    cache.free(a)
    const { words } = machine.slabs
    const word = (at: number) => BigInt(must(words[cache.record + CACHE_SECRET + at]) >>> 0)
    const secret = (word(1) << 32n) | word(0)
    expect(secret).not.toBe(0n)
    const full = (address: number) => 0xffff000000000000n | BigInt(address)
    const reversed = (address: bigint) => {
      const bytes = new DataView(new ArrayBuffer(8))
      bytes.setBigUint64(0, address, true)
      return bytes.getBigUint64(0, false)
    }
    expect(stored(machine, cache, a)).toBe(full(b) ^ secret ^ reversed(full(a + 256)))
    expect(machine.ram.readBigU64(a - DIRECT_MAP + 256)).toBe(stored(machine, cache, a))
    // The end of the list is not 0 either.
    expect(stored(machine, cache, b)).toBe(0n ^ secret ^ reversed(full(b + 256)))
    expect(cache.alloc()).toBe(a)
    expect(cache.alloc()).toBe(b)
  })

  it('leave no kernel address in memory', () => {
    const find = (machine: SlabMachine & { readonly heap: Kmalloc }) => {
      play(machine, 3000, 3)
      const { words } = machine.ram
      let found = 0
      for (let i = 0; i < words.length; i += 2) {
        const high = must(words[i + 1]) >>> 0
        const low = must(words[i]) >>> 0
        if (high === 0xffff8880 && low < machine.ram.size) found += 1
      }
      return found
    }
    expect(find(hardened({ seed: 1, encode: false }))).toBeGreaterThan(1000)
    expect(find(hardened({ seed: 1 }))).toBe(0)
  })

  it('make a foreign write show', () => {
    const machine = hardened({ seed: 9 })
    const { slabs, ram } = machine
    const cache = new SlabCache(slabs, { name: 'a', size: 64, flags: 0x800000 })
    const objects = kmemCacheAllocBulk(cache, GFP_KERNEL, 4)
    const [a, b] = [must(objects[0]), must(objects[1])]
    cache.free(a)
    cache.free(b)
    // A plain pointer to a free object of the slab: without encoding it would be followed.
    ram.writeBigU64(b - DIRECT_MAP + 32, 0xffff000000000000n | BigInt(a))
    expect(() => [cache.alloc(), cache.alloc()]).toThrow(KernelBug)
    expectSound(machine)
    expect(cache.alloc()).not.toBeNull()
  })

  it('of another cache mean nothing', () => {
    const machine = hardened({ seed: 9 })
    const secret = (name: string) => {
      const { record } = new SlabCache(machine.slabs, { name, size: 64, flags: 0x800000 })
      return must(machine.slabs.words[record + CACHE_SECRET])
    }
    expect(secret('a')).not.toBe(secret('b'))
  })
})

describe('random orders', () => {
  it('hand out every object of a slab once, in an order of its own', () => {
    const { slabs } = hardened({ seed: 5 })
    const cache = new SlabCache(slabs, { name: 'a', size: 64, flags: 0x800000 })
    const orders = [0, 1, 2].map(() => {
      const objects = kmemCacheAllocBulk(cache, GFP_KERNEL, 64)
      const base = Math.min(...objects)
      return objects.map((object) => (object - base) / 64)
    })
    for (const order of orders) {
      expect([...order].sort((x, y) => x - y)).toEqual(Array.from({ length: 64 }, (_, i) => i))
      // Of 64 objects some stay in place, but not many.
      expect(order.filter((object, i) => object === i).length).toBeLessThan(10)
    }
    expect(orders[0]).not.toEqual(orders[1])
    expect(orders[1]).not.toEqual(orders[2])
  })

  it('are all possible', () => {
    const { slabs } = hardened({ seed: 6 }, 32)
    const cache = new SlabCache(slabs, { name: 'a', size: 8192, flags: 0x800000 })
    const seen = new Map<string, number>()
    for (let i = 0; i < 480; i++) {
      const objects = kmemCacheAllocBulk(cache, GFP_KERNEL, 4)
      const base = Math.min(...objects)
      const order = objects.map((object) => (object - base) / 8192).join('')
      seen.set(order, (seen.get(order) ?? 0) + 1)
    }
    // 20 of each of the 24, with a standard deviation of 4.4.
    expect(seen.size).toBe(24)
    for (const count of seen.values()) expect(Math.abs(count - 20)).toBeLessThan(20)
  })

  it('can be left out, and so can the encoding', () => {
    const plain = slabMachine({ slabs: { layout: LAYOUT_X86_64 } })
    const heap = new Kmalloc(plain.slabs)
    const expected = Array.from({ length: 200 }, (_, i) => must(heap.kmalloc(8 << (i % 8))))
    expect(addresses({ seed: 1, shuffle: false })).toEqual(expected)
    expect(addresses({ seed: 1, shuffle: false, encode: false })).toEqual(expected)
    expect(addresses({ seed: 1, encode: false })).not.toEqual(expected)
  })
})

describe('a hardened machine', () => {
  it('works for 10,000 random calls, and keeps every block', () => {
    const machine = hardened({ seed: 11 }, 16)
    const live = play(machine, 10_000, 12)
    expect(live.length).toBeGreaterThan(100)
    for (const { p } of live) machine.heap.kfree(p)
    expect(() => machine.heap.kfree(must(live[0]).p)).toThrow(KernelBug)
    shrinkAllCaches(machine.slabs)
    expectSound(machine)
  })

  it('gives the same addresses for the same seed, and others for another', () => {
    expect(addresses({ seed: 21 })).toEqual(addresses({ seed: 21 }))
    expect(addresses({ seed: 21 })).not.toEqual(addresses({ seed: 22 }))
    expect(addresses({ seed: 0 })).not.toEqual(addresses({ seed: 21 }))
    for (const seed of [-1, 0.5, 2 ** 32, Number.NaN]) {
      expect(() => slabHardening({ seed })).toThrow(InvalidArgument)
    }
  })

  it('goes on from a snapshot as if nothing had happened, whatever the seed', () => {
    const { slabs, pages, ram, heap } = hardened({ seed: 31 })
    for (let i = 0; i < 100; i++) heap.kmalloc(100)
    const copy = new PhysicalMemory({ size: ram.size })
    copy.words.set(ram.words)
    const pagesCopy = attachState(pages.state.slice(0), { ram: copy })
    const options = { layout: LAYOUT_X86_64, hardening: slabHardening({ seed: 99 }) }
    const slabsCopy = attachSlabs(pagesCopy, slabs.words.slice().buffer, options)
    const heapCopy = new Kmalloc(slabsCopy)
    const drawn = slabs.words[SLAB_RANDOM]
    for (let i = 0; i < 300; i++) expect(heapCopy.kmalloc(100)).toBe(must(heap.kmalloc(100)))
    new SlabCache(slabs, { name: 'late', size: 40, flags: 0x800000 })
    new SlabCache(slabsCopy, { name: 'late', size: 40, flags: 0x800000 })
    expect(slabs.words[SLAB_RANDOM]).not.toBe(drawn)
    expect(slabStateHash(slabsCopy)).toBe(slabStateHash(slabs))
    expectSound({ ram: copy, pages: pagesCopy, slabs: slabsCopy })
  })
})
