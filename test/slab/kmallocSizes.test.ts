import { describe, expect, it } from 'vitest'
import {
  __GFP_NOWARN,
  __GFP_ZERO,
  GFP_KERNEL,
  InvalidArgument,
  KernelBug,
  Kmalloc,
  LAYOUT_X86_64,
  MiB,
  PAGE_SIZE,
  SlabCache,
  shrinkAllCaches,
  type VirtAddr,
  ZERO_SIZE_PTR,
} from '../../src/index'
import {
  kfreeBulk,
  kfreeSensitive,
  kmallocSizeRoundup,
  kreallocArray,
} from '../../src/slab/kmallocMore'
import {
  expectSound,
  freePages,
  machineHash,
  must,
  type SlabMachine,
  slabMachine,
} from './machines'

/** The classes of spec/slab.md §5.2, written out; more than 8192 bytes come in whole blocks. */
const CLASSES = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192, 16384]

interface Heap extends SlabMachine {
  readonly heap: Kmalloc
  bytes(p: VirtAddr, length: number): number[]
  /** Events since the last look. */
  events(): string[]
}

function heapMachine(options: Parameters<typeof slabMachine>[0] = {}): Heap {
  const machine = slabMachine(options)
  const heap = new Kmalloc(machine.slabs)
  const { context } = machine.slabs
  let log: string[] = []
  return {
    ...machine,
    heap,
    bytes: (p, length) => [...machine.ram.bytes(p - context.directMap, length)],
    events() {
      const events = log
      log = []
      machine.slabs.setTrace({
        kmalloc: (object, asked, got) => log.push(`kmalloc ${asked} ${got} ${object}`),
        kfree: (object) => log.push(`kfree ${object}`),
        cacheAlloc: (object) => log.push(`alloc ${object}`),
        cacheFree: (object) => log.push(`free ${object}`),
      })
      return events
    },
  }
}

function fill({ ram, slabs }: SlabMachine, p: VirtAddr, length: number, byte: number): void {
  ram.fill(p - slabs.context.directMap, length, byte)
}

describe.each([{ layout: undefined }, { layout: LAYOUT_X86_64 }])(
  'every size, $layout.name',
  ({ layout }) => {
    it('from 0 to 8193: class, ksize, roundup, alignment, apart from each other', () => {
      const machine = heapMachine({ mib: 64, slabs: layout === undefined ? {} : { layout } })
      const { heap, ram } = machine
      const before = freePages(machine)
      const blocks: VirtAddr[] = []
      let previous = 0
      for (let size = 0; size <= 8193; size++) {
        const p = must(heap.kmalloc(size, GFP_KERNEL))
        const room = size === 0 ? 0 : must(CLASSES.find((bytes) => bytes >= size))
        if (heap.ksize(p) !== room || kmallocSizeRoundup(size) !== room || room < previous) {
          expect.fail(`${size}: ksize ${heap.ksize(p)}, roundup ${kmallocSizeRoundup(size)}`)
        }
        previous = room
        const align = room > 8192 ? PAGE_SIZE : (room & (room - 1)) === 0 ? room : 8
        if (size === 0) expect(p).toBe(ZERO_SIZE_PTR)
        else if (p % align !== 0) expect.fail(`${size}: 0x${p.toString(16)} is not aligned`)
        if (room > 0) fill(machine, p, room, size & 0xff)
        blocks.push(p)
      }
      const { directMap } = machine.slabs.context
      blocks.forEach((p, size) => {
        if (size === 0) return
        const room = heap.ksize(p)
        const stray = ram.bytes(p - directMap, room).find((byte) => byte !== (size & 0xff))
        if (stray !== undefined) expect.fail(`the block of ${size} bytes holds ${stray}`)
        heap.kfree(p)
      })
      shrinkAllCaches(machine.slabs)
      expect(freePages(machine)).toBe(before)
      expectSound(machine)
    })
  },
)

describe('kmallocSizeRoundup', () => {
  it.each([
    [0, 0],
    [1, 8],
    [65, 96],
    [129, 192],
    [193, 256],
    [8192, 8192],
    [8193, 16384],
    [12289, 16384],
    [16385, 32768],
    [4194304, 4194304],
    [4194305, 8388608],
    [2 ** 44 + 4096, 2 ** 45],
  ])('of %i is %i', (size, room) => {
    expect(kmallocSizeRoundup(size)).toBe(room)
  })

  it('refuses what is no size', () => {
    for (const size of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => kmallocSizeRoundup(size)).toThrow(InvalidArgument)
    }
  })
})

