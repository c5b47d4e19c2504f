/** Who allocated and freed objects: the bytes of tracks, and the texts made from them. */

import { describe, expect, it } from 'vitest'
import { kmemDumpObj } from '../../src/debug/slubObjects'
import { formatAllocTraces, formatFreeTraces } from '../../src/debug/slubTraces'
import {
  GFP_KERNEL,
  InvalidArgument,
  Kmalloc,
  kmallocCacheOf,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  SlabCache,
  type VirtAddr,
  ZERO_SIZE_PTR,
} from '../../src/index'
import { makeCache, past, slubMachine, smallMachine, take, thrown } from './slubMachine'

const F = SLAB_CONSISTENCY_CHECKS
const Z = SLAB_RED_ZONE
const U = SLAB_STORE_USER

/** A machine whose time, task and stack can be set. */
function clocked() {
  const now = { time: 0, pid: 0, stack: [] as string[] }
  const machine = smallMachine({
    onBug: 'continue',
    time: () => now.time,
    pid: () => now.pid,
    stack: () => now.stack,
  })
  const as = (caller: string, time: number, pid = 1) => {
    machine.slabs.context.caller = caller
    Object.assign(now, { time, pid })
  }
  return { ...machine, now, as }
}

describe('a track', () => {
  it('is 32 bytes behind the free pointer: caller, stack, CPU, task, time', () => {
    const { slabs, ram, now, as } = clocked()
    const cache = makeCache({ slabs }, 'c', 64, F | Z | U)
    now.stack = ['f+0x1/0x2']
    as('first', 2 ** 32 + 7, 12)
    const object = take(cache)
    now.stack = []
    as('second', 2 ** 33 + 9, 13)
    cache.free(object)
    const words = (from: number) =>
      Array.from({ length: 8 }, (_, i) => ram.readU32(object + from + i * 4))
    // The free pointer lies inside, so the tracks follow the red zone.
    expect(words(72)).toEqual([0x81000100, 0xffffffff, 1, 0, 12, 0, 7, 1])
    expect(words(104)).toEqual([0x81000200, 0xffffffff, 0, 0, 13, 0, 9, 2])
  })

  it('is read back by reports: names, age, stack', () => {
    const { slabs, log, now, as } = clocked()
    const cache = makeCache({ slabs }, 'c', 64, F | U)
    now.stack = ['f+0x1/0x2', 'g+0x3/0x4']
    as('maker', 100, 5)
    const [object] = [take(cache), take(cache)]
    now.stack = []
    as('user', 130, 6)
    cache.free(object)
    as('user', 150, 6)
    cache.free(object)
    expect(log().slice(4, 8)).toEqual([
      'Allocated in maker age=50 cpu=0 pid=5',
      ' f+0x1/0x2',
      ' g+0x3/0x4',
      'Freed in user age=20 cpu=0 pid=6',
    ])
  })

  it('whose caller was overwritten in part names the nearest', () => {
    const { slabs, ram, log, as } = clocked()
    const cache = makeCache({ slabs }, 'c', 64, F | U)
    as('maker', 0)
    const object = take(cache)
    ram.fill(object + 64, 1, 0x12)
    cache.destroy()
    expect(log()).toContain('Allocated in maker+0x12 age=0 cpu=0 pid=1')
  })

  it('of an address that is no caller prints it', () => {
    const { slabs, ram, as } = clocked()
    const cache = makeCache({ slabs }, 'c', 64, F | U)
    as('maker', 3)
    const object = take(cache)
    ram.fill(object + 64, 8, 0)
    ram.fill(object + 64, 1, 0xa9)
    expect(formatAllocTraces(cache)).toBe('      1 0xa9 age=0 pid=1\n')
  })

  it('has a time in the future as an age that wraps around', () => {
    const { slabs, log, as } = clocked()
    const cache = makeCache({ slabs }, 'c', 64, F | U)
    as('maker', 30)
    const [object] = [take(cache), take(cache)]
    as('maker', 10)
    cache.free(object)
    cache.free(object)
    expect(log()[4]).toBe('Allocated in maker age=18446744073709551596 cpu=0 pid=1')
  })

  it('of a caller without a name says so', () => {
    const { slabs } = smallMachine()
    const cache = makeCache({ slabs }, 'c', 64, U)
    take(cache)
    expect(formatAllocTraces(cache)).toBe('      1 unknown age=0 pid=0\n')
  })
})

