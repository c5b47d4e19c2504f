import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { formatMemInfo, type MemInfoOptions } from '../../src/buddy/memInfo'
import type { ZoneState } from '../../src/buddy/nodeState'
import {
  HEADER_TOTAL_CMA,
  NR_FREE_CMA,
  PCP_COUNT,
  ZONE_PCP,
  ZONE_STAT,
} from '../../src/state/schema'
import { loadNodeState, zoneNamed } from '../support/loadNodeState'
import { MEM_INFO_SAMPLE } from '../support/memInfoSample'

const LETTERS = 'UMEHCI'
const START_PFN: Record<string, number> = { DMA: 0, DMA32: 4096, Normal: 1048576 }
/** Node counters by the label of the report. */
const COUNTERS: Record<string, string> = {
  pagetables: 'nr_page_table_pages',
  sec_pagetables: 'nr_sec_page_table_pages',
  shmem_thp: 'nr_shmem_hugepages',
  anon_thp: 'nr_anon_transparent_hugepages',
  writeback_tmp: 'nr_writeback_temp',
  'isolated(anon)': 'nr_isolated_anon',
  'isolated(file)': 'nr_isolated_file',
}
const ZONE_COUNTERS = [
  'inactive_anon',
  'active_anon',
  'inactive_file',
  'active_file',
  'unevictable',
  'writepending',
  'mlocked',
  'bounce',
]

/** Samples of real kernels: the report of a failed allocation, and one of a full machine. */
function samples(): [name: string, lines: string[]][] {
  const path = new URL('../fixtures/text/text-pages.jsonl', import.meta.url)
  const failure = readFileSync(path, 'utf8')
    .split('\n')
    .find((line) => line.includes('page allocation failure, order 3'))
  const { log } = JSON.parse(failure ?? '') as { log: string[] }
  return [
    ['page allocation failure', report(log)],
    ['full machine', report(MEM_INFO_SAMPLE.split('\n'))],
  ]
}

function report(lines: string[]): string[] {
  const end = lines.findIndex((line) => line.endsWith('pages cma reserved'))
  return lines.slice(lines.indexOf('Mem-Info:'), end + 1)
}

/** The `label:value` pairs of a line. */
function pairs(line: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const [, label, value] of line.matchAll(/([\w()]+): ?(\d+)/g))
    found.set(label ?? '', Number(value))
  return found
}

/** The state that a report speaks of. Which frames the blocks occupy it does not tell. */
function stateOfReport(lines: readonly string[]): Int32Array {
  const zones: ZoneState[] = []
  const stats: [node: number, name: string, numbers: Map<string, number>][] = []
  lines.forEach((line, i) => {
    const [, node, name] = /^Node (\d+) (\w+) free:/.exec(line) ?? []
    if (node === undefined || name === undefined) return
    const kib = pairs(line)
    const pages = (label: string) => (kib.get(label) ?? 0) / 4
    const startPfn = START_PFN[name] ?? 0
    stats.push([Number(node), name, kib])
    zones.push({
      node: Number(node),
      name: name as ZoneState['name'],
      startPfn,
      spanned: pages('present'),
      present: pages('present'),
      managed: pages('managed'),
      free: pages('free'),
      // The report includes the boost.
      watermark: {
        min: pages('min') - pages('boost'),
        low: pages('low') - pages('boost'),
        high: pages('high') - pages('boost'),
      },
      boost: pages('boost'),
      highatomicReserved: pages('reserved_highatomic'),
      lowmemReserve: lines[i + 1]?.split(' ').slice(1).map(Number) ?? [],
      pcp: { count: 0, high: 0, batch: 1, freeFactor: 0, lists: {} },
      freeLists: freeLists(
        lines.find((text) => text.startsWith(`Node ${node} ${name}:`)) ?? '',
        startPfn,
      ),
      pageblocks: '1'.repeat(Math.ceil((startPfn + pages('present')) / 512) - (startPfn >> 9)),
    })
  })
  const words = loadNodeState(zones)
  for (const [node, name, kib] of stats) {
    const zone = zoneNamed(words, node, name)
    ZONE_COUNTERS.forEach((label, i) => {
      words[zone + ZONE_STAT + 1 + i] = (kib.get(label) ?? 0) / 4
    })
    // The pages on the lists of the CPU are counted, but not named.
    words[words[zone + ZONE_PCP]! + PCP_COUNT] = (kib.get('free_pcp') ?? 0) / 4
    words[zone + ZONE_STAT + NR_FREE_CMA] = (kib.get('free_cma') ?? 0) / 4
  }
  return words
}

