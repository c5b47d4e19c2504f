import { describe, expect, it } from 'vitest'
import { KernelBug } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { verifyVmap } from '../../src/debug/verifyVmap'
import { __GFP_NOWARN, GFP_KERNEL, GFP_NOWAIT } from '../../src/page/gfp'
import {
  AREA_BLOCK,
  AREA_VM,
  VMAP_DRAIN_PENDING,
  VMAP_END,
  VMAP_FREE_RECORDS,
  VMAP_GRANULE,
  VMAP_NR_CPUS,
  VMAP_START,
  VMAP_WORDS_USED,
} from '../../src/state/vmapSchema'
import {
  allocArea,
  findArea,
  firstAreaAbove,
  freeAreaNow,
  releaseArea,
  reserveArea,
} from '../../src/vmalloc/vmapArea'
import {
  attachVmap,
  createVmap,
  isPowerOfTwo,
  noVmapOps,
  type VmapContext,
} from '../../src/vmalloc/vmapContext'
import { drainPoint, lazyMaxPages, lazyPages, purge } from '../../src/vmalloc/vmapPurge'
import { vmapState } from '../../src/vmalloc/vmapState'
import { area, E, endOf, kernelSpace, S, startOf } from './vmapScript'

/** The free areas, ascending, relative to the start of the vmalloc window where they lie in it. */
function freeList(c: VmapContext): string[] {
  const found: string[] = []
  const text = (address: bigint) => {
    const offset = address - 0xffffc90000000000n
    return offset >= 0n && offset < 0x200000000000n ? `S+${offset.toString(16)}` : `${address}`
  }
  const visit = (node: ReturnType<typeof vmapState>['free']): void => {
    if (node === null) return
    visit(node[3])
    found.push(`${text(BigInt(node[1]))}..${text(BigInt(node[2]))}`)
    visit(node[4])
  }
  visit(vmapState(c, LAYOUT_X86_64).free)
  return found
}

/** A space whose objects are counted, and which writes down what it is asked. */
function tracedSpace(): { c: VmapContext; live: Set<number>; calls: string[] } {
  const c = kernelSpace()
  const live = new Set<number>()
  const calls: string[] = []
  let next = 0x1000
  c.ops = {
    takeObject(gfp, node) {
      next += 64
      live.add(next)
      calls.push(`take ${gfp.toString(16)} ${node}`)
      return next
    },
    giveObject(address) {
      expect(live.delete(address)).toBe(true)
      calls.push('give')
    },
    retireBlocks: () => calls.push('retire'),
    flush: (start, end) =>
      calls.push(`flush ${(start - S).toString(16)} ${(end - S).toString(16)}`),
    notify: () => {
      calls.push('notify')
      return 0
    },
    failed: (size, gfp) => calls.push(`failed ${size} ${gfp.toString(16)}`),
    overlap: () => calls.push('overlap'),
    noSplit: () => calls.push('no split'),
  }
  return { c, live, calls }
}

const counted = (calls: string[]) => {
  const found = calls.filter((call) => call.startsWith('take')).length
  const given = calls.filter((call) => call === 'give').length
  calls.length = 0
  return [found, given]
}

const offset = (c: VmapContext, record: number) => startOf(c, record) - S

