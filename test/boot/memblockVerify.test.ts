/** The checker sees one corruption per invariant. */

import { describe, expect, it } from 'vitest'
import type { Memblock } from '../../src/boot/memblock'
import type { RegionArray } from '../../src/boot/memblockRegions'
import { verifyMemblock } from '../../src/boot/memblockVerify'
import { START, small } from './fixtures'

type Field = 'base' | 'size' | 'flags' | 'nid'

/** Overwrites a number of a region behind the back of its array. */
function poke(array: RegionArray, index: number, field: Field, value: number): void {
  const region = array.regions[index]
  if (region === undefined) throw new Error(`no region ${index}`)
  Object.assign(region, { [field]: value })
}

describe('verifyMemblock', () => {
  const build = (): Memblock => {
    const m = small([
      [START, 64],
      [START + 128, 64],
    ])
    m.allowResize()
    return m
  }

  it.each<[string, (m: Memblock) => void, readonly string[]]>([
    ['a sound one', () => {}, []],
    ['an empty region', (m) => poke(m.reservedArray, 1, 'size', 0), ['MEMBLOCK-1', 'MEMBLOCK-4']],
    [
      'a moved placeholder',
      (m) => {
        m.free(START, 4096)
        poke(m.reservedArray, 0, 'base', 64)
      },
      ['MEMBLOCK-1'],
    ],
    ['an overlap', (m) => poke(m.reservedArray, 1, 'base', START + 63), ['MEMBLOCK-2']],
    ['a wrong order', (m) => poke(m.reservedArray, 1, 'base', 0), ['MEMBLOCK-2']],
    [
      'an end too high',
      (m) => poke(m.memoryArray, 0, 'base', Number.MAX_SAFE_INTEGER),
      ['MEMBLOCK-3'],
    ],
    ['a fraction', (m) => poke(m.memoryArray, 0, 'base', 0.5), ['MEMBLOCK-3']],
    ['a wrong flag', (m) => poke(m.memoryArray, 0, 'flags', 16), ['MEMBLOCK-3']],
    ['a wrong node', (m) => poke(m.memoryArray, 0, 'nid', -1), ['MEMBLOCK-3']],
    [
      'a wrong total',
      (m) => {
        m.memoryArray.totalSize++
      },
      ['MEMBLOCK-4'],
    ],
    [
      'a trimmed reservation',
      (m) => {
        m.reservedArray.totalSize++
        m.reservedArray.uncountedTrim++
      },
      ['MEMBLOCK-4'],
    ],
    [
      'a negative trim',
      (m) => {
        m.memoryArray.totalSize--
        m.memoryArray.uncountedTrim--
      },
      ['MEMBLOCK-4'],
    ],
    [
      'too few slots',
      (m) => {
        m.reservedArray.max = 1
      },
      ['MEMBLOCK-5'],
    ],
    [
      'an odd number of slots',
      (m) => {
        m.reservedArray.max = 129
      },
      ['MEMBLOCK-5'],
    ],
    [
      'a doubled array without space',
      (m) => {
        m.reservedArray.max = 256
      },
      ['MEMBLOCK-5'],
    ],
    [
      'space without doubling',
      (m) => {
        m.memoryArray.space = { start: 0, end: 4096 }
      },
      ['MEMBLOCK-5'],
    ],
  ])('%s', (_name, corrupt, ids) => {
    const m = build()
    corrupt(m)
    const found = new Set(verifyMemblock(m).map((fault) => fault.split(':')[0]))
    expect([...found].sort()).toEqual(ids)
  })
})
