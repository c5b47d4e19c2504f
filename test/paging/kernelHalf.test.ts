/** What is copied of a kernel's top table, and when that is told. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug } from '../../src/base/errors'
import { MiB, PAGE_SIZE } from '../../src/base/units'
import type { FrameSource } from '../../src/page/frameSource'
import { ARM64 } from '../../src/paging/arm64Format'
import type { PageTableFormat } from '../../src/paging/format'
import { KernelHalf } from '../../src/paging/kernelHalf'
import { SV39, SV48 } from '../../src/paging/riscvFormat'
import { I386, I386_PAE, X86_64 } from '../../src/paging/x86Format'
import { TableFrames, tablesIn } from './tableFrames'

/** A kernel's tables and a process's, in the same memory, and the flushes of the latter. */
function made(format: PageTableFormat, dirtyTracking = true) {
  const frames = new TableFrames({ size: 4 * MiB, dirtyTracking }, 0x100)
  const flushed: number[][] = []
  const flush = {
    flushTlb: (start: number, end: number) => flushed.push([start, end]),
    flushCacheMap() {},
    flushCacheUnmap() {},
  }
  const kernel = tablesIn(frames, format)
  const tables = tablesIn(frames, format, { flush, user: true })
  /** Words of a top table. */
  const top = (pfn: number) => {
    const place = frames.ram.wordIndex(pfn * PAGE_SIZE)
    return frames.ram.words.subarray(place, place + 1024)
  }
  return { frames, kernel, tables, flushed, top }
}

/** Copies of words `from` to `to`, of others what they were. */
function spliced(mine: Int32Array, kernels: Int32Array, from: number): Int32Array {
  const words = mine.slice()
  words.set(kernels.subarray(from, words.length), from)
  return words
}

describe('sync', () => {
  it.each<[PageTableFormat, number | undefined, number]>([
    [X86_64, undefined, 512],
    [X86_64, 2 ** 47 + 3 * 2 ** 39, 518],
    [SV39, undefined, 512],
    [I386, undefined, 768],
    [I386, 2 ** 31, 512],
  ])('copies the entries of its part: %#', (format, start, from) => {
    const { kernel, tables, flushed, top } = made(format)
    top(kernel.root).forEach((_, i, words) => {
      words[i] = 3 * i + 1
    })
    top(tables.root).fill(-7, 0, from)
    const after = spliced(top(tables.root), top(kernel.root), from)
    const half = new KernelHalf(tables, kernel, start)
    half.sync()
    expect(top(tables.root)).toEqual(after)
    // None of the entries was there before.
    expect(flushed).toEqual([])
  })

  it('copies four entries of PAE, of which the last is the kernel’s', () => {
    const { kernel, tables, top } = made(I386_PAE)
    top(kernel.root).fill(5)
    new KernelHalf(tables, kernel, undefined).sync()
    const words = Array.from(top(tables.root))
    expect(words.slice(0, 10)).toEqual([0, 0, 0, 0, 0, 0, 5, 5, 0, 0])
    expect(words.lastIndexOf(5)).toBe(7)
  })

  it('flushes the part when an entry that was there has changed, and only then', () => {
    const { kernel, tables, flushed, top } = made(X86_64)
    const half = new KernelHalf(tables, kernel, undefined)
    const part = [2 ** 47, 2 ** 48]
    const kernels = top(kernel.root)
    const synced = () => {
      half.sync()
      return flushed.splice(0)
    }
    expect(synced()).toEqual([])
    kernels[600] = 0x5067
    expect(synced()).toEqual([])
    expect(synced()).toEqual([])
    kernels[700] = 0x6067
    expect(synced()).toEqual([])
    kernels[600] = 0x7067
    expect(synced()).toEqual([part])
    expect(synced()).toEqual([])
    kernels[600] = 0
    expect(synced()).toEqual([part])
    kernels[1023] = 1
    expect(synced()).toEqual([])
    kernels[1023] = 2
    expect(synced()).toEqual([part])
    // What is the process's own does not matter.
    kernels[511] = 9
    top(tables.root)[511] = 8
    expect(synced()).toEqual([])
    expect(top(tables.root)[511]).toBe(8)
  })

  it('tells memory of the words that it wrote', () => {
    const { frames, kernel, tables } = made(X86_64)
    const told: number[][] = []
    frames.ram.markDirty = (address, bytes) => told.push([address, bytes])
    new KernelHalf(tables, kernel, undefined).sync()
    new KernelHalf(tables, kernel, 2 ** 48 - 2 ** 39).sync()
    const root = tables.root * PAGE_SIZE
    expect(told).toEqual([
      [root + 2048, 2048],
      [root + 4088, 8],
    ])
    const plain = made(X86_64, false)
    plain.frames.ram.markDirty = () => {
      throw new Error('not asked for')
    }
    new KernelHalf(plain.tables, plain.kernel, undefined).sync()
  })

  it('has nothing to copy where there are two top tables', () => {
    const { frames, kernel, tables, flushed, top } = made(ARM64)
    top(kernel.root).fill(5)
    top(tables.root).fill(6)
    const before = top(tables.root).slice()
    frames.ram.clearDirty()
    new KernelHalf(tables, kernel, undefined).sync()
    expect(top(tables.root)).toEqual(before)
    expect([flushed, frames.ram.dirtyPages()]).toEqual([[], []])
  })

  it('is a bug once the kernel’s tables are gone', () => {
    const { kernel, tables } = made(X86_64)
    const half = new KernelHalf(tables, kernel, undefined)
    kernel.destroy()
    expect(() => half.sync()).toThrow(KernelBug)
  })
})