describe('allocArea: the worked examples', () => {
  it('A: a basic sequence, with the objects that each request takes and gives', () => {
    const { c, live, calls } = tracedSpace()
    const requests = [
      [0x2000, 1, 0x0, 2, 0],
      [0x5000, 0x4000, 0x4000, 2, 0],
      [0x2000, 1, 0x2000, 2, 1],
      [0x11000, 1, 0x9000, 1, 0],
      [0x3000, 0x2000, 0x1a000, 1, 0],
      [0x5000, 0x4000, 0x20000, 1, 0],
      [0x2000, 1, 0x1d000, 2, 0],
      [0x400000, 0x400000, 0x400000, 1, 0],
    ] as const
    for (const [size, align, at, taken, given] of requests) {
      expect(offset(c, area(c, size, align))).toBe(at)
      expect(counted(calls)).toEqual([taken, given])
      expect(verifyVmap(c)).toEqual([])
    }
    expect(freeList(c)).toEqual([
      '1..S+0',
      'S+1f000..S+20000',
      'S+25000..S+400000',
      `S+800000..${2n ** 64n - 1n}`,
    ])
    const { start: low = 0, end: high = 0 } = LAYOUT_X86_64.modules ?? {}
    expect(startOf(c, area(c, 0x2000, 1, low, high))).toBe(0xffffa0000000)
    // Areas, all but the first free one, and no spare: the last request split.
    expect(live.size).toBe(9 + 5 - 1)
  })

  it('B: an aligned hole that would do is skipped', () => {
    const c = kernelSpace()
    const stacks = [1, 2, 3].map(() => area(c, 0x5000, 0x4000))
    expect(stacks.map((stack) => offset(c, stack))).toEqual([0, 0x8000, 0x10000])
    expect(offset(c, area(c, 0x4000))).toBe(0x15000)
    releaseArea(c, stacks[2] ?? 0)
    expect(purge(c, false)).toBe(true)
    const [, start, end, left, right] = vmapState(c, LAYOUT_X86_64).free ?? []
    expect([start, end]).toEqual(['0xffffc90000005000', '0xffffc90000008000'])
    expect(left?.[1]).toBe('0x1')
    expect(right?.slice(1, 3)).toEqual(['0xffffc90000019000', '0xffffffffffffffff'])
    expect(right?.[3]?.slice(1, 3)).toEqual(['0xffffc9000000d000', '0xffffc90000015000'])
    expect(offset(c, area(c, 0x5000, 0x4000))).toBe(0x1c000)
  })

  it('C: a hole on the way is used', () => {
    const c = kernelSpace()
    const stacks = [1, 2].map(() => area(c, 0x5000, 0x4000))
    expect(stacks.map((stack) => offset(c, stack))).toEqual([0, 0x8000])
    expect(offset(c, area(c, 0x4000))).toBe(0xd000)
    releaseArea(c, stacks[1] ?? 0)
    purge(c, false)
    expect(vmapState(c, LAYOUT_X86_64).free?.[1]).toBe('0xffffc90000005000')
    expect(offset(c, area(c, 0x5000, 0x4000))).toBe(0x8000)
  })

  it('D: extreme alignments', () => {
    const at = (shift: number) => startOf(kernelSpace(), area(kernelSpace(), 0x2000, 2 ** shift))
    const inNew = (shift: number) => {
      const c = kernelSpace()
      return startOf(c, area(c, 0x2000, 2 ** shift))
    }
    expect(inNew(44)).toBe(0xd00000000000)
    expect(inNew(45)).toBe(0xe00000000000)
    for (let shift = 46; shift < 64; shift++) expect(at(shift)).toBe(-1)
  })

  it('an exact range is searched with the bare size', () => {
    const c = kernelSpace()
    // A hole of exactly one aligned slot, which a search with the alignment added would not find.
    const around = [area(c, 0x8000), area(c, 0x4000), area(c, 0x4000)]
    freeAreaNow(c, around[1] ?? 0)
    expect(offset(c, area(c, 0x4000, 0x4000, S + 0x8000, S + 0xc000))).toBe(0x8000)
  })

  it('only the lowest area that fits is tried', () => {
    const c = kernelSpace()
    expect(area(c, 0x2000, 1, S, S + 0x1000)).toBe(0)
    expect(offset(c, area(c, 0x1000, 1, S, S + 0x1000))).toBe(0)
    expect(area(c, 0x1000, 1, S, S + 0x1000)).toBe(0)
  })

  it('the last page of the window is never used: its end is inclusive', () => {
    const c = kernelSpace()
    expect(area(c, 0x1000, 1, E - 0xfff, E)).toBe(0)
    expect(startOf(c, area(c, 0x1000, 1, E - 0x1fff, E))).toBe(0xe8fffffff000 - 0x1000)
  })
})

