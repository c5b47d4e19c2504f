/** Free memory at a glance, and the tunables by name. */

import { describe, expect, it } from 'vitest'
import {
  freeSummary,
  GFP_KERNEL,
  InvalidArgument,
  MiB,
  type SysctlName,
  stateHash,
  sysctl,
  toPfn,
} from '../../src/index'
import { ZONE_FREE_PAGES, ZONE_MANAGED } from '../../src/state/schema'
import {
  flatMachine,
  nrFree,
  thrownBy,
  twoNodes,
  withMobility,
  withoutWatermarks,
  zoneOf,
  zonesOf,
} from './machines'

describe('a summary', () => {
  it('is that of the free lists, of a node’s zones or of all', () => {
    const pages = twoNodes()
    for (let i = 0; i < 20; i++) pages.allocPagesNode(i & 1, GFP_KERNEL, i % 7)
    const zones = [[zoneOf(pages, 0, 0), zoneOf(pages, 0, 1)], [zoneOf(pages, 1, 1)]]
    for (const [node, own] of [...zones.entries(), [undefined, zones.flat()] as const]) {
      const lengths = own.map((zone) => nrFree(pages, zone))
      const sums = Array.from({ length: 11 }, (_, order) =>
        lengths.reduce((sum, blocks) => sum + (blocks[order] ?? 0), 0),
      )
      const sum = (column: number) =>
        own.reduce((total, zone) => total + pages.words[zone + column]!, 0)
      expect(freeSummary(pages, 0, node)).toMatchObject({
        managedPages: sum(ZONE_MANAGED),
        freePages: sum(ZONE_FREE_PAGES),
        freeBlocks: sums,
        largestOrder: 10,
        unusableIndex: 0,
        fragmentationIndex: -1000,
      })
    }
  })

  it('tells the largest block that is left, if any', () => {
    const pages = withoutWatermarks(withMobility(flatMachine(2048)), 1)
    while (pages.allocPages(GFP_KERNEL) !== null);
    pages.drainAllPages()
    expect(freeSummary(pages).largestOrder).toBe(-1)
    for (const pfn of [8, 9, 10, 11, 99]) pages.freePages(toPfn(pfn))
    pages.drainAllPages()
    expect(freeSummary(pages).largestOrder).toBe(2)
    expect(freeSummary(pages).freeBlocks).toEqual([1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    expect(freeSummary(pages, 2).unusableIndex).toBe(200)
    expect(freeSummary(pages, 3).unusableIndex).toBe(1000)
  })

  it('is refused of a node or an order that there is not', () => {
    const pages = twoNodes()
    for (const node of [-1, 2, 3, 0.5]) {
      expect(thrownBy(() => freeSummary(pages, 0, node))).toMatchObject({ argument: 'node' })
    }
    for (const order of [-1, 11]) {
      expect(thrownBy(() => freeSummary(pages, order))).toBeInstanceOf(InvalidArgument)
    }
  })
})

describe('a tunable', () => {
  it.each<[name: SysctlName, value: number | number[]]>([
    ['min_free_kbytes', 2048],
    ['watermark_scale_factor', 55],
    ['watermark_boost_factor', 12345],
    ['percpu_pagelist_high_fraction', 16],
    ['lowmem_reserve_ratio', [100, 200, 30, 1]],
  ])('%s is read as it was written, and no other changes', (name, value) => {
    const pages = twoNodes()
    const names: SysctlName[] = [
      'min_free_kbytes',
      'watermark_scale_factor',
      'watermark_boost_factor',
      'percpu_pagelist_high_fraction',
      'lowmem_reserve_ratio',
    ]
    const others = names.filter((other) => other !== name)
    const before = others.map((other) => sysctl(pages, other))
    expect(sysctl(pages, name)).not.toEqual(value)
    expect(sysctl(pages, name, value)).toEqual(value)
    expect(sysctl(pages, name)).toEqual(value)
    expect(others.map((other) => sysctl(pages, other))).toEqual(before)
  })

  it.each<[name: string, value: unknown]>([
    ['min_free_kbytes', [1]],
    ['watermark_scale_factor', '10'],
    ['lowmem_reserve_ratio', 256],
    ['swappiness', 60],
    ['swappiness', undefined],
    ['swappiness', [1]],
  ])('%s is refused with %j, by its name', (name, value) => {
    const pages = twoNodes()
    const before = stateHash(pages)
    const error = thrownBy(() => sysctl(pages, name as SysctlName, value as number))
    expect(error).toBeInstanceOf(InvalidArgument)
    expect(error).toMatchObject({
      argument: name === 'swappiness' && !Array.isArray(value) ? 'sysctl' : name,
    })
    expect(stateHash(pages)).toBe(before)
  })
})

describe('min_free_kbytes', () => {
  it.each<[hugePages: boolean | undefined, raised: boolean]>([
    [undefined, true],
    [true, true],
    [false, false],
  ])('is raised for huge pages on a machine of 1 GiB with hugePages: %s', (hugePages, raised) => {
    const options = hugePages === undefined ? {} : { hugePages }
    const pages = flatMachine((1024 * MiB) / 4096, 0, options)
    // The square root of 16 times the lowmem in KiB, else: less than 4.1 MiB.
    expect(Number(sysctl(pages, 'min_free_kbytes')) > 4200).toBe(raised)
    expect(zonesOf(pages)).toHaveLength(1)
  })
})