describe('the start', () => {
  it('is the upper half, or the last GiB of 32 bits', () => {
    const starts = [X86_64, SV39, ARM64, I386, I386_PAE].map((format) => {
      const { kernel, tables } = made(format)
      return new KernelHalf(tables, kernel, undefined).start
    })
    expect(starts).toEqual([2 ** 47, 2 ** 38, 2 ** 48, 0xc0000000, 0xc0000000])
  })

  it('is at an entry of the top table, not the first one', () => {
    const { frames, kernel } = made(X86_64)
    const source = frames as unknown as FrameSource
    const check = (start: number | undefined) => KernelHalf.check(source, X86_64, kernel, start)
    const span = 2 ** 39
    for (const start of [undefined, span, 5 * span, 2 ** 47, 2 ** 48 - span]) {
      expect(() => check(start)).not.toThrow()
    }
    const bad = [0, -span, span - 4096, span + 4096, 2 ** 48, 2 ** 48 + span, 0.5, Number.NaN]
    for (const start of bad) {
      expect(() => check(start)).toThrow(expect.objectContaining({ argument: 'kernelStart' }))
    }
    kernel.destroy()
    expect(() => check(undefined)).toThrow(KernelBug)
  })

  it('is not to be chosen where there are two top tables', () => {
    const { frames, kernel } = made(ARM64)
    const source = frames as unknown as FrameSource
    const check = (start: number) => () => KernelHalf.check(source, ARM64, kernel, start)
    expect(check(2 ** 48)).not.toThrow()
    expect(check(2 ** 47)).toThrow(InvalidArgument)
  })

  it('needs tables of the same memory and format', () => {
    const { frames, kernel } = made(X86_64)
    const source = frames as unknown as FrameSource
    const other = made(X86_64).frames as unknown as FrameSource
    const wrong = expect.objectContaining({ argument: 'kernel' })
    expect(() => KernelHalf.check(other, X86_64, kernel, undefined)).toThrow(wrong)
    expect(() => KernelHalf.check(source, SV48, kernel, undefined)).toThrow(wrong)
    for (const none of [null, undefined, {}, { frames: source, format: X86_64 }]) {
      expect(() => KernelHalf.check(source, X86_64, none as never, undefined)).toThrow(wrong)
    }
  })
})