describe('allocArea: without room or memory', () => {
  it('purges, asks the notifiers, tries with a new spare each time, and gives up', () => {
    const { c, live, calls } = tracedSpace()
    const others = [area(c, 0x1000, 1, S + 0x10000, E), area(c, 0x1000, 1, S + 0x10000, E)]
    const { ops } = c
    c.ops = {
      ...ops,
      notify() {
        calls.push('notify')
        const other = others.pop() ?? 0
        if (other !== 0) freeAreaNow(c, other)
        // What is said without being true counts for nothing.
        return 1
      },
    }
    const taken = area(c, 0x4000, 1, S, S + 0x4000)
    calls.length = 0
    const objects = live.size
    expect(allocArea(c, 0x1000, 1, S, S + 0x4000, GFP_KERNEL | 0x100, 3)).toBe(0)
    expect(calls).toEqual([
      'take cc0 3',
      'take cc0 3',
      'retire',
      'notify',
      'give',
      'retire',
      'notify',
      'give',
      'retire',
      'notify',
      'failed 4096 dc0',
      'give',
    ])
    // The spare stays, and the others' objects went.
    expect(live.size).toBe(objects + 1 - 2)
    calls.length = 0
    expect(allocArea(c, 0x1000, 1, S, S + 0x4000, GFP_KERNEL | __GFP_NOWARN, -1)).toBe(0)
    expect(calls).toEqual(['take 2cc0 -1', 'retire', 'notify', 'give'])
    releaseArea(c, taken)
    calls.length = 0
    // What waits for a purge is found by the second try.
    expect(offset(c, area(c, 0x1000, 1, S, S + 0x4000))).toBe(0)
    // Two objects go: all of the space joins the area below, but for what was asked for.
    expect(calls).toEqual(['take cc0 -1', 'retire', 'flush 0 4000', 'give', 'give'])
    expect(verifyVmap(c)).toEqual([])
  })

  it('an object too few fails the request and leaves all as it was', () => {
    for (let fail = 1; fail <= 3; fail++) {
      const { c, live, calls } = tracedSpace()
      area(c, 0x2000)
      calls.length = 0
      const before = JSON.stringify(vmapState(c, LAYOUT_X86_64))
      const objects = live.size
      let count = 0
      const { ops } = c
      const takeObject = (gfp: number, node: number) => {
        count += 1
        return count === fail || (fail > 1 && count > 1) ? 0 : ops.takeObject(gfp, node)
      }
      c.ops = { ...ops, takeObject }
      // A split, with no spare: it needs three objects, or two and the spare.
      expect(area(c, 0x2000, 0x4000)).toBe(0)
      expect(calls.includes('no split')).toBe(fail > 1)
      expect(JSON.stringify(vmapState(c, LAYOUT_X86_64))).toBe(before)
      expect(live.size).toBe(objects)
      expect(verifyVmap(c)).toEqual([])
      c.ops = ops
      expect(offset(c, area(c, 0x2000, 0x4000))).toBe(0x4000)
    }
  })

  it('a spare that could not be had does not matter where nothing is split, or at the second try', () => {
    const { c, calls } = tracedSpace()
    area(c, 0x2000)
    const { ops } = c
    let count = 0
    c.ops = { ...ops, takeObject: (gfp, node) => (++count === 2 ? 0 : ops.takeObject(gfp, node)) }
    // The edge of a free area: no split.
    expect(offset(c, area(c, 0x2000))).toBe(0x2000)
    count = 0
    calls.length = 0
    expect(offset(c, area(c, 0x2000, 0x8000))).toBe(0x8000)
    expect(calls).toEqual(['take cc0 -1', `take ${GFP_NOWAIT.toString(16)} -1`])
  })

  it('what throws on the way leaves nothing behind', () => {
    const { c, live } = tracedSpace()
    area(c, 0x2000)
    const objects = live.size
    const { ops } = c
    for (const fail of [1, 2]) {
      let count = 0
      c.ops = {
        ...ops,
        takeObject(gfp, node) {
          count += 1
          if (count === fail) throw new KernelBug('SIMULATED', 'no object')
          return ops.takeObject(gfp, node)
        },
      }
      expect(() => area(c, 0x2000, 0x4000)).toThrow('no object')
      expect(live.size).toBe(objects)
      expect(verifyVmap(c)).toEqual([])
    }
    c.ops = { ...ops, notify: () => Number.NaN }
    expect(area(c, 2 ** 47)).toBe(0)
  })

  it('a state without records fails as it does without memory', () => {
    const c = createVmap({ start: 1, end: 2 ** 48 - 1, maxRecords: 4 })
    const first = area(c, 0x2000)
    expect(offset(c, first)).toBe(0)
    const second = area(c, 0x2000)
    expect(offset(c, second)).toBe(0x2000)
    expect(area(c, 0x2000)).toBe(0)
    expect(reserveArea(c, S + 0x10000, S + 0x11000, GFP_KERNEL, -1)).toBe(0)
    freeAreaNow(c, second)
    // One is left, and a split takes two.
    expect(area(c, 0x2000, 0x4000)).toBe(0)
    expect(offset(c, area(c, 0x2000))).toBe(0x2000)
    expect(verifyVmap(c)).toEqual([])
  })

  it('a size or an alignment that is none is a bug', () => {
    const c = kernelSpace()
    const words = c.words.slice(0, 2048)
    const bad = [
      [0, 1],
      [-4096, 1],
      [4095, 1],
      [Number.NaN, 1],
      [Number.POSITIVE_INFINITY, 1],
      [4096, 0],
      [4096, 3],
      [4096, -2],
      [4096, Number.NaN],
      [4096, Number.POSITIVE_INFINITY],
    ] as const
    for (const [size, align] of bad) expect(() => area(c, size, align)).toThrow(KernelBug)
    expect(c.words.slice(0, 2048)).toEqual(words)
  })
})

