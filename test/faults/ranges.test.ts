/** Ranges that are kept in arrays of fixed length: what fails when they are full has changed nothing. */

import { describe, expect, it } from 'vitest'
import { verifyMemblock } from '../../src/boot/memblockVerify'
import { verifyVmap } from '../../src/debug/verifyVmap'
import { Memblock, MiB, VmapSpace } from '../../src/index'
import { stateOf } from '../boot/fixtures'
import { must } from './rows'

const PAGE = 4096

describe('a space of ranges', () => {
  const CALLS: readonly (readonly [string, (space: VmapSpace) => unknown])[] = [
    ['alloc', (space) => space.alloc(8)],
    ['alloc, aligned', (space) => space.alloc(8, 64)],
    ['alloc of a window', (space) => space.alloc(4, 1, 5000, 6000)],
    ['reserve', (space) => space.reserve(9000, 8)],
  ]

  it.each(CALLS)('%s fails without room for a record, and succeeds with it', (_name, call) => {
    let failures = 0
    for (const lazy of [false, true]) {
      for (let maxAreas = 1; ; maxAreas++) {
        const space = new VmapSpace({ start: 0, end: 10_000, maxAreas, lazy })
        // Single numbers with gaps between them: as many areas as there can be.
        for (let at = 1; at < 41; at += 2) if (!space.reserve(at, 1)) break
        const before = new Uint8Array(space.state.slice(0))
        const result = call(space)
        expect(verifyVmap(space.context)).toEqual([])
        if (result !== null && result !== false) break
        failures += 1
        // Records that were taken and given back are in front of others; what is in use is the same.
        const after = VmapSpace.attach(space.state)
        const old = VmapSpace.attach(before.buffer as ArrayBuffer)
        expect([...after.areas()]).toEqual([...old.areas()])
        expect(after.freeBytes).toBe(old.freeBytes)
        space.free(1)
        space.purge()
        expect(verifyVmap(space.context)).toEqual([])
      }
    }
    expect(failures).toBeGreaterThan(4)
  })

  it('gives back what it has when all records are used: free needs none', () => {
    const space = new VmapSpace({ start: 0, end: 1000, maxAreas: 8 })
    const got: number[] = []
    for (let at = space.alloc(3); at !== null; at = space.alloc(3)) got.push(at)
    expect(got.length).toBeGreaterThan(7)
    for (const at of got) space.free(at)
    expect(space.freeBytes).toBe(1000)
    expect(verifyVmap(space.context)).toEqual([])
  })
})