describe('kmallocArray, kcalloc and kreallocArray', () => {
  it('multiply, and zero where asked', () => {
    const machine = heapMachine()
    const { heap } = machine
    const dirty = must(heap.kmalloc(96))
    fill(machine, dirty, 96, 0xee)
    heap.kfree(dirty)
    const p = must(heap.kcalloc(10, 7))
    expect(p).toBe(dirty)
    // The whole class is zeroed, not only what was asked for.
    expect(machine.bytes(p, 96)).toEqual(new Array(96).fill(0))
    expect(heap.ksize(must(heap.kmallocArray(100, 100)))).toBe(16384)
    expect(heap.kcalloc(0, 100)).toBe(ZERO_SIZE_PTR)
    expect(heap.kmallocArray(100, 0)).toBe(ZERO_SIZE_PTR)
    expect(kreallocArray(heap, p, 100, 0)).toBe(ZERO_SIZE_PTR)
    expectSound(machine)
  })

  it('give null for a product of more than 64 bits, without an event', () => {
    const machine = heapMachine()
    const { heap } = machine
    const p = must(heap.kmalloc(100))
    fill(machine, p, 100, 7)
    machine.events()
    const before = machineHash(machine)
    const large = 2 ** 32
    expect(heap.kmallocArray(large, large)).toBeNull()
    expect(heap.kcalloc(large, large)).toBeNull()
    expect(kreallocArray(heap, p, large, large)).toBeNull()
    expect(machine.events()).toEqual([])
    expect(machineHash(machine)).toBe(before)
  })

  it('give null for a product that fits 64 bits, but no machine', () => {
    const machine = heapMachine()
    const { heap } = machine
    const p = must(heap.kmalloc(100))
    const gfp = GFP_KERNEL | __GFP_NOWARN
    for (const count of [2 ** 11, 2 ** 32 + 1, 2 ** 32 + 2, 2 ** 49]) {
      expect(heap.kmallocArray(count, 4096, gfp)).toBeNull()
      expect(kreallocArray(heap, p, count, 4096, gfp)).toBeNull()
    }
    expect(heap.ksize(p)).toBe(128)
    expect(heap.kmallocArray(1, 2 ** 44 + 4096, gfp)).toBeNull()
  })

  it('refuse what is no count and no size', () => {
    const { heap } = heapMachine()
    for (const bad of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => kreallocArray(heap, null, bad, 1)).toThrow(InvalidArgument)
      expect(() => heap.kcalloc(1, bad)).toThrow(InvalidArgument)
    }
  })
})

describe('krealloc', () => {
  it('never moves a block that is large enough', () => {
    const machine = heapMachine()
    const { heap } = machine
    for (const size of [1, 8, 9, 64, 96, 100, 192, 500, 4096, 8192, 8193, 20000]) {
      const p = must(heap.kmalloc(size))
      const room = heap.ksize(p)
      fill(machine, p, room, 0x5c)
      for (const smaller of [room, room - 1, Math.ceil(room / 2), 1]) {
        expect(heap.krealloc(p, smaller)).toBe(p)
        expect(heap.ksize(p)).toBe(room)
      }
      expect(machine.bytes(p, room).every((byte) => byte === 0x5c)).toBe(true)
      heap.kfree(p)
    }
  })

  it('zeroes what is behind the new size, where zeroes are asked for', () => {
    const machine = heapMachine()
    const { heap } = machine
    const p = must(heap.kmalloc(100))
    fill(machine, p, 128, 0xff)
    expect(heap.krealloc(p, 30, GFP_KERNEL | __GFP_ZERO)).toBe(p)
    expect(machine.bytes(p, 128)).toEqual([...new Array(30).fill(0xff), ...new Array(98).fill(0)])
  })

  it('copies all that could be used of the old block, and zeroes the rest where asked', () => {
    const machine = heapMachine()
    const { heap } = machine
    const dirty = must(heap.kmalloc(512))
    fill(machine, dirty, 512, 0xee)
    heap.kfree(dirty)
    const p = must(heap.kmalloc(100))
    // 128 bytes may be used of 100.
    fill(machine, p, 128, 0xab)
    const q = must(heap.krealloc(p, 400, GFP_KERNEL | __GFP_ZERO))
    expect(q).toBe(dirty)
    expect(machine.bytes(q, 512)).toEqual([...new Array(128).fill(0xab), ...new Array(384).fill(0)])
    expect(() => heap.kfree(p)).toThrow(KernelBug)
    expectSound(machine)
  })

  it('allocates before it frees', () => {
    const machine = heapMachine()
    const { heap } = machine
    const p = must(heap.kmalloc(10))
    machine.events()
    const q = must(heap.krealloc(p, 100))
    expect(machine.events()).toEqual([`kmalloc 100 128 ${q}`, `kfree ${p}`])
    const r = must(heap.krealloc(q, 10000))
    expect(machine.events()).toEqual([`kmalloc 10000 16384 ${r}`, `kfree ${q}`])
    const s = must(heap.krealloc(null, 5))
    expect(machine.events()).toEqual([`kmalloc 5 8 ${s}`, 'kfree 0'])
    const t = must(heap.krealloc(ZERO_SIZE_PTR, 5))
    expect(machine.events()).toEqual([`kmalloc 5 8 ${t}`, 'kfree 16'])
    expect(heap.krealloc(t, 6)).toBe(t)
    expect(machine.events()).toEqual([])
    expect(heap.krealloc(t, 0)).toBe(ZERO_SIZE_PTR)
    expect(machine.events()).toEqual([`kfree ${t}`])
    expect(heap.krealloc(null, 0)).toBe(ZERO_SIZE_PTR)
    expect(machine.events()).toEqual(['kfree 0'])
  })

  it('leaves the block alone when there is no memory', () => {
    const machine = heapMachine()
    const { heap } = machine
    const p = must(heap.kmalloc(100))
    fill(machine, p, 128, 0x11)
    machine.events()
    expect(heap.krealloc(p, 5 * 1024 * 1024, GFP_KERNEL | __GFP_NOWARN)).toBeNull()
    machine.slabs.setFaults({ failSlab: () => true })
    expect(heap.krealloc(p, 200)).toBeNull()
    machine.slabs.setFaults(null)
    expect(machine.events()).toEqual([`kmalloc 5242880 8388608 0`, 'kmalloc 200 256 0'])
    expect(machine.bytes(p, 128).every((byte) => byte === 0x11)).toBe(true)
    heap.kfree(p)
  })
})

