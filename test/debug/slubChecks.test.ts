/**
 * The checks one by one: the kernel's own unit test, layouts, the examples of the specification,
 * every kind of report.
 */

import { describe, expect, it } from 'vitest'
import { hexDump, taintText } from '../../src/debug/slubText'
import { validateCache } from '../../src/debug/slubValidate'
import {
  BuddyAllocator,
  cacheState,
  InvalidArgument,
  PAGE_SIZE,
  PhysicalMemory,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_NO_USER_FLAGS,
  SLAB_POISON,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  SLAB_TRACE,
  SLAB_TYPESAFE_BY_RCU,
  SlabAllocator,
  SlabCache,
  type VirtAddr,
} from '../../src/index'
import {
  CACHE_NODES,
  SLAB_FLAGS,
  SLAB_FRAMES,
  SLAB_FREE,
  SLAB_INUSE,
  SLAB_NODE_FULL,
  SLAB_NODE_NR_PARTIAL,
  SLAB_NODE_PARTIAL,
  SLAB_OBJECTS,
  SLAB_PFMEMALLOC,
} from '../../src/state/slabSchema'
import {
  makeCache,
  past,
  type SmallMachine,
  slubMachine,
  smallMachine,
  take,
  thrown,
} from './slubMachine'

const F = SLAB_CONSISTENCY_CHECKS
const Z = SLAB_RED_ZONE
const P = SLAB_POISON
const U = SLAB_STORE_USER

function poke(machine: SmallMachine, object: VirtAddr, offset: number, byte: number): void {
  machine.ram.fill(object + offset, 1, byte)
}

function slabOf(machine: SmallMachine, object: VirtAddr): number {
  return machine.slabs.words[SLAB_FRAMES + Math.floor(object / PAGE_SIZE)]!
}

const going = () => smallMachine({ onBug: 'continue' })

describe("the kernel's unit test", () => {
  function testCache(machine: SmallMachine, flags: number): SlabCache {
    return makeCache(machine, 'TestSlub', 64, flags | SLAB_NO_USER_FLAGS)
  }

  it('right red zone of an object in use: 2', () => {
    const machine = going()
    const cache = testCache(machine, Z)
    poke(machine, take(cache), 64, 0x12)
    validateCache(cache)
    expect(machine.debug.errors).toBe(2)
  })

  it('free pointer of a free object: 3, then 2 with the pointer restored, then 0', () => {
    const machine = going()
    const cache = testCache(machine, P)
    const object = take(cache)
    cache.free(object)
    const { offset } = cacheState(cache)
    const pointer = machine.ram.readU8(object + offset)
    poke(machine, object, offset, ~pointer & 0xff)
    validateCache(cache)
    expect(machine.debug.errors).toBe(3)
    // What the repair cleared is written back in full.
    machine.ram.writeU32(object + offset, object + cache.size)
    machine.debug.errors = 0
    validateCache(cache)
    expect(machine.debug.errors).toBe(2)
    machine.debug.errors = 0
    validateCache(cache)
    expect(machine.debug.errors).toBe(0)
  })

  it.each([
    ['first byte of a free object', P, 0, 0x78],
    ['byte 50 of a free object', P, 50, 0x9a],
    ['right red zone of a free object', Z, 64, 0xab],
  ])('%s: 2', (_name, flags, offset, byte) => {
    const machine = going()
    const cache = testCache(machine, flags)
    const object = take(cache)
    cache.free(object)
    poke(machine, object, offset, byte)
    validateCache(cache)
    expect(machine.debug.errors).toBe(2)
  })

  it('is not disturbed by the boot parameter', () => {
    const machine = smallMachine({ onBug: 'continue', boot: '' })
    expect(testCache(machine, Z).flags & 0x210d00).toBe(Z)
  })
})

