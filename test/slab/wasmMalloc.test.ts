/** The allocator of a WebAssembly module, and the module of examples/wasm-malloc.ts. */

import { readFileSync } from 'node:fs'
import binaryen from 'assemblyscript/binaryen'
import { describe, expect, it } from 'vitest'
import { randomBelow, seedRandom } from '../../src/base/prng'
import {
  BuddyAllocator,
  GiB,
  InvalidArgument,
  KernelBug,
  KiB,
  Kmalloc,
  LAYOUT_X86_64,
  MiB,
  PhysicalMemory,
  reservePages,
  SlabAllocator,
  shrinkAllCaches,
  toPfn,
} from '../../src/index'
import { wasmMalloc } from '../../src/slab/malloc'
import { expectSound, freePages } from './machines'

interface ListModule {
  build(n: number): number
  reverse(list: number): number
  first(list: number): number
  sum(list: number): number
  toArray(list: number): number
  drop(list: number): number
}

const example = (file: string) => new URL(`../../examples/${file}`, import.meta.url)

function machine(maximum = 1024, initial = 16) {
  const memory = new WebAssembly.Memory({ initial, maximum })
  const ram = new PhysicalMemory({ memory })
  const pages = new BuddyAllocator({ ram })
  reservePages(pages, toPfn(0), 16)
  const slabs = new SlabAllocator(pages)
  const heap = new Kmalloc(slabs)
  const asked: number[] = []
  const grow = (bytes: number) => {
    asked.push(bytes)
    return ram.grow(bytes)
  }
  return { memory, ram, pages, slabs, heap, asked, grow, ...wasmMalloc(heap, { grow }) }
}

function listModule(m: ReturnType<typeof machine>): ListModule {
  const { memory, malloc, calloc, realloc, free } = m
  const module = new WebAssembly.Module(readFileSync(example('list.wasm')))
  const instance = new WebAssembly.Instance(module, {
    env: { memory, malloc, calloc, realloc, free },
  })
  return instance.exports as unknown as ListModule
}

describe('list.wasm', () => {
  it('is what list.wat assembles to', () => {
    const module = binaryen.parseText(readFileSync(example('list.wat'), 'utf8'))
    expect(module.validate()).toBe(1)
    const bytes = module.emitBinary()
    module.dispose()
    expect([...readFileSync(example('list.wasm'))]).toEqual([...bytes])
  })

  it('builds, reverses and sums a list over a memory that grows, and gives everything back', () => {
    const m = machine()
    const module = listModule(m)
    const n = 300_000
    const built = module.build(n)
    expect(module.first(built)).toBe(1)
    expect(module.sum(built)).toBe((n * (n + 1)) / 2)
    const reversed = module.reverse(built)
    expect(module.first(reversed)).toBe(n)
    expect(module.sum(reversed)).toBe((n * (n + 1)) / 2)
    const array = module.toArray(reversed)
    const numbers = new Int32Array(m.memory.buffer, array, n + 1)
    expect(numbers.every((number, i) => number === n - i)).toBe(true)
    expect(m.memory.buffer.byteLength).toBeGreaterThan(n * 12)
    expectSound(m)
    m.free(array)
    expect(module.drop(reversed)).toBe(n)
    expect(usedPages(m)).toBe(usedPages(machine()))
    expectSound(m)
  })

  it('lets go of what it has when there is no memory left', () => {
    const m = machine(32)
    const module = listModule(m)
    const small = module.build(1000)
    expect(module.build(1_000_000)).toBe(0)
    expect(m.memory.buffer.byteLength).toBe(2 * MiB)
    expect(module.sum(small)).toBe(500_500)
    // What was given back is enough for another list.
    const other = module.build(100_000)
    expect(module.sum(other)).toBe(5_000_050_000)
    expect(module.drop(other) + module.drop(small)).toBe(101_000)
    expect(usedPages(m)).toBe(usedPages(machine()))
    expectSound(m)
  })

  it('sees a double free as the error that it is', () => {
    const m = machine()
    const module = listModule(m)
    const list = module.build(3)
    expect(module.drop(list)).toBe(3)
    expect(() => m.free(list)).toThrow(KernelBug)
    // The node's next pointer may lead anywhere by now: the first free in the module throws.
    expect(() => module.drop(list)).toThrow(KernelBug)
    expectSound(m)
  })
})

/** Pages in use, once caches have given back what they keep. */
function usedPages(m: ReturnType<typeof machine>): number {
  shrinkAllCaches(m.slabs)
  return m.memory.buffer.byteLength / 4096 - freePages(m)
}

