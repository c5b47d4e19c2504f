/** What the kernel's log says besides reports of bad pages: warnings, limits, and which CPU and zones a report is of. Spec §2.6, §3.2, §6.4. */

import { describe, expect, it } from 'vitest'
import * as warnings from '../../src/buddy/warnings'
import {
  __GFP_DMA,
  __GFP_MEMALLOC,
  __GFP_NORETRY,
  __GFP_NOWARN,
  type BuddyAllocator,
  GFP_KERNEL,
  type KernelLogOptions,
  kernelLog,
  loadZones,
  onCpu,
  type Pfn,
} from '../../src/index'
import { flatMachine } from './machines'
import { zone } from './zoneState'

const NORETRY = GFP_KERNEL | __GFP_NORETRY

/** A machine of two CPUs with a DMA zone on node 1 alone, and the lines of its log. */
function machine(options: KernelLogOptions = {}): { pages: BuddyAllocator; lines: string[] } {
  const lines: string[] = []
  const zones = [zone({ startPfn: 4096 }), zone({ node: 1, name: 'DMA' })]
  const pages = loadZones(zones, { cpus: 2, log: kernelLog((line) => lines.push(line), options) })
  return { pages, lines }
}

/** Lines that begin a report. */
function heads(lines: readonly string[]): string[] {
  return lines.filter((line) => line.startsWith('kmem: ') || line.includes('callbacks'))
}

describe('a warning', () => {
  it.each([
    [warnings.WARN_ORDER, '__alloc_pages'],
    [warnings.WARN_ATOMIC_RECLAIM, '__alloc_pages_slowpath'],
    [warnings.WARN_NOFAIL_ORDER, 'rmqueue'],
    [warnings.WARN_NOFAIL_NONBLOCK, '__alloc_pages_slowpath'],
    [warnings.WARN_NOFAIL_MEMALLOC, '__alloc_pages_slowpath'],
    [warnings.WARN_NOFAIL_COSTLY, '__alloc_pages_slowpath'],
    [warnings.WARN_EXACT_FLAGS, 'alloc_pages_exact'],
  ])('%i comes once, with its CPU, from %s', (warning, place) => {
    const { pages, lines } = machine()
    onCpu(pages, 1, () => {
      for (let i = 0; i < 2; i++) warnings.warnOnce(pages.context, warning)
    })
    expect(lines).toEqual([
      '------------[ cut here ]------------',
      `WARNING: CPU: 1 PID: 0 at ${place}`,
      '---[ end trace 0000000000000000 ]---',
    ])
  })
})

describe('a report', () => {
  it('comes once in ten seconds, and tells how many did not', () => {
    let now = 100
    const { pages, lines } = machine({ clock: () => now })
    const failure =
      'kmem: page allocation failure: order:0, mode:0x10cc0(GFP_KERNEL|__GFP_NORETRY), nodemask=(null)'
    for (now of [100, 105, 110]) expect(pages.allocPages(NORETRY)).toBeNull()
    expect(heads(lines)).toEqual([failure])
    now = 111
    expect(pages.allocPages(NORETRY)).toBeNull()
    expect(heads(lines)).toEqual([failure, 'warn_alloc: 2 callbacks suppressed', failure])
  })

  it('of another kind counts too, and has its own words', () => {
    let now = 100
    const { pages, lines } = machine({ clock: () => now })
    const warn = (gfp: number) =>
      pages.context.log.warnAlloc?.(pages.context, gfp, 'vmalloc error: size 4096')
    warn(GFP_KERNEL | __GFP_NOWARN)
    expect(lines).toEqual([])
    warn(GFP_KERNEL)
    expect(lines[0]).toBe('kmem: vmalloc error: size 4096, mode:0xcc0(GFP_KERNEL), nodemask=(null)')
    expect(lines.filter((line) => / free:\d+kB/.test(line))).toHaveLength(2)
    expect(pages.allocPages(NORETRY)).toBeNull()
    warn(GFP_KERNEL)
    expect(heads(lines)).toHaveLength(1)
    now = 200
    warn(GFP_KERNEL | __GFP_DMA)
    expect(heads(lines).slice(1)).toEqual([
      'warn_alloc: 2 callbacks suppressed',
      'kmem: vmalloc error: size 4096, mode:0xcc1(GFP_KERNEL|GFP_DMA), nodemask=(null)',
    ])
    // The DMA zone alone, this time.
    expect(lines.filter((line) => / free:\d+kB/.test(line))).toHaveLength(3)
  })

  it('is of a DMA request as soon as any node has DMA memory', () => {
    const { pages, lines } = machine()
    expect(pages.allocPages(NORETRY | __GFP_DMA)).toBeNull()
    expect(heads(lines)).toHaveLength(1)
    const without: string[] = []
    const flat = flatMachine(1024, 0, { log: kernelLog((line) => without.push(line)) })
    without.length = 0
    flat.context.log.warnAlloc?.(flat.context, NORETRY | __GFP_DMA, 'vmalloc error')
    expect(without).toEqual([])
  })

  it('tells the pages on the lists of its own CPU', () => {
    const lines: string[] = []
    const pages = flatMachine(4096, 0, { cpus: 2, log: kernelLog((line) => lines.push(line)) })
    const held: Pfn[] = []
    for (
      let pfn = pages.allocPages(__GFP_MEMALLOC);
      pfn !== null;
      pfn = pages.allocPages(__GFP_MEMALLOC)
    )
      held.push(pfn)
    onCpu(pages, 1, () => {
      for (let i = 0; i < 3; i++) pages.freePages(held.pop() ?? expect.fail('no page'))
    })
    const local = (cpu: number) => {
      lines.length = 0
      onCpu(pages, cpu, () => expect(pages.allocPages(NORETRY, 4)).toBeNull())
      return lines
        .map((line) => /free_pcp:\S+ local_pcp:\S+/.exec(line)?.[0])
        .filter((text) => text)
    }
    expect(local(0)).toEqual(['free_pcp:12kB local_pcp:0kB'])
    expect(local(1)).toEqual(['free_pcp:12kB local_pcp:12kB'])
  })
})

it('tells of min_free_kbytes that a user had set, or that huge pages raise', () => {
  const lines: string[] = []
  const log = kernelLog((line) => lines.push(line))
  log.minFree('kept', 500, 400)
  log.minFree('raised', 400, 600)
  expect(lines).toEqual([
    'min_free_kbytes is not updated to 400 because user defined value 500 is preferred',
    'raising min_free_kbytes from 400 to 600 to help transparent hugepage allocations',
  ])
})
