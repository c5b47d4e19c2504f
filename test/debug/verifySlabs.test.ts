import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { SLAB_INVARIANTS } from '../../src/debug/slabInvariants'
import { slubDebug } from '../../src/debug/slubDebug'
import { verifySlabs } from '../../src/debug/verifySlabs'
import {
  cacheState,
  endGracePeriod,
  GFP_KERNEL,
  loadCache,
  SlabCache,
  shrinkAllCaches,
} from '../../src/index'
import { kmemCacheAllocBulk, kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import * as schema from '../../src/state/slabSchema'
import { thrownBy } from '../buddy/machines'
import { must, slabFaults, slabMachine } from '../slab/machines'
import { busySlabs, CORRUPTIONS } from './slabCorruptions'

/** Words of two states compared, as fast as it goes. */
function sameWords(a: Int32Array, b: Int32Array): boolean {
  const [left, right] = [a, b].map((words) =>
    Buffer.from(words.buffer, words.byteOffset, words.byteLength),
  ) as [Buffer, Buffer]
  return left.equals(right)
}

/** One machine for all tests: it is put back as it was before each. */
const m = busySlabs()
const ctors = [...m.slabs.context.ctors]
const words = m.slabs.words.subarray(0, m.slabs.wordsUsed)
const saved = [words, m.pages.words, m.ram.words].map((each) => [each, each.slice()] as const)

beforeEach(() => {
  for (const [place, content] of saved) place.set(content)
  m.slabs.context.ctors.clear()
  for (const [id, ctor] of ctors) m.slabs.context.ctors.set(id, ctor)
})

describe('the whole-state checker of the slab layer', () => {
  it('finds nothing wrong with a machine in order', () => {
    expect(slabFaults(m)).toEqual([])
    shrinkAllCaches(m.slabs)
    expect(slabFaults(m)).toEqual([])
    endGracePeriod(m.slabs)
    expect(slabFaults(m)).toEqual([])
  })

  it.each(CORRUPTIONS)('%s: %s', (id, _what, corrupt) => {
    corrupt(m)
    const [before, ram] = [words.slice(), m.ram.words.slice()]
    const violations = verifySlabs(m.slabs, { pages: m.pages })
    expect(violations.map((violation) => violation.id)).toContain(id)
    for (const { message } of violations) expect(message).toMatch(/\w{3}/)
    expect(sameWords(words, before)).toBe(true)
    expect(sameWords(m.ram.words, ram)).toBe(true)
  })

  it('has a corruption for every invariant', () => {
    const covered = new Set(CORRUPTIONS.map(([id]) => id))
    expect([...covered].sort()).toEqual(Object.keys(SLAB_INVARIANTS).sort())
  })

  it('says of invariants what the heads of files of the slab layer say', () => {
    const root = new URL('../../src/slab/', import.meta.url)
    const stated = readdirSync(root).flatMap((name) => {
      const head = readFileSync(new URL(name, root), 'utf8').split('*/')[0] ?? ''
      const text = head.replace(/\n \* +(?=\S)(?![A-Z]+-\d+: )/g, ' ').replace(/ +/g, ' ')
      return [...text.matchAll(/^ \* ([A-Z]+-\d+): (.*?)$/gm)].map(([, id, words]) => [id, words])
    })
    const known = stated.filter(([id = '']) => id in SLAB_INVARIANTS)
    expect(known.length).toBeGreaterThanOrEqual(6)
    for (const [id = '', said = ''] of known) {
      const words: string = SLAB_INVARIANTS[id as keyof typeof SLAB_INVARIANTS]
      expect(said.replaceAll("'", '’').toLowerCase(), id).toContain(words.toLowerCase())
    }
  })

  it('names the cache and the slab at fault', () => {
    const slab = must(m.slabs.words[m.slabs.words[m.cache + schema.CACHE_CPUS]! + 1])
    m.slabs.words[slab + schema.SLAB_INUSE] = 3
    const [violation] = verifySlabs(m.slabs)
    const pfn = m.slabs.words[slab + schema.SLAB_PFN]!
    expect(violation?.message).toContain(`slab at pfn 0x${pfn.toString(16)} of cache busy`)
    expect(violation?.message).toContain('counts 3 objects in use, has 15')
  })

  it('sees an object that was written to after its free, and is content once its slab is set aside', () => {
    const machine = slabMachine({ nodes: 2 })
    const cache = new SlabCache(machine.slabs, { name: 'victim', size: 64 })
    const objects = kmemCacheAllocBulk(cache, GFP_KERNEL, 70)
    for (const object of objects.slice(66)) cache.free(object)
    machine.ram.fill(must(objects[69]) + cacheState(cache).offset, 8, 0x6b)
    expect(verifySlabs(machine.slabs).map(({ id }) => id)).toEqual(['SLAB-1'])
    expect(thrownBy(() => cache.alloc())).toMatchObject({ code: 'FREELIST_CORRUPT' })
    expect(slabFaults(machine)).toEqual([])
    expect(objects).not.toContain(must(cache.alloc()))
    kmemCacheFreeBulk(cache, objects.slice(10, 66))
    expect(slabFaults(machine)).toEqual([])
    expect(cache.shrink()).toBe(true)
    expect(slabFaults(machine)).toEqual([])
    expect(thrownBy(() => cache.destroy())).toMatchObject({ code: 'CACHE_BUSY' })
    expect(slabFaults(machine)).toEqual([])
  })

  it('knows that a debug cache sets a corrupted slab aside', () => {
    const debug = slubDebug({ boot: 'FZPU', onBug: 'continue' })
    const machine = slabMachine({ slabs: { debug } })
    const cache = new SlabCache(machine.slabs, { name: 'victim', size: 64 })
    const objects = [1, 2, 3].map(() => must(cache.alloc()))
    for (const object of objects) cache.free(object)
    machine.ram.fill(must(objects[2]), 8, 0)
    expect(objects).not.toContain(must(cache.alloc()))
    expect(debug.errors).toBeGreaterThan(0)
    expect(slabFaults(machine)).toEqual([])
  })

  it('knows nothing of slabs that were not loaded only when told so', () => {
    const recorded = slabMachine()
    const from = new SlabCache(recorded.slabs, { name: 'x', size: 1024, ctor: () => {} })
    kmemCacheAllocBulk(from, 0xcc0, 20)
    const { slabs } = slabMachine()
    const to = new SlabCache(slabs, { name: 'x', size: 1024, ctor: () => {} })
    loadCache(to, cacheState(from))
    expect(verifySlabs(slabs).map(({ id }) => id)).toContain('COUNT-1')
    expect(verifySlabs(slabs, { unknownSlabs: true })).toEqual([])
    to.free(must(to.alloc()))
    to.shrink()
    expect(verifySlabs(slabs, { unknownSlabs: true })).toEqual([])
  })

  it('ends, without throwing or writing, whatever the words say', () => {
    const start = words.slice()
    const records = schema.SLAB_FRAMES + start[schema.SLAB_MAX_PFN]!
    const place = fc.oneof(
      fc.integer({ min: 0, max: schema.SLAB_HEADER_WORDS - 1 }),
      fc.integer({ min: schema.SLAB_FRAMES, max: schema.SLAB_FRAMES + 4096 }),
      { weight: 4, arbitrary: fc.integer({ min: records, max: start.length - 1 }) },
    )
    const value = fc.oneof(
      fc.integer(),
      fc.integer({ min: -8, max: 3000 }),
      fc.integer({ min: records / 16, max: start.length / 16 }).map((n) => Math.floor(n) * 16),
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 12 }), (changes) => {
        for (const [at, to] of changes) words[at] = to
        const before = words.slice()
        const found = verifySlabs(m.slabs, { pages: m.pages })
        expect(found.length).toBeLessThanOrEqual(100)
        expect(sameWords(words, before)).toBe(true)
        words.set(start)
      }),
      { numRuns: 300 },
    )
    expect(slabFaults(m)).toEqual([])
  })
})
