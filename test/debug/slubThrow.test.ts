/** Bugs that throw: what the error says, and that nothing is changed but what was repaired. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { validateCache } from '../../src/debug/slubValidate'
import { verifySlabs } from '../../src/debug/verifySlabs'
import {
  cacheState,
  KernelBug,
  PAGE_SIZE,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_POISON,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  type SlabCache,
  type VirtAddr,
} from '../../src/index'
import { kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import { slabHardening } from '../../src/slab/hardening'
import { makeCache, past, type SmallMachine, smallMachine, take, thrown } from './slubMachine'

const F = SLAB_CONSISTENCY_CHECKS
const Z = SLAB_RED_ZONE
const P = SLAB_POISON
const U = SLAB_STORE_USER
const ALL = F | Z | P | U

function setUp(flags = ALL, size = 56) {
  const machine = smallMachine()
  const cache = makeCache(machine, 'victim', size, flags)
  const [a, b, c] = [take(cache), take(cache), take(cache)]
  machine.log()
  return { machine, cache, a, b, c }
}

function poke(machine: SmallMachine, object: VirtAddr, offset: number, byte: number): void {
  machine.ram.fill(object + offset, 1, byte)
}

describe('a free that is refused', () => {
  it.each<[string, (x: ReturnType<typeof setUp>) => VirtAddr, string]>([
    [
      'a second one',
      ({ cache, b }) => {
        cache.free(b)
        return b
      },
      'DOUBLE_FREE',
    ],
    [
      'a second one of the only object',
      ({ cache, a, b, c }) => {
        for (const object of [a, c, b]) cache.free(object)
        return b
      },
      'DOUBLE_FREE',
    ],
    ['of the inside of an object', ({ a }) => past(a, 8), 'NOT_AN_OBJECT'],
    ['of an odd address', ({ a }) => past(a, 3), 'NOT_AN_OBJECT'],
    ['of a red zone', ({ a }) => past(a, -4), 'NOT_AN_OBJECT'],
    ['of what no object was yet', ({ a, cache }) => past(a, 5 * cache.size), 'DOUBLE_FREE'],
    ['behind the last object', ({ a }) => past(a, PAGE_SIZE - 16), 'NOT_AN_OBJECT'],
    ['between two bytes', ({ a }) => past(a, 0.5), 'NOT_AN_OBJECT'],
  ])('%s changes nothing', (_name, make, code) => {
    const x = setUp()
    const object = make(x)
    x.machine.log()
    const before = x.machine.state()
    const bug = thrown(() => x.cache.free(object))
    expect(bug.code).toBe(code)
    expect(x.machine.log()).toEqual(bug.report)
    expect(x.machine.state()).toBe(before)
    expect(verifySlabs(x.machine.slabs, { pages: x.machine.pages })).toEqual([])
  })

  it.each([
    ['in front', -3, 'REDZONE_OVERWRITTEN', 'Left Redzone overwritten'],
    ['behind', 58, 'REDZONE_OVERWRITTEN', 'Right Redzone overwritten'],
    ['in the padding', 137, 'PADDING_OVERWRITTEN', 'Object padding overwritten'],
    ['behind the last slot', 4070, 'PADDING_OVERWRITTEN', 'Padding overwritten.'],
  ])('for a byte %s repairs it, and changes nothing else', (_name, offset, code, text) => {
    const { machine, cache, a } = setUp()
    const sound = machine.state()
    poke(machine, a, offset, 0x77)
    const bug = thrown(() => cache.free(a))
    expect(bug.code).toBe(code)
    expect(bug.message).toContain(`cache victim: ${text}`)
    expect(bug.report[1]).toContain(`BUG victim (Tainted: G    B             ): ${text}`)
    expect(bug.report.some((line) => line.startsWith('FIX victim: Restoring'))).toBe(true)
    expect(machine.log()).toEqual(bug.report)
    expect(machine.state()).toBe(sound)
    // The object is still in use, and now it can be freed.
    cache.free(a)
    expect(take(cache)).toBe(a)
    expect(machine.log()).toEqual([])
  })

  it('puts the content back that init_on_free wipes first', () => {
    const machine = smallMachine({}, { initOnFree: true })
    const cache = makeCache(machine, 'c', 64, F | Z | U)
    const [a] = [take(cache), take(cache)]
    machine.ram.fill(a, 64, 0x5c)
    poke(machine, a, 70, 1)
    thrown(() => cache.free(a))
    expect(machine.ram.readU8(a)).toBe(0x5c)
    expect(machine.ram.readU8(a + 63)).toBe(0x5c)
    expect(machine.ram.readU8(a + 70)).toBe(0xcc)
    cache.free(a)
    expect(machine.ram.readU8(a)).toBe(0)
  })

  it.each([
    ['Z', Z],
    ['P', P],
    ['U', U],
    ['ZPU', Z | P | U],
  ])(
    'in a cache with %s alone, where a kernel sees nothing, throws even if bugs do not',
    (_n, flags) => {
      for (const onBug of ['throw', 'continue'] as const) {
        const machine = smallMachine({ onBug })
        const cache = makeCache(machine, 'c', 64, flags)
        const [a, b] = [take(cache), take(cache)]
        cache.free(a)
        const before = machine.state()
        expect(thrown(() => cache.free(a)).code).toBe('DOUBLE_FREE')
        expect(thrown(() => cache.free(past(b, 8))).code).toBe('NOT_AN_OBJECT')
        expect(thrown(() => cache.free(past(b, cache.size))).code).toBe('DOUBLE_FREE')
        expect(machine.state()).toBe(before)
      }
    },
  )

  it('to another cache throws, or warns and frees to the right one', () => {
    const make = (onBug: 'throw' | 'continue') => {
      const machine = smallMachine({ onBug })
      machine.slabs.context.caller = 'owner'
      const object = take(makeCache(machine, 'right', 64, F | U))
      const wrong = makeCache(machine, 'wrong', 64, F)
      return { machine, object, wrong }
    }
    const text = 'cache_from_obj: Wrong slab cache. wrong but object is from right'
    const throwing = make('throw')
    const bug = thrown(() => throwing.wrong.free(throwing.object))
    expect([bug.code, bug.message]).toEqual(['WRONG_CACHE', expect.stringContaining(text)])
    expect(bug.report).toEqual(['Allocated in owner age=0 cpu=0 pid=0'])
    expect(throwing.machine.log()).toContain(text)
    const going = make('continue')
    going.wrong.free(going.object)
    expect(going.machine.log()).toContain('Allocated in owner age=0 cpu=0 pid=0')
    expect(going.machine.log()).toEqual([])
    expect(verifySlabs(going.machine.slabs)).toEqual([])
  })
})

describe('encoded free pointers in random order', () => {
  it('are read and put back as plain ones are', () => {
    const hardening = slabHardening({ seed: 7 })
    const machine = smallMachine({}, { hardening })
    const cache = makeCache(machine, 'c', 64, ALL)
    const [a, b] = [take(cache), take(cache)]
    cache.free(a)
    const before = machine.state()
    const bug = thrown(() => cache.free(a))
    expect(bug.code).toBe('DOUBLE_FREE')
    expect(bug.report.some((line) => line.endsWith(' fp=0x0000000000000000'))).toBe(true)
    expect(machine.state()).toBe(before)
    expect(validateCache(cache)).toBe(1)
    machine.ram.fill(a + 72, 8, 0)
    expect(thrown(() => validateCache(cache)).code).toBe('FREELIST_CORRUPT')
    cache.free(b)
  })
})

describe('many frees at once', () => {
  it('free all or none when one is damaged, over several slabs', () => {
    const { machine, cache } = setUp(ALL, 500)
    const objects = Array.from({ length: 20 }, () => take(cache))
    const sound = machine.state()
    poke(machine, objects[3]!, 501, 1)
    const order = [...objects]
    expect(thrown(() => kmemCacheFreeBulk(cache, objects)).code).toBe('REDZONE_OVERWRITTEN')
    expect(objects).toEqual(order)
    expect(machine.state()).toBe(sound)
    kmemCacheFreeBulk(cache, objects)
    expect(verifySlabs(machine.slabs, { pages: machine.pages })).toEqual([])
  })

  it('free none when one is free already', () => {
    const { machine, cache, a, b, c } = setUp()
    cache.free(b)
    const before = machine.state()
    expect(thrown(() => kmemCacheFreeBulk(cache, [a, b, c])).code).toBe('DOUBLE_FREE')
    expect(thrown(() => kmemCacheFreeBulk(cache, [a, c, past(a, 8)])).code).toBe('NOT_AN_OBJECT')
    expect(machine.state()).toBe(before)
  })
})

describe('an allocation', () => {
  it.each<[string, number, string]>([
    ['poison', 7, 'POISON_OVERWRITTEN'],
    ['end of the poison', 55, 'POISON_OVERWRITTEN'],
    ['left red zone', -1, 'REDZONE_OVERWRITTEN'],
    ['right red zone', 56, 'REDZONE_OVERWRITTEN'],
    ['free pointer', 64, 'FREELIST_CORRUPT'],
  ])('from a slab whose free object has a wrong byte in its %s', (_name, offset, code) => {
    const { machine, cache, a, b } = setUp()
    cache.free(a)
    poke(machine, a, offset, 0x99)
    const bug = thrown(() => cache.alloc())
    expect(bug.code).toBe(code)
    expect(bug.report.at(-1)).toBe('FIX victim: Marking all objects used')
    // The slab is put out of use, and nothing was handed out.
    expect(cacheState(cache).nodes['0']).toMatchObject({ nrPartial: 0, slabs: 1 })
    const next = take(cache)
    expect(Math.floor(next / PAGE_SIZE)).not.toBe(Math.floor(a / PAGE_SIZE))
    const disabled = thrown(() => cache.free(b))
    expect(disabled.code).toBe('SLAB_DISABLED')
    expect(disabled.report[1]).toContain(
      'Slab disabled since SLUB metadata consistency check failed',
    )
    cache.free(next)
    expect(verifySlabs(machine.slabs, { pages: machine.pages })).toEqual([])
  })

  it('that had something repaired hands nothing out, and the next one does', () => {
    const { machine, cache, a } = setUp()
    cache.free(a)
    const sound = machine.state()
    poke(machine, a, 138, 1)
    expect(thrown(() => cache.alloc()).code).toBe('PADDING_OVERWRITTEN')
    expect(machine.state()).toBe(sound)
    expect(take(cache)).toBe(a)
  })

  it('with a free pointer that leads to an object in use does not hand that out', () => {
    const { machine, cache, a, b, c } = setUp(F, 64)
    cache.free(a)
    machine.ram.writeU32(a + 32, b)
    expect(take(cache)).toBe(a)
    const bug = thrown(() => cache.alloc())
    expect(bug.code).toBe('FREELIST_CORRUPT')
    const next = take(cache)
    expect(Math.floor(next / PAGE_SIZE)).not.toBe(Math.floor(c / PAGE_SIZE))
    // A kernel hands the object out a second time.
    const going = smallMachine({ onBug: 'continue' })
    const same = makeCache(going, 'c', 64, F)
    const [first, second] = [take(same), take(same)]
    same.free(first)
    going.ram.writeU32(first + 32, second)
    expect([take(same), take(same)]).toEqual([first, second])
  })

  it('without checks stops at a free pointer that leads nowhere; the slab can be freed to', () => {
    const { machine, cache, a, b } = setUp(P | U, 64)
    cache.free(a)
    poke(machine, a, 64, 1)
    expect(take(cache)).toBe(a)
    expect(thrown(() => cache.alloc()).code).toBe('FREELIST_CORRUPT')
    const next = take(cache)
    expect(Math.floor(next / PAGE_SIZE)).not.toBe(Math.floor(a / PAGE_SIZE))
    cache.free(b)
    expect(verifySlabs(machine.slabs, { pages: machine.pages })).toEqual([])
  })

  it('whose constructor writes beyond its object finds no sound slab', () => {
    const machine = smallMachine()
    const cache = makeCache(machine, 'c', 64, F | Z, (object) => poke(machine, object, 64, 1))
    expect(thrown(() => cache.alloc()).code).toBe('REDZONE_OVERWRITTEN')
    expect(verifySlabs(machine.slabs, { pages: machine.pages })).toEqual([])
    // A kernel tries new slabs until there are no pages left.
    const going = smallMachine({ onBug: 'continue' })
    const endless = makeCache(going, 'c', 64, F | Z, (object) => poke(going, object, 64, 1))
    expect(endless.alloc()).toBeNull()
    const lost = going.log().filter((line) => line === 'FIX c: Marking all objects used').length
    expect(lost).toBeGreaterThan(900)
    expect(going.debug.errors).toBe(3 * lost)
  })
})

describe('a slab that goes back', () => {
  function damaged(onBug: 'throw' | 'continue') {
    const machine = smallMachine({ onBug })
    const cache = makeCache(machine, 'c', 64, F | P)
    const objects = [take(cache), take(cache)]
    for (const object of objects) cache.free(object)
    poke(machine, objects[0]!, 5, 1)
    poke(machine, objects[1]!, 6, 1)
    machine.log()
    return { machine, cache }
  }

  it('is looked at: shrinking throws when it is done', () => {
    const { machine, cache } = damaged('throw')
    const bug = thrown(() => cache.shrink())
    expect(bug.code).toBe('POISON_OVERWRITTEN')
    expect(bug.report.filter((line) => line.startsWith('BUG')).length).toBe(2)
    expect(cacheState(cache).nodes['0']).toMatchObject({ slabs: 0, nrPartial: 0 })
    expect(verifySlabs(machine.slabs, { pages: machine.pages })).toEqual([])
    // The report was of that call alone.
    expect(cache.shrink()).toBe(false)
  })

  it('is looked at when its cache ends', () => {
    const { machine, cache } = damaged('throw')
    expect(thrown(() => cache.destroy()).code).toBe('POISON_OVERWRITTEN')
    expect(thrown(() => cache.alloc()).code).toBe('CACHE_DESTROYED')
    expect(verifySlabs(machine.slabs, { pages: machine.pages })).toEqual([])
  })

  it('because all its objects are freed at once is looked at when all are free', () => {
    const machine = smallMachine()
    const cache = makeCache(machine, 'c', 1000, F | P)
    const { objs } = cacheState(cache)
    const objects = Array.from({ length: 12 * objs }, () => take(cache))
    // Each slab has a free object, and all of those are damaged.
    const freed = objects.filter((_, i) => i % objs === 1)
    for (const object of freed) cache.free(object)
    for (const object of freed) poke(machine, object, 9, 1)
    const rest = objects.filter((object) => !freed.includes(object))
    const bug = thrown(() => kmemCacheFreeBulk(cache, rest))
    expect(bug.code).toBe('POISON_OVERWRITTEN')
    // Slabs go back as long as there are five with free objects.
    const gone = bug.report.filter((line) => line.startsWith('BUG')).length
    expect(gone).toBe(8)
    expect(cacheState(cache).nodes['0']).toMatchObject({ slabs: 4, nrPartial: 4 })
    expect(cacheState(cache).nodes['0']!.partial.map(({ inuse }) => inuse)).toEqual([0, 0, 0, 0])
    expect(verifySlabs(machine.slabs, { pages: machine.pages })).toEqual([])
    const left = thrown(() => cache.shrink()).report.filter((line) => line.startsWith('BUG'))
    expect(left.length).toBe(4)
  })

  it('is looked at after a free of one object, which is free then', () => {
    const machine = smallMachine()
    const cache = makeCache(machine, 'c', 1000, F | P)
    const { objs } = cacheState(cache)
    const objects = Array.from({ length: 7 * objs }, () => take(cache))
    // One object of each slab stays.
    objects.forEach((object, i) => {
      if (i % objs !== 0) cache.free(object)
    })
    poke(machine, objects[1]!, 9, 1)
    expect(cacheState(cache).nodes['0']!.slabs).toBe(7)
    expect(thrown(() => cache.free(objects[0]!)).code).toBe('POISON_OVERWRITTEN')
    expect(cacheState(cache).nodes['0']!.slabs).toBe(6)
    expect(verifySlabs(machine.slabs, { pages: machine.pages })).toEqual([])
  })

  it('goes back in any case', () => {
    const { machine, cache } = damaged('continue')
    expect(cache.shrink()).toBe(false)
    expect(machine.log().filter((line) => line.startsWith('FIX')).length).toBe(2)
  })

  it('is not looked at when its constructor threw', () => {
    const machine = smallMachine()
    const cache = makeCache(machine, 'c', 64, F | P | Z, () => {
      throw new Error('no')
    })
    expect(() => cache.alloc()).toThrow('no')
    expect(machine.log()).toEqual([])
    expect(verifySlabs(machine.slabs, { pages: machine.pages })).toEqual([])
  })
})

describe('a cache that cannot be destroyed', () => {
  it('throws with the report, or goes on', () => {
    for (const onBug of ['throw', 'continue'] as const) {
      const machine = smallMachine({ onBug })
      machine.slabs.context.caller = 'leaker'
      const cache = makeCache(machine, 'leaky', 64, F | U)
      const object = take(cache)
      const lines = [
        `Object 0x${object.toString(16).padStart(16, '0')} @offset=0`,
        'Allocated in leaker age=0 cpu=0 pid=0',
      ]
      machine.log()
      if (onBug === 'throw') {
        const bug = thrown(() => cache.destroy())
        expect(bug.code).toBe('CACHE_BUSY')
        expect(bug.report.slice(5, 7)).toEqual(lines)
      } else {
        cache.destroy()
      }
      expect(machine.log().slice(5, 7)).toEqual(lines)
      expect(thrown(() => cache.alloc()).code).toBe('CACHE_DESTROYED')
    }
  })
})

describe('anything at random', () => {
  interface Call {
    readonly kind: number
    readonly pick: number
    readonly at: number
  }

  function play(machine: SmallMachine, cache: SlabCache, calls: readonly Call[]): number {
    const live: VirtAddr[] = []
    const gone: VirtAddr[] = []
    let bugs = 0
    const refused = (call: () => void) => {
      const before = machine.state()
      const bug = thrown(call)
      expect(bug).toBeInstanceOf(KernelBug)
      expect(machine.state()).toBe(before)
      bugs += 1
    }
    for (const { kind, pick, at } of calls) {
      const held = live[pick % Math.max(1, live.length)]
      if (kind < 4 || held === undefined) {
        const object = take(cache)
        expect(live).not.toContain(object)
        live.push(object)
      } else if (kind < 7) {
        cache.free(held)
        live.splice(live.indexOf(held), 1)
        gone.push(held)
      } else if (kind === 7) {
        const freed = gone[pick % Math.max(1, gone.length)]
        if (freed !== undefined && !live.includes(freed)) refused(() => cache.free(freed))
      } else if (kind === 8) {
        const inside = past(held, 1 + (at % (cache.size - 1)))
        refused(() => cache.free(inside))
      } else {
        const sound = machine.state()
        const place = at % 2 === 0 ? -1 : cache.objectSize
        poke(machine, held, place, 0x13)
        expect(thrown(() => cache.free(held)).code).toBe('REDZONE_OVERWRITTEN')
        expect(machine.state()).toBe(sound)
        bugs += 1
      }
      expect(verifySlabs(machine.slabs)).toEqual([])
    }
    expect(validateCache(cache)).toBeGreaterThanOrEqual(0)
    return bugs
  }

  it('leaves a sound state after each call', () => {
    let bugs = 0
    const call = fc.record({ kind: fc.nat(9), pick: fc.nat(1000), at: fc.nat(10_000) })
    const flags = fc.constantFrom(F | Z, ALL, F | Z | P, F | Z | U)
    const size = fc.constantFrom(8, 60, 300, 3000)
    fc.assert(
      fc.property(
        flags,
        size,
        fc.array(call, { minLength: 15, maxLength: 30 }),
        (flag, bytes, calls) => {
          const machine = smallMachine()
          bugs += play(machine, makeCache(machine, 'c', bytes, flag), calls)
        },
      ),
      { numRuns: 20, seed: 61 },
    )
    expect(bugs).toBeGreaterThan(60)
  })
})
