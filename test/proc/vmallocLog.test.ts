/** The virtual mapper's messages, in the kernel's words. */

import { describe, expect, it } from 'vitest'
import { LAYOUT_FLAT, LAYOUT_X86_64 } from '../../src/base/layout'
import { layoutI386 } from '../../src/base/layoutI386'
import { GiB, MiB, PAGE_SIZE } from '../../src/base/units'
import { __GFP_DIRECT_RECLAIM } from '../../src/page/gfp'
import { PAGE_KERNEL } from '../../src/paging/format'
import { vmallocLog } from '../../src/proc/vmallocLog'
import { AREA_END, AREA_START, TREE_FREE } from '../../src/state/vmapSchema'
import { pcpuGetVmAreas } from '../../src/vmalloc/pcpuAreas'
import { getVmAreaNode, vmAreas } from '../../src/vmalloc/vmAreas'
import { vmap } from '../../src/vmalloc/vmap'
import { takeArea } from '../../src/vmalloc/vmapArea'
import { vmMapRam } from '../../src/vmalloc/vmapRam'
import { mergeArea } from '../../src/vmalloc/vmapRelease'
import { must } from '../slab/machines'
import { expectVmSound, S, takeFrames, vmFaults, vmMachine, warning } from '../vmalloc/machines'

const PAGE = PAGE_SIZE

describe('a one-time warning', () => {
  it('tells of an entry that is mapped already, whoever maps', () => {
    const calls = [
      (m: ReturnType<typeof vmMachine>) => m.vm.vmalloc(PAGE),
      (m: ReturnType<typeof vmMachine>) => vmap(m.vm, takeFrames(m, 1)),
      (m: ReturnType<typeof vmMachine>) => vmMapRam(m.vm, takeFrames(m, 1)),
    ]
    for (const call of calls) {
      const m = vmMachine()
      m.vm.context.tables.mapPages(S, takeFrames(m, 1), 0, 1, PAGE_KERNEL)
      expect(vmFaults(m)).toHaveLength(1)
      expect(call(m)).toBeNull()
      expect(m.log()).toEqual(warning('vmap_pages_pte_range'))
      // What was mapped there is not any more.
      expectVmSound(m)
      must(call(m))
      expect(m.log()).toEqual([])
      expectVmSound(m)
    }
  })

  it('tells of a free area that cannot be split', () => {
    const m = vmMachine()
    let objects = 0
    // The area gets an object, and neither the CPU nor the split does.
    m.slabs.setFaults({
      failSlab: (_c, _cache, gfp) => (gfp & __GFP_DIRECT_RECLAIM) === 0 || ++objects > 2,
    })
    expect(getVmAreaNode(m.vm, PAGE)).toBeNull()
    m.slabs.setFaults(null)
    expect(m.log()).toEqual([
      ...warning('adjust_va_to_fit_type'),
      'vmap allocation for size 8192 failed: use vmalloc=<size> to increase size',
    ])
    expect(vmAreas(m.vm)).toEqual([])
    expectVmSound(m)
    expect(getVmAreaNode(m.vm, PAGE)).toBe(S)
  })

  it('tells of areas for CPUs that no window can hold', () => {
    const m = vmMachine()
    for (let i = 0; i < 2; i++) {
      expect(pcpuGetVmAreas(m.vm, [0, 2 ** 45], [MiB, MiB], MiB)).toBeNull()
    }
    expect(m.log()).toEqual(warning('pcpu_get_vm_areas'))
    expectVmSound(m)
  })
})

describe('a message', () => {
  it('tells of an interval that is free already', () => {
    const m = vmMachine()
    must(getVmAreaNode(m.vm, PAGE))
    const { space } = m.vm.context
    const area = takeArea(space, 0xcc0, -1)
    space.numbers[(area + AREA_START) >> 1] = S + MiB
    space.numbers[(area + AREA_END) >> 1] = S + 2 * MiB
    expect(mergeArea(space, TREE_FREE, area)).toBe(false)
    expect(m.log()).toEqual(
      warning(
        'find_va_links',
        'vmalloc bug: 0xffffc90000100000-0xffffc90000200000 overlaps with 0xffffc90000002000-0xffffffffffffffff',
      ),
    )
  })

  it('has addresses as the layout has them', () => {
    const lines: string[] = []
    const write = (line: string) => void lines.push(line)
    for (const layout of [LAYOUT_FLAT, LAYOUT_X86_64, layoutI386({ memory: GiB })]) {
      const log = vmallocLog(write, { layout })
      log.iounmapBad(0xc8801000)
      log.overlap(0x1000, 0x3000, 1, 0x2000)
    }
    expect(lines.filter((line) => line.startsWith('iounmap'))).toEqual([
      'iounmap: bad address 00000000c8801000',
      'iounmap: bad address 00000000c8801000',
      'iounmap: bad address c8801000',
    ])
    expect(lines[2]).toBe('vmalloc bug: 0x1000-0x3000 overlaps with 0x1-0x2000')
  })
})
