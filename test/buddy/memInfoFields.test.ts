/** Every field of Mem-Info, on a machine where no two numbers are alike. Spec §6.5. */

import { expect, it } from 'vitest'
import { formatMemInfo } from '../../src/buddy/memInfo'
import { type BuddyAllocator, loadZones, type ZoneState } from '../../src/index'
import { HEADER_TOTAL_CMA, PCP_COUNT, ZONE_STAT } from '../../src/state/schema'
import { pcpOf, zoneOf } from './machines'

/** Pages, by the names of /proc/vmstat; KiB for the last one. */
const COUNTERS = [
  ['nr_active_anon', 1],
  ['nr_inactive_anon', 2],
  ['nr_isolated_anon', 3],
  ['nr_active_file', 4],
  ['nr_inactive_file', 5],
  ['nr_isolated_file', 6],
  ['nr_unevictable', 7],
  ['nr_dirty', 8],
  ['nr_writeback', 9],
  ['nr_slab_reclaimable', 10],
  ['nr_slab_unreclaimable', 11],
  ['nr_mapped', 12],
  ['nr_shmem', 13],
  ['nr_page_table_pages', 14],
  ['nr_sec_page_table_pages', 15],
  ['nr_kernel_misc_reclaimable', 16],
  ['nr_shmem_hugepages', 17],
  ['nr_shmem_pmdmapped', 18],
  ['nr_anon_transparent_hugepages', 19],
  ['nr_writeback_temp', 20],
  ['nr_file_pages', 21],
  ['nr_swapcached', 22],
  ['nr_kernel_stack', 23],
] as const

/** What node `node` has of a counter: 100 more than the node before. */
function counters(node: number, name: string): number {
  if (name === 'node_unreclaimable') return node
  const found = COUNTERS.find(([known]) => known === name) ?? expect.fail(`there is no ${name}`)
  return found[1] + 100 * node
}

/** A zone of 512 pages; `n` makes it different from the others. */
function zone(
  node: number,
  name: ZoneState['name'],
  n: number,
  lists: ZoneState['freeLists'],
): ZoneState {
  return {
    node,
    name,
    startPfn: n * 512,
    spanned: 512,
    present: 500 + n,
    managed: 400 - n,
    free: 10 + n,
    watermark: { min: 20 + n, low: 40 + n, high: 60 + n },
    boost: 1000 * n,
    highatomicReserved: 512 * n,
    lowmemReserve: [n, n + 1, n + 2, n + 3],
    pcp: { count: 0, high: 100, batch: 7, freeFactor: 0, lists: {} },
    freeLists: lists,
    pageblocks: '1',
  }
}

/** Three nodes with four zones, two CPUs. The zone of node 2 has no managed pages. */
function machine(): BuddyAllocator {
  const pages = loadZones(
    [
      zone(0, 'DMA32', 1, { '0': { '0': [512], '1': [514], '2': [516] }, '3': { '1': [520] } }),
      zone(0, 'Normal', 2, { '0': { '3': [1025] }, '1': { '4': [1026] }, '9': {} }),
      zone(1, 'DMA', 3, { '9': { '5': [1536] } }),
      { ...zone(2, 'Normal', 4, {}), managed: 0 },
    ],
    { cpus: 2 },
  )
  const { words } = pages
  ;[zoneOf(pages, 0, 1), zoneOf(pages, 0, 2), zoneOf(pages, 1, 0), zoneOf(pages, 2, 2)].forEach(
    (at, i) => {
      // Inactive and active anon, inactive and active file, unevictable, writepending, mlocked, bounce.
      for (let item = 1; item <= 8; item++) words[at + ZONE_STAT + item] = 1000 * (i + 1) + item
      words[at + ZONE_STAT + 10] = 7 + i
      for (const cpu of [0, 1]) words[pcpOf(pages, at, cpu) + PCP_COUNT] = 5 + 10 * cpu + i
    },
  )
  words[HEADER_TOTAL_CMA] = 77
  return pages
}

const HUGE = [0, 1, 2].flatMap((node) =>
  [1048576, 2048].map(
    (size) =>
      `Node ${node} hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=${size}kB`,
  ),
)
const END = [
  'Free swap  = 0kB',
  'Total swap = 0kB',
  '2010 pages RAM',
  '0 pages HighMem/MovableOnly',
  '816 pages reserved',
  '77 pages cma reserved',
]