describe('layouts', () => {
  it.each([
    ['Z', Z, 72, 32, 8, 88, 46],
    ['P', P, 64, 64, 0, 72, 56],
    ['U', U, 64, 32, 0, 128, 32],
    ['ZP', Z | P, 72, 72, 8, 96, 42],
    ['FZPU', F | Z | P | U, 72, 72, 8, 160, 25],
  ])('of 64 bytes with %s', (_name, flags, inuse, offset, pad, size, objs) => {
    const state = cacheState(makeCache(going(), 'c', 64, flags))
    expect(state).toMatchObject({ inuse, offset, red_left_pad: pad, size, objs, order: 0 })
  })

  it('of a new slab with everything on: patterns, tracks of zero, padding', () => {
    const machine = going()
    const cache = makeCache(machine, 'c', 60, F | Z | P | U)
    const object = take(cache)
    const next = past(object, cache.size)
    const bytes = (at: VirtAddr, from: number, to: number) => [
      ...new Set(machine.ram.bytes(at + from, to - from)),
    ]
    expect(bytes(object, -8, 0)).toEqual([0xcc])
    expect(bytes(next, -8, 0)).toEqual([0xbb])
    for (const at of [object, next]) {
      expect(bytes(at, 0, 59)).toEqual([0x6b])
      expect(bytes(at, 59, 60)).toEqual([0xa5])
      expect(bytes(at, 136, 144)).toEqual([0x5a])
    }
    expect(bytes(object, 60, 64)).toEqual([0xcc])
    expect(bytes(next, 60, 64)).toEqual([0xbb])
    // No track was written of an object that was never allocated.
    expect(bytes(next, 72, 136)).toEqual([0])
    const end = object - 8 + 26 * cache.size
    expect(bytes(end as VirtAddr, 0, PAGE_SIZE - 26 * cache.size)).toEqual([0x5a])
  })

  it('leaves the payload alone with a constructor, or when slabs wait for readers', () => {
    const machine = going()
    const seen: number[] = []
    const withCtor = makeCache(machine, 'ctor', 64, P, (object) => {
      seen.push(machine.ram.readU8(object))
      poke(machine, object, 0, 0x11)
    })
    const object = take(withCtor)
    expect(seen.length).toBe(cacheState(withCtor).objs)
    expect([...new Set(seen)]).toEqual([0x5a])
    expect(machine.ram.readU8(object)).toBe(0x11)
    withCtor.free(object)
    expect(machine.ram.readU8(object)).toBe(0x11)
    const rcu = take(makeCache(machine, 'rcu', 64, P | SLAB_TYPESAFE_BY_RCU))
    expect(machine.ram.readU8(rcu)).toBe(0x5a)
  })
})

describe('order of objects', () => {
  it('is that of the first slab of the list; a full slab comes back at its end', () => {
    const machine = going()
    const cache = makeCache(machine, 'c', 64, Z)
    const first = Array.from({ length: 46 }, () => take(cache))
    const base = first[0]! - 8
    expect(base % PAGE_SIZE).toBe(0)
    expect(first).toEqual(first.map((_, i) => base + 8 + i * 88))
    expect(cacheState(cache).nodes['0']).toMatchObject({ nrPartial: 0, slabs: 1 })
    const second = [take(cache), take(cache)]
    cache.free(first[7]!)
    cache.free(first[3]!)
    const pfns = cacheState(cache).nodes['0']!.partial.map(({ pfn }) => pfn)
    expect(pfns).toEqual([Math.floor(second[0]! / PAGE_SIZE), base / PAGE_SIZE])
    // The last freed comes first, of the first slab only.
    cache.free(second[0]!)
    expect(take(cache)).toBe(second[0])
    expect(cacheState(cache).cpu).toEqual({ freelist: [], slab: null, partial: [] })
  })
})

