/** Validation of whole caches. */

import { describe, expect, it } from 'vitest'
import { validateCache } from '../../src/debug/slubValidate'
import {
  cacheState,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_POISON,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
} from '../../src/index'
import { makeCache, smallMachine, take, thrown } from './slubMachine'

const F = SLAB_CONSISTENCY_CHECKS
const Z = SLAB_RED_ZONE
const P = SLAB_POISON
const U = SLAB_STORE_USER

describe('a sound cache', () => {
  it.each([
    ['F', F, 2],
    ['Z', Z, 2],
    ['P', P, 2],
    ['U', U, 3],
    ['FZPU', F | Z | P | U, 3],
  ])(
    'with %s has nothing to report, and counts the slabs that are listed',
    (_name, flags, slabs) => {
      const machine = smallMachine()
      const cache = makeCache(machine, 'c', 600, flags)
      const { objs } = cacheState(cache)
      const objects = Array.from({ length: 3 * objs }, () => take(cache))
      // The first slab stays full: it is on a list only where tracks are kept.
      cache.free(objects[objs]!)
      cache.free(objects[2 * objs + 1]!)
      expect(validateCache(cache)).toBe(slabs)
      expect(machine.log()).toEqual([])
      expect(machine.debug.errors).toBe(0)
    },
  )

  it('without flags, which the CPU holds objects of, too', () => {
    const machine = smallMachine()
    const plain = makeCache(machine, 'plain', 64, 0)
    const ctor = makeCache(machine, 'ctor', 64, 0, () => {})
    for (const cache of [plain, ctor]) {
      cache.free([take(cache), take(cache)][0]!)
      expect(validateCache(cache)).toBe(1)
    }
    expect(machine.log()).toEqual([])
  })
})

describe('a damaged cache', () => {
  it('is gone through to its end, with every repair, before it throws', () => {
    const machine = smallMachine()
    const cache = makeCache(machine, 'c', 64, F | Z | U)
    const { objs } = cacheState(cache)
    const objects = Array.from({ length: 2 * objs }, () => take(cache))
    machine.ram.fill(objects[4]! + 66, 2, 1)
    machine.ram.fill(objects[objs + 2]! - 1, 1, 1)
    const bug = thrown(() => validateCache(cache))
    expect(bug.code).toBe('REDZONE_OVERWRITTEN')
    expect(bug.report.filter((line) => line.startsWith('BUG')).length).toBe(2)
    expect(bug.report.filter((line) => line.startsWith('FIX')).length).toBe(2)
    expect(machine.debug.errors).toBe(4)
    expect(machine.log()).toEqual(bug.report)
    expect(validateCache(cache)).toBe(2)
  })

  it('has only the first bad object of a slab reported', () => {
    const machine = smallMachine({ onBug: 'continue' })
    const cache = makeCache(machine, 'c', 64, Z)
    const objects = [take(cache), take(cache)]
    for (const object of objects) machine.ram.fill(object + 64, 1, 1)
    expect(validateCache(cache)).toBe(1)
    expect(machine.debug.errors).toBe(2)
    validateCache(cache)
    expect(machine.debug.errors).toBe(4)
    validateCache(cache)
    expect(machine.debug.errors).toBe(4)
  })

  it('lacks the slabs that were put out of use', () => {
    const machine = smallMachine({ onBug: 'continue' })
    const cache = makeCache(machine, 'c', 64, F | P | U)
    const [object] = [take(cache), take(cache)]
    cache.free(object)
    machine.ram.fill(object, 1, 1)
    take(cache)
    machine.log()
    expect(validateCache(cache)).toBe(1)
    expect(machine.log()).toEqual(['SLUB: c 1 slabs counted but counter=2'])
    const strict = smallMachine()
    const other = makeCache(strict, 'c', 64, F | P | U)
    const lost = take(other)
    other.free(lost)
    strict.ram.fill(lost, 1, 1)
    expect(thrown(() => other.alloc()).code).toBe('POISON_OVERWRITTEN')
    expect(thrown(() => validateCache(other)).code).toBe('SLAB_COUNT')
  })

  it('whose free list is a loop hangs a kernel', () => {
    for (const onBug of ['throw', 'continue'] as const) {
      const machine = smallMachine({ onBug })
      const cache = makeCache(machine, 'c', 64, P)
      const object = take(cache)
      take(cache)
      cache.free(object)
      machine.ram.writeU32(object + 64, object)
      const bug = thrown(() => validateCache(cache))
      expect(bug.code).toBe('SIMULATED_FAULT')
      const log = machine.log()
      expect(log[1]).toContain('Wrong object count. Counter is 1 but counted were -1')
      expect(log).toContain('FIX c: Object count adjusted')
      expect(cacheState(cache).nodes['0']!.partial[0]!.inuse).toBe(65535)
    }
  })

  it('whose free list begins nowhere has it cleared, and can be freed to', () => {
    const machine = smallMachine()
    const cache = makeCache(machine, 'c', 64, P | U)
    const [a, b] = [take(cache), take(cache)]
    cache.free(a)
    machine.ram.fill(a + 64, 1, 1)
    expect(take(cache)).toBe(a)
    const bug = thrown(() => validateCache(cache))
    expect(bug.code).toBe('FREELIST_CORRUPT')
    expect(bug.report).toContain('FIX c: Freelist cleared')
    expect(cacheState(cache).nodes['0']!.partial[0]).toMatchObject({
      inuse: cacheState(cache).objs,
      free: [],
    })
    cache.free(b)
    expect(take(cache)).toBe(b)
  })
})
