/** Tables of the documentation that repeat what the source says: they must say the same. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BuddyAllocator, GiB, MiB, PhysicalMemory, sysctl, ZONES_I386 } from 'kmem'
import { describe, expect, it } from 'vitest'
import { INVARIANTS } from '../../src/debug/invariants'
import { SLAB_INVARIANTS } from '../../src/debug/slabInvariants'
import { VMALLOC_INVARIANTS } from '../../src/debug/vmallocInvariants'
import { VMAP_INVARIANTS } from '../../src/debug/vmapInvariants'
import * as gfp from '../../src/page/gfp'
import { placeTables } from '../../src/state/layout'
import {
  CPU_WORDS,
  HEADER_WORDS,
  NODE_WORDS,
  NR_PCP_LISTS,
  PAGE_WORDS,
  PCP_WORDS,
  PLANS,
  RANGE_WORDS,
  ZONE_WORDS,
} from '../../src/state/schema'
import { zoneIndexName } from '../../src/zone/zones'
import { ROOT } from './markdown'

/** Values of the numbers that `gfp.ts` exports, by name. */
const VALUES: ReadonlyMap<string, number> = new Map(
  Object.entries<unknown>(gfp).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number',
  ),
)

function page(name: string): string {
  return readFileSync(join(ROOT, name), 'utf8')
}

/** The cells of every table row, without the rows of dashes. */
function rows(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\|[\s|:-]+$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
}

describe('docs/gfp-flags.md', () => {
  const text = page('docs/gfp-flags.md')

  it('has every flag and mask, with its value', () => {
    const told = new Map(
      rows(text)
        .filter(
          (row) => /^`(__)?GFP_/.test(row[0] ?? '') && /^`(0x)?[0-9a-f]+`$/.test(row[1] ?? ''),
        )
        .map(([name = '', value = '']) => [name.slice(1, -1), Number(value.slice(1, -1))]),
    )
    const known = [...VALUES].filter(
      ([name]) => !name.includes('TABLE') && name !== '__GFP_BITS_SHIFT',
    )
    expect([...told].sort()).toEqual(known.sort())
  })

  it('tells the zone of every selector', () => {
    const machine = (zones: object): Int32Array =>
      new BuddyAllocator({ ram: new PhysicalMemory({ size: 2 * GiB, content: false }), ...zones })
        .words
    const wide = machine({})
    const narrow = machine({ zones: ZONES_I386 })
    const selectors = rows(text).filter((row) => /^(none|[A-Z, 0-9]+)$/.test(row[0] ?? ''))
    expect(selectors.filter((row) => row.length === 3 && /^[A-Z]/.test(row[1] ?? ''))).toHaveLength(
      8,
    )
    for (const [names = '', on64, on32] of selectors) {
      if (on32 === undefined || !/^[A-Z]/.test(on64 ?? '')) continue
      const bits = names === 'none' ? [] : names.split(', ')
      const mask = bits.reduce((sum, bit) => sum | (VALUES.get(`__GFP_${bit}`) ?? 0), 0)
      expect(zoneIndexName(wide, gfp.gfpZone(mask)), names).toBe(on64)
      expect(zoneIndexName(narrow, gfp.gfpZoneHighmem(mask)), names).toBe(on32)
    }
  })
})

describe('docs/architecture.md', () => {
  const text = page('docs/architecture.md')

  it.each([
    ['invariants', INVARIANTS],
    ['slab-invariants', SLAB_INVARIANTS],
    ['vmap-invariants', VMAP_INVARIANTS],
    ['vmalloc-invariants', VMALLOC_INVARIANTS],
  ])('has every one of the %s, in its words', (name, invariants) => {
    const part = text.split(`<!-- ${name}:start -->`)[1]?.split(`<!-- ${name}:end -->`)[0] ?? ''
    expect(rows(part).slice(1)).toEqual(
      Object.entries(invariants).map(([id, words]) => [id, words]),
    )
  })

  it('draws the tables of the state in their order, with their sizes', () => {
    const { total, ...starts } = placeTables({ maxPfn: 32768, nodes: 2, cpus: 4, maxRanges: 8 })
    const order = Object.entries(starts).sort(([, a], [, b]) => a - b)
    expect(order.map(([name]) => name).join(' ')).toBe(
      'blocks zones pcps nodes cpus distances zonelists ranges',
    )
    expect(text.replace(/\s+/g, ' ')).toContain(
      '│ header │ page records │ pageblocks │ zones │ per-CPU lists │ nodes │ CPUs │ distances │ zonelists │ ranges │',
    )
    expect(total).toBe(starts.ranges + 8 * RANGE_WORDS)
    expect(text).toContain(`at \`${HEADER_WORDS} + ${PAGE_WORDS} * pfn\``)
    expect(text).toMatch(
      new RegExp(
        `words +${HEADER_WORDS} +${PAGE_WORDS} a frame +1 a block +${ZONE_WORDS} +${PCP_WORDS} a zone +` +
          `${NODE_WORDS} +${CPU_WORDS} +nodes² +2 a node +${RANGE_WORDS} each`,
      ),
    )
    expect(text).toContain(`Each CPU has ${PLANS},`)
    expect(text).toContain(`A CPU's record of a zone has ${NR_PCP_LISTS}:`)
  })
})

describe('docs/memory-map-and-boot.md', () => {
  it('tells the defaults of the tunables', () => {
    const ram = new PhysicalMemory({ size: 64 * MiB, content: false })
    const defaults = rows(page('docs/memory-map-and-boot.md'))
    const pages = new BuddyAllocator({ ram })
    for (const name of [
      'watermark_scale_factor',
      'watermark_boost_factor',
      'percpu_pagelist_high_fraction',
    ] as const) {
      const row = defaults.find(([first]) => first === `\`${name}\``)
      expect(row?.[1], name).toBe(String(sysctl(pages, name)))
    }
    const ratios = defaults.find(([first]) => first === '`lowmem_reserve_ratio`')?.[1]
    const narrow = new BuddyAllocator({ ram, zones: ZONES_I386 })
    const shown = (machine: BuddyAllocator): string =>
      JSON.stringify(sysctl(machine, 'lowmem_reserve_ratio')).replaceAll(',', ', ')
    expect(ratios).toBe(`\`${shown(pages)}\`; with HighMem \`${shown(narrow)}\``)
  })
})
