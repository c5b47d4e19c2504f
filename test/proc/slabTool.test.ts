import { describe, expect, it } from 'vitest'
import { formatSlabReport, formatSlabTool } from '../../src/proc/slabTool'
import { SLAB_HWCACHE_ALIGN, SLAB_RECLAIM_ACCOUNT, SLAB_RED_ZONE } from '../../src/slab/flags'
import { SlabCache } from '../../src/slab/slabCache'
import { cacheNode } from '../../src/slab/slabs'
import { SLAB_NODE_NR_SLABS } from '../../src/state/slabSchema'
import { slabMachine, take } from './slabMachine'

const HEADER =
  'Name                   Objects Objsize           Space Slabs/Part/Cpu  O/S O %Fr %Ef Flg'

/** Caches whose figures are easy to check, in an order that is not that of their names. */
function machine() {
  const { slabs } = slabMachine({ merge: true })
  const node = new SlabCache(slabs, { name: 'Zebra', size: 100, flags: SLAB_RED_ZONE })
  for (let i = 0; i < 70; i++) take(node, 1)
  const merged = new SlabCache(slabs, { name: 'first', size: 104, flags: SLAB_RECLAIM_ACCOUNT })
  new SlabCache(slabs, { name: 'second', size: 100, flags: SLAB_RECLAIM_ACCOUNT })
  take(merged, 1)
  const lines = new SlabCache(slabs, { name: 'lines', size: 5000, flags: SLAB_HWCACHE_ALIGN })
  for (let i = 0; i < 300; i++) take(lines, 1)
  const unused = new SlabCache(slabs, { name: 'Apart', size: 40, ctor: () => {} })
  return { slabs, node, merged, lines, unused }
}

describe('the list of the slabinfo tool', () => {
  it('has a row for each cache with slabs, by name', () => {
    const rows = formatSlabTool(machine().slabs).split('\n')
    expect(rows[0]).toBe(HEADER)
    // 39 objects in a slab of 4096 bytes, all of them counted as in use: 4056 of 4096 bytes.
    expect(rows[1]).toBe(
      ':a-0000104                  39     104            4.0K          0/0/1   39 0   0  99 *a',
    )
    // 45 descriptors of 216 bytes, 16 in a page; the last page is with the CPU.
    expect(rows[2]).toBe(
      'kmem_cache                  48     216           12.2K          2/0/1   16 0   0  84 A',
    )
    expect(rows.slice(1).map((row) => row.split(' ')[0])).toEqual([
      ':a-0000104',
      'kmem_cache',
      'kmem_cache_node',
      'lines',
      'Zebra',
      '',
    ])
    // 300 objects of 5056 bytes, 6 in 32 KiB: 50 slabs, the last one with the CPU.
    expect(rows[4]).toBe(
      'lines                      300    5000            1.6M         49/0/1    6 3   0  91 A',
    )
    // 70 objects of 120 bytes, 34 in a page: two full slabs, and two objects in a third.
    expect(rows[5]).toBe(
      'Zebra                       70     100           12.2K          3/1/0   34 0  33  56 Z',
    )
  })

  it('shows caches without slabs, bytes, and losses, on demand', () => {
    const { slabs } = machine()
    const empty = formatSlabTool(slabs, { empty: true }).split('\n')
    expect(empty).toHaveLength(1 + 2 + 39 + 4 + 1)
    expect(empty).toContain(
      'Apart                        0      40               0          0/0/0   85 0 100 100 ',
    )
    expect(empty.findIndex((row) => row.startsWith('Apart '))).toBe(2)
    expect(formatSlabTool(slabs, { bytes: true })).toContain(
      '\nlines                      300    5000         1638400         49/0/1 ',
    )
    const losses = formatSlabTool(slabs, { loss: true }).split('\n')
    expect(losses[0]).toBe(HEADER.replace('Space', ' Loss'))
    // 1638400 - 300 * 5000 bytes.
    expect(losses[1]).toBe(
      'lines                      300    5000          138.4K         49/0/1    6 3   0  91 A',
    )
  })

  it('scales sizes by thousands, at the bounds too', () => {
    // A machine has too little memory for the larger ones: the counters say what there is.
    const { slabs, lines } = machine()
    const { words } = slabs.context
    const space = (count: number) => {
      words[cacheNode(words, lines.record, 1) + SLAB_NODE_NR_SLABS] = count
      const row = formatSlabTool(slabs).match(/\nlines +\d+ +5000 +(\S+)/)
      return row?.[1]
    }
    // 32768 bytes a slab.
    expect(space(1)).toBe('32.7K')
    expect(space(30)).toBe('983.0K')
    expect(space(31)).toBe('1.0M')
    expect(space(30517)).toBe('999.9M')
    expect(space(30518)).toBe('1.0G')
  })
})

describe('the report of the slabinfo tool', () => {
  it('tells of one cache', () => {
    const { lines } = machine()
    expect(formatSlabReport(lines).split('\n')).toEqual([
      '',
      'Slabcache: lines            Aliases:  0 Order :  3 Objects: 300',
      '** Hardware cacheline aligned',
      '',
      'Sizes (bytes)     Slabs              Debug                Memory',
      '------------------------------------------------------------------------',
      'Object :    5000  Total  :      50   Sanity Checks : Off  Total: 1638400',
      'SlabObj:    5056  Full   :      49   Redzoning     : Off  Used : 1500000',
      'SlabSiz:   32768  Partial:       0   Poisoning     : Off  Loss :  138400',
      'Loss   :      56  CpuSlab:       1   Tracking      : Off  Lalig:   16800',
      'Align  :      64  Objects:       6   Tracing       : Off  Lpadd:  121600',
      '',
    ])
  })

  it('tells of other names, checks and what reclaim may take', () => {
    const { merged, node } = machine()
    const report = formatSlabReport(merged)
    expect(report).toContain(
      '\nSlabcache: :a-0000104       Aliases:  1 Order :  0 Objects: 39\n** Reclaim accounting active\n\n',
    )
    expect(formatSlabReport(node)).toContain(' Redzoning     : On   Used :    7000\n')
  })
})
