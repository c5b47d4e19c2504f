/** `/proc/meminfo`, as a kernel printed it of a recorded state; and of machines made by hand. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { layoutI386 } from '../../src/base/layoutI386'
import { LAYOUT_SV39 } from '../../src/base/layouts'
import { GiB, MiB } from '../../src/base/units'
import { loadZones } from '../../src/buddy/loadZones'
import type { ZoneState } from '../../src/buddy/nodeState'
import { SV39 } from '../../src/paging/riscvFormat'
import { I386, I386_PAE } from '../../src/paging/x86Format'
import { formatMeminfo, parseMeminfo, readMeminfo } from '../../src/proc/meminfo'
import { formatSlabMeminfo } from '../../src/proc/slabMemory'
import { formatVmallocMeminfo } from '../../src/proc/vmallocinfo'
import { parseVmstat } from '../../src/proc/vmstat'
import { parseZoneinfo } from '../../src/proc/zoneinfo'
import {
  HEADER_TOTAL_RESERVE,
  ZONE_FREE_PAGES,
  ZONE_STAT,
  ZONE_WMARK,
} from '../../src/state/schema'
import { mapDirectMap } from '../../src/vmalloc/directMapping'
import { highmemZones } from '../../src/vmalloc/kmap'
import type { MachineParts } from '../../src/vmalloc/machineParts'
import { setupLowmemReserve } from '../../src/zone/watermark'
import { zoneNamed } from '../support/loadNodeState'
import { vmMachine } from '../vmalloc/machines'
import { fixtureText } from './fixtures'

const RECORDED = fixtureText('text/text-proc.meminfo.txt')

/** Lines that the recorded state does not tell: other parts of the kernel, and vmalloc and slabs outside node 1. */
const UNRECORDED = [
  'SReclaimable',
  'SUnreclaim',
  'Committed_AS',
  'VmallocUsed',
  'Percpu',
  'DirectMap4k',
  'DirectMap2M',
]

/** The machine whose `/proc` was recorded: its zones, with the free pages of `/proc/zoneinfo`. */
function recordedMachine(): MachineParts {
  const states = fixtureText('text/text-proc.jsonl')
    .split('\n')
    .filter((line) => line.startsWith('{"call":"node_state"'))
    .slice(-2)
  const pages = loadZones(
    states.flatMap((line) => (JSON.parse(line) as { zones: ZoneState[] }).zones),
  )
  const { words } = pages
  for (const { node, name, pages: counts } of parseZoneinfo(
    fixtureText('text/text-proc.zoneinfo.txt'),
  )) {
    if ((counts.present ?? 0) > 0) {
      words[zoneNamed(words, node, name) + ZONE_FREE_PAGES] = counts.free ?? 0
    }
  }
  setupLowmemReserve(words)
  // The high marks and the reserve of zone DMA: 26 + 405, 744, 469.
  expect(words[HEADER_TOTAL_RESERVE]).toBe(1644)
  return { ...vmMachine(), pages }
}

describe('the recording', () => {
  const vmstat = parseVmstat(fixtureText('text/text-proc.vmstat.txt'))
  const recorded = parseMeminfo(RECORDED)

  it('is printed to the byte', () => {
    const given = Object.fromEntries(UNRECORDED.map((name) => [name, recorded[name] ?? -1]))
    const m = recordedMachine()
    const counters = (node: number, name: string) => (node === 0 ? (vmstat[name] ?? -1) : 0)
    expect(formatMeminfo(m, given, counters)).toBe(RECORDED)
  })

  it('is the same without what was given, but for these lines and sums', () => {
    const counters = (node: number, name: string) => (node === 0 ? (vmstat[name] ?? -1) : 0)
    const own = readMeminfo(recordedMachine(), {}, counters)
    const different = Object.keys(recorded).filter((name) => own[name] !== recorded[name])
    const sums = ['MemAvailable', 'KReclaimable', 'Slab']
    expect(different.sort()).toEqual([...UNRECORDED, ...sums].sort())
  })

  it('is read', () => {
    expect(Object.keys(recorded)).toHaveLength(53)
    expect(recorded).toMatchObject({
      MemTotal: 692492,
      'Active(anon)': 1896,
      VmallocTotal: 34359738367,
      HugePages_Surp: 0,
      Hugepagesize: 2048,
      DirectMap1G: 0,
    })
  })
})

