/** Machines from a size and a command line: what each word does, and that all parts work together. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument, OutOfMemory } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { LAYOUT_SV39 } from '../../src/base/layouts'
import { MiB } from '../../src/base/units'
import { nodeState } from '../../src/buddy/nodeState'
import { describeInspection } from '../../src/debug/inspectText'
import { Machine } from '../../src/machine/machine'
import { GFP_ATOMIC, GFP_KERNEL } from '../../src/page/gfp'
import { SV39 } from '../../src/paging/riscvFormat'
import { formatSlabinfo } from '../../src/proc/slabinfo'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { CACHE_FLAGS, SLAB_KMALLOC } from '../../src/state/slabSchema'

describe('Machine.boot', () => {
  it('brings all parts up, and they work on one memory', () => {
    const m = Machine.boot({ ram: '64MiB', layout: LAYOUT_X86_64 })
    const p = m.kmalloc(100)
    const q = m.vmalloc(100_000)
    const big = m.kvmalloc(5 * MiB)
    const pfn = m.allocPages(GFP_KERNEL, 3)
    expect(p).toBeGreaterThanOrEqual(LAYOUT_X86_64.directMapStart)
    expect(q).toBe(LAYOUT_X86_64.vmallocStart)
    expect(big).toBeGreaterThan(LAYOUT_X86_64.vmallocStart)
    expect(m.verify()).toEqual([])
    m.kfree(m.krealloc(p, 3000))
    m.kfree(m.kzalloc(8))
    m.vfree(q)
    m.vfree(m.vzalloc(4096))
    m.kvfree(big)
    if (pfn !== null) m.freePages(pfn, 3)
    expect(m.verify()).toEqual([])
  })

  it.each([
    ['64MiB', 64],
    ['64M', 64],
    ['65536K', 64],
    ['1GiB', 1024],
    [32 * MiB, 32],
  ])('takes %s of memory', (ram, mib) => {
    expect(Machine.boot({ ram }).ram.size).toBe(mib * MiB)
  })

  it('takes a map, and memory that exists', () => {
    const map = [
      { base: 0, size: 16 * MiB, type: 'usable' as const },
      { base: 64 * MiB, size: 16 * MiB, type: 'usable' as const },
      { base: 128 * MiB, size: 4096, type: 'device' as const },
    ]
    expect(Machine.boot({ ram: map }).ram.size).toBe(32 * MiB)
    const ram = new PhysicalMemory({ size: 16 * MiB })
    expect(Machine.boot({ ram }).ram).toBe(ram)
    expect(() => Machine.boot({ ram, cmdline: 'mem=8M' })).toThrow(InvalidArgument)
  })

  it('mem= leaves out what lies above, numa=fake= splits the rest', () => {
    const m = Machine.boot({ ram: '128MiB', cpus: 3, cmdline: 'mem=96M numa=fake=3' })
    expect(m.ram.size).toBe(96 * MiB)
    expect(m.ram.ranges.map(({ base, size, node }) => [base / MiB, size / MiB, node])).toEqual([
      [0, 32, 0],
      [32, 32, 1],
      [64, 32, 2],
    ])
    for (const node of [0, 1, 2]) {
      const pfn = m.onCpu(node, () => m.allocPages())
      expect(Math.floor((pfn ?? 0) / 8192)).toBe(node)
    }
    expect(() => Machine.boot({ ram: '16MiB', cmdline: 'numa=fake=8' })).toThrow(InvalidArgument)
  })

  it('a split gives what is left over to the last node, over holes too', () => {
    const map = [
      { base: 0, size: 20 * MiB, type: 'usable' as const },
      { base: 64 * MiB, size: 14 * MiB, type: 'usable' as const },
    ]
    const m = Machine.boot({ ram: map, cmdline: 'numa=fake=2' })
    expect(m.ram.ranges.map(({ base, size, node }) => [base / MiB, size / MiB, node])).toEqual([
      [0, 16, 0],
      [16, 4, 1],
      [64, 14, 1],
    ])
  })

  it('movablecore= makes Movable zones, slab words and vmalloc words reach their parts', () => {
    const m = Machine.boot({
      ram: '64MiB',
      cmdline: 'movablecore=16M slab_nomerge slub_debug=Z nohugevmalloc',
    })
    expect(nodeState(m.pages, 0).find(({ name }) => name === 'Movable')?.present).toBe(4096)
    expect(m.slabs.context.merging).toBe(false)
    expect(m.vm.context.hugeVmalloc).toBe(false)
    const kmalloc64 = m.slabs.words[SLAB_KMALLOC + 6] ?? 0
    expect((m.slabs.words[kmalloc64 + CACHE_FLAGS] ?? 0) & 0x400).toBe(0x400)
    expect(formatSlabinfo(m.slabs)).toContain('vmap_area')
  })

  it('failslab= and fail_page_alloc= work once it is up', () => {
    const m = Machine.boot({ ram: '16MiB', cmdline: 'failslab=1,100,0,-1' })
    expect(m.kmalloc(64, GFP_ATOMIC)).toBeNull()
    expect(m.allocPages()).not.toBeNull()
    const pages = Machine.boot({ ram: '16MiB', cmdline: 'fail_page_alloc=1,100,0,-1' })
    expect(pages.allocPages(GFP_ATOMIC, 1)).toBeNull()
  })

  it('logs as a kernel does, unknown words too', () => {
    const lines: string[] = []
    Machine.boot({ ram: '32MiB', cmdline: 'quiet root=/dev/sda', log: (line) => lines.push(line) })
    expect(lines[0]).toBe('Kernel command line: quiet root=/dev/sda')
    expect(lines[1]).toBe(
      'Unknown kernel command line parameters "root=/dev/sda", will be passed to user space.',
    )
    expect(lines.some((line) => line.startsWith('Zone ranges:'))).toBe(true)
    expect(lines.some((line) => line.startsWith('Memory:'))).toBe(true)
  })

  it('prints what its /proc says', () => {
    const m = Machine.boot({ ram: '64MiB' })
    expect(m.proc('buddyinfo')).toMatch(/^Node 0, zone +DMA/)
    expect(m.proc('/proc/meminfo')).toMatch(/^MemTotal: +\d+ kB$/m)
    expect(() => m.proc('cpuinfo')).toThrow(/one of buddyinfo/)
  })

  it('page_owner=on remembers who has each page', () => {
    const m = Machine.boot({ ram: '64MiB', cmdline: 'page_owner=on' })
    const pfn = m.allocPages(GFP_KERNEL, 2)
    expect(m.owner?.ownerOf(pfn ?? 0)).toMatchObject({ pfn, order: 2, gfp: GFP_KERNEL })
    expect(m.proc('page_owner')).toContain(`PFN ${pfn} type Unmovable`)
    expect(() => Machine.boot({ ram: '64MiB' }).proc('page_owner')).toThrow(InvalidArgument)
    expect(() => Machine.boot({ ram: '64MiB', cmdline: 'page_owner=1' })).toThrow(InvalidArgument)
  })

  it('tells what an address is', () => {
    const m = Machine.boot({ ram: '64MiB' })
    const text = describeInspection(m.inspect(m.kmalloc(100) ?? 0))
    expect(text).toContain('kmalloc-128')
    expect(describeInspection(m.inspect(m.vmalloc(4096) ?? 0))).toContain('vmalloc')
  })

  it('runs on CPUs and in interrupts', () => {
    const m = Machine.boot({ ram: '32MiB', cpus: 2 })
    const first = m.allocPages()
    if (first !== null) m.freePages(first)
    expect(m.onCpu(1, () => m.allocPages())).not.toBe(first)
    expect(() => m.inInterrupt(() => m.vmalloc(4096))).toThrow(/interrupt/)
    expect(() => m.onCpu(2, () => 0)).toThrow(InvalidArgument)
  })

  it('has page tables of other machines', () => {
    const m = Machine.boot({ ram: '32MiB', base: 0x80000000, layout: LAYOUT_SV39, format: SV39 })
    expect(m.vmalloc(4096)).toBe(LAYOUT_SV39.vmallocStart)
    expect(() => Machine.boot({ ram: '32MiB', layout: LAYOUT_SV39 })).toThrow(InvalidArgument)
  })

  it('works over shared buffers', () => {
    const m = Machine.boot({ ram: '16MiB', shared: true })
    expect(m.ram.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(m.pages.state).toBeInstanceOf(SharedArrayBuffer)
    expect(m.slabs.words.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(m.vm.state).toBeInstanceOf(SharedArrayBuffer)
  })

  it.each([
    [undefined, InvalidArgument],
    [{}, InvalidArgument],
    [{ ram: 0 }, InvalidArgument],
    [{ ram: 4097 }, InvalidArgument],
    [{ ram: 'much' }, InvalidArgument],
    [{ ram: [] }, InvalidArgument],
    [{ ram: '16MiB', cmdline: 5 }, InvalidArgument],
    [{ ram: '16MiB', cpus: 0 }, InvalidArgument],
    [{ ram: '16MiB', cmdline: 'movablecore=x' }, InvalidArgument],
    [{ ram: 8192 }, OutOfMemory],
  ])('refuses %j', (options, error) => {
    expect(() => Machine.boot(options as never)).toThrow(error)
  })
})
