import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { splitPage } from '../../src/buddy/exactPages'
import { GFP_KERNEL } from '../../src/page/gfp'
import { SlabCache } from '../../src/slab/slabCache'
import { crc32 } from '../../src/snapshot/checksum'
import { compareSnapshots } from '../../src/snapshot/compareSnapshots'
import { machineHash } from '../../src/snapshot/machineHash'
import { restoreSnapshot } from '../../src/snapshot/restoreSnapshot'
import { saveSnapshot } from '../../src/snapshot/saveSnapshot'
import { snapshotInfo } from '../../src/snapshot/snapshotInfo'
import { purgeVmapAreas } from '../../src/vmalloc/drainWork'
import { setVmallocCaller } from '../../src/vmalloc/vmAreas'
import { vmMapRam } from '../../src/vmalloc/vmapRam'
import { must } from '../slab/machines'
import { type VmMachine, vmMachine } from '../vmalloc/machines'
import { VmScript } from '../vmalloc/model'

/** A machine, and a snapshot of it. */
function saved(): { machine: VmMachine; file: Uint8Array } {
  const machine = vmMachine({ mib: 8 })
  // The first of everything makes slabs and page tables, which are not of interest here.
  machine.vm.vfree(machine.vm.vmalloc(4096))
  purgeVmapAreas(machine.vm)
  machine.heap.kfree(machine.heap.kmalloc(64))
  return { machine, file: saveSnapshot(machine) }
}

describe('comparing', () => {
  it('tells of pages', () => {
    const { machine, file } = saved()
    const { pages } = machine
    const single = must(pages.allocPages(GFP_KERNEL))
    const block = must(pages.allocPages(GFP_KERNEL, 3))
    const later = saveSnapshot(machine)
    const { pages: found, same, slabs, areas, memory, lines } = compareSnapshots(file, later)
    const blocks = [
      { pfn: single, order: 0, flags: 0, refs: 1 },
      { pfn: block, order: 3, flags: 0, refs: 1 },
    ].sort((a, b) => a.pfn - b.pfn)
    expect(same).toBe(false)
    expect(found.allocated).toEqual({ count: 2, first: blocks })
    expect([found.allocatedPages, found.freedPages]).toEqual([9, 0])
    expect([found.freed.count, found.changed.count]).toEqual([0, 0])
    expect([slabs.caches.count, areas.added.count, memory?.count]).toEqual([0, 0, 0])
    expect(lines[0]).toBe('2 blocks of 9 pages allocated')
    expect(lines).toContain(`  pfn 0x${block.toString(16)}: order 3, flags 0x0, 1 reference`)
    expect(lines).toHaveLength(3)

    const back = compareSnapshots(later, file, { limit: 1 })
    expect(back.pages.freed).toEqual({ count: 2, first: blocks.slice(0, 1) })
    expect(back.pages.freedPages).toBe(9)
    expect(back.lines).toEqual(['2 blocks of 9 pages freed', expect.any(String), '  and 1 more'])
    splitPage(pages, block, 3)
    const split = compareSnapshots(later, machine).pages
    expect(split.changed.first.map(({ before, after }) => [before, after])).toEqual([
      [
        { pfn: block, order: 3, flags: 0, refs: 1 },
        { pfn: block, order: 0, flags: 0, refs: 1 },
      ],
    ])
    expect(split.allocated.count).toBe(7)
  })

  it('tells of slabs, objects and caches', () => {
    const { machine, file } = saved()
    const objects = Array.from({ length: 70 }, () => must(machine.heap.kmalloc(64)))
    const { slabs, lines } = compareSnapshots(file, machine)
    const [change] = slabs.caches.first
    expect(slabs.caches.count).toBe(1)
    expect(change?.name).toBe('kmalloc-64')
    expect((change?.after?.objects ?? 0) - (change?.before?.objects ?? 0)).toBe(70)
    expect((change?.after?.slabs ?? 0) - (change?.before?.slabs ?? 0)).toBe(1)
    expect(lines.some((line) => /^ {2}kmalloc-64: objects \d+ -> \d+, slabs/.test(line))).toBe(true)
    for (const object of objects) machine.heap.kfree(object)
    const large = must(machine.heap.kmalloc(100_000))
    expect(compareSnapshots(file, machine).slabs.largeBlocks).toEqual([0, 1])
    expect(compareSnapshots(file, machine).lines).toContain('large kmalloc blocks: 0 -> 1')
    machine.heap.kfree(large)

    const cache = new SlabCache(machine.slabs, { name: 'mine', size: 700, ctor: () => {} })
    must(cache.alloc())
    const made = compareSnapshots(file, machine, { limit: 100 })
    const mine = made.slabs.caches.first.find(({ name }) => name === 'mine')
    expect(mine).toEqual({ name: 'mine', before: null, after: { slabs: 1, objects: 1 } })
    const gone = compareSnapshots(machine, file, { limit: 100 })
    expect(gone.lines).toContain('  mine: objects 1 -> 0, slabs 1 -> 0, destroyed')
  })

  it('tells of areas', () => {
    const { machine, file } = saved()
    const { vm, pages } = machine
    setVmallocCaller(vm, 'load_level+0x1c/0x80')
    const p = must(vm.vmalloc(300_000))
    const block = must(vmMapRam(vm, [must(pages.allocPages(GFP_KERNEL))]))
    const { areas, lines } = compareSnapshots(file, machine)
    const [first, second] = areas.added.first
    expect(areas.added.count).toBe(2)
    expect(first).toMatchObject({
      address: p,
      size: 75 * 4096,
      nrPages: 74,
      caller: 'load_level+0x1c/0x80',
      block: false,
    })
    expect(second).toMatchObject({ block: true, caller: '' })
    expect((second?.address ?? 0) <= block).toBe(true)
    const text = `0x${(BigInt(p) | (0xffffn << 48n)).toString(16)}`
    expect(lines).toContain(`  ${text}: 307200 bytes, 74 pages, load_level+0x1c/0x80`)
    const later = saveSnapshot(machine)
    vm.vfree(p)
    purgeVmapAreas(vm)
    expect(compareSnapshots(later, machine).areas.removed.first).toEqual([first])
    setVmallocCaller(vm, 'other')
    expect(must(vm.vmalloc(300_000))).toBe(p)
    const [changed] = compareSnapshots(later, machine).areas.changed.first
    expect([changed?.before.caller, changed?.after.caller]).toEqual([
      'load_level+0x1c/0x80',
      'other',
    ])
  })

  it('tells of bytes, between files and machines alike', () => {
    const { machine, file } = saved()
    const pfn = must(machine.pages.allocPages(GFP_KERNEL))
    machine.ram.fill(pfn * 4096 + 100, 5, 1)
    const direct = compareSnapshots(file, machine)
    expect(direct.memory).toEqual({ count: 1, bytes: 5, first: [{ pfn, bytes: 5, offset: 100 }] })
    expect(direct.lines).toContain('5 bytes of memory changed on 1 page')
    expect(compareSnapshots(file, saveSnapshot(machine))).toEqual(direct)
    expect(compareSnapshots(machine, machine)).toMatchObject({ same: true, lines: [] })
    expect(compareSnapshots(file, file)).toMatchObject({ same: true, lines: [] })
  })

  it('counts what a long use has changed as the allocators do', () => {
    const { machine, file } = saved()
    const before = snapshotInfo(file)
    new VmScript(machine, 21).run(80, 0)
    const later = saveSnapshot(machine)
    const after = snapshotInfo(later)
    const { pages, areas } = compareSnapshots(file, later)
    expect(pages.changed.first.every((one) => one.before.order === one.after.order)).toBe(true)
    const { allocatedPages, freedPages } = pages
    expect(allocatedPages - freedPages).toBe(after.pagesInUse - before.pagesInUse)
    expect(areas.added.count - areas.removed.count).toBe(after.areas - before.areas)
    expect(after.pagesInUse + after.pagesFree).toBe(before.pagesInUse + before.pagesFree)
    expect(compareSnapshots(file, machine)).toEqual(compareSnapshots(file, later))
  })

  it('refuses other machines, and wrong options', () => {
    const { machine, file } = saved()
    expect(() => compareSnapshots(file, saveSnapshot(vmMachine({ mib: 4 })))).toThrow(/memory of/)
    expect(() => compareSnapshots(machine, vmMachine({ mib: 8, cpus: 2 }))).toThrow(/cpus of/)
    for (const limit of [-1, 0.5, Number.NaN, '1']) {
      expect(() => compareSnapshots(file, file, { limit: limit as never })).toThrow(InvalidArgument)
    }
  })
})

