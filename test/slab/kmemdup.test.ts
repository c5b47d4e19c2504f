import { describe, expect, it } from 'vitest'
import {
  BuddyAllocator,
  InvalidArgument,
  KernelBug,
  Kmalloc,
  LAYOUT_X86_64,
  MiB,
  PhysicalMemory,
  type VirtAddr,
  ZERO_SIZE_PTR,
} from '../../src/index'
import { kmemdup, kmemdupNul, kstrdup, kstrndup, readString } from '../../src/slab/kmemdup'
import { expectSound, machineHash, must, slabMachine } from './machines'

function heapMachine() {
  const machine = slabMachine({ mib: 4, slabs: { layout: LAYOUT_X86_64 } })
  const heap = new Kmalloc(machine.slabs)
  // What the next blocks are made of: bytes that are not 0.
  const dirty = [8, 16, 32, 64].map((size) => must(heap.kmalloc(size)))
  for (const p of dirty) machine.ram.fill(p - LAYOUT_X86_64.directMap, heap.ksize(p), 0xee)
  for (const p of dirty) heap.kfree(p)
  const bytes = (p: VirtAddr, length: number) => [
    ...machine.ram.bytes(p - LAYOUT_X86_64.directMap, length),
  ]
  return { ...machine, heap, bytes }
}

describe('kmemdup', () => {
  it('copies bytes, kmemdupNul a 0 behind them', () => {
    const machine = heapMachine()
    const { heap, bytes } = machine
    const source = Uint8Array.of(1, 0, 2, 255, 254, 3, 4, 5)
    const p = must(kmemdup(heap, source))
    expect(heap.ksize(p)).toBe(8)
    expect(bytes(p, 8)).toEqual([...source])
    const q = must(kmemdupNul(heap, source))
    expect(heap.ksize(q)).toBe(16)
    expect(bytes(q, 9)).toEqual([...source, 0])
    expect(bytes(q, 16).slice(10)).not.toEqual(new Array(6).fill(0))
    expectSound(machine)
  })

  it('gives ZERO_SIZE_PTR for nothing, kmemdupNul a block with a 0', () => {
    const { heap, bytes } = heapMachine()
    expect(kmemdup(heap, new Uint8Array(0))).toBe(ZERO_SIZE_PTR)
    expect(kmemdupNul(heap, null)).toBeNull()
    expect(bytes(must(kmemdupNul(heap, new Uint8Array(0))), 1)).toEqual([0])
  })

  it('copies more than a class holds', () => {
    const { heap, bytes } = heapMachine()
    const source = Uint8Array.from({ length: 10001 }, (_, i) => i * 7)
    const p = must(kmemdup(heap, source))
    expect(heap.ksize(p)).toBe(16384)
    expect(bytes(p, 10001)).toEqual([...source])
  })
})

describe('kstrdup and kstrndup', () => {
  it('copy UTF-8 with its 0', () => {
    const machine = heapMachine()
    const { heap, bytes } = machine
    const p = must(kstrdup(heap, 'grün'))
    expect(bytes(p, 6)).toEqual([0x67, 0x72, 0xc3, 0xbc, 0x6e, 0])
    expect(readString(heap, p)).toBe('grün')
    expect(kstrdup(heap, null)).toBeNull()
    expect(bytes(must(kstrdup(heap, '')), 1)).toEqual([0])
    expect(readString(heap, must(kstrdup(heap, 'ab\0cd')))).toBe('ab')
    const long = 'x'.repeat(9000)
    expect(readString(heap, must(kstrdup(heap, long)))).toBe(long)
    // 7 bytes and a 0 fit into 8, one more does not.
    expect(heap.ksize(must(kstrdup(heap, '1234567')))).toBe(8)
    expect(heap.ksize(must(kstrdup(heap, '12345678')))).toBe(16)
    expectSound(machine)
  })

  it('cut at a number of bytes', () => {
    const { heap, bytes } = heapMachine()
    expect(bytes(must(kstrndup(heap, 'abcdef', 3)), 4)).toEqual([0x61, 0x62, 0x63, 0])
    expect(bytes(must(kstrndup(heap, 'abc', 10)), 4)).toEqual([0x61, 0x62, 0x63, 0])
    expect(heap.ksize(must(kstrndup(heap, 'abc', 1000)))).toBe(8)
    expect(bytes(must(kstrndup(heap, 'ü', 1)), 2)).toEqual([0xc3, 0])
    expect(bytes(must(kstrndup(heap, 'abc', 0)), 1)).toEqual([0])
    expect(kstrndup(heap, null, 5)).toBeNull()
  })

  it('read no further than a block that has no 0', () => {
    const machine = heapMachine()
    const { heap } = machine
    const p = must(kmemdup(heap, new Uint8Array(8).fill(0x41)))
    expect(readString(heap, p)).toBe('A'.repeat(8))
    expect(readString(heap, ZERO_SIZE_PTR)).toBe('')
    heap.kfree(p)
    expect(() => readString(heap, p)).toThrow(KernelBug)
    expect(() => readString(heap, (p + 1) as VirtAddr)).toThrow(KernelBug)
  })
})

describe('copies', () => {
  it('are null without memory, and nothing has changed', () => {
    const machine = heapMachine()
    const { heap, slabs } = machine
    slabs.setFaults({ failSlab: () => true })
    const before = machineHash(machine)
    expect(kmemdup(heap, Uint8Array.of(1))).toBeNull()
    expect(kmemdupNul(heap, Uint8Array.of(1))).toBeNull()
    expect(kstrdup(heap, 'abc')).toBeNull()
    expect(kstrndup(heap, 'abc', 2)).toBeNull()
    expect(machineHash(machine)).toBe(before)
  })

  it('refuse what is no source', () => {
    const machine = heapMachine()
    const { heap } = machine
    const before = machineHash(machine)
    expect(() => kmemdup(heap, [1, 2] as unknown as Uint8Array)).toThrow(InvalidArgument)
    expect(() => kmemdupNul(heap, 'abc' as unknown as Uint8Array)).toThrow(InvalidArgument)
    expect(() => kstrdup(heap, 5 as unknown as string)).toThrow(InvalidArgument)
    expect(() => kstrndup(heap, 'abc', -1)).toThrow(InvalidArgument)
    expect(() => kstrndup(heap, null, 0.5)).toThrow(InvalidArgument)
    expect(machineHash(machine)).toBe(before)
  })

  it('mark what they write as dirty', () => {
    const ram = new PhysicalMemory({ size: 2 * MiB, dirtyTracking: true })
    const heap = new Kmalloc(new BuddyAllocator({ ram }))
    const warm = must(heap.kmalloc(9000))
    heap.kfree(warm)
    ram.clearDirty()
    const p = must(kmemdup(heap, new Uint8Array(9000).fill(3)))
    expect(ram.isDirty(p)).toBe(true)
    expect(ram.isDirty(p + 8999)).toBe(true)
  })
})