describe('malloc', () => {
  it('gives a fresh address for 0 bytes, which can be freed', () => {
    const { malloc, free } = machine()
    const [a, b] = [malloc(0), malloc(0)]
    expect(a).toBeGreaterThan(64 * KiB - 1)
    expect(a).not.toBe(b)
    free(a)
    expect(() => free(a)).toThrow(KernelBug)
    free(b)
    free(0)
  })

  it('aligns to 16 bytes from 9 bytes on, to 8 below', () => {
    const m = machine()
    for (let size = 0; size <= 1000; size++) {
      for (let i = 0; i < 5; i++) expect(m.malloc(size) % (size < 9 ? 8 : 16)).toBe(0)
    }
  })

  it('takes sizes as unsigned, and gives 0 for what can not be had', () => {
    const { malloc, memory, asked } = machine()
    expect(malloc(-1)).toBe(0)
    expect(malloc(0x80000000 | 0)).toBe(0)
    expect(malloc(4 * MiB + 1)).toBe(0)
    // No growth would help there.
    expect(asked).toEqual([])
    expect(malloc(4 * MiB)).toBeGreaterThan(0)
    expect(memory.buffer.byteLength).toBeGreaterThan(5 * MiB)
  })

  it('gives addresses above 2 GiB without a sign', () => {
    const ram = new PhysicalMemory({ map: [{ base: 3 * GiB, size: 4 * MiB, type: 'usable' }] })
    const { malloc, realloc, free } = wasmMalloc(new Kmalloc(new BuddyAllocator({ ram })))
    const p = malloc(100)
    expect(p).toBeGreaterThanOrEqual(3 * GiB)
    // A module hands them back as signed integers.
    const q = realloc(p | 0, 1000)
    expect(q).toBeGreaterThanOrEqual(3 * GiB)
    free(q | 0)
    expect(() => free(q | 0)).toThrow(KernelBug)
  })
})

describe('calloc', () => {
  it('zeroes, and gives 0 for more than 32 bits', () => {
    const m = machine()
    const dirty = m.malloc(96)
    m.ram.fill(dirty, 96, 0xff)
    m.free(dirty)
    const p = m.calloc(12, 8)
    expect(p).toBe(dirty)
    expect([...m.ram.bytes(p, 96)]).toEqual(new Array(96).fill(0))
    expect(m.calloc(65536, 65536)).toBe(0)
    expect(m.calloc(-1, -1)).toBe(0)
    // 2^32 + 8: cut to 32 bits it would be 8.
    expect(m.calloc(0x20000001, 8)).toBe(0)
    expect(m.calloc(0, 8)).toBeGreaterThan(16)
    expect(m.asked).toEqual([])
  })
})

describe('realloc', () => {
  it('keeps the content, and never frees', () => {
    const m = machine()
    const p = m.realloc(0, 10)
    m.ram.fill(p, 10, 0x42)
    expect(m.realloc(p, 16)).toBe(p)
    const q = m.realloc(p, 100)
    expect([...m.ram.bytes(q, 10)]).toEqual(new Array(10).fill(0x42))
    expect(() => m.free(p)).toThrow(KernelBug)
    expect(m.realloc(q, 0)).toBe(q)
    m.free(q)
    expect(() => m.realloc(q, 10)).toThrow(KernelBug)
  })

  it('leaves the block alone when there is no memory', () => {
    const m = machine(16)
    const p = m.malloc(100)
    m.ram.fill(p, 100, 0x42)
    expect(m.realloc(p, 2 * MiB)).toBe(0)
    expect(m.realloc(p, -1)).toBe(0)
    expect([...m.ram.bytes(p, 100)]).toEqual(new Array(100).fill(0x42))
    m.free(p)
  })

  it('grows the memory, and the content comes along', () => {
    const m = machine()
    const p = m.malloc(60 * KiB)
    m.ram.fill(p, 60 * KiB, 0x42)
    const q = m.realloc(p, 3 * MiB)
    expect(m.asked).toEqual([8 * MiB])
    expect(m.ram.bytes(q, 60 * KiB).every((byte) => byte === 0x42)).toBe(true)
    expectSound(m)
  })
})

