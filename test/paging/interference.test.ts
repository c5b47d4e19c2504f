/** What listeners and page allocators do to tables in the middle of a call, and what is left of both. */

import { describe, expect, it } from 'vitest'
import { KernelBug } from '../../src/base/errors'
import { MiB, PAGE_SIZE } from '../../src/base/units'
import { AddressSpace } from '../../src/paging/addressSpace'
import type { FlushOps } from '../../src/paging/flushOps'
import { PAGE_KERNEL, PAGE_SHARED } from '../../src/paging/format'
import { MAP_BUSY, MAP_OK, type PageTables } from '../../src/paging/pageTables'
import { X86_64 } from '../../src/paging/x86Format'
import { machine, thrown } from './spaces'
import { TableFrames, tablesIn } from './tableFrames'

const S = 0xc90000000000
const MIB_2 = 2 * MiB
const GIB = 1024 * MiB

function made(): { frames: TableFrames; tables: PageTables } {
  const frames = new TableFrames({ size: 16 * MiB }, 0x100)
  return { frames, tables: tablesIn(frames, X86_64) }
}

/** Calls `react` at the next flush, once. */
function atFlush(tables: PageTables, react: () => void): void {
  const listener: FlushOps = {
    flushTlb() {
      stop()
      react()
    },
    flushCacheMap() {},
    flushCacheUnmap() {},
  }
  const stop = tables.listen(listener)
}

/** Calls `react` at the next request for a page, once, before that is served. */
function atRequest(frames: { allocPages: TableFrames['allocPages'] }, react: () => void): void {
  const real = frames.allocPages
  frames.allocPages = (...request) => {
    frames.allocPages = real
    react()
    return real.apply(frames, request)
  }
}

describe('a large leaf in the place of a table', () => {
  it('is not put over what a listener maps while the table goes', () => {
    const { frames, tables } = made()
    tables.mapPages(S, [1], 0, 1, PAGE_KERNEL)
    tables.unmapRange(S, PAGE_SIZE)
    atFlush(tables, () => tables.mapPages(S + PAGE_SIZE, [5], 0, 1, PAGE_KERNEL))
    expect(tables.mapRange(S, 0, MIB_2, PAGE_KERNEL, 21)).toBe(MAP_BUSY)
    expect(tables.translate(S + PAGE_SIZE)).toBe(5 * PAGE_SIZE)
    expect(tables.translate(S)).toBe(-1)
    tables.destroy()
    expect(frames.live.size).toBe(0)
  })

  it('is busy when something is mapped two levels below', () => {
    const { frames, tables } = made()
    tables.mapPages(S + 3 * MIB_2, [7], 0, 1, PAGE_KERNEL)
    const own = frames.live.size
    frames.asked()
    expect(tables.mapRange(S, GIB, GIB, PAGE_KERNEL, 30)).toBe(MAP_BUSY)
    expect(frames.asked()).toEqual([])
    expect(tables.translate(S + 3 * MIB_2)).toBe(7 * PAGE_SIZE)
    expect(frames.live.size).toBe(own)
  })

  it.each([
    ['maps a page there', true],
    ['gives the table back', false],
  ])('is several smaller ones when the request for a page %s', (_what, maps) => {
    const { frames, tables } = made()
    tables.mapPages(S + 3 * MIB_2, [7], 0, 1, PAGE_KERNEL)
    tables.unmapRange(S + 3 * MIB_2, PAGE_SIZE)
    atRequest(frames, () => {
      if (maps) tables.mapPages(S + 3 * MIB_2, [8], 0, 1, PAGE_KERNEL)
      else expect(tables.freeEmptyTables(S, S + GIB)).toBeGreaterThan(1)
    })
    const code = tables.mapRange(S, GIB, GIB, PAGE_KERNEL, 30)
    expect(tables.walk(S).leafLevel).toBe(2)
    expect(tables.translate(S + MIB_2)).toBe(GIB + MIB_2)
    expect(code).toBe(maps ? MAP_BUSY : MAP_OK)
    const there = maps ? 8 * PAGE_SIZE : GIB + 3 * MIB_2
    expect(tables.translate(S + 3 * MIB_2)).toBe(there)
    tables.destroy()
    expect(frames.live.size).toBe(0)
  })
})

describe('tables that a listener gives back', () => {
  it('are not given back twice', () => {
    const { frames, tables } = made()
    tables.mapPages(S, [1], 0, 1, PAGE_KERNEL)
    tables.unmapRange(S, PAGE_SIZE)
    atFlush(tables, () => tables.destroy())
    // The source throws when it gets a frame back that it has not given out.
    tables.freeEmptyTables(S, S + PAGE_SIZE)
    expect(frames.live.size).toBe(0)
    expect(new Set(frames.asked().filter((line) => line.startsWith('-'))).size).toBe(4)
  })
})

describe('a mapping of a space', () => {
  it('is taken back when something else was mapped meanwhile', () => {
    const { source } = machine()
    const space = new AddressSpace(source, { format: X86_64, user: true })
    expect(space.map(0x400000, 9, 1, PAGE_SHARED)).toBe(true)
    // Two tables of the last level are needed: the request for the second brings the page behind.
    const before = source.live.size
    const tables = Reflect.get(space, 'tables') as PageTables
    let requests = 0
    const real = source.allocPages
    source.allocPages = (...request) => {
      requests += 1
      if (requests === 2) tables.mapPages(0x800000, [77], 0, 1, PAGE_SHARED)
      return real(...request)
    }
    const bug = thrown(() => space.map(0x7fe000, 10, 4, PAGE_SHARED))
    source.allocPages = real
    expect(bug).toBeInstanceOf(KernelBug)
    expect((bug as KernelBug).code).toBe('ALREADY_MAPPED')
    // All of the range is unmapped, what came meanwhile too: the space has been told of it by nobody.
    expect(space.translate(0x7fe000)).toBe(null)
    expect(space.translate(0x400000)).toBe(9 * PAGE_SIZE)
    expect(source.live.size).toBe(before)
    space.destroy()
    expect(source.live.size).toBe(0)
  })
})