describe('releaseArea', () => {
  it('keeps addresses apart until a purge, which merges them', () => {
    const { c, calls } = tracedSpace()
    const [p0, p1] = [area(c, 0x2000), area(c, 0x2000), area(c, 0x2000)]
    calls.length = 0
    releaseArea(c, p1 ?? 0)
    expect(calls).toEqual([])
    expect(offset(c, area(c, 0x2000))).toBe(0x6000)
    calls.length = 0
    releaseArea(c, p0 ?? 0)
    expect(calls).toEqual(['give'])
    expect(lazyPages(c)).toBe(4)
    const { unpurged } = vmapState(c, LAYOUT_X86_64)
    expect(unpurged).toEqual([['0xffffc90000000000', '0xffffc90000004000']])
    calls.length = 0
    expect(purge(c, false, S - 0x1000, S + 0x100)).toBe(true)
    expect(calls).toEqual(['flush -1000 4000', 'give'])
    expect(lazyPages(c)).toBe(0)
    expect(purge(c, true)).toBe(false)
    expect(offset(c, area(c, 0x2000))).toBe(0)
    expect(verifyVmap(c)).toEqual([])
  })

  it('gives the objects of what is merged on both sides in the kernel’s order', () => {
    const given: number[] = []
    let next = 0
    const c = createVmap(
      { start: 0, end: 2 ** 30 },
      { ...noVmapOps, takeObject: () => ++next, giveObject: (object) => given.push(object) },
    )
    const [a, b, d] = [0, 1, 2].map((i) => {
      const start = 0x10000 + i * 0x1000
      return reserveArea(c, start, start + 0x1000, GFP_KERNEL, -1)
    })
    // Objects: a is 1 and split off 2; b is 3, d is 4. No spare.
    freeAreaNow(c, a ?? 0)
    expect(given).toEqual([1])
    releaseArea(c, d ?? 0)
    expect(purge(c, false)).toBe(true)
    expect(given).toEqual([1, 4])
    freeAreaNow(c, b ?? 0)
    // The released one, then the next, which has the object without memory: only one is given.
    expect(given).toEqual([1, 4, 3])
    expect(verifyVmap(c)).toEqual([])
  })

  it('makes drain work due strictly above the threshold, which drains at the next point', () => {
    const c = kernelSpace()
    const areas = Array.from({ length: 4097 }, () => area(c, 0x2000))
    for (const record of areas.slice(0, 4096)) releaseArea(c, record)
    expect([lazyPages(c), c.words[VMAP_DRAIN_PENDING]]).toEqual([8192, 0])
    drainPoint(c)
    expect(lazyPages(c)).toBe(8192)
    releaseArea(c, areas[4096] ?? 0)
    expect([lazyPages(c), c.words[VMAP_DRAIN_PENDING]]).toEqual([8194, 1])
    c.held = true
    drainPoint(c)
    expect(lazyPages(c)).toBe(8194)
    c.held = false
    drainPoint(c)
    expect([lazyPages(c), c.words[VMAP_DRAIN_PENDING]]).toEqual([0, 0])
    expect(offset(c, area(c, 0x2000))).toBe(0)
  })

  it('drain work stays due when another purge comes first, and runs below the threshold then', () => {
    const c = kernelSpace()
    const large = area(c, 8193 * 4096)
    const small = area(c, 4096)
    releaseArea(c, large)
    expect(purge(c, true)).toBe(true)
    expect(c.words[VMAP_DRAIN_PENDING]).toBe(1)
    releaseArea(c, small)
    drainPoint(c)
    expect([lazyPages(c), c.words[VMAP_DRAIN_PENDING]]).toEqual([0, 0])
  })

  it('drain work waits for the end of a purge', () => {
    const { c, calls } = tracedSpace()
    const large = area(c, 8193 * 4096)
    releaseArea(c, large)
    const { ops } = c
    c.ops = {
      ...ops,
      retireBlocks() {
        drainPoint(c)
        expect(purge(c, false)).toBe(false)
        expect(lazyPages(c)).toBe(8193)
        throw new Error('a block that cannot be retired')
      },
    }
    calls.length = 0
    expect(() => purge(c, true)).toThrow('cannot be retired')
    expect(calls).toEqual([])
    expect(purge(c, false)).toBe(true)
    expect(verifyVmap(c)).toEqual([])
  })

  it('the threshold grows with the CPUs', () => {
    const pages = [1, 2, 3, 4, 7, 8, 15, 16].map((nrCpus) =>
      lazyMaxPages(createVmap({ start: 0, end: 4096, nrCpus, maxRecords: 1 })),
    )
    expect(pages).toEqual([8192, 16384, 16384, 24576, 24576, 32768, 32768, 40960])
  })

  it('what an area was is forgotten', () => {
    const c = kernelSpace()
    const record = area(c, 0x2000)
    c.words[record + AREA_VM] = 77
    c.words[record + AREA_BLOCK] = 78
    releaseArea(c, record)
    expect([c.words[record + AREA_VM], c.words[record + AREA_BLOCK]]).toEqual([0, 0])
  })

  it('an interval that is free already is reported and dropped', () => {
    const overlaps: number[][] = []
    const c = kernelSpace()
    c.ops = { ...noVmapOps, overlap: (...bounds) => overlaps.push(bounds.map((at) => at - S)) }
    const [first, second] = [area(c, 0x2000), area(c, 0x2000)]
    releaseArea(c, second ?? 0)
    freeAreaNow(c, first ?? 0)
    // Somebody else’s write: the free area has grown over the one that waits.
    const [, , end] =
      vmapState(c, LAYOUT_X86_64).free?.[3] ?? vmapState(c, LAYOUT_X86_64).free ?? []
    expect(end).toBe('0xffffc90000002000')
    const left = findFree(c, S)
    c.numbers[(left + 8) >> 1] = S + 0x3000
    expect(purge(c, false)).toBe(true)
    expect(overlaps).toEqual([[0x2000, 0x4000, 1 - S, 0x3000]])
    expect(lazyPages(c)).toBe(2)
  })
})

