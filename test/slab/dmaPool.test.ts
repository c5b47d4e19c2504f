/** dma_pools: where blocks lie, what is asked of the heap and the pages, what is refused; and a model. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import {
  __GFP_MOVABLE,
  __GFP_RECLAIMABLE,
  __GFP_ZERO,
  GFP_ATOMIC,
  GFP_KERNEL,
  GiB,
  InvalidArgument,
  KernelBug,
  type MemoryRange,
  MiB,
  PAGE_SIZE,
  type PhysAddr,
  type VirtAddr,
} from '../../src/index'
import { type Device, dmaBitMask } from '../../src/slab/dmaCoherent'
import { type DmaBlock, DmaPool, type DmaPoolOptions } from '../../src/slab/dmaPool'
import { formatPools } from '../../src/slab/dmaPoolText'
import { bytesAt, freePages, type HeapMachine, heapMachine, must, thrown } from './heapMachine'

const DEVICE: Device = { name: 'nic0', node: 0, dmaMask: dmaBitMask(64) }

function makePool(machine: HeapMachine, options: Partial<DmaPoolOptions> = {}): DmaPool {
  return must(DmaPool.create(machine.heap, { name: 'ring', device: DEVICE, size: 64, ...options }))
}

/** All blocks of one page of a new pool, in the order in which they come. */
function offsetsOfAPage(machine: HeapMachine, pool: DmaPool): number[] {
  const first = must(pool.alloc())
  const offsets = [0]
  for (;;) {
    const block = must(pool.alloc())
    if (pool.pageCount > 1) return offsets
    offsets.push(block.dma - first.dma)
    expect(block.address).toBe(block.dma + machine.heap.slabs.context.directMap)
  }
}

describe('create', () => {
  it.each([
    [{ size: 1 }, 4],
    [{ size: 4 }, 4],
    [{ size: 5 }, 5],
    [{ size: 5, align: 4 }, 8],
    [{ size: 100, align: 64 }, 128],
    [{ size: 5000 }, 5000],
    [{ size: 5000, align: 4096 }, 8192],
  ])('%o gives blocks of %i bytes', (options, size) => {
    const pool = makePool(heapMachine(), options)
    expect([pool.size, pool.allocation]).toEqual([size, Math.max(size, PAGE_SIZE)])
  })

  it('is null for what the kernel refuses, and asks the heap for nothing', () => {
    const machine = heapMachine()
    for (const options of [
      { size: 0 },
      { size: 64, align: 3 },
      { size: 64, align: 96 },
      { size: 64, boundary: 32 },
      { size: 64, boundary: 96 },
      { size: 65, align: 64, boundary: 64 },
    ]) {
      expect(DmaPool.create(machine.heap, { name: 'x', device: DEVICE, ...options })).toBeNull()
    }
    expect(machine.calls()).toEqual([])
  })

  it('throws for what are no numbers, and for a device that cannot be', () => {
    const machine = heapMachine()
    const before = machine.state()
    const wrong: object[] = [
      { size: -1 },
      { size: 1.5 },
      { size: Number.NaN },
      { size: 2 ** 31 },
      { align: -4 },
      { align: 0.5 },
      { boundary: -1 },
      { boundary: Number.POSITIVE_INFINITY },
      { name: 5 },
      { device: { ...DEVICE, node: 1 } },
      { device: { ...DEVICE, node: -2 } },
      { device: { ...DEVICE, dmaMask: -1 } },
      { device: { ...DEVICE, dmaMask: Number.NaN } },
    ]
    for (const options of wrong) {
      const all = { name: 'x', device: DEVICE, size: 64, ...options }
      expect(() => DmaPool.create(machine.heap, all)).toThrow(InvalidArgument)
    }
    for (const bits of [0, 65, 1.5]) expect(() => dmaBitMask(bits)).toThrow(InvalidArgument)
    expect(machine.state()).toBe(before)
  })

  it('takes 104 bytes; a page 40 and its memory; and gives back pages newest first, then the pool', () => {
    const machine = heapMachine()
    const pool = makePool(machine, { size: 2048 })
    const blocks = [must(pool.alloc()), must(pool.zalloc(GFP_ATOMIC))]
    const made = machine.calls()
    expect(made.map((call) => call.split(' -> ')[0])).toEqual([
      'alloc 104 cc0',
      'alloc 40 cc0',
      `alloc 40 ${GFP_ATOMIC.toString(16)}`,
    ])
    const [structure, first, second] = made.map((call) => call.split(' -> ')[1])
    for (const block of blocks) pool.free(block.address, block.dma)
    expect(machine.calls()).toEqual([])
    pool.destroy()
    expect(machine.calls()).toEqual([second, first, structure].map((at) => `free ${at}`))
  })

  it('gives back all that it took', () => {
    const machine = heapMachine()
    const warm = makePool(machine)
    const one = must(warm.alloc())
    warm.free(one.address, one.dma)
    warm.destroy()
    const before = freePages(machine)
    for (const size of [64, 4096, 5000, 3 * PAGE_SIZE]) {
      const pool = makePool(machine, { size })
      const block = must(pool.alloc())
      // Whole blocks of pages: three pages are four.
      expect(freePages(machine)).toBe(before - [1, 1, 2, 4][[64, 4096, 5000, 12288].indexOf(size)]!)
      pool.free(block.address, block.dma)
      pool.destroy()
      expect(freePages(machine)).toBe(before)
    }
    expect(machine.live.size).toBe(0)
  })
})

