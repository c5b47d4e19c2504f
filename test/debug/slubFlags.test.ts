/** The value of `slub_debug=`: rule by rule, and beside what a real kernel made of 22 values. */

import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parseRows } from '../../conformance/player'
import { readBytes } from '../../conformance/recordings'
import { slubDebug } from '../../src/debug/slubDebug'
import { parseSlubDebug, type SlubBoot, slubCacheFlags } from '../../src/debug/slubFlags'
import {
  cacheState,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_DEBUG_DEFAULT,
  SLAB_FAILSLAB,
  SLAB_NO_USER_FLAGS,
  SLAB_NOLEAKTRACE,
  SLAB_POISON,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  SLAB_TRACE,
  SlabCache,
} from '../../src/index'
import { slubMachine } from './slubMachine'

const F = SLAB_CONSISTENCY_CHECKS
const Z = SLAB_RED_ZONE
const P = SLAB_POISON
const U = SLAB_STORE_USER

function parse(value: string | undefined): SlubBoot {
  return parseSlubDebug(value, (line) => {
    throw new Error(line)
  })
}

describe('blocks', () => {
  it.each<[string | undefined, number, boolean]>([
    [undefined, 0, false],
    ['', SLAB_DEBUG_DEFAULT, false],
    ['FZPU', F | Z | P | U, false],
    ['fzpu', F | Z | P | U, false],
    ['T', SLAB_TRACE, false],
    ['a', SLAB_FAILSLAB, false],
    ['O', 0, true],
    ['zo', Z, true],
    ['-', 0, false],
    ['FZ-P', P, false],
    ['F;Z', Z, false],
    [';;F;', F, false],
    ['F;Z,name', F, false],
    ['Z,name;F', F, false],
    ['Z,name;PO,other', 0, true],
  ])('%s: global flags', (value, flags, noHigherOrder) => {
    const boot = parse(value)
    expect(boot.globalFlags).toBe(flags)
    expect(boot.noHigherOrder).toBe(noHigherOrder)
  })

  it('name caches behind a comma', () => {
    expect(parse('ZP,a,b*;,c;F').named).toEqual([
      { flags: Z | P, names: ['a', 'b*'] },
      { flags: SLAB_DEBUG_DEFAULT, names: ['c'] },
    ])
  })

  it('are blocks of names even when no name follows the comma', () => {
    expect(parse('P,')).toEqual({
      globalFlags: 0,
      named: [{ flags: P, names: [''] }],
      noHigherOrder: false,
    })
  })

  it('skip unknown letters, and tell of them', () => {
    const lines: string[] = []
    const boot = parseSlubDebug('Zx9P', (line) => lines.push(line))
    expect(boot.globalFlags).toBe(Z | P)
    expect(lines).toEqual([
      "slub_debug option 'x' unknown. skipped",
      "slub_debug option '9' unknown. skipped",
    ])
  })
})

describe('flags of a new cache', () => {
  const flagsOf = (value: string, name: string, asked = 0) =>
    slubCacheFlags(parse(value), name, asked)

  it('are those asked for and the global ones', () => {
    expect(flagsOf('FZ', 'any', U)).toBe(F | Z | U)
  })

  it('are only those asked for with SLAB_NO_USER_FLAGS', () => {
    const asked = SLAB_NO_USER_FLAGS | Z
    expect(flagsOf('FP', 'any', asked)).toBe(asked)
    expect(flagsOf('FP,any', 'any', asked)).toBe(asked)
  })

  it('lose the global tracks with SLAB_NOLEAKTRACE, but not those of a named block', () => {
    expect(flagsOf('PU', 'any', SLAB_NOLEAKTRACE)).toBe(SLAB_NOLEAKTRACE | P)
    expect(flagsOf('PU,any', 'any', SLAB_NOLEAKTRACE)).toBe(SLAB_NOLEAKTRACE | P | U)
  })

  it('come from the first block that names it, without the global ones', () => {
    expect(flagsOf('F;Z,b;P,a*;U,ab', 'ab')).toBe(P)
    expect(flagsOf('F;Z,b;P,a*;U,ab', 'b')).toBe(Z)
    expect(flagsOf('F;Z,b;P,a*;U,ab', 'bb')).toBe(F)
  })

  it('match a name in full, or what stands before a star', () => {
    expect(flagsOf('Z,kmalloc', 'kmalloc-8')).toBe(0)
    expect(flagsOf('Z,kmalloc-*', 'kmalloc-8')).toBe(Z)
    expect(flagsOf('Z,km*x', 'kmalloc-8')).toBe(Z)
    expect(flagsOf('Z,*', 'kmalloc-8')).toBe(Z)
    expect(flagsOf('Z,', 'kmalloc-8')).toBe(0)
  })
})

describe('caches of a machine', () => {
  interface Asked {
    readonly name: string
    readonly size: number
    readonly align: number
    readonly flags: string
    readonly ctor: boolean
  }
  const path = fileURLToPath(new URL('../fixtures/text/slub-flags.txt.gz', import.meta.url))
  const rows = parseRows(readBytes(path).toString('utf8')) as unknown as {
    readonly boot: string
    readonly caches: readonly { readonly asked: Asked; readonly got: Record<string, unknown> }[]
  }[]

  it.each(rows)('slub_debug=$boot gives the flags and layouts that a kernel gave', (row) => {
    const machine = slubMachine({ boot: row.boot })
    expect(row.caches.length).toBe(10)
    for (const { asked, got } of row.caches) {
      const cache = new SlabCache(machine.slabs, {
        name: asked.name,
        size: asked.size,
        align: asked.align,
        flags: Number(asked.flags),
        ...(asked.ctor ? { ctor: () => {} } : {}),
      })
      expect(cacheState(cache)).toMatchObject(got)
    }
  })

  it('are debug caches from the start, or become such with the first that asks', () => {
    expect(slubDebug({ boot: 'Z' }).onAtBoot).toBe(true)
    expect(slubDebug({ boot: 'Z,a' }).onAtBoot).toBe(true)
    expect(slubDebug({ boot: 'O' }).onAtBoot).toBe(false)
    expect(slubDebug().onAtBoot).toBe(false)
  })
})
