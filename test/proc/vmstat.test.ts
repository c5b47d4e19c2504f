import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { formatVmstat, parseVmstat, readVmstat } from '../../src/proc/vmstat'
import {
  CPU_EVENTS,
  EVENT_ALLOCSTALL,
  EVENT_OOM_KILL,
  HEADER_CPUS,
  HEADER_HIGHMEM,
  PCP_DIFF,
  PCP_PGALLOC,
  PCP_PGFREE,
  ZONE_FREE_PAGES,
  ZONE_PCP,
} from '../../src/state/schema'
import { zoneNamed } from '../support/loadNodeState'
import { fixtureText, textProcWords } from './fixtures'

const RECORDED = fixtureText('text/text-proc.vmstat.txt')

describe('vmstat', () => {
  it('has the names of the recording, in its order', () => {
    const text = formatVmstat(textProcWords())
    const names = (lines: string) => lines.split('\n').map((line) => line.split(' ')[0])
    expect(names(text)).toEqual(names(RECORDED))
    expect(text.endsWith('\nnr_unstable 0\n')).toBe(true)
  })

  it('adds up stored counters and events over zones, CPUs and carries', () => {
    const words = textProcWords()
    const normal = zoneNamed(words, 1, 'Normal')
    const dma = zoneNamed(words, 0, 'DMA')
    words[normal + ZONE_FREE_PAGES] = 100
    words[dma + ZONE_FREE_PAGES] = -30
    words[zoneNamed(words, 0, 'DMA32') + ZONE_FREE_PAGES] = 5
    words[words[normal + ZONE_PCP]! + PCP_DIFF] = 8
    words.set([7, 3], words[normal + ZONE_PCP]! + PCP_PGALLOC)
    words.set([0x7fffffff, 0], words[normal + ZONE_PCP]! + PCP_PGFREE)
    words.set([2, 0], words[dma + ZONE_PCP]! + PCP_PGFREE)
    words[words[HEADER_CPUS]! + CPU_EVENTS + 2 * (EVENT_ALLOCSTALL + 2)] = 4
    words.set([1, 1], words[HEADER_CPUS]! + CPU_EVENTS + 2 * EVENT_OOM_KILL)
    const stats = readVmstat(words, (node, name) => (name === 'nr_mapped' ? 10 + node : 0))
    expect(stats).toMatchObject({
      nr_free_pages: 75,
      nr_mapped: 21,
      pgalloc_normal: 7 + 3 * 2 ** 31,
      pgalloc_dma: 0,
      pgfree: 2 ** 31 + 1,
      allocstall_normal: 4,
      allocstall_movable: 0,
      oom_kill: 1 + 2 ** 31,
    })
  })

  it('names the zones of a machine with high memory', () => {
    const words = textProcWords()
    words[HEADER_HIGHMEM] = 1
    const names = Object.keys(readVmstat(words)).filter((name) => name.startsWith('pgskip'))
    expect(names).toEqual(['pgskip_dma', 'pgskip_normal', 'pgskip_high', 'pgskip_movable'])
  })

  it('reads the recorded text and its own', () => {
    expect(parseVmstat(RECORDED)).toMatchObject({ nr_free_pages: 122949, numa_local: 20392 })
    const words = textProcWords()
    expect(parseVmstat(formatVmstat(words))).toEqual(readVmstat(words))
    expect(() => parseVmstat('nr_free_pages: 3')).toThrow(InvalidArgument)
  })
})