describe('a snapshot', () => {
  it('of 256 MiB with little in use is small', () => {
    const machine = vmMachine({ mib: 256 })
    must(machine.vm.vmalloc(100_000))
    const file = saveSnapshot(machine)
    expect(file.length).toBeLessThan(400_000)
    const info = snapshotInfo(file)
    expect(info).toMatchObject({
      version: 1,
      memoryBytes: 256 * 2 ** 20,
      memory: [[0, 256 * 2 ** 20, 'usable', 0]],
      cpus: 1,
      nodes: 1,
      layout: 'x86_64',
      content: true,
      areas: 1,
    })
    expect(info.pagesInUse + info.pagesFree).toBe(65536)
    expect(info.pagesInUse).toBeLessThan(200)
    expect(info.sections.map(({ name }) => name)).toEqual(['pages', 'slabs', 'space', 'ram'])
    expect(info.sections[3]?.units).toBe(65536)
    const other = vmMachine({ mib: 256 })
    restoreSnapshot(other, file)
    expect(machineHash(other)).toBe(machineHash(machine))
  })

  it('has checksums of the usual kind', () => {
    const bytes = new TextEncoder().encode('123456789')
    expect(crc32(bytes, 0, 9)).toBe(0xcbf43926)
  })
})

describe('a hash of a machine', () => {
  it('tells each part of its state', () => {
    const machine = vmMachine({ mib: 4 })
    const parts = () => machineHash(machine).split('-')
    const before = parts()
    expect(before).toHaveLength(4)
    const differs = () => parts().map((part, i) => part !== before[i])
    const undo = (words: Int32Array, place: number, expected: readonly boolean[]) => {
      const old = words[place] ?? 0
      words[place] = old ^ (1 << 31)
      expect(differs()).toEqual(expected)
      words[place] = old
    }
    const { pages, slabs, vm, ram } = machine
    undo(pages.words, 100, [true, false, false, false])
    undo(slabs.words, 200, [false, true, false, false])
    undo(vm.context.space.words, 50, [false, false, true, false])
    undo(ram.words, ram.words.length - 1, [false, false, false, true])
    expect(parts()).toEqual(before)
    // Two high bits do not cancel out, nor does content at another place.
    ram.words[2048] = 1 << 31
    const one = parts()[3]
    ram.words[4096] = 1 << 31
    expect(parts()[3]).not.toBe(before[3])
    ram.words[2048] = 0
    expect(parts()[3]).not.toBe(one)
  })
})