it('has every counter in its place', () => {
  const lines = formatMemInfo(machine().words, { highestZone: 2, cpu: 1, counters })
  expect(lines).toEqual([
    'Mem-Info:',
    'active_anon:303 inactive_anon:306 isolated_anon:309',
    ' active_file:312 inactive_file:315 isolated_file:318',
    ' unevictable:321 dirty:324 writeback:327',
    ' slab_reclaimable:330 slab_unreclaimable:333',
    ' mapped:336 shmem:339 pagetables:342',
    ' sec_pagetables:345 bounce:10032',
    ' kernel_misc_reclaimable:348',
    ' free:50 free_pcp:92 free_cma:34',
    'Node 0 active_anon:4kB inactive_anon:8kB active_file:16kB inactive_file:20kB unevictable:28kB ' +
      'isolated(anon):12kB isolated(file):24kB mapped:48kB dirty:32kB writeback:36kB shmem:52kB ' +
      'shmem_thp: 68kB shmem_pmdmapped: 72kB anon_thp: 76kB writeback_tmp:80kB kernel_stack:23kB ' +
      'pagetables:56kB sec_pagetables:60kB all_unreclaimable? no',
    'Node 1 active_anon:404kB inactive_anon:408kB active_file:416kB inactive_file:420kB unevictable:428kB ' +
      'isolated(anon):412kB isolated(file):424kB mapped:448kB dirty:432kB writeback:436kB shmem:452kB ' +
      'shmem_thp: 468kB shmem_pmdmapped: 472kB anon_thp: 476kB writeback_tmp:480kB kernel_stack:123kB ' +
      'pagetables:456kB sec_pagetables:460kB all_unreclaimable? yes',
    'Node 0 DMA32 free:44kB boost:4000kB min:4084kB low:4164kB high:4244kB reserved_highatomic:2048KB ' +
      'active_anon:4008kB inactive_anon:4004kB active_file:4016kB inactive_file:4012kB unevictable:4020kB ' +
      'writepending:4024kB present:2004kB managed:1596kB mlocked:4028kB bounce:4032kB free_pcp:80kB ' +
      'local_pcp:60kB free_cma:28kB',
    'lowmem_reserve[]: 1 2 3 4',
    'Node 0 Normal free:48kB boost:8000kB min:8088kB low:8168kB high:8248kB reserved_highatomic:4096KB ' +
      'active_anon:8008kB inactive_anon:8004kB active_file:8016kB inactive_file:8012kB unevictable:8020kB ' +
      'writepending:8024kB present:2008kB managed:1592kB mlocked:8028kB bounce:8032kB free_pcp:88kB ' +
      'local_pcp:64kB free_cma:32kB',
    'lowmem_reserve[]: 2 3 4 5',
    'Node 1 DMA free:52kB boost:12000kB min:12092kB low:12172kB high:12252kB reserved_highatomic:6144KB ' +
      'active_anon:12008kB inactive_anon:12004kB active_file:12016kB inactive_file:12012kB ' +
      'unevictable:12020kB writepending:12024kB present:2012kB managed:1588kB mlocked:12028kB ' +
      'bounce:12032kB free_pcp:96kB local_pcp:68kB free_cma:36kB',
    'lowmem_reserve[]: 3 4 5 6',
    'Node 2 Normal free:56kB boost:16000kB min:16096kB low:16176kB high:16256kB reserved_highatomic:8192KB ' +
      'active_anon:16008kB inactive_anon:16004kB active_file:16016kB inactive_file:16012kB ' +
      'unevictable:16020kB writepending:16024kB present:2016kB managed:0kB mlocked:16028kB ' +
      'bounce:16032kB free_pcp:104kB local_pcp:72kB free_cma:40kB',
    'lowmem_reserve[]: 4 5 6 7',
    'Node 0 DMA32: 3*4kB (UME) 0*8kB 0*16kB 1*32kB (M) 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 44kB',
    'Node 0 Normal: 1*4kB (H) 1*8kB (C) 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 12kB',
    'Node 1 DMA: 0*4kB 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 1*2048kB (I) 0*4096kB = 2048kB',
    'Node 2 Normal: 0*4kB 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 0kB',
    ...HUGE,
    '363 total pagecache pages',
    '366 pages in swap cache',
    ...END,
  ])
})

it('has sums of the zones where there are no counters of the nodes, and zeros elsewhere', () => {
  const lines = formatMemInfo(machine().words, {
    highestZone: 1,
    cpu: 0,
    nodes: (node) => node < 2,
  })
  expect(lines.slice(0, 11)).toEqual([
    'Mem-Info:',
    'active_anon:10008 inactive_anon:10004 isolated_anon:0',
    ' active_file:10016 inactive_file:10012 isolated_file:0',
    ' unevictable:10020 dirty:0 writeback:0',
    ' slab_reclaimable:0 slab_unreclaimable:0',
    ' mapped:0 shmem:0 pagetables:0',
    ' sec_pagetables:0 bounce:10032',
    ' kernel_misc_reclaimable:0',
    ' free:50 free_pcp:44 free_cma:34',
    'Node 0 active_anon:12016kB inactive_anon:12008kB active_file:12032kB inactive_file:12024kB ' +
      'unevictable:12040kB isolated(anon):0kB isolated(file):0kB mapped:0kB dirty:0kB writeback:0kB shmem:0kB ' +
      'shmem_thp: 0kB shmem_pmdmapped: 0kB anon_thp: 0kB writeback_tmp:0kB kernel_stack:0kB pagetables:0kB ' +
      'sec_pagetables:0kB all_unreclaimable? no',
    'Node 1 active_anon:12008kB inactive_anon:12004kB active_file:12016kB inactive_file:12012kB ' +
      'unevictable:12020kB isolated(anon):0kB isolated(file):0kB mapped:0kB dirty:0kB writeback:0kB shmem:0kB ' +
      'shmem_thp: 0kB shmem_pmdmapped: 0kB anon_thp: 0kB writeback_tmp:0kB kernel_stack:0kB pagetables:0kB ' +
      'sec_pagetables:0kB all_unreclaimable? no',
  ])
  expect(
    lines.filter((line) => /local_pcp/.test(line)).map((line) => /local_pcp:\d+/.exec(line)?.[0]),
  ).toEqual(['local_pcp:20', 'local_pcp:28'])
})