function freeLists(line: string, startPfn: number): Record<string, Record<string, number[]>> {
  const lists: Record<string, Record<string, number[]>> = {}
  let pfn = startPfn
  const blocks = [...line.matchAll(/(\d+)\*(\d+)kB(?: \((\w+)\))?/g)].reverse()
  for (const [, count, kib, letters] of blocks) {
    const order = Math.log2(Number(kib) / 4)
    const types = [...(letters ?? '')].map((letter) => LETTERS.indexOf(letter))
    const byType: Record<string, number[]> = {}
    for (let i = 0; i < Number(count); i++) {
      const type = types[Math.min(i, types.length - 1)] ?? 0
      byType[type] = [...(byType[type] ?? []), pfn]
      pfn += 2 ** order
    }
    lists[order] = byType
  }
  return lists
}

/** The counters of the report: a node's own line where it has one, else the totals, as node 0's. */
function countersOf(lines: readonly string[]): NonNullable<MemInfoOptions['counters']> {
  const nodes = new Map<number, Map<string, number>>()
  for (const line of lines) {
    const node = /^Node (\d+) active_anon/.exec(line)?.[1]
    if (node === undefined) continue
    const counters = new Map<string, number>()
    for (const [label, kib] of pairs(line)) {
      const name = COUNTERS[label] ?? `nr_${label}`
      counters.set(name, name === 'nr_kernel_stack' ? kib : kib / 4)
    }
    counters.set('node_unreclaimable', line.endsWith('yes') ? 1 : 0)
    nodes.set(Number(node), counters)
  }
  const first = nodes.get(0)
  for (const line of lines.slice(1, 8)) {
    for (const [label, pages] of pairs(line)) {
      const name = COUNTERS[label] ?? `nr_${label}`
      if (first?.has(name) === false) first.set(name, pages)
    }
  }
  const cache = lines.find((line) => line.endsWith('total pagecache pages'))
  first?.set('nr_file_pages', Number.parseInt(cache ?? '', 10))
  return (node, name) => nodes.get(node)?.get(name) ?? 0
}

describe('Mem-Info', () => {
  it.each(samples())('prints the report of a real kernel: %s', (_, lines) => {
    const words = stateOfReport(lines)
    const own = formatMemInfo(words, { highestZone: 3, cpu: 0, counters: countersOf(lines) })
    expect(own).toEqual(lines)
  })

  it('takes the LRU counters from the zones when nobody supplies any', () => {
    const [, lines] = samples()[0] ?? ['', []]
    const own = formatMemInfo(stateOfReport(lines), { highestZone: 3, cpu: 0 })
    expect(own[1]).toBe(lines[1])
    expect(own[4]).toBe(' slab_reclaimable:0 slab_unreclaimable:0')
    const nodeLines = own.filter((line) => line.endsWith('all_unreclaimable? no'))
    expect(nodeLines[0]).toMatch(/^Node 0 active_anon:1856kB inactive_anon:208kB .* mapped:0kB /)
    // Node 1 of the recording had nothing but free and allocated pages.
    const nodeOne = (line: string) => line.startsWith('Node 1') || line.startsWith('lowmem')
    expect(own.filter(nodeOne)).toEqual(lines.filter(nodeOne))
  })

  it('shows the zones up to the highest and the nodes asked for, but counts all RAM', () => {
    const [, lines] = samples()[0] ?? ['', []]
    const words = stateOfReport(lines)
    const low = formatMemInfo(words, { highestZone: 0, cpu: 0 })
    expect(low.filter((line) => / (DMA32|Normal)/.test(line))).toEqual([])
    expect(low.filter((line) => line.includes('all_unreclaimable'))).toHaveLength(1)
    expect(low).toContain(' free:86116 free_pcp:0 free_cma:0')
    expect(low).toContain('196472 pages RAM')
    expect(low.filter((line) => line.startsWith('Node 1 hugepages'))).toHaveLength(2)
    const one = formatMemInfo(words, { highestZone: 3, cpu: 0, nodes: (node) => node === 1 })
    expect(one.filter((line) => line.startsWith('Node 0'))).toEqual([])
    expect(one).toContain('23349 pages reserved')
    expect(one).toContain(' free:86116 free_pcp:0 free_cma:0')
  })

  it('shows CMA pages and the sizes of huge pages that the machine has', () => {
    const [, lines] = samples()[1] ?? ['', []]
    const words = stateOfReport(lines)
    words[HEADER_TOTAL_CMA] = 1024
    words[zoneNamed(words, 0, 'DMA32') + ZONE_STAT + NR_FREE_CMA] = 7
    const own = formatMemInfo(words, { highestZone: 1, cpu: 0, hugePageSizes: [2048] })
    expect(own.at(-1)).toBe('1024 pages cma reserved')
    expect(own.filter((line) => line.includes('free_cma:28kB'))).toHaveLength(1)
    expect(own).toContain(' free:412 free_pcp:19 free_cma:7')
    expect(own.filter((line) => line.includes('hugepages_total'))).toEqual([
      'Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB',
    ])
  })
})
