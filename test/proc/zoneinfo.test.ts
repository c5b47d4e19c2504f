import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { formatZoneinfo, parseZoneinfo } from '../../src/proc/zoneinfo'
import {
  PCP_DIFF,
  PCP_NUMA_HIT,
  PCP_NUMA_LOCAL,
  PCP_NUMA_OTHER,
  PCP_PGALLOC,
  ZONE_BOOST,
  ZONE_FREE_PAGES,
  ZONE_PCP,
} from '../../src/state/schema'
import { ZONES_X86_64 } from '../../src/zone/spans'
import { loadNodeState, zoneNamed } from '../support/loadNodeState'
import { stateFor } from '../zone/bootFixture'
import { fixtureText, paragraphs, textProcWords, zoneOf } from './fixtures'

const RECORDED = fixtureText('text/text-proc.zoneinfo.txt')

/** Node counters as recorded. */
function recordedCounters(node: number, name: string): number {
  const zone = parseZoneinfo(RECORDED).find(
    (found) => found.node === node && found.nodeStats !== null,
  )
  return zone?.nodeStats?.[name] ?? 0
}

describe('zoneinfo', () => {
  it('prints what the kernel printed for the recorded state', () => {
    const words = textProcWords()
    const pcp = words[zoneNamed(words, 1, 'Normal') + ZONE_PCP]!
    words[pcp + PCP_NUMA_HIT] = 1570
    words[pcp + PCP_NUMA_OTHER] = 1570
    const recorded = paragraphs(RECORDED)
    const own = paragraphs(formatZoneinfo(words, recordedCounters))
    expect(own).toHaveLength(recorded.length)
    // Zone DMA32 of node 0 lived on between the two recordings.
    for (const i of [0, 2, 3, 4, 5, 6, 7]) expect(own[i]).toBe(recorded[i])
    const lines = (text: string | undefined) =>
      text?.split('\n').map((line) => line.replace(/\d+$/, ''))
    expect(lines(own[1])).toEqual(lines(recorded[1]))
  })

  it('prints the first populated zone of the measured 1 GiB guest', () => {
    const dma = zoneOf({
      name: 'DMA',
      startPfn: 1,
      spanned: 4095,
      present: 3998,
      managed: 3840,
      free: 3840,
      watermark: { min: 171, low: 213, high: 255 },
      lowmemReserve: [0, 969, 969, 969],
      pcp: { count: 0, high: 213, batch: 1, freeFactor: 0, lists: {} },
      freeLists: { 8: { 0: [256] }, 9: { 1: [512] }, 10: { 1: [1024, 2048, 3072] } },
    })
    const [text] = paragraphs(formatZoneinfo(loadNodeState([dma])))
    expect(text).toContain(
      '  pages free     3840\n        boost    0\n        min      171\n        low      213\n' +
        '        high     255\n        spanned  4095\n        present  3998\n        managed  3840\n' +
        '        cma      0\n        protection: (0, 969, 969, 969)\n      nr_free_pages 3840\n',
    )
    expect(
      text?.endsWith(
        '      nr_free_cma  0\n      numa_hit     0\n      numa_miss    0\n      numa_foreign 0\n' +
          '      numa_interleave 0\n      numa_local   0\n      numa_other   0\n  pagesets\n    cpu: 0\n' +
          '              count: 0\n              high:  213\n              batch: 1\n' +
          '  vm stats threshold: 2\n  node_unreclaimable:  0\n  start_pfn:           1\n',
      ),
    ).toBe(true)
  })

  it('shows stored counters, boosted watermarks and huge pages divided by 512', () => {
    const words = loadNodeState([
      zoneOf({
        name: 'Normal',
        startPfn: 1048576,
        spanned: 512,
        watermark: { min: 10, low: 20, high: 30 },
      }),
    ])
    const zone = zoneNamed(words, 0, 'Normal')
    words[zone + ZONE_FREE_PAGES] = -3
    words[words[zone + ZONE_PCP]! + PCP_DIFF] = 8
    words[zone + ZONE_BOOST] = 7
    const text = formatZoneinfo(words, (_, name) => (name === 'nr_mapped' ? 1030 : 1025))
    const [, , normal] = parseZoneinfo(text)
    expect(normal?.pages).toMatchObject({ free: 0, boost: 7, min: 17, low: 27, high: 37 })
    expect(normal?.counters.nr_free_pages).toBe(0)
    expect(normal?.nodeStats).toMatchObject({
      nr_mapped: 1030,
      nr_shmem_hugepages: 2,
      nr_shmem_pmdmapped: 2,
      nr_file_hugepages: 2,
      nr_file_pmdmapped: 2,
      nr_anon_transparent_hugepages: 2,
      nr_swapcached: 1025,
    })
    expect(text).toContain('  node_unreclaimable:  1025\n')
  })

  it('repeats the page lists for each CPU and adds up events beyond 31 bits', () => {
    const words = stateFor(
      { ranges: [{ start: 1048576, end: 1049600, node: 0 }], nodes: 1, limits: ZONES_X86_64 },
      { cpuNodes: [0, 0, 0] },
    )
    const pcp = words[zoneNamed(words, 0, 'Normal') + ZONE_PCP]!
    words.set([5, 1], pcp + PCP_NUMA_LOCAL)
    words.set([6, 2], pcp + 2 * 64 + PCP_NUMA_LOCAL)
    words[pcp + PCP_PGALLOC] = 99
    const normal = parseZoneinfo(formatZoneinfo(words))[2]
    expect(normal?.pagesets.map(({ cpu, batch }) => [cpu, batch])).toEqual([
      [0, 1],
      [1, 1],
      [2, 1],
    ])
    expect(normal?.counters.numa_local).toBe(11 + 3 * 2 ** 31)
  })

  it('reads the recorded text', () => {
    const zones = parseZoneinfo(RECORDED)
    expect(zones.map(({ node, name }) => `${node} ${name}`)).toEqual([
      '0 DMA',
      '0 DMA32',
      '0 Normal',
      '0 Movable',
      '1 DMA',
      '1 DMA32',
      '1 Normal',
      '1 Movable',
    ])
    expect(zones[1]).toEqual({
      node: 0,
      name: 'DMA32',
      nodeStats: null,
      pages: {
        free: 82497,
        boost: 0,
        min: 496,
        low: 620,
        high: 744,
        spanned: 126938,
        present: 126938,
        managed: 103747,
        cma: 0,
      },
      protection: [0, 0, 0, 0],
      counters: expect.objectContaining({
        nr_free_pages: 82497,
        numa_hit: 20209,
        numa_interleave: 617,
      }),
      pagesets: [{ cpu: 0, count: 87, high: 620, batch: 31, threshold: 6 }],
      startPfn: 4096,
    })
    expect(Object.keys(zones[1]?.counters ?? {})).toHaveLength(16)
    expect(Object.keys(zones[6]?.nodeStats ?? {})).toHaveLength(41)
    expect(zones[7]).toMatchObject({ nodeStats: null, counters: {}, pagesets: [], startPfn: null })
  })

  it('refuses other texts', () => {
    expect(parseZoneinfo('')).toEqual([])
    expect(() => parseZoneinfo('MemTotal: 1 kB\n')).toThrow(InvalidArgument)
  })
})