/** The free area that ends at or behind an address: by looking at all records. */
function findFree(c: VmapContext, address: number): number {
  for (let record = 80; record < (c.words[VMAP_WORDS_USED] ?? 0); record += 16) {
    const isFree = (c.words[record + 5] ?? 0) >> 2 === 0 && endOf(c, record) > 0
    if (isFree && startOf(c, record) <= address && endOf(c, record) > address) return record
  }
  return 0
}

describe('looking areas up', () => {
  it('findArea finds by any address inside, firstAreaAbove the next one', () => {
    const c = kernelSpace()
    const [first, second] = [area(c, 0x2000), area(c, 0x1000, 0x4000)]
    expect(offset(c, second)).toBe(0x4000)
    for (const at of [0, 1, 0x1fff]) expect(findArea(c, S + at)).toBe(first)
    for (const at of [-1, 0x2000, 0x3fff, 0x5000]) expect(findArea(c, S + at)).toBe(0)
    for (const at of [-S, -1, 0, 0x1fff]) expect(firstAreaAbove(c, S + at)).toBe(first)
    for (const at of [0x2000, 0x4000, 0x4fff]) expect(firstAreaAbove(c, S + at)).toBe(second)
    expect(firstAreaAbove(c, S + 0x5000)).toBe(0)
    freeAreaNow(c, first)
    freeAreaNow(c, second)
    expect([findArea(c, S), firstAreaAbove(c, 0)]).toEqual([0, 0])
  })

  it('reserveArea takes exactly what it is told, if that is free', () => {
    const c = kernelSpace()
    const record = reserveArea(c, S + 0x3000, S + 0x5000, GFP_KERNEL, -1)
    expect([offset(c, record), endOf(c, record) - S]).toEqual([0x3000, 0x5000])
    for (const [start, end] of [
      [0x4000, 0x6000],
      [0x2000, 0x4000],
      [0x2000, 0x6000],
      [0x3000, 0x5000],
    ] as const) {
      expect(reserveArea(c, S + start, S + end, GFP_KERNEL, -1)).toBe(0)
    }
    expect(reserveArea(c, 0, 0x1000, GFP_KERNEL, -1)).toBe(0)
    expect(verifyVmap(c)).toEqual([])
  })
})