describe('a double free', () => {
  function doubleFree(flags: number) {
    const machine = going()
    const cache = makeCache(machine, 'c', 64, flags)
    const [a, b] = [take(cache), take(cache)]
    cache.free(a)
    cache.free(a)
    const log = machine.log()
    expect(log[1]).toContain('Object already free')
    const counts = () => {
      const { inuse, free } = cacheState(cache).nodes['0']!.partial[0]!
      return { inuse, free: free.map(Number) }
    }
    return { machine, cache, a, b, log, counts }
  }

  it('cuts the free list off behind the object; the next free counts', () => {
    const { machine, cache, a, b, log, counts } = doubleFree(F | Z)
    expect(log.at(-1)).toBe(`FIX c: Object at 0x${a.toString(16).padStart(16, '0')} not freed`)
    expect(counts()).toEqual({ inuse: 1, free: [a] })
    cache.free(b)
    const found = machine.log()
    expect(found[1]).toContain('Wrong object count. Counter is 1 but counted were 45')
    expect(found.at(-1)).toBe('FIX c: Object count adjusted')
    expect(counts()).toEqual({ inuse: 44, free: [b, a] })
  })

  it('makes the second allocation read through a null pointer', () => {
    const { machine, cache, a, counts } = doubleFree(F | Z)
    expect(take(cache)).toBe(a)
    expect(counts()).toEqual({ inuse: 2, free: [] })
    machine.log()
    const bug = thrown(() => cache.alloc())
    expect(bug.code).toBe('SIMULATED_FAULT')
    const line = 'BUG: kernel NULL pointer dereference, address: 0000000000000020'
    expect(machine.log()).toEqual([line])
    // The slab is left alone from then on.
    expect(Math.floor(take(cache) / PAGE_SIZE)).not.toBe(Math.floor(a / PAGE_SIZE))
  })

  it('of the only object is told by the count', () => {
    const machine = going()
    const cache = makeCache(machine, 'c', 64, F | Z)
    const a = take(cache)
    cache.free(a)
    cache.free(a)
    expect(machine.log().slice(1, 4)).toEqual([
      'BUG c (Tainted: G    B             ): Slab has 0 allocated objects but 1 are to be freed',
      '',
      '-'.repeat(77),
    ])
  })

  it('and then a free makes a kernel list the slab twice: it counts it twice with tracks', () => {
    const { machine, cache, b } = doubleFree(F | U)
    take(cache)
    cache.free(b)
    machine.log()
    const { words } = machine.slabs
    const node = words[cache.record + CACHE_NODES]!
    expect(words[node + SLAB_NODE_NR_PARTIAL]).toBe(2)
    expect(words[node + SLAB_NODE_PARTIAL]).toBe(slabOf(machine, b))
    expect(words[slabOf(machine, b)]).toBe(node + SLAB_NODE_PARTIAL)
    expect(words[node + SLAB_NODE_FULL]).toBe(node + SLAB_NODE_FULL)
    validateCache(cache)
    expect(machine.log()[0]).toBe('SLUB c: 1 partial slabs counted but counter=2')
  })

  it('and then a free, without tracks, hangs a kernel', () => {
    const { cache, b } = doubleFree(F)
    take(cache)
    expect(thrown(() => cache.free(b)).code).toBe('SIMULATED_FAULT')
  })
})