describe('growth', () => {
  it('is by an eighth, by a mebibyte at least, and less when that can not be had', () => {
    const m = machine(512)
    while (m.malloc(4000) !== 0) {}
    expect(m.memory.buffer.byteLength).toBe(32 * MiB)
    expect(m.asked[0]).toBe(MiB)
    let size = MiB
    for (const bytes of m.asked) {
      expect(bytes % (64 * KiB)).toBe(0)
      const step = Math.max(MiB, Math.floor(size / 8 / 65536) * 65536)
      expect(bytes).toBeLessThanOrEqual(step)
      if (size + step <= 32 * MiB) expect(bytes).toBe(step)
      if (size + bytes <= 32 * MiB) size += bytes
    }
    expect(size).toBe(32 * MiB)
    // 1 to 32 MiB.
    expect(m.asked.length).toBeLessThan(60)
    expectSound(m)
  })

  it('makes room for the largest blocks, wherever memory ends', () => {
    for (const initial of [16, 17, 31, 40]) {
      const m = machine(1024, initial)
      expect(m.malloc(4 * MiB)).toBeGreaterThan(0)
      expect(m.asked).toHaveLength(1)
      expectSound(m)
    }
  })

  it('that brings nothing leaves the request without memory', () => {
    const ram = new PhysicalMemory({ size: 2 * MiB })
    const heap = new Kmalloc(new BuddyAllocator({ ram }))
    let asked = 0
    const { malloc } = wasmMalloc(heap, {
      grow: () => {
        asked += 1
        return true
      },
    })
    expect(malloc(MiB + 1)).toBe(0)
    expect(asked).toBe(1)
  })

  it('does not happen without a way to grow', () => {
    const { heap, memory } = machine()
    const { malloc } = wasmMalloc(heap)
    expect(malloc(2 * MiB)).toBe(0)
    expect(memory.buffer.byteLength).toBe(MiB)
  })

  it('by the module itself is noticed', () => {
    const m = machine()
    const { malloc } = wasmMalloc(m.heap)
    expect(malloc(600 * KiB)).toBe(0)
    m.memory.grow(64)
    expect(malloc(600 * KiB)).toBeGreaterThan(0)
    expectSound(m)
  })

  it('keeps free lists that were half used up', () => {
    // The array of RAM's words is another one after each growth; a slab's free list must not end
    // there.
    const m = machine()
    const first = Array.from({ length: 100 }, () => m.malloc(8))
    m.ram.grow(MiB)
    const second = Array.from({ length: 412 }, () => m.malloc(8))
    const frames = new Set([...first, ...second].map((p) => Math.floor(p / 4096)))
    expect(frames.size).toBe(1)
    expect(new Set([...first, ...second]).size).toBe(512)
    m.free(second[0] ?? 0)
    m.ram.grow(MiB)
    m.free(first[0] ?? 0)
    expectSound(m)
    for (const p of [...first.slice(1), ...second.slice(1)]) m.free(p)
    expect(usedPages(m)).toBe(usedPages(machine()))
  })
})

describe('wasmMalloc', () => {
  it('keeps blocks apart through random calls and growth', () => {
    const m = machine(256)
    const random = new Int32Array(1)
    seedRandom(random, 0, 77)
    const live: { p: number; size: number; byte: number }[] = []
    const check = ({ p, size, byte }: { p: number; size: number; byte: number }) => {
      const wrong = m.ram.bytes(p, size).findIndex((found) => found !== byte)
      if (wrong >= 0) expect.fail(`byte ${wrong} of ${size} has changed`)
    }
    for (let i = 0; i < 5000; i++) {
      const action = randomBelow(random, 0, 10)
      const size = 1 + Math.floor(2 ** (randomBelow(random, 0, 150) / 10))
      const at = randomBelow(random, 0, Math.max(live.length, 1))
      const block = live[at]
      if (action < 5 || block === undefined) {
        const p = action % 2 === 0 ? m.malloc(size) : m.calloc(1, size)
        if (p === 0) continue
        if (action % 2 === 1) check({ p, size, byte: 0 })
        live.push({ p, size, byte: i & 0xff })
        m.ram.fill(p, size, i & 0xff)
      } else {
        check(block)
        if (action < 8) {
          m.free(block.p)
          live.splice(at, 1)
        } else {
          const p = m.realloc(block.p, size)
          if (p === 0) continue
          check({ p, size: Math.min(size, block.size), byte: block.byte })
          live[at] = { p, size, byte: i & 0xff }
          m.ram.fill(p, size, i & 0xff)
        }
      }
      if (i % 250 === 0) expectSound(m)
    }
    expect(m.asked.length).toBeGreaterThan(2)
    for (const block of live) {
      check(block)
      m.free(block.p)
    }
    expect(usedPages(m)).toBe(usedPages(machine(256)))
    expectSound(m)
  })

  it('refuses heaps whose addresses are no pointers', () => {
    const pages = () => new BuddyAllocator({ ram: new PhysicalMemory({ size: 4 * MiB }) })
    const shifted = new SlabAllocator(pages(), { layout: LAYOUT_X86_64 })
    expect(() => wasmMalloc(new Kmalloc(shifted))).toThrow(InvalidArgument)
    const ram = new PhysicalMemory({ map: [{ base: 5 * GiB, size: 4 * MiB, type: 'usable' }] })
    expect(() => wasmMalloc(new Kmalloc(new BuddyAllocator({ ram })))).toThrow(InvalidArgument)
  })
})