describe('formatMeminfo', () => {
  it('counts what the parts of a machine count', () => {
    const m = vmMachine({ mib: 32, nodes: 2, cpus: 2 })
    m.vm.vmalloc(3 * MiB)
    m.heap.kmalloc(100)
    const stats = readMeminfo(m)
    const text = formatMeminfo(m)
    expect(text).toContain(formatSlabMeminfo(m.slabs))
    expect(text).toContain(formatVmallocMeminfo(m.vm))
    expect(stats.VmallocUsed).toBe(3072 + 8)
    expect(stats.PageTables).toBe(m.vm.tables.pmdTables * 4)
    expect(stats.PageTables).toBeGreaterThan(0)
    expect(stats.MemTotal).toBe(65536)
    expect(stats.CommitLimit).toBe(32768)
    expect(stats.MemFree).toBeLessThan(65536 - 3072)
    expect(stats.Cached).toBe(0)
    expect(parseMeminfo(text)).toEqual(stats)
  })

  it('adds up stored counters of zones, never below 0', () => {
    const m = vmMachine()
    const { words } = m.pages
    const dma = zoneNamed(words, 0, 'DMA')
    words[dma + ZONE_FREE_PAGES] = -3
    words.set([10, 20, 30, 40, 50, 0, 60, 70], dma + ZONE_STAT + 1)
    expect(readMeminfo(m)).toMatchObject({
      MemFree: 0,
      MemAvailable: 0,
      'Inactive(anon)': 40,
      'Active(anon)': 80,
      'Inactive(file)': 120,
      'Active(file)': 160,
      Active: 240,
      Inactive: 160,
      Unevictable: 200,
      Mlocked: 240,
      Bounce: 280,
    })
  })

  it('takes lines by name, and makes sums of them', () => {
    const m = vmMachine()
    const { words } = m.pages
    const low = 1000
    const dma = zoneNamed(words, 0, 'DMA')
    words[HEADER_TOTAL_RESERVE] = 500
    words.set([0, low, 0, 0], dma + ZONE_WMARK)
    const given = {
      MemFree: 40000,
      'Active(file)': 4000,
      'Inactive(file)': 8000,
      SReclaimable: 400,
      SUnreclaim: 600,
      SwapTotal: 1024,
      Buffers: 12,
      HugePages_Free: 7,
      HardwareCorrupted: 4,
    }
    const counters = (_node: number, name: string) => (name === 'nr_file_pages' ? 100 : 0)
    const text = formatMeminfo(m, given, counters)
    const stats = parseMeminfo(text)
    expect(stats).toMatchObject({
      // 10000 - 500; 3000 - min(1500, 1000); 100 - min(50, 1000). Pages.
      MemAvailable: (9500 + 2000 + 50) * 4,
      Active: 4000,
      Inactive: 8000,
      KReclaimable: 400,
      Slab: 1000,
      Cached: 388,
      CommitLimit: 8192 + 1024,
    })
    expect(text).toContain('\nHugePages_Free:        7\n')
    expect(text).toMatch(/\nPercpu: .*\nHardwareCorrupted: {5}4 kB\nAnonHugePages: /)
  })

  it.each([
    [{ memtotal: 1 }, /given is "memtotal".*MemTotal, MemFree/],
    [{ Percpu: -1 }, /^Percpu is -1/],
    [{ Percpu: 1.5 }, InvalidArgument],
    [{ Percpu: Number.NaN }, InvalidArgument],
    [{ toString: 1 }, InvalidArgument],
  ])('refuses %j', (given, message) => {
    expect(() => formatMeminfo(vmMachine(), given as Record<string, number>)).toThrow(message)
  })
})