describe('reports', () => {
  it('of an overwritten red zone are those of the specification, byte for byte', () => {
    const machine = slubMachine({ onBug: 'continue' })
    const cache = makeCache(machine, 'test-24', 24, F | Z | P)
    const object = take(cache)
    machine.slabs.context.ram.fill(object - machine.slabs.context.directMap + 24, 1, 0x41)
    machine.log()
    cache.free(object)
    const frame = (object - machine.slabs.context.directMap - 8) / PAGE_SIZE
    const page = `ffff88800${frame.toString(16)}`
    const struct = (0xffffea0000000000n + BigInt(frame) * 64n).toString(16)
    expect(page.length).toBe(13)
    expect(machine.log()).toEqual([
      '='.repeat(77),
      'BUG test-24 (Not tainted): Right Redzone overwritten',
      '-'.repeat(77),
      '',
      `0x${page}020-0x${page}020 @offset=32. First byte 0x41 instead of 0xcc`,
      `Slab 0x${struct} objects=73 used=1 fp=0x${page}040 ` +
        'flags=0x100000000000200(slab|node=0|zone=1)',
      `Object 0x${page}008 @offset=8 fp=0x0000000000000000`,
      '',
      `Redzone  ${page}000: cc cc cc cc cc cc cc cc                          ........`,
      `Object   ${page}008: 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b  kkkkkkkkkkkkkkkk`,
      `Object   ${page}018: 6b 6b 6b 6b 6b 6b 6b a5                          kkkkkkk.`,
      `Redzone  ${page}020: 41 cc cc cc cc cc cc cc                          A.......`,
      `Padding  ${page}030: 5a 5a 5a 5a 5a 5a 5a 5a                          ZZZZZZZZ`,
      'Disabling lock debugging due to kernel taint',
      `FIX test-24: Restoring Right Redzone 0x${page}020-0x${page}020=0xcc`,
      `FIX test-24: Object at 0x${page}008 not freed`,
    ])
  })

  it('show the slab of the emergency reserve as active, and higher orders with a head', () => {
    const machine = going()
    const cache = makeCache(machine, 'c', 1500, F)
    const object = take(cache)
    machine.slabs.words[slabOf(machine, object) + SLAB_FLAGS]! |= SLAB_PFMEMALLOC
    cache.free(past(object, 8))
    const line = machine.log().find((text) => text.startsWith('Slab '))
    expect(line).toContain('flags=0x10220(active|slab|head|node=0|zone=0)')
  })

  it.each<[string, (words: Int32Array, slab: number) => void, string, string]>([
    [
      'too many objects',
      (words, slab) => {
        words[slab + SLAB_OBJECTS] = 65
      },
      'objects 65 > max 64',
      'OBJECT_COUNT',
    ],
    [
      'too many in use',
      (words, slab) => {
        words[slab + SLAB_INUSE] = 65535
      },
      'inuse 65535 > max 64',
      'OBJECT_COUNT',
    ],
  ])('%s', (_name, change, text, code) => {
    const machine = smallMachine()
    const cache = makeCache(machine, 'c', 64, F)
    const object = take(cache)
    change(machine.slabs.words, slabOf(machine, object))
    const bug = thrown(() => cache.free(object))
    expect(bug.code).toBe(code)
    expect(bug.report[1]).toBe(`BUG c (Tainted: G    B             ): ${text}`)
  })

  it('a wrong number of objects is adjusted', () => {
    const machine = going()
    const cache = makeCache(machine, 'c', 64, F)
    const slab = slabOf(machine, take(cache))
    machine.slabs.words[slab + SLAB_OBJECTS] = 60
    validateCache(cache)
    const log = machine.log()
    expect(log[1]).toContain('Wrong number of objects. Found 60 but should be 64')
    expect(log).toContain('FIX c: Number of objects adjusted')
    expect(machine.slabs.words[slab + SLAB_OBJECTS]).toBe(64)
  })

  it('a free list that begins nowhere fails the allocation', () => {
    const machine = going()
    const cache = makeCache(machine, 'c', 64, F)
    const object = take(cache)
    machine.slabs.words[slabOf(machine, object) + SLAB_FREE] = 66
    const next = take(cache)
    expect(Math.floor(next / PAGE_SIZE)).not.toBe(Math.floor(object / PAGE_SIZE))
    const log = machine.log()
    expect(log[1]).toContain('Freelist Pointer check fails')
    expect(log[5]).toBe(`Invalid pointer 0x${(object + 65).toString(16).padStart(16, '0')}`)
    expect(log[6]).toBe('FIX c: Marking all objects used')
  })

  it('end with the stack, where there is one', () => {
    const machine = smallMachine({ onBug: 'continue', stack: () => ['f+0x1/0x2', 'g+0x3/0x4'] })
    const cache = makeCache(machine, 'c', 64, F)
    const object = take(cache)
    cache.free(past(object, 1))
    const log = machine.log()
    const at = log.indexOf('Call Trace:')
    expect(log.slice(at - 1, at + 6)).toEqual([
      expect.stringMatching(/^Slab /),
      'Call Trace:',
      ' <TASK>',
      ' f+0x1/0x2',
      ' g+0x3/0x4',
      ' </TASK>',
      `FIX c: Object at 0x${(object + 1).toString(16).padStart(16, '0')} not freed`,
    ])
  })

  it('cut long texts about slabs', () => {
    const machine = going()
    const name = 'n'.repeat(63)
    const cache = makeCache(machine, name, 64, 0)
    take(cache)
    cache.destroy()
    const text = `Objects remaining in ${name} on __kmem_`
    expect(text.length).toBe(95)
    expect(machine.log()[1]).toBe(`BUG ${name} (Tainted: G    B             ): ${text}cach`)
  })

  it('name the taint bits', () => {
    expect(taintText(0)).toBe('Not tainted')
    expect(taintText(1 << 5)).toBe('Tainted: G    B             ')
    expect(taintText((1 << 5) | (1 << 9))).toBe('Tainted: G    B   W         ')
    expect(taintText(0x7ffff)).toBe('Tainted: PFSRMBUDAWCIOELKXTN')
    const machine = smallMachine({ onBug: 'continue', taint: 1 })
    const cache = makeCache(machine, 'c', 64, F)
    cache.free(past(take(cache), 1))
    expect(machine.log()[1]).toContain('(Tainted: P    B             )')
  })

  it('dump nothing for no bytes, and dots for what cannot be printed', () => {
    const machine = going()
    machine.ram.bytes(0x1000, 18).set([0x1f, 0x20, 0x7e, 0x7f, 0xff])
    const c = machine.slabs.context
    expect(hexDump(c, 'X ', 0x1000, 0)).toEqual([])
    expect(hexDump(c, 'X ', 0x1000, 18)).toEqual([
      'X 0000000000001000: 1f 20 7e 7f ff 00 00 00 00 00 00 00 00 00 00 00  . ~.............',
      `X 0000000000001010: 00 00${' '.repeat(44)}..`,
    ])
  })
})

