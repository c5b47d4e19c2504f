/** Texts by the names of their files. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { formatBuddyinfo } from '../../src/proc/buddyinfo'
import { formatExtfragIndex, formatUnusableIndex } from '../../src/proc/fragmentation'
import { formatIomem } from '../../src/proc/iomem'
import { formatMeminfo } from '../../src/proc/meminfo'
import { formatPagetypeinfo } from '../../src/proc/pagetypeinfo'
import { PROC_TEXTS, procText } from '../../src/proc/procText'
import { formatSlabinfo } from '../../src/proc/slabinfo'
import { formatVmallocInfo } from '../../src/proc/vmallocinfo'
import { parseVmstat } from '../../src/proc/vmstat'
import { parseZoneinfo } from '../../src/proc/zoneinfo'
import { must } from '../slab/machines'
import { vmMachine } from '../vmalloc/machines'

const m = vmMachine({ mib: 16, nodes: 2 })
must(m.vm.vmalloc(100_000))
must(m.heap.kmalloc(100))

describe('procText', () => {
  it.each([
    ['buddyinfo', formatBuddyinfo(m.pages.words)],
    ['pagetypeinfo', formatPagetypeinfo(m.pages.words)],
    ['meminfo', formatMeminfo(m)],
    ['slabinfo', formatSlabinfo(m.slabs)],
    ['vmallocinfo', formatVmallocInfo(m.vm)],
    ['iomem', formatIomem(m)],
    ['extfrag/extfrag_index', formatExtfragIndex(m.pages.words)],
    ['extfrag/unusable_index', formatUnusableIndex(m.pages.words)],
  ])('is %s', (name, text) => {
    expect(text).not.toBe('')
    expect(procText(m, name)).toBe(text)
    const folder = name.startsWith('extfrag') ? '/sys/kernel/debug/' : '/proc/'
    expect(procText(m, folder + name)).toBe(text)
  })

  it('agrees with itself on slabs and page tables', () => {
    const vmstat = parseVmstat(procText(m, 'vmstat'))
    const tables = parseZoneinfo(procText(m, 'zoneinfo'))
      .map(({ nodeStats }) => nodeStats?.nr_page_table_pages)
      .filter((count) => count !== undefined)
    const meminfo = procText(m, 'meminfo')
    const line = (name: string, pages = -1) =>
      `${name}:${String(pages * 4).padStart(23 - name.length)} kB\n`
    for (const [name, counter] of [
      ['SUnreclaim', 'nr_slab_unreclaimable'],
      ['PageTables', 'nr_page_table_pages'],
      ['MemFree', 'nr_free_pages'],
    ] as const) {
      expect(vmstat[counter]).toBeGreaterThan(0)
      expect(meminfo).toContain(line(name, vmstat[counter]))
    }
    expect(tables).toEqual([m.vm.tables.pmdTables, 0])
  })

  it('knows these names, and lists them when asked for another', () => {
    expect([...PROC_TEXTS]).toEqual([
      'buddyinfo',
      'pagetypeinfo',
      'zoneinfo',
      'meminfo',
      'slabinfo',
      'vmallocinfo',
      'vmstat',
      'iomem',
      'extfrag/extfrag_index',
      'extfrag/unusable_index',
    ])
    for (const name of [
      '',
      'proc/meminfo',
      '/proc/',
      'Meminfo',
      'toString',
      '/proc//proc/meminfo',
    ]) {
      expect(() => procText(m, name)).toThrow(InvalidArgument)
    }
    expect(() => procText(m, 'cpuinfo')).toThrow(/"cpuinfo".*buddyinfo, .*extfrag\/unusable_index/)
    expect(() => procText(m, null as unknown as string)).toThrow(InvalidArgument)
  })

  it('changes nothing', () => {
    const before = m.pages.words.slice()
    for (const name of PROC_TEXTS) procText(m, name)
    expect(m.pages.words).toEqual(before)
  })
})