describe('the blocks of a page', () => {
  it.each([
    [64, 63],
    [1024, 3],
    [2048, 1],
    [4096, 1],
  ])('of %i bytes are %i', (size, count) => {
    const machine = heapMachine()
    const offsets = offsetsOfAPage(machine, makePool(machine, { size }))
    expect(offsets).toEqual(Array.from({ length: count }, (_, i) => i * size))
  })

  it('leave out what would end at a boundary, or cross it', () => {
    const machine = heapMachine()
    const offsets = offsetsOfAPage(machine, makePool(machine, { size: 64, boundary: 256 }))
    expect(offsets).toEqual(
      Array.from({ length: 48 }, (_, i) => Math.floor(i / 3) * 256 + (i % 3) * 64),
    )
    const odd = offsetsOfAPage(machine, makePool(machine, { size: 100, boundary: 256 }))
    expect(odd.slice(0, 5)).toEqual([0, 100, 256, 356, 512])
    const full = offsetsOfAPage(machine, makePool(machine, { size: 256, boundary: 256 }))
    expect(full).toEqual(Array.from({ length: 16 }, (_, i) => i * 256))
  })

  it('are all there with a boundary beyond the page, but none past its end', () => {
    const machine = heapMachine()
    const even = offsetsOfAPage(machine, makePool(machine, { size: 64, boundary: 8192 }))
    expect(even).toEqual(Array.from({ length: 64 }, (_, i) => i * 64))
    const odd = offsetsOfAPage(machine, makePool(machine, { size: 96, boundary: 2 ** 40 }))
    expect(odd).toEqual(Array.from({ length: 42 }, (_, i) => i * 96))
  })

  it('hold the chain of free ones, as 32-bit offsets', () => {
    const machine = heapMachine()
    const pool = makePool(machine, { size: 1024 })
    const word = (at: number) => machine.ram.readU32(at)
    const first = must(pool.alloc())
    const base = first.dma
    expect([word(base), word(base + 1024), word(base + 2048)]).toEqual([1024, 2048, 4096])
    const second = must(pool.alloc())
    expect(second.dma).toBe(base + 1024)
    pool.free(first.address, first.dma)
    pool.free(second.address, second.dma)
    expect([word(base), word(base + 1024), word(base + 2048)]).toEqual([2048, 0, 4096])
    // The last one freed is the first to be used again.
    expect([pool.alloc()?.dma, pool.alloc()?.dma, pool.alloc()?.dma]).toEqual([
      base + 1024,
      base,
      base + 2048,
    ])
    pool.free(first.address, first.dma)
    expect(word(base)).toBe(4096)
  })

  it('hold the chain at odd addresses too', () => {
    const machine = heapMachine()
    const pool = makePool(machine, { size: 5 })
    const { dma } = must(pool.alloc())
    expect([machine.ram.readU32(dma), machine.ram.readU32(dma + 5)]).toEqual([5, 10])
    expect([pool.alloc()?.dma, pool.alloc()?.dma]).toEqual([dma + 5, dma + 10])
  })

  it('come from the newest page that has one', () => {
    const machine = heapMachine()
    const pool = makePool(machine, { size: 2048 })
    const blocks = [must(pool.alloc()), must(pool.alloc()), must(pool.alloc())]
    for (const block of blocks) pool.free(block.address, block.dma)
    expect([pool.pageCount, pool.inUse]).toEqual([3, 0])
    const again = [must(pool.alloc()), must(pool.alloc()), must(pool.alloc())]
    expect(again).toEqual(blocks.reverse())
  })
})