describe('the state', () => {
  it('is all there is: another context goes on with it', () => {
    const c = createVmap({ start: 1, end: 2 ** 48 - 1, shared: true, nrCpus: 4, maxRecords: 64 })
    const first = area(c, 0x2000)
    const other = attachVmap(c.words.buffer as SharedArrayBuffer)
    expect(offset(other, area(other, 0x2000))).toBe(0x2000)
    releaseArea(other, first)
    expect(lazyPages(c)).toBe(2)
    expect(verifyVmap(c)).toEqual([])
  })

  it('each CPU has a spare of its own', () => {
    const running = { cpu: 0 }
    const c = createVmap({ start: 1, end: 2 ** 48 - 1, nrCpus: 2 }, noVmapOps, running)
    area(c, 0x2000)
    area(c, 0x2000)
    expect(vmapState(c, LAYOUT_X86_64).spare).toBe(1)
    running.cpu = 1
    expect(vmapState(c, LAYOUT_X86_64).spare).toBe(0)
    area(c, 0x2000)
    expect(vmapState(c, LAYOUT_X86_64).spare).toBe(1)
  })

  it('is refused when it is none, of another version, or broken', () => {
    const good = createVmap({ start: 1, end: 2 ** 48 - 1, maxRecords: 8 })
    expect(attachVmap(good.words.buffer as ArrayBuffer).limit).toBe(2 ** 48)
    for (const bad of [null, {}, new ArrayBuffer(0), new ArrayBuffer(4096), new Int32Array(1024)]) {
      expect(() => attachVmap(bad as ArrayBuffer)).toThrow(/state/)
    }
    const change = (word: number, value: number) => {
      const words = good.words.slice()
      words[word] = value
      return () => attachVmap(words.buffer as ArrayBuffer)
    }
    expect(change(0, 0)).toThrow(/state buffer/)
    expect(change(1, 3)).toThrow(/version/)
    expect(change(VMAP_WORDS_USED, 16)).toThrow(/used words/)
    expect(change(VMAP_WORDS_USED, 2 ** 30)).toThrow(/used words/)
    expect(change(VMAP_NR_CPUS, 0)).toThrow(/CPUs/)
    expect(change(VMAP_FREE_RECORDS, -5)).toThrow(/free records/)
    expect(change(VMAP_GRANULE, 3)).toThrow(/granule/)
    expect(change(VMAP_START + 1, -1)).toThrow(/start of/)
    expect(change(VMAP_END + 1, -1)).toThrow(/end of/)
  })

  it('is not made with wrong options', () => {
    const good = { start: 0, end: 4096 }
    for (const bad of [
      { start: -1 },
      { start: 0.5 },
      { start: 4096 },
      { end: 2 ** 53 },
      { end: Number.NaN },
      { granule: 3 },
      { granule: 0 },
      { granule: 2 ** 31 },
      { limit: 4095 },
      { nrCpus: 0 },
      { maxRecords: 0 },
      { maxRecords: 2 ** 28 },
    ]) {
      expect(() => createVmap({ ...good, ...bad })).toThrow(RangeError)
    }
  })

  it('knows powers of two', () => {
    const all = Array.from({ length: 64 }, (_, i) => 2 ** i)
    expect(all.every(isPowerOfTwo)).toBe(true)
    const others = [
      ...all.slice(1).map((value) => -value),
      ...all.slice(2).map((value) => value * 3),
    ]
    expect(others.some(isPowerOfTwo)).toBe(false)
    expect([0, Number.NaN, 2 ** 40 + 2].some(isPowerOfTwo)).toBe(false)
  })
})