describe('kfreeSensitive', () => {
  it('zeroes all that could be used', () => {
    const machine = heapMachine()
    const { heap } = machine
    for (const size of [1, 8, 100, 192, 8192, 10000]) {
      const p = must(heap.kmalloc(size))
      const room = heap.ksize(p)
      fill(machine, p, room, 0x77)
      kfreeSensitive(heap, p)
      // A free object holds a pointer; the rest is zero.
      const pointer = size > 8192 ? room : Math.floor(room / 2 / 8) * 8
      const left = machine.bytes(p, room).filter((_, at) => at < pointer || at >= pointer + 8)
      expect(left.every((byte) => byte === 0)).toBe(true)
      expect(() => heap.ksize(p)).toThrow(KernelBug)
    }
    machine.events()
    kfreeSensitive(heap, null)
    kfreeSensitive(heap, ZERO_SIZE_PTR)
    expect(machine.events()).toEqual(['kfree 0', 'kfree 16'])
  })

  it('changes nothing for what is no block', () => {
    const machine = heapMachine()
    const p = must(machine.heap.kmalloc(64))
    const before = machineHash(machine)
    for (const bad of [p + 8, p + 64, 7 * MiB, 2 ** 40]) {
      expect(() => kfreeSensitive(machine.heap, bad as VirtAddr)).toThrow(KernelBug)
    }
    expect(machineHash(machine)).toBe(before)
  })
})

describe('kfreeBulk', () => {
  it('groups the example of the specification', () => {
    const machine = heapMachine()
    const { heap } = machine
    // 256 bytes: 16 objects in a slab. Three slabs, of which the last is the CPU's.
    const objects = Array.from({ length: 34 }, () => must(heap.kmalloc(256)))
    const at = (slab: number, object: number) => must(objects[slab * 16 + object])
    const [s0, s1, s2] = [0, 1, 2].map((slab) => (object: number) => at(slab, object)) as [
      (object: number) => VirtAddr,
      (object: number) => VirtAddr,
      (object: number) => VirtAddr,
    ]
    const list = [s0(0), s1(1), s0(1), s2(1), s0(2), s1(2), s0(3)]
    kfreeBulk(heap, list)
    expect(list).toEqual([s0(0), s1(1), s1(2), s2(1), s0(1), s0(2), s0(3)])
    expectSound(machine)
    // The CPU's list starts with S2.1, then the 14 that were never handed out; then S1, then S0.
    const next = Array.from({ length: 21 }, () => must(heap.kmalloc(256)))
    expect(next[0]).toBe(s2(1))
    expect(next.slice(15)).toEqual([s1(2), s1(1), s0(0), s0(3), s0(2), s0(1)])
  })

  it('takes large blocks and objects of caches among the others', () => {
    const machine = heapMachine()
    const { heap, slabs } = machine
    const cache = new SlabCache(slabs, { name: 'x', size: 40 })
    shrinkAllCaches(machine.slabs)
    const before = freePages(machine)
    const list = [
      must(heap.kmalloc(10)),
      must(heap.kmalloc(10000)),
      must(cache.alloc()),
      must(heap.kmalloc(100000)),
      must(heap.kmalloc(20)),
    ]
    kfreeBulk(heap, list)
    shrinkAllCaches(slabs)
    expect(freePages(machine)).toBe(before)
    expectSound(machine)
    kfreeBulk(heap, [])
  })

  it('frees nothing when one is wrong', () => {
    const machine = heapMachine()
    const { heap } = machine
    const [a, b] = [must(heap.kmalloc(64)), must(heap.kmalloc(9000))]
    const gone = must(heap.kmalloc(64))
    heap.kfree(gone)
    const before = machineHash(machine)
    const bad = [gone, a + 8, b + PAGE_SIZE, b + 8, ZERO_SIZE_PTR, 0, 2 ** 45, Number.NaN, a]
    for (const wrong of bad as VirtAddr[]) {
      expect(() => kfreeBulk(heap, [b, a, wrong])).toThrow(KernelBug)
    }
    expect(() => kfreeBulk(heap, [a, b, b])).toThrow(KernelBug)
    expect(() => kfreeBulk(heap, a as unknown as VirtAddr[])).toThrow(InvalidArgument)
    expect(machineHash(machine)).toBe(before)
  })
})