describe('memblock', () => {
  const M = 16 * MiB
  type Call = (m: Memblock) => unknown

  /** Changes, by name; those of the second list need no slot. */
  const CHANGES: Readonly<Record<string, Call>> = {
    alloc: (m) => m.alloc(64, 64),
    allocRaw: (m) => m.allocRaw(64, 64),
    allocFrom: (m) => m.allocFrom(64, 64, M),
    allocLow: (m) => m.allocLow(64, 64),
    allocNode: (m) => m.allocNode(64, 64, 0),
    allocTryNid: (m) => m.allocTryNid(64, 64, M, 0, 0),
    allocTryNidRaw: (m) => m.allocTryNidRaw(64, 64, M, 0, 0),
    allocExactNid: (m) => m.allocExactNid(64, 64, M, 0, 0),
    allocExactNidRaw: (m) => m.allocExactNidRaw(64, 64, M, 0, 0),
    physAlloc: (m) => m.physAlloc(64, 64),
    physAllocRange: (m) => m.physAllocRange(64, 64, M, 0),
    physAllocTryNid: (m) => m.physAllocTryNid(64, 64, 0),
    allocRangeNid: (m) => m.allocRangeNid(64, 64, M, 0, 0, true),
    add: (m) => m.add(64 * MiB, PAGE),
    addNode: (m) => m.addNode(64 * MiB, PAGE, 0),
    reserve: (m) => m.reserve(M + 3 * PAGE, 64),
    remove: (m) => m.remove(M + 8 * PAGE, PAGE),
    free: (m) => m.free(M + 16, 16),
    markHotplug: (m) => m.markHotplug(M + 8 * PAGE, PAGE),
    clearHotplug: (m) => m.clearHotplug(M + 8 * PAGE, PAGE),
    markNomap: (m) => m.markNomap(M + 8 * PAGE, PAGE),
    clearNomap: (m) => m.clearNomap(M + 8 * PAGE, PAGE),
    markMirror: (m) => {
      m.setMirroredKernelMemory()
      return m.markMirror(M + 8 * PAGE, PAGE)
    },
    setNode: (m) => m.setNode(M + 8 * PAGE, PAGE, 'memory', 1),
    enforceMemoryLimit: (m) => m.enforceMemoryLimit(8 * PAGE),
    capMemoryRange: (m) => m.capMemoryRange(M + PAGE, 2 * PAGE),
    memLimitRemoveMap: (m) => m.memLimitRemoveMap(8 * PAGE),
  }
  const READS: Readonly<Record<string, Call>> = {
    physMemSize: (m) => m.physMemSize(),
    reservedSize: (m) => m.reservedSize(),
    startOfDRAM: (m) => m.startOfDRAM(),
    endOfDRAM: (m) => m.endOfDRAM(),
    isMemory: (m) => m.isMemory(M),
    isMapMemory: (m) => m.isMapMemory(M),
    isReserved: (m) => m.isReserved(M),
    isRegionMemory: (m) => m.isRegionMemory(M, 1),
    isRegionReserved: (m) => m.isRegionReserved(M, 1),
    searchPfnNid: (m) => m.searchPfnNid(M / PAGE),
    freeRanges: (m) => [...m.freeRanges()],
    freeRangesReverse: (m) => [...m.freeRangesReverse()],
    memRanges: (m) => [...m.memRanges()],
    pfnRanges: (m) => [...m.pfnRanges()],
    setMirroredKernelMemory: (m) => m.setMirroredKernelMemory(),
    allowResize: (m) => m.allowResize(),
    trimMemory: (m) => m.trimMemory(64),
  }
  /** When one array is full, the other has been cut: the three say so. */
  const IN_PARTS = new Set(['enforceMemoryLimit', 'capMemoryRange', 'memLimitRemoveMap'])

  /** A memblock whose arrays have `slots` places, some of them used: and with resizing, no place to grow to. */
  function full(slots: number, resizing: boolean): Memblock {
    const m = new Memblock({ maxRegions: slots })
    for (let i = 0; i < 3; i++) m.addNode(M + i * 16 * PAGE, 12 * PAGE, 0)
    for (let i = 0; i < 3; i++) m.reserve(M + i * 2 * PAGE, 64)
    if (resizing) {
      // Pages with a reservation in each: there is room for 64 bytes, but for no array.
      m.reserve(M + 2 * PAGE + 64, 10 * PAGE - 128)
      m.reserve(M + 16 * PAGE, 12 * PAGE)
      m.allowResize()
    }
    return m
  }

  it('has every method in one of the lists', () => {
    const names = [Memblock.prototype, Object.getPrototypeOf(Memblock.prototype)]
    names.push(Object.getPrototypeOf(names[1]))
    const methods = names.flatMap((proto) =>
      Object.entries(Object.getOwnPropertyDescriptors(proto))
        .filter(([, { value }]) => typeof value === 'function')
        .map(([name]) => name),
    )
    const known = new Set([...Object.keys(CHANGES), ...Object.keys(READS)])
    const inside = [
      'constructor',
      'preferredFlags',
      'warnOfMirror',
      'trace',
      'requestedNode',
      'log',
    ]
    expect(methods.filter((name) => !known.has(name) && !inside.includes(name))).toEqual([])
  })

  it.each(Object.entries(CHANGES))(
    '%s fails while an array is full, with nothing changed',
    (name, call) => {
      let failures = 0
      for (const resizing of [false, true]) {
        for (let slots = 3; ; slots++) {
          const m = full(slots, resizing)
          if (name === 'markMirror') m.setMirroredKernelMemory()
          const before = stateOf(m)
          const result = call(m)
          expect(verifyMemblock(m)).toEqual([])
          if (result !== null && result !== false) break
          failures += 1
          if (!IN_PARTS.has(name)) expect(stateOf(m), `${slots} slots`).toBe(before)
          expect(slots).toBeLessThan(20)
        }
      }
      expect(failures).toBeGreaterThan(0)
    },
  )

  it.each(Object.entries(READS))('%s takes no slot', (_name, call) => {
    const m = full(3, false)
    const before = stateOf(m)
    call(m)
    expect(stateOf(m)).toBe(before)
    expect(verifyMemblock(m)).toEqual([])
  })

  it('clears nothing when there is no room', () => {
    const cleared: number[] = []
    const m = new Memblock({ maxRegions: 1, zero: (base) => void cleared.push(base) })
    m.add(M, 16 * PAGE)
    m.reserve(M, 64)
    expect(m.alloc(64, PAGE)).toBeNull()
    expect(cleared).toEqual([])
  })

  it('a function that clears and throws leaves the reservation, to be freed', () => {
    const m = new Memblock({
      zero: () => {
        throw new Error('no')
      },
    })
    m.add(M, 16 * PAGE)
    expect(() => m.alloc(64, 64)).toThrow('no')
    expect(verifyMemblock(m)).toEqual([])
    void must
  })
})