describe('traces', () => {
  it('tell of each allocation and free, with the object', () => {
    const machine = going()
    const cache = makeCache(machine, 'c', 8, SLAB_TRACE)
    const object = take(cache)
    const address = (at: number) => `0x${at.toString(16).padStart(16, '0')}`
    expect(machine.log()).toEqual([
      `TRACE c alloc ${address(object)} inuse=1 fp=${address(object + 8)}`,
    ])
    machine.ram.bytes(object, 8).set([65, 66, 67, 68, 69, 70, 71, 72])
    cache.free(object)
    const zeros = '00 00 00 00 00 00 00 00'
    expect(machine.log()).toEqual([
      `TRACE c free ${address(object)} inuse=1 fp=${address(object + 8)}`,
      `Object ${address(object).slice(2)}: ${zeros.padEnd(49)}........`,
    ])
  })
})

describe('options', () => {
  it('are needed for caches that check', () => {
    const slabs = new SlabAllocator(
      new BuddyAllocator({ ram: new PhysicalMemory({ size: 2 ** 20 }) }),
    )
    expect(() => new SlabCache(slabs, { name: 'c', size: 8, flags: Z })).toThrow(InvalidArgument)
    const plain = new SlabCache(slabs, { name: 'c', size: 8 })
    expect(() => validateCache(plain)).toThrow(InvalidArgument)
  })

  it('are checked', () => {
    expect(() => smallMachine({ onBug: 'panic' as 'throw' })).toThrow(InvalidArgument)
    expect(() => smallMachine({ taint: -1 })).toThrow(InvalidArgument)
  })
})