describe('alloc_traces and free_traces', () => {
  it('sum up the objects in use by caller, most first', () => {
    const { slabs, as } = clocked()
    const cache = makeCache({ slabs }, 'c', 64, U)
    const objects: VirtAddr[] = []
    const make = (caller: string, count: number, time: number, pid: number) => {
      as(caller, time, pid)
      for (let i = 0; i < count; i++) objects.push(take(cache))
    }
    make('a', 1, 5, 10)
    make('b', 3, 10, 11)
    make('b', 1, 26, 9)
    make('c', 2, 20, 12)
    as('freer', 40, 2)
    cache.free(objects[6]!)
    as('a', 50, 10)
    take(cache)
    as('', 100)
    expect(formatAllocTraces(cache)).toBe(
      [
        '      4 b age=74/86/90 pid=9-11\n',
        '      2 a age=50/72/95 pid=10\n',
        '      1 c age=80 pid=12\n',
      ].join(''),
    )
    // All but one were never freed: their tracks hold nothing, not even a time.
    expect(formatFreeTraces(cache)).toBe(
      ['      6 <not-available> age=100 pid=0\n', '      1 freer age=60 pid=2\n'].join(''),
    )
  })

  it.each([
    [
      [1, 1],
      ['b', 'a'],
    ],
    [
      [1, 1, 1],
      ['b', 'c', 'a'],
    ],
    [
      [2, 1],
      ['a', 'b'],
    ],
    [
      [1, 2],
      ['b', 'a'],
    ],
    [
      [3, 5, 1, 4],
      ['b', 'd', 'a', 'c'],
    ],
  ])('are ordered as by the kernel’s heap sort: %j gives %j', (counts, names) => {
    const { slabs, as } = clocked()
    const cache = makeCache({ slabs }, 'c', 64, U)
    counts.forEach((count, i) => {
      as('abcd'[i]!, 0)
      for (let n = 0; n < count; n++) take(cache)
    })
    const lines = formatAllocTraces(cache).trimEnd().split('\n')
    expect(lines.map((line) => line.trim().split(' ')[1])).toEqual(names)
  })

  it('tell what kmalloc was not asked for, and stacks apart', () => {
    const { slabs, now, as } = clocked()
    const { debug: _none, ...rest } = smallMachine({ boot: 'U,kmalloc-64' })
    const heap = new Kmalloc(rest.slabs)
    rest.slabs.context.caller = 'driver'
    for (const size of [60, 60, 64, 40]) heap.kmalloc(size, GFP_KERNEL)
    expect(formatAllocTraces(kmallocCacheOf(heap, 64))).toBe(
      [
        '      2 driver waste=8/4 age=0 pid=0\n',
        '      1 driver waste=24/24 age=0 pid=0\n',
        '      1 driver age=0 pid=0\n',
      ].join(''),
    )
    const cache = makeCache({ slabs }, 'c', 64, U)
    as('f', 0)
    now.stack = ['x+0x1/0x2', 'y+0x1/0x2']
    for (let i = 0; i < 2; i++) take(cache)
    now.stack = ['z+0x1/0x2']
    take(cache)
    expect(formatAllocTraces(cache)).toBe(
      [
        '      2 f age=0 pid=1\n        x+0x1/0x2\n        y+0x1/0x2\n\n',
        '      1 f age=0 pid=1\n        z+0x1/0x2\n\n',
      ].join(''),
    )
  })

  it('name the nodes where there are several, and look at full slabs too', () => {
    const { slabs } = slubMachine()
    const cache = makeCache({ slabs }, 'c', 2000, U)
    const count = 30
    for (let i = 0; i < count; i++) cache.allocNode(GFP_KERNEL, i % 2)
    expect(formatAllocTraces(cache)).toBe('     30 unknown age=0 pid=0 nodes=0-1\n')
  })

  it('have no data, no tracks, or no end', () => {
    const { slabs, ram } = clocked()
    const cache = makeCache({ slabs }, 'c', 64, U)
    expect(formatAllocTraces(cache)).toBe('No data\n')
    expect(() => formatAllocTraces(makeCache({ slabs }, 'p', 64, Z))).toThrow(InvalidArgument)
    const object = take(cache)
    take(cache)
    cache.free(object)
    ram.writeU32(object + 32, object)
    expect(thrown(() => formatFreeTraces(cache)).code).toBe('SIMULATED_FAULT')
  })
})

describe('kmemDumpObj', () => {
  it('tells the cache, the object and who had it', () => {
    const { slabs, now, as } = clocked()
    const cache = makeCache({ slabs }, 'c', 64, F | Z | U)
    now.stack = ['f+0x1/0x2']
    as('maker', 1)
    const object = take(cache)
    const hex = (object - 8).toString(16).padStart(16, '0')
    const start = ` slab c start ${hex} data offset 8`
    expect(kmemDumpObj(slabs, past(object, 5))).toBe(
      `${start} pointer offset 5 allocated at maker\n    f+0x1/0x2`,
    )
    now.stack = Array.from({ length: 20 }, (_, i) => `g${i}+0x1/0x2`)
    as('freer', 2)
    cache.free(object)
    const text = kmemDumpObj(slabs, past(object, -8))
    expect(text.split('\n').slice(0, 4)).toEqual([
      `${start} pointer offset 18446744073709551608 allocated at maker`,
      '    f+0x1/0x2',
      ' Free path:',
      '    g0+0x1/0x2',
    ])
    expect(text.split('\n').length).toBe(3 + 16)
  })

  it('tells less of other memory', () => {
    const { slabs } = smallMachine()
    const heap = new Kmalloc(slabs)
    const small = heap.kmalloc(100, GFP_KERNEL)
    const at = (small ?? 0).toString(16).padStart(16, '0')
    expect(kmemDumpObj(slabs, past(small as VirtAddr, 3))).toBe(
      ` slab kmalloc-128 start ${at} pointer offset 3 size 128`,
    )
    expect(kmemDumpObj(slabs, heap.kmalloc(9000, GFP_KERNEL))).toBe(' non-slab/vmalloc memory')
    expect(kmemDumpObj(slabs, null)).toBe(' NULL pointer')
    expect(kmemDumpObj(slabs, ZERO_SIZE_PTR)).toBe(' zero-size pointer')
    expect(kmemDumpObj(slabs, 2 ** 40)).toBe(' non-paged memory')
    const usercopy = new SlabCache(slabs, { name: 'u', size: 64, useroffset: 8, usersize: 16 })
    expect(kmemDumpObj(slabs, take(usercopy))).toMatch(/ pointer offset 0 size 16$/)
  })
})
