import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { formatSlabinfo, parseSlabinfo, readSlabinfo } from '../../src/proc/slabinfo'
import { formatUnreclaimableSlabs } from '../../src/proc/unreclaimableSlabs'
import { SLAB_RECLAIM_ACCOUNT } from '../../src/slab/flags'
import { SlabCache } from '../../src/slab/slabCache'
import { fixtureText } from './fixtures'
import { slabMachine, take, textProcSlabs } from './slabMachine'

const RECORDED = fixtureText('text/text-proc.slabinfo.txt')

function rowOf(text: string, name: string): string | undefined {
  return text.split('\n').find((line) => line.startsWith(`${name} `))
}

describe('slabinfo', () => {
  it('prints what the kernel printed for the recorded caches', () => {
    const recorded = RECORDED.split('\n')
    const lines = formatSlabinfo(textProcSlabs().slabs).split('\n')
    expect(lines.slice(0, 8)).toEqual(recorded.slice(0, 8))
    expect(lines[7]).toBe(
      'proc0                340    340     24  170    1 : tunables    0    0    0 : slabdata      2      2      0',
    )
  })

  it('lists the caches of a new machine as the recording ends', () => {
    const names = (text: string) => text.split('\n').map((line) => line.split(' ')[0])
    const ours = names(formatSlabinfo(slabMachine().slabs))
    expect(ours).toHaveLength(2 + 41 + 1)
    expect(ours.slice(2)).toEqual(names(RECORDED).slice(-42))
  })

  it('counts what CPUs hold as in use, and what nodes hold as it is', () => {
    const { slabs, heap } = slabMachine()
    const held = Array.from({ length: 65 }, () => heap.kmalloc(64, 0xcc0, 1))
    // Two slabs, one with a single object: spec/slab.md §18.1.
    const full =
      'kmalloc-64           128    128     64   64    1 : tunables    0    0    0 : slabdata      2      2      0'
    expect(rowOf(formatSlabinfo(slabs), 'kmalloc-64')).toBe(full)
    for (const p of held) heap.kfree(p)
    expect(rowOf(formatSlabinfo(slabs), 'kmalloc-64')).toBe(full)
    // A request for the other node puts both slabs, all free, on the list of their node.
    heap.kmalloc(64, 0xcc0, 0)
    expect(rowOf(formatSlabinfo(slabs), 'kmalloc-64')).toBe(
      'kmalloc-64            64    192     64   64    1 : tunables    0    0    0 : slabdata      3      3      0',
    )
  })

  it('reads the recorded text and writes it again', () => {
    const caches = parseSlabinfo(RECORDED)
    expect(caches).toHaveLength(112)
    expect(caches[0]).toEqual({
      name: 'proc5',
      activeObjs: 13,
      numObjs: 26,
      objSize: 152,
      objsPerSlab: 26,
      pagesPerSlab: 1,
      limit: 0,
      batchCount: 0,
      sharedFactor: 0,
      activeSlabs: 1,
      numSlabs: 1,
      sharedAvail: 0,
    })
    expect(formatSlabinfo(caches)).toBe(RECORDED)
  })

  it('reads what it prints, names of all kinds included', () => {
    const { slabs } = slabMachine()
    for (const name of ['two words', 'ends in 7', 'grün', 'a_name_longer_than_its_column']) {
      new SlabCache(slabs, { name, size: 40 })
    }
    const text = formatSlabinfo(slabs)
    expect(parseSlabinfo(text)).toEqual(readSlabinfo(slabs))
    const numbers = '     0      0     40  102    1 : tunables'
    expect(rowOf(text, 'two words')).toContain(`two words         ${numbers}`)
    // Padded by bytes, of which one letter has two.
    expect(rowOf(text, 'grün')).toContain(`grün             ${numbers}`)
    expect(rowOf(text, 'a_name_longer_than_its_column')).toContain(`column ${numbers}`)
  })

  it('reads the text of other machines: tunables, statistics, no head, foreign line ends', () => {
    const row = 'size-64(DMA) 1 2 64 59 1 : tunables 120 60 8 : slabdata 1 3 7'
    const cache = {
      name: 'size-64(DMA)',
      limit: 120,
      batchCount: 60,
      sharedFactor: 8,
      activeSlabs: 1,
      numSlabs: 3,
      sharedAvail: 7,
    }
    expect(parseSlabinfo(row)).toMatchObject([cache])
    const debug = `slabinfo - version: 2.1 (statistics)\r\n${row} : globalstat 1 2 3 : cpustat 4\r\n\r\n`
    expect(parseSlabinfo(debug)).toMatchObject([cache])
    expect(parseSlabinfo('')).toEqual([])
    expect(formatSlabinfo([])).toBe('')
  })

  it('names the line that does not belong there', () => {
    const rows = RECORDED.split('\n')
    const spoilt = (row: string) => [...rows.slice(0, 4), row, ...rows.slice(5)].join('\n')
    expect(() => parseSlabinfo(spoilt('proc3 33 33 704'))).toThrow(InvalidArgument)
    for (const row of [
      'proc3 33 33 704',
      'proc3 33 33 704 11 2',
      '33 33 704 11 2 : tunables 0 0 0 : slabdata 3 3 0',
      'proc3 33 33 704 11 x : tunables 0 0 0 : slabdata 3 3 0',
      'proc3 33 33 -704 11 2 : tunables 0 0 0 : slabdata 3 3 0',
      'proc3 33 33 704 11 2 : tunables 0 0 : slabdata 3 3 0',
      'proc3 33 33 704 11 2 : tunables 0 0 0 : slabdata 3 3 0 1',
      'proc3 33 33 704 11 2 : tunables : slabdata 3 3 0',
      'proc3 33 33 704 11 2 : tunables 0 0 0 : slabdata',
      'proc3 33 33 704 11 2 : tunables 0 0 0 : slabdata 3 3 0 trailing',
      'proc3 9007199254740992 33 704 11 2 : tunables 0 0 0 : slabdata 3 3 0',
    ]) {
      expect(() => parseSlabinfo(spoilt(row)), row).toThrow(/^line 5 is "/)
    }
    expect(() => parseSlabinfo('slabinfo - version: 1.1\n')).toThrow('line 1')
  })

  it('forgets a destroyed cache', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'short', size: 40 })
    const object = take(cache, 1)
    expect(rowOf(formatSlabinfo(slabs), 'short')).toBeDefined()
    cache.free(object)
    cache.destroy()
    expect(rowOf(formatSlabinfo(slabs), 'short')).toBeUndefined()
  })
})

describe('unreclaimable slabs', () => {
  it('lists caches with slabs that nobody can reclaim, in KiB', () => {
    const { slabs } = slabMachine()
    const plain = new SlabCache(slabs, { name: 'plain', size: 1000 })
    const big = new SlabCache(slabs, { name: 'a_name_longer_than_its_column', size: 4000 })
    const reclaimable = new SlabCache(slabs, {
      name: 'reclaimable',
      size: 64,
      flags: SLAB_RECLAIM_ACCOUNT,
    })
    new SlabCache(slabs, { name: 'empty', size: 64 })
    for (const cache of [plain, big, reclaimable]) take(cache, 1)
    // Puts the slab of node 1 on its list: seven of its eight objects are free.
    take(plain, 0)
    const lines = formatUnreclaimableSlabs(slabs)
    expect(lines.slice(0, 4)).toEqual([
      'Unreclaimable slab info:',
      'Name                      Used          Total',
      'a_name_longer_than_its_column         31KB         31KB',
      'plain                      8KB         15KB',
    ])
    expect(lines.slice(4).map((line) => line.split(' ')[0])).toEqual([
      'kmem_cache_node',
      'kmem_cache',
    ])
  })
})