describe('DirectMap lines', () => {
  it('count the direct map where there is one', () => {
    const m = vmMachine({ mib: 16 })
    const map = [
      { base: 0, size: 10 * MiB + 8192 },
      { base: GiB, size: GiB },
    ]
    expect(mapDirectMap(m.vm.tables, LAYOUT_X86_64, map)).not.toBeNull()
    expect(formatMeminfo(m)).toContain(
      'DirectMap4k:           8 kB\nDirectMap2M:       10240 kB\nDirectMap1G:     1048576 kB\n',
    )
    expect(readMeminfo(m, { DirectMap4k: 9 }).DirectMap4k).toBe(9)
  })

  it.each([
    [false, I386, ['DirectMap4k', 'DirectMap4M'], 4096],
    [true, I386_PAE, ['DirectMap4k', 'DirectMap2M'], 2048],
  ] as const)('are those of i386, with PAE: %s; so is high memory', (pae, format, names, huge) => {
    const layout = layoutI386({ memory: GiB, pae })
    const zones = highmemZones(layout)
    const m = vmMachine({ mib: 16, layout, pages: { zones }, vm: { format } })
    const stats = readMeminfo(m)
    expect(Object.keys(stats).filter((name) => name.startsWith('Direct'))).toEqual(names)
    expect(stats).toMatchObject({ HighTotal: 0, LowTotal: 16384, Hugepagesize: huge })
    expect(stats.LowFree).toBe(stats.MemFree)
    expect(formatMeminfo(m)).toMatch(
      /\nMlocked: .*\nHighTotal: .*\nHighFree: .*\nLowTotal: .*\nLowFree: .*\nSwapTotal: /,
    )
  })

  it('are not there on RISC-V', () => {
    const m = vmMachine({ mib: 16, layout: LAYOUT_SV39, base: 0x80000000, vm: { format: SV39 } })
    expect(formatMeminfo(m)).toMatch(/\nHugetlb: +0 kB\n$/)
    expect(readMeminfo(m).VmallocTotal).toBe(67108864)
  })
})

describe('parseMeminfo', () => {
  it('reads lines of other kernels', () => {
    expect(parseMeminfo('Zswap: 12 kB\r\nNodes:  3\n')).toEqual({ Zswap: 12, Nodes: 3 })
    expect(parseMeminfo('')).toEqual({})
  })

  it.each([
    'MemTotal 3 kB',
    'MemTotal: kB',
    'MemTotal: -3 kB',
    'MemTotal: 3 MB',
    'MemTotal: 99999999999999999999 kB',
    ': 3 kB',
    'MemFree: 1 kB',
    '__proto__: 3',
  ])('refuses %s', (line) => {
    expect(() => parseMeminfo(`MemFree: 1 kB\n${line}\n`)).toThrow(InvalidArgument)
    expect(() => parseMeminfo(`MemFree: 1 kB\n${line}\n`)).toThrow(line)
  })

  it('gives lines or InvalidArgument, whatever the text', () => {
    const lines = RECORDED.trimEnd().split('\n')
    const garbled = fc
      .tuple(fc.constantFrom(...lines), fc.nat(40), fc.nat(3), fc.string({ maxLength: 3 }))
      .map(([text, at, cut, more]) => text.slice(0, at) + more + text.slice(at + cut))
    fc.assert(
      fc.property(fc.oneof(garbled, fc.string()), (text) => {
        try {
          for (const value of Object.values(parseMeminfo(text))) {
            expect(Number.isSafeInteger(value)).toBe(true)
          }
        } catch (error) {
          if (!(error instanceof InvalidArgument)) throw error
        }
      }),
      { numRuns: 400, seed: 5 },
    )
    expect(() => parseMeminfo(undefined as unknown as string)).toThrow(InvalidArgument)
  })
})