describe('content', () => {
  it('is zero in a new page, and later when asked for', () => {
    const machine = heapMachine()
    const pool = makePool(machine, { size: 32 })
    // The record's cache has its slab from here on: the next page is the one that is freed now.
    machine.heap.kfree(must(machine.heap.kmalloc(40)))
    const dirty = must(machine.pages.allocPages(GFP_KERNEL))
    machine.ram.fill(dirty * PAGE_SIZE, PAGE_SIZE, 0xee)
    machine.pages.freePages(dirty)
    const block = must(pool.alloc())
    expect(block.dma).toBe(dirty * PAGE_SIZE)
    expect(bytesAt(machine, block.address, 32).slice(4)).toEqual(new Array(28).fill(0))
    machine.ram.fill(block.dma, 32, 7)
    pool.free(block.address, block.dma)
    expect(must(pool.alloc()).dma).toBe(block.dma)
    expect(bytesAt(machine, block.address, 32).slice(4)).toEqual(new Array(28).fill(7))
    pool.free(block.address, block.dma)
    expect(must(pool.zalloc()).dma).toBe(block.dma)
    expect(bytesAt(machine, block.address, 32)).toEqual(new Array(32).fill(0))
  })

  it('is zeroed as the boot options say', () => {
    const onAlloc = heapMachine({ slabs: { initOnAlloc: true } })
    const first = must(makePool(onAlloc, { size: 32 }).alloc())
    expect(bytesAt(onAlloc, first.address, 32)).toEqual(new Array(32).fill(0))
    const onFree = heapMachine({ slabs: { initOnFree: true } })
    const pool = makePool(onFree, { size: 32 })
    const block = must(pool.alloc())
    onFree.ram.fill(block.dma, 32, 7)
    pool.free(block.address, block.dma)
    expect(bytesAt(onFree, block.address, 32)).toEqual([32, ...new Array(31).fill(0)])
  })

  it('stops the allocation when the chain was written over', () => {
    const machine = heapMachine({ slabs: { layout: LAYOUT_X86_64 } })
    const pool = makePool(machine, { size: 1024 })
    const block = must(pool.alloc())
    pool.free(block.address, block.dma)
    for (const word of [0, 2048, 4096, 0xffffffff, 1025]) {
      machine.ram.writeU32(block.dma, word)
      const before = machine.state()
      const bug = thrown(() => pool.alloc())
      expect(bug.code).toBe('DMA_POOL_CORRUPTED')
      const address = (0xffff888000000000n + BigInt(block.dma)).toString(16)
      expect(bug.report).toEqual([`dma_pool_alloc ring, ${address} (corrupted)`])
      expect(machine.state()).toBe(before)
      expect(pool.inUse).toBe(0)
    }
    machine.ram.writeU32(block.dma, 1024)
    expect(pool.alloc()).toEqual(block)
  })
})

describe('bad frees', () => {
  it('are told in the words of the kernel, and change nothing', () => {
    const machine = heapMachine({ slabs: { layout: LAYOUT_X86_64 } })
    const pool = makePool(machine, { size: 64, name: 'descriptors' })
    const used = must(pool.alloc())
    const freed = must(pool.alloc())
    pool.free(freed.address, freed.dma)
    const before = machine.state()
    const virt = (dma: number) => (dma + 0x888000000000) as VirtAddr
    const text = (dma: number) => (0xffff888000000000n + BigInt(dma)).toString(16)
    const pad = (dma: number) => `0x${dma.toString(16).padStart(16, '0')}`
    const wrong: [VirtAddr, number, string][] = [
      [freed.address, freed.dma, `dma ${pad(freed.dma)} already free`],
      [virt(used.dma + 128), used.dma + 128, `dma ${pad(used.dma + 128)} already free`],
      [virt(used.dma + 8), used.dma + 8, `${text(used.dma + 8)} (bad vaddr)/${pad(used.dma + 8)}`],
      [freed.address, used.dma, `${text(freed.dma)} (bad vaddr)/${pad(used.dma)}`],
      [
        virt(used.dma - 64),
        used.dma - 64,
        `${text(used.dma - 64)}/${pad(used.dma - 64)} (bad dma)`,
      ],
      // The last slot of a page is no block.
      [
        virt(used.dma + 4032),
        used.dma + 4032,
        `${text(used.dma + 4032)} (bad vaddr)/${pad(used.dma + 4032)}`,
      ],
      [used.address, 0, `${text(used.dma)}/${pad(0)} (bad dma)`],
    ]
    for (const [address, dma, line] of wrong) {
      const bug = thrown(() => pool.free(address, dma as PhysAddr))
      expect(bug.report).toEqual([`dma_pool_free descriptors, ${line}`])
    }
    expect(thrown(() => pool.free(Number.NaN as VirtAddr, used.dma)).code).toBe('BAD_FREE')
    expect(thrown(() => pool.free(used.address, Number.NaN as PhysAddr)).code).toBe('BAD_FREE')
    expect(machine.state()).toBe(before)
    expect(pool.inUse).toBe(1)
    pool.free(used.address, used.dma)
    expect(thrown(() => pool.free(used.address, used.dma)).code).toBe('DOUBLE_FREE')
  })

  it('are those of a pool in use, and of one that was destroyed', () => {
    const machine = heapMachine()
    const pool = makePool(machine, { size: 4096 })
    const blocks = [must(pool.alloc()), must(pool.alloc()), must(pool.alloc())]
    const [first, second, third] = blocks
    pool.free(must(second).address, must(second).dma)
    const before = machine.state()
    const bug = thrown(() => pool.destroy())
    const hex = (block: DmaBlock | undefined) => must(block).address.toString(16).padStart(16, '0')
    expect(bug.report).toEqual([
      `dma_pool_destroy ring, ${hex(third)} busy`,
      `dma_pool_destroy ring, ${hex(first)} busy`,
    ])
    expect(machine.state()).toBe(before)
    for (const block of [first, third]) pool.free(must(block).address, must(block).dma)
    pool.destroy()
    const calls = [
      () => pool.alloc(),
      () => pool.free(must(first).address, must(first).dma),
      () => pool.destroy(),
      () => pool.inUse,
    ]
    for (const call of calls) expect(thrown(call).code).toBe('POOL_DESTROYED')
  })
})

