/** Frees to a cache that the object is not of: refused; or only warned of, where a kernel with checks goes on. */

import { describe, expect, it } from 'vitest'
import {
  PAGE_SIZE,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_RED_ZONE,
  type SlabCache,
  slubDebug,
  type VirtAddr,
} from '../../src/index'
import type { SlabDebugOps, SlabLogOps } from '../../src/slab/context'
import { freeToCache } from '../../src/slab/freeToCache'
import { silentSlabLog } from '../../src/slab/silentLog'

import { must, slabOf } from './machines'
import { errorOf, TinyMachine } from './tinyMachine'

const NO_SLAB = 'virt_to_cache: Object is not a Slab page!'
const WRONG = 'cache_from_obj: Wrong slab cache. ours but object is from theirs'
/** An address in a page without objects. */
const NOWHERE = (40 * PAGE_SIZE) as VirtAddr

/** Two caches, an object of the other one, and all that is told of a free. */
function setUp(flags: number, onBug: 'throw' | 'continue' | 'unchecked' = 'throw') {
  const told: unknown[][] = []
  const log: SlabLogOps = {
    ...silentSlabLog,
    warn: (_c, place, lines) => void told.push(['warn', place, ...lines]),
    refused: (_c, text) => [`refused ${text}`],
  }
  const ops = onBug === 'unchecked' ? null : slubDebug({ onBug })
  const debug: SlabDebugOps | null = ops && {
    ...ops,
    printTracks: (_c, slab, address) => void told.push(['tracks', slab, address]),
    stop: (c, code, text, report) => {
      told.push(['stop', code, text, ...report])
      return ops.stop(c, code, text, report)
    },
  }
  const machine = new TinyMachine(debug === null ? { log } : { log, debug })
  const ours = machine.cache({ name: 'ours', flags })
  const theirs = machine.cache({ name: 'theirs' })
  const object = must(theirs.alloc())
  const free = (address: VirtAddr) => errorOf(() => freeToCache(machine.c, ours.record, address))
  return { machine, ours, theirs, object, told, free, slab: slabOf(machine as never, object) }
}

/** Whether an object is in use. */
function isUsed(cache: SlabCache, object: VirtAddr): boolean {
  return errorOf(() => cache.free(object)) === null
}

describe.each([
  ['that is not checked', 0, 'throw'],
  ['with other checks', SLAB_RED_ZONE, 'throw'],
  ['on a machine without checks', 0, 'unchecked'],
] as const)('a free to a cache %s', (_name, flags, onBug) => {
  it('is refused when the object is of another one, or of none', () => {
    const { machine, theirs, object, told, free } = setUp(flags, onBug)
    for (const [address, code, text] of [
      [object, 'WRONG_CACHE', WRONG],
      [NOWHERE, 'NOT_A_SLAB', NO_SLAB],
    ] as const) {
      const error = machine.unchanged(() => free(address))
      expect([error?.code, error?.report]).toEqual([code, [`refused ${text}`]])
    }
    expect(told).toEqual([])
    expect(isUsed(theirs, object)).toBe(true)
  })
})

describe('a free to a cache with consistency checks', () => {
  it.each(['throw', 'continue'] as const)(
    'is told of when the object is of no slab (%s)',
    (onBug) => {
      const { told, free } = setUp(SLAB_CONSISTENCY_CHECKS, onBug)
      const seen = [
        ['tracks', 0, NOWHERE],
        ['stop', 'NOT_A_SLAB', NO_SLAB],
      ]
      // The warning comes once.
      for (const warned of [[['warn', 'cache_from_obj', NO_SLAB]], []]) {
        expect(free(NOWHERE)?.code).toBe(onBug === 'throw' ? 'NOT_A_SLAB' : undefined)
        expect(told.splice(0)).toEqual([...warned, ...seen])
      }
    },
  )

  it.each(['throw', 'continue'] as const)(
    'is told of each time when it is of another cache (%s)',
    (onBug) => {
      const { theirs, object, told, free, slab } = setUp(SLAB_CONSISTENCY_CHECKS, onBug)
      const other = must(theirs.alloc())
      for (const address of [object, other]) {
        expect(free(address)?.code).toBe(onBug === 'throw' ? 'WRONG_CACHE' : undefined)
        expect(told.splice(0)).toEqual([
          ['warn', 'cache_from_obj', WRONG],
          ['tracks', slab, address],
          ['stop', 'WRONG_CACHE', WRONG],
        ])
        // A kernel frees it to the cache that it is of.
        expect(isUsed(theirs, address)).toBe(onBug === 'throw')
      }
    },
  )
})

describe('a free to the right cache', () => {
  it('is told to a listener by its address and the name of the cache', () => {
    const { machine, theirs, object } = setUp(0)
    const events: unknown[] = []
    const cacheFree = (address: number, name: string) => void events.push([address, name])
    machine.slabs.setTrace({ kmalloc() {}, cacheAlloc() {}, kfree() {}, cacheFree })
    freeToCache(machine.c, theirs.record, object)
    expect(events).toEqual([[object, 'theirs']])
    machine.slabs.setTrace(null)
    const again = must(theirs.alloc())
    freeToCache(machine.c, theirs.record, again)
    expect([again, events.length]).toEqual([object, 1])
  })
})
