import { describe, expect, it } from 'vitest'
import { formatSlabMeminfo, slabNodeCounters } from '../../src/proc/slabMemory'
import { readVmstat } from '../../src/proc/vmstat'
import { SLAB_RECLAIM_ACCOUNT } from '../../src/slab/flags'
import { SlabCache } from '../../src/slab/slabCache'
import { fixtureText } from './fixtures'
import { slabMachine, take } from './slabMachine'

describe('memory of slabs', () => {
  it('is told as /proc/meminfo tells it', () => {
    const { slabs, heap } = slabMachine()
    // The pages that the descriptors of 41 caches take: spec/slab.md §23.1. One of them is on node 0 only,
    // as node 1 came later.
    const descriptors = 4 * (2 + 3)
    expect(formatSlabMeminfo(slabs)).toBe(
      `Slab:                 ${descriptors} kB\nSReclaimable:          0 kB\nSUnreclaim:           ${descriptors} kB\n`,
    )
    const cache = new SlabCache(slabs, { name: 'a', size: 2000, flags: SLAB_RECLAIM_ACCOUNT })
    take(cache, 1)
    const large = heap.kmalloc(100_000, 0xcc0, 1)
    const lines = formatSlabMeminfo(slabs).split('\n')
    // kmem_cache_node has a page on node 1 now, too.
    const unreclaimable = descriptors + 4 + 128
    expect(lines).toEqual([
      `Slab:                ${unreclaimable + 16} kB`,
      'SReclaimable:         16 kB',
      `SUnreclaim:          ${unreclaimable} kB`,
      '',
    ])
    heap.kfree(large)
    expect(formatSlabMeminfo(slabs)).toContain(`SUnreclaim:           ${unreclaimable - 128} kB`)
  })

  it('has lines of the recorded form', () => {
    const recorded = fixtureText('text/text-proc.meminfo.txt')
    const form = (text: string) => text.split('\n').map((line) => [line.length, line.split(':')[0]])
    const lines = recorded.split('\n').filter((line) => /^(Slab|SRecl|SUnrecl)/.test(line))
    expect(form(formatSlabMeminfo(slabMachine().slabs)).slice(0, 3)).toEqual(form(lines.join('\n')))
  })

  it('is told to texts that ask for the counters of nodes', () => {
    const { pages, slabs, heap } = slabMachine()
    heap.kmalloc(100_000, 0xcc0, 1)
    const counters = slabNodeCounters(slabs, (node, name) => (name === 'nr_mapped' ? 10 + node : 0))
    expect(counters(1, 'nr_slab_unreclaimable')).toBe(32)
    expect(counters(1, 'nr_slab_reclaimable')).toBe(0)
    expect(readVmstat(pages.words, counters)).toMatchObject({
      nr_slab_reclaimable: 0,
      nr_slab_unreclaimable: counters(0, 'nr_slab_unreclaimable') + 32,
      nr_mapped: 21,
    })
    expect(slabNodeCounters(slabs)(0, 'nr_mapped')).toBe(0)
  })
})