describe('without memory', () => {
  it('is null, and nothing is lost', () => {
    const machine = heapMachine()
    machine.failFrom(1)
    expect(DmaPool.create(machine.heap, { name: 'x', device: DEVICE, size: 64 })).toBeNull()
    machine.failFrom(null)
    const pool = makePool(machine, { size: 16 * MiB })
    const live = machine.live.size
    machine.failFrom(1)
    expect(pool.alloc()).toBeNull()
    machine.failFrom(null)
    machine.calls()
    // A record, no pages of order 12, and the record is freed.
    expect(pool.alloc()).toBeNull()
    const [taken, freed, ...rest] = machine.calls()
    expect(freed).toBe(`free ${taken?.split(' -> ')[1]}`)
    expect(rest).toEqual([])
    expect(machine.live.size).toBe(live)
    expect([pool.pageCount, pool.inUse]).toEqual([0, 0])
  })

  it('refuses masks that no page can be asked for with, and loses nothing', () => {
    const machine = heapMachine()
    const pool = makePool(machine)
    const live = machine.live.size
    const both = GFP_KERNEL | __GFP_MOVABLE | __GFP_RECLAIMABLE
    for (const gfp of [both, -1, 0.5, Number.NaN, 2 ** 32]) {
      expect(() => pool.alloc(gfp)).toThrow(InvalidArgument)
      expect(() => pool.zalloc(gfp)).toThrow(InvalidArgument)
    }
    expect(machine.live.size).toBe(live)
    expect(pool.pageCount).toBe(0)
  })
})

describe('the reach of a device', () => {
  const ranges: MemoryRange[] = [0, GiB, 6 * GiB].map((base) => ({
    base,
    size: 4 * MiB,
    type: 'usable',
  }))

  function addressFor(dmaMask: number): number | null {
    const machine = heapMachine({ ram: { map: ranges } })
    const pool = makePool(machine, { device: { ...DEVICE, dmaMask } })
    const block = pool.alloc()
    if (block === null) expect(machine.live.size).toBe(1)
    return block === null ? null : block.dma
  }

  it.each([
    ['64 bits: Normal', dmaBitMask(64), 6 * GiB],
    ['32 bits: DMA32', dmaBitMask(32), GiB],
    ['24 bits: DMA', dmaBitMask(24), 0],
    ['33 bits: Normal', dmaBitMask(33), 6 * GiB],
    ['a page beyond it is given back for DMA32', 5 * GiB - 1, GiB],
    ['and for DMA', GiB - 1, 0],
    ['the first page of DMA32 is just in reach', GiB + PAGE_SIZE - 1, GiB],
    ['and here just out of reach', GiB + PAGE_SIZE - 2, 0],
  ])('%s', (_name, mask, least) => {
    const dma = must(addressFor(mask))
    expect(dma).toBeGreaterThanOrEqual(least)
    expect(dma).toBeLessThan(least + 4 * MiB)
    expect(dma + PAGE_SIZE - 1).toBeLessThanOrEqual(mask)
  })

  it('may end below all memory', () => {
    expect(addressFor(dmaBitMask(12))).toBeNull()
  })

  it('takes pages of the device’s node', () => {
    const nodes: MemoryRange[] = [
      { base: 0, size: 16 * MiB, node: 0, type: 'usable' },
      { base: 16 * MiB, size: 16 * MiB, node: 1, type: 'usable' },
    ]
    const machine = heapMachine({ ram: { map: nodes } })
    for (const node of [0, 1]) {
      const pool = makePool(machine, { device: { ...DEVICE, node } })
      expect(Math.floor(must(pool.alloc()).dma / (16 * MiB))).toBe(node)
    }
  })
})

describe('formatPools', () => {
  it('prints a line for each pool', () => {
    const machine = heapMachine()
    const old = makePool(machine, { name: 'abcdefghijklmnopqrstuvwxyz0123456789', size: 64 })
    const young = makePool(machine, { name: 'ehci_qh', size: 96, align: 32 })
    for (let i = 0; i < 64; i++) must(old.alloc())
    expect(formatPools([young, old])).toBe(
      'poolinfo - 0.1\n' +
        'ehci_qh             0    0   96  0\n' +
        'abcdefghijklmnopqrstuvwxyz01234   64  128   64  2\n',
    )
    expect(formatPools([])).toBe('poolinfo - 0.1\n')
  })
})

describe('a pool beside a model', () => {
  it('hands out blocks that never overlap, inside their boundaries, with their content kept', () => {
    const machine = heapMachine()
    const shape = fc.record({
      size: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 6000 })),
      align: fc.constantFrom(0, 1, 8, 64, 512),
      boundary: fc.constantFrom(0, 512, 4096, 8192, 65536),
    })
    const steps = fc.array(fc.oneof(fc.boolean(), fc.nat(1000)), { maxLength: 150 })
    fc.assert(
      fc.property(shape, steps, (options, list) => {
        const pool = DmaPool.create(machine.heap, { name: 'm', device: DEVICE, ...options })
        if (pool === null) {
          expect(options.boundary).not.toBe(0)
          return
        }
        const boundary = options.boundary === 0 ? pool.allocation : options.boundary
        const live = new Map<number, { block: DmaBlock; mark: number }>()
        /** Pages of the pool, by where they start. */
        const pages = new Set<number>()
        let mark = 0
        for (const step of list) {
          if (typeof step === 'boolean') {
            const block = must(step ? pool.alloc() : pool.alloc((GFP_KERNEL | __GFP_ZERO) >>> 0))
            const bytes = machine.ram.bytes(block.dma, pool.size)
            if (!step) expect(bytes.every((byte) => byte === 0)).toBe(true)
            const page = [...pages].find(
              (at) => block.dma >= at && block.dma < at + pool.allocation,
            )
            if (page === undefined) {
              expect(block.dma % PAGE_SIZE).toBe(0)
              pages.add(block.dma)
            }
            const offset = block.dma - (page ?? block.dma)
            expect(offset + pool.size).toBeLessThanOrEqual(pool.allocation)
            expect(Math.floor((offset + pool.size - 1) / boundary)).toBe(
              Math.floor(offset / boundary),
            )
            if (options.align > 1) expect(block.dma % options.align).toBe(0)
            expect(live.has(block.dma)).toBe(false)
            mark = (mark + 1) % 250
            bytes.fill(mark + 1)
            live.set(block.dma, { block, mark: mark + 1 })
          } else {
            const entry = [...live.values()][step % (live.size + 1)]
            if (entry === undefined) continue
            const { block } = entry
            const bytes = machine.ram.bytes(block.dma, pool.size)
            expect(bytes.every((byte) => byte === entry.mark)).toBe(true)
            pool.free(block.address, block.dma)
            live.delete(block.dma)
            expect(() => pool.free(block.address, block.dma)).toThrow(KernelBug)
          }
          expect([pool.inUse, pool.pageCount]).toEqual([live.size, pages.size])
        }
        for (const { block, mark } of live.values()) {
          const bytes = machine.ram.bytes(block.dma, pool.size)
          expect(bytes.every((byte) => byte === mark)).toBe(true)
          pool.free(block.address, block.dma)
        }
        pool.destroy()
        expect(machine.live.size).toBe(0)
      }),
      { numRuns: 120 },
    )
  })
})
