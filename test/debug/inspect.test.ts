/** Asking about addresses and page frames; all that is allocated; what was allocated since a mark. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_FLAT, LAYOUT_X86_64, type Layout } from '../../src/base/layout'
import { layoutI386 } from '../../src/base/layoutI386'
import { GiB, MiB, PAGE_SIZE, type Pfn, type VirtAddr } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { freeReservedPages } from '../../src/buddy/reservedPages'
import { onCpu } from '../../src/buddy/running'
import type { InspectOptions } from '../../src/debug/backing'
import { inspect, inspectPfn } from '../../src/debug/inspect'
import type { Inspection } from '../../src/debug/inspection'
import { describeInspection } from '../../src/debug/inspectText'
import { formatLeaks, leakMark, leaks } from '../../src/debug/leaks'
import { type LiveAllocation, liveAllocations } from '../../src/debug/liveAllocations'
import { slubDebug } from '../../src/debug/slubDebug'
import { GFP_KERNEL } from '../../src/page/gfp'
import { pageRecord } from '../../src/page/memmap'
import { I386_PAE } from '../../src/paging/x86Format'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { SLAB_STORE_USER, SLAB_TYPESAFE_BY_RCU } from '../../src/slab/flags'
import { Kmalloc } from '../../src/slab/kmalloc'
import { SlabAllocator } from '../../src/slab/slabAllocator'
import { SlabCache } from '../../src/slab/slabCache'
import { HEADER_TOTAL_RAM, PAGE_REFS } from '../../src/state/schema'
import { SLAB_CACHE, SLAB_FRAMES } from '../../src/state/slabSchema'
import { isVmallocAddr } from '../../src/vmalloc/addresses'
import { purgeVmapAreas, vfreeAtomic } from '../../src/vmalloc/drainWork'
import { VM_MAP, VM_MAP_PUT_PAGES } from '../../src/vmalloc/flags'
import { ioremap } from '../../src/vmalloc/ioremap'
import { highmemZones, Kmap } from '../../src/vmalloc/kmap'
import type { MachineParts } from '../../src/vmalloc/machineParts'
import { moduleAlloc } from '../../src/vmalloc/moduleAlloc'
import { findVmAreaAt, setVmallocCaller, vmAreaPages } from '../../src/vmalloc/vmAreas'
import { Vmalloc } from '../../src/vmalloc/vmalloc'
import { vmap } from '../../src/vmalloc/vmap'
import { vmMapRam, vmUnmapRam } from '../../src/vmalloc/vmapRam'
import { stream } from '../buddy/random'
import { freePages, must, slabFaults } from '../slab/machines'
import {
  pa,
  type VmMachine,
  type VmMachineOptions,
  va,
  vmHash,
  vmMachine,
} from '../vmalloc/machines'

/** A machine whose caches keep their names. */
function make(options: VmMachineOptions = {}): VmMachine {
  return vmMachine({ mib: 8, ...options, slabs: { merge: false, ...options.slabs } })
}

function slabIn(i: Inspection) {
  const use = i.page?.use
  return use?.kind === 'slab' ? use.slab : expect.fail(`no slab: ${describeInspection(i)}`)
}

function objectIn(i: Inspection) {
  return slabIn(i).object ?? expect.fail('no object')
}

/** What users asked for. */
function asked(m: MachineParts, options: InspectOptions = {}): LiveAllocation[] {
  return [...liveAllocations(m, options)].filter((live) => !live.internal)
}

const LAYOUTS: readonly (readonly [string, Layout])[] = [
  ['x86_64', LAYOUT_X86_64],
  ['flat', LAYOUT_FLAT],
]

describe.each(LAYOUTS)('an address on a machine of layout %s', (_name, layout) => {
  const virt = (pfn: number) => layout.directMap + pfn * PAGE_SIZE

  it('of an object: its cache, place and state', () => {
    const m = make({ layout })
    const cache = new SlabCache(m.slabs, { name: 'thing', size: 200 })
    const objects = Array.from({ length: 3 }, () => must(cache.alloc()))
    const [first = va(0), second = va(0)] = objects
    const answer = inspect(m, second + 7)
    expect(answer).toMatchObject({ where: 'direct map', area: null, value: second + 7 })
    expect(answer.page).toMatchObject({
      state: 'used',
      zone: 'DMA',
      node: 0,
      blockType: 'Unmovable',
      order: 0,
      references: 1,
      flagNames: 'slab',
    })
    const slab = slabIn(answer)
    expect(slab).toMatchObject({ cache: 'thing', objectSize: 200, objects: 20, inUse: 3 })
    expect(slab).toMatchObject({ list: 'slab of CPU 0', start: first, quarantined: false })
    expect(slab.object).toMatchObject({ index: 1, start: second, offset: 7, state: 'in use' })
    expect(slab.object).toMatchObject({ use: '', allocated: null, freed: null })
    cache.free(second)
    expect(objectIn(inspect(m, second))).toMatchObject({ index: 1, state: 'free' })
    expect(slabIn(inspect(m, second)).inUse).toBe(2)
    // 20 objects of 200 bytes leave 96 bytes.
    expect(slabIn(inspect(m, first + 4000)).object).toBeNull()
    expect(describeInspection(inspect(m, first + 4000))).toContain('behind the last object')
  })

  it('of a slab: which list it is on', () => {
    const m = make({ layout, cpus: 2 })
    const cache = new SlabCache(m.slabs, { name: 'big', size: 1000 })
    const objects = Array.from({ length: 40 }, () => must(cache.alloc()))
    const at = (i: number) => slabIn(inspect(m, objects[i] ?? 0)).list
    const perSlab = slabIn(inspect(m, objects[0] ?? 0)).objects
    expect(perSlab).toBe(16)
    // The CPU leaves a full slab when it needs the next one.
    expect([at(0), at(16), at(32)]).toEqual([
      'full, on no list',
      'full, on no list',
      'slab of CPU 0',
    ])
    onCpu(m.pages, 1, () => cache.free(must(objects[0])))
    expect(at(1)).toBe('partial list of CPU 1')
    cache.shrink()
    expect(at(1)).toBe('partial list of node 0')
    const rcu = new SlabCache(m.slabs, { name: 'r', size: 1000, flags: SLAB_TYPESAFE_BY_RCU })
    const late = must(rcu.alloc())
    rcu.free(late)
    rcu.shrink()
    expect(slabIn(inspect(m, late)).list).toBe('waits for a grace period')
  })

  it('of what belongs to an allocator itself', () => {
    const m = make({ layout })
    setVmallocCaller(m.vm, 'load+0x1/0x2')
    const p = must(m.vm.vmalloc(3 * PAGE_SIZE))
    const own = [...liveAllocations(m)].filter(
      ({ kind, internal }) => kind === 'object' && internal,
    )
    const uses = new Set<string>()
    for (const { address, use } of own) {
      expect(objectIn(inspect(m, must(address)))).toMatchObject({ state: 'in use', use })
      uses.add(use)
    }
    const start = layout === LAYOUT_FLAT ? '0000400000000000' : 'ffffc90000000000'
    for (const what of ['vm_struct', 'vmap_area', 'page array']) {
      expect(uses).toContain(`${what} of the area at ${start}`)
    }
    expect(uses).toContain('descriptor of a cache')
    expect(uses).toContain('node state of a cache')
    const root = inspect(m, virt(m.vm.tables.root) + 8)
    expect(root.page?.use).toEqual({ kind: 'table', level: 0, name: 'PGD' })
    const leaf = m.vm.tables.walk(p).entries.at(-1)?.tablePfn ?? -1
    expect(inspectPfn(m, leaf).page?.use).toEqual({ kind: 'table', level: 3, name: 'PTE' })
    expect(describeInspection(root)).toContain('page table of the mapper: level 0, PGD')
    const frame = inspectPfn(m, must(m.vm.vmallocToPfn(p)))
    expect(frame.page?.use).toEqual({ kind: 'area', start: p, caller: 'load+0x1/0x2' })
  })

  it('of blocks of pages: in use, on a list of a CPU, free, a tail, reserved, in no block', () => {
    const m = make({ layout, cpus: 2 })
    const head = must(m.pages.allocPages(GFP_KERNEL, 3))
    const tail = inspect(m, virt(head + 5) + 9)
    expect(tail.page).toMatchObject({ pfn: head + 5, head, order: 3, offset: 9, state: 'used' })
    expect(tail.page).toMatchObject({ references: 1, use: null, owner: '', flags: 0 })
    const owner = (pfn: number) => (pfn === head + 5 ? 'driver' : null)
    expect(inspectPfn(m, head + 5, { owner }).page?.owner).toBe('driver')
    expect(inspectPfn(m, head, { owner }).page?.owner).toBe('')
    expect(describeInspection(inspectPfn(m, head + 5, { owner }))).toContain('page owner: driver')
    const pfn = onCpu(m.pages, 1, () => {
      const taken = must(m.pages.allocPages(GFP_KERNEL))
      m.pages.freePages(taken)
      return taken
    })
    const cached = inspectPfn(m, pfn)
    expect(cached.page).toMatchObject({
      state: 'cpu list',
      cpu: 1,
      listType: 'Unmovable',
      head: pfn,
    })
    expect(cached.page).toMatchObject({ references: 0, use: null })
    expect(describeInspection(cached)).toContain('free, with CPU 1: order 0')
    // The last block of the machine has never been touched.
    const free = inspect(m, virt(2047)).page
    expect(free).toMatchObject({ state: 'free', cpu: -1, references: 0, head: 1024, order: 10 })
    expect(['Unmovable', 'Movable']).toContain(free?.listType)
    m.pages.words[pageRecord(head) + PAGE_REFS] = 0
    expect(inspectPfn(m, head).page).toMatchObject({ state: 'unknown', head: -1, order: 0 })
  })

  it('of a large block of kmalloc, at any of its bytes', () => {
    const m = make({ layout })
    const p = must(m.heap.kmalloc(20_000))
    const answer = inspect(m, p + 32767)
    expect(answer.page?.use).toEqual({ kind: 'large', address: p, size: 32768, use: '' })
    expect(answer.page).toMatchObject({ order: 3, flagNames: 'slab|head', offset: 4095 })
    expect(describeInspection(answer)).toContain('kmalloc block of 32768 bytes from ')
  })

  it('of an area: its page, its guard page, and what comes after vfree and a purge', () => {
    const m = make({ layout })
    setVmallocCaller(m.vm, 'load+0x1/0x2')
    const p = must(m.vm.vmalloc(5000))
    const inside = inspect(m, p + 5000)
    expect(inside.where).toBe('vmalloc')
    expect(inside.area).toMatchObject({ kind: 'area', start: p, size: 12288, offset: 5000 })
    expect(inside.area).toMatchObject({
      flagNames: ['VM_ALLOC'],
      nrPages: 2,
      guard: false,
      use: '',
    })
    expect(inside.area).toMatchObject({ caller: 'load+0x1/0x2', deferred: false, block: null })
    const pfn = vmAreaPages(m.vm, p)[1]
    expect(inside.page).toMatchObject({ pfn, offset: 5000 - PAGE_SIZE, state: 'used' })
    expect(inside.page?.use).toEqual({ kind: 'area', start: p, caller: 'load+0x1/0x2' })
    const guard = inspect(m, p + 8192)
    expect(guard).toMatchObject({ page: null, area: { kind: 'area', guard: true } })
    expect(describeInspection(guard)).toContain('its guard page, offset 8192\n  nothing is mapped')
    vfreeAtomic(m.vm, p)
    expect(inspect(m, p).area).toMatchObject({ kind: 'area', deferred: true })
    const other = must(m.vm.vmalloc(1))
    m.vm.vfree(other)
    expect(inspect(m, other)).toMatchObject({
      page: null,
      area: { kind: 'unpurged', start: other },
    })
    expect(describeInspection(inspect(m, other))).toContain('freed, waits for a purge: ')
    purgeVmapAreas(m.vm)
    expect(inspect(m, other)).toMatchObject({ page: null, area: { kind: 'free', start: other } })
  })

  it('of mappings of vm_map_ram, in a block and alone; of vmap; of device memory', () => {
    const m = make({ layout })
    const pfns = Array.from({ length: 70 }, () => must(m.pages.allocPages(GFP_KERNEL)))
    const small = must(vmMapRam(m.vm, pfns.slice(0, 3)))
    const shared = inspect(m, small + PAGE_SIZE)
    expect(shared.area).toMatchObject({ kind: 'vm_map_ram', start: small, caller: '', nrPages: 0 })
    const pages = shared.area?.block?.pages ?? 0
    // Three pages take four.
    expect(shared.area?.block).toEqual({ pages, free: pages - 4, dirty: 0 })
    expect(shared.page).toMatchObject({ pfn: pfns[1], state: 'used', use: null })
    const large = must(vmMapRam(m.vm, pfns))
    expect(inspect(m, large)).toMatchObject({ page: { pfn: pfns[0] }, area: { block: null } })
    expect(inspect(m, large).area).toMatchObject({ kind: 'vm_map_ram', size: 70 * PAGE_SIZE })
    const mapped = must(vmap(m.vm, pfns.slice(0, 2)))
    expect(inspect(m, mapped)).toMatchObject({ page: { pfn: pfns[0], use: null } })
    expect(inspect(m, mapped).area).toMatchObject({ flagNames: ['VM_MAP'], nrPages: 0 })
    const io = must(ioremap(m.vm, pa(0xfe000000), PAGE_SIZE))
    const device = inspect(m, io)
    expect(device.area).toMatchObject({ phys: 0xfe000000, flagNames: ['VM_IOREMAP'] })
    expect(device.page).toMatchObject({ pfn: 0xfe000, state: 'no memory', zone: '', node: -1 })
    expect(describeInspection(device)).toContain('page frame 0xfe000: no memory')
  })

  it('of the page array of a large area, which is an area itself', () => {
    const m = make({ layout })
    const p = must(m.vm.vmalloc(600 * PAGE_SIZE))
    const arrays = [...liveAllocations(m)].filter(
      ({ kind, internal }) => kind === 'area' && internal,
    )
    expect(arrays.map(({ size }) => size)).toEqual([3 * PAGE_SIZE])
    const array = inspect(m, must(arrays[0]?.address ?? null))
    expect(array.area?.use).toMatch(/^page array of the area at [0-9a-f]{16}$/)
    expect(inspect(m, p).area?.use).toBe('')
  })

  it('of anything else: an answer, and nothing has changed', () => {
    const m = make({ layout, cpus: 2 })
    const places = [must(m.heap.kmalloc(9)), must(m.vm.vmalloc(9)), must(m.heap.kmalloc(9000))]
    const before = vmHash(m)
    const odd = [Number.NaN, Infinity, -Infinity, -1, -0, 0, 0.5, 16, 2 ** 31, 2 ** 32, 2 ** 53]
    odd.push(layout.directMap, layout.directMapEnd, layout.vmallocStart, layout.vmallocEnd)
    odd.push(2 ** layout.vaBits - 1, 2 ** layout.vaBits, Number.MAX_VALUE, virt(2 ** 29), ...places)
    const near = fc.tuple(fc.constantFrom(...odd), fc.integer({ min: -5000, max: 5000 }))
    const number = fc.oneof(
      fc.double(),
      fc.maxSafeInteger(),
      near.map(([base, distance]) => base + distance),
      fc.integer({ min: 0, max: 8 * MiB }).map((phys) => layout.directMap + phys),
    )
    fc.assert(
      fc.property(number, (value) => {
        for (const answer of [inspect(m, value), inspectPfn(m, value)]) {
          expect(describeInspection(answer).length).toBeGreaterThan(0)
          expect(JSON.stringify(answer).length).toBeGreaterThan(0)
          const whole = Number.isInteger(value) && value >= 0
          if (!whole) expect(answer).toMatchObject({ where: 'none', area: null, page: null })
        }
      }),
      { numRuns: 300 },
    )
    for (let pfn = 0; pfn < 2100; pfn++) describeInspection(inspectPfn(m, pfn))
    formatLeaks(m, leaks(m, leakMark(m), { internal: true }))
    expect(vmHash(m)).toBe(before)
    expect(describeInspection(inspect(m, Number.NaN))).toBe('NaN is no address')
    expect(describeInspection(inspectPfn(m, -1))).toBe('-1 is no page frame')
    expect(inspectPfn(m, 2048).page?.state).toBe('no memory')
    for (const wrong of ['0x10', null, undefined, 1n, {}] as unknown as number[]) {
      expect(() => inspect(m, wrong)).toThrow(InvalidArgument)
      expect(() => inspectPfn(m, wrong)).toThrow(InvalidArgument)
    }
    for (const wrong of [null, undefined, {}, m.vm] as unknown as MachineParts[]) {
      expect(() => inspect(wrong, 0)).toThrow(InvalidArgument)
      expect(() => liveAllocations(wrong)).toThrow(InvalidArgument)
    }
    const owner = 'me' as unknown as () => string
    expect(() => inspect(m, 0, { owner })).toThrow(InvalidArgument)
    expect(() => leaks(m, {} as never)).toThrow(InvalidArgument)
    expect(() => formatLeaks(m, {} as never)).toThrow(InvalidArgument)
  })
})

describe('windows', () => {
  it('of x86_64: modules, the kernel image, the fixmap, and none', () => {
    const m = make()
    const p = must(moduleAlloc(m.vm, 100))
    expect(inspect(m, p)).toMatchObject({ where: 'modules', area: { start: p, nrPages: 1 } })
    expect(inspect(m, p).page?.use).toMatchObject({ kind: 'area', start: p })
    const image = inspect(m, 0xffff80000000 + 5 * PAGE_SIZE + 1)
    expect(image).toMatchObject({ where: 'kernel image', area: null, page: { pfn: 5, offset: 1 } })
    expect(inspect(m, 0xffffff7ff123)).toMatchObject({ where: 'fixmap', page: null })
    expect(inspect(m, 0x1000)).toMatchObject({ where: 'other', area: { kind: 'free' } })
    const text = 'ffffffffff7ff123: fixmap\n  free: '
    expect(describeInspection(inspect(m, 0xffffff7ff123)).startsWith(text)).toBe(true)
  })

  it('of i386: high memory has no address, but that of kmap', () => {
    const map = [
      { base: 0, size: 8 * MiB, type: 'usable' as const },
      { base: GiB, size: 8 * MiB, type: 'usable' as const },
    ]
    const layout = layoutI386({ memory: GiB + 8 * MiB, pae: true, nrCpus: 4 })
    const ram = new PhysicalMemory({ map })
    const pages = new BuddyAllocator({ ram, zones: highmemZones(layout) })
    const slabs = new SlabAllocator(pages, { layout })
    const heap = new Kmalloc(slabs)
    const vm = new Vmalloc(pages, { heap, format: I386_PAE })
    const m = { ram, pages, slabs, heap, vm }
    const pfn = GiB / PAGE_SIZE
    const answer = inspectPfn(m, pfn)
    expect(answer).toMatchObject({ where: 'high memory', page: { zone: 'HighMem', state: 'free' } })
    const words = describeInspection(answer)
    expect(words.startsWith('page frame 0x40000: zone HighMem, node 0, ')).toBe(true)
    expect(words.endsWith('\n  the direct map does not reach it')).toBe(true)
    const high = must(pages.allocPages(0x2 | GFP_KERNEL)) as Pfn
    const live = asked(m).find((one) => one.pfn === high)
    expect(live).toMatchObject({ address: null, size: PAGE_SIZE, kind: 'pages' })
    const at = must(new Kmap(pages, vm.tables, layout).kmap(high))
    const mapped = inspect(m, at)
    expect(mapped).toMatchObject({ where: 'pkmap', page: { pfn: high } })
    expect(describeInspection(mapped)).toContain(`${at.toString(16)}: pkmap\n`)
  })

  it('tells what is reserved, and pages set aside at address 0', () => {
    const map = [
      { base: 0, size: MiB, type: 'reserved' as const },
      { base: MiB, size: 7 * MiB, type: 'usable' as const },
    ]
    const m = make({ ram: new PhysicalMemory({ map }) })
    expect(inspectPfn(m, 9).page).toMatchObject({ state: 'reserved', zone: 'DMA', head: 9 })
    expect(describeInspection(inspectPfn(m, 9))).toContain('reserved: never handed')
    freeReservedPages(m.pages, 9 as Pfn)
    expect(inspectPfn(m, 9).page?.state).toBe('cpu list')
    const flat = make({ layout: LAYOUT_FLAT })
    expect(inspect(flat, 16).page?.use).toEqual({ kind: 'set aside' })
    expect(asked(flat)).toEqual([])
  })
})

describe('tracks', () => {
  function tracked() {
    const now = { time: 100 }
    const debug = slubDebug({
      boot: 'FZPU',
      time: () => now.time,
      pid: () => 7,
      stack: () => ['f+0x1/0x2'],
    })
    return { m: make({ slabs: { debug } }), now }
  }

  it('tell who allocated and freed an object, and how long ago', () => {
    const { m, now } = tracked()
    const c = m.slabs.context
    c.caller = 'maker+0x1/0x2'
    const p = must(m.heap.kmalloc(100))
    now.time = 130
    const by = { cpu: 0, pid: 7, stack: ['f+0x1/0x2'] }
    expect(objectIn(inspect(m, p))).toMatchObject({
      state: 'in use',
      allocated: { ...by, by: 'maker+0x1/0x2', when: 100, age: 30 },
      freed: null,
    })
    expect(objectIn(inspect(m, p - 4)).offset).toBe(-4)
    const text = describeInspection(inspect(m, p - 4))
    expect(text).toContain('4 bytes in front of it')
    expect(text).toContain('allocated by maker+0x1/0x2, CPU 0, pid 7, 30 jiffies ago\n')
    expect(describeInspection(inspect(m, p + 130))).toContain('offset 130, behind its 128 bytes')
    const slab = slabIn(inspect(m, p))
    c.caller = 'breaker+0x1/0x2'
    m.heap.kfree(p)
    const freed = inspect(m, p)
    expect(slabIn(freed).inUse).toBe(slab.inUse - 1)
    expect(objectIn(freed)).toMatchObject({ state: 'free', freed: { by: 'breaker+0x1/0x2' } })
  })

  it('tell an object from an earlier one at the same address', () => {
    const { m, now } = tracked()
    const p = must(m.heap.kmalloc(100))
    const since = leakMark(m)
    m.heap.kfree(p)
    expect(m.heap.kmalloc(100)).toBe(p)
    // Everything about the track is the same: nothing can tell.
    expect(leaks(m, since)).toEqual([])
    now.time += 1
    m.heap.kfree(p)
    expect(m.heap.kmalloc(100)).toBe(p)
    expect(leaks(m, since)).toMatchObject([{ address: p, size: 128, cache: 'kmalloc-128' }])
  })
})

describe('leaks', () => {
  it('are what is new since the leakMark, grouped in the text, the most bytes first', () => {
    const m = make()
    const old = must(m.heap.kmalloc(64))
    const since = leakMark(m)
    expect(formatLeaks(m, leaks(m, since))).toBe('no leaks\n')
    m.heap.kfree(old)
    setVmallocCaller(m.vm, 'load+0x1/0x2')
    const area = must(m.vm.vmalloc(PAGE_SIZE))
    const many = Array.from({ length: 6 }, () => must(m.heap.kmalloc(192)))
    const pfn = must(m.pages.allocPages(GFP_KERNEL, 1))
    const found = leaks(m, since)
    expect(found.map(({ address }) => address).sort()).toEqual(
      [area, ...many, LAYOUT_X86_64.directMap + pfn * PAGE_SIZE].sort(),
    )
    const hex = (address: number) => `ffff${address.toString(16)}`
    const shown = many.slice(0, 4).map(hex).join(', ')
    const block = hex(LAYOUT_X86_64.directMap + pfn * PAGE_SIZE)
    expect(formatLeaks(m, found).split('\n')).toEqual(
      expect.arrayContaining([
        `      8192 area: 1 of 8192 bytes, by load+0x1/0x2: ${hex(area)}`,
        `      8192 pages: 1 of 8192 bytes: ${block}`,
        `      1152 kmalloc-192: 6 of 192 bytes: ${shown}, …`,
        '     17536 bytes in 8 allocations',
      ]),
    )
    expect(formatLeaks(m, found).split('\n')).toHaveLength(5)
    const all = leaks(m, since, { internal: true })
    expect(all.length).toBeGreaterThan(found.length)
    expect(all.filter(({ internal }) => !internal)).toEqual(found)
  })

  it('count pages as new when the owner is another', () => {
    const m = make()
    let name = 'first'
    const options = { owner: () => name }
    const pfn = must(m.pages.allocPages(GFP_KERNEL))
    const since = leakMark(m, options)
    expect(leaks(m, since, options)).toEqual([])
    name = 'second'
    expect(leaks(m, since, options)).toMatchObject([{ pfn, caller: 'second', kind: 'pages' }])
  })
})

/** Calls at random, and a list of what should be there: kind, place, bytes. */
class Script {
  readonly live = new Map<string, () => void>()
  private readonly random
  private readonly cache: SlabCache

  constructor(
    private readonly m: VmMachine,
    seed: number,
  ) {
    this.random = stream(seed)
    this.cache = new SlabCache(m.slabs, { name: 'thing', size: 200 })
  }

  step(): void {
    if (this.live.size > 40 || this.random.below(3) === 0) this.free()
    else onCpu(this.m.pages, this.random.below(2), () => this.take(this.random.below(9)))
  }

  private free(): void {
    if (this.live.size === 0) return
    const [key, end] = this.random.pick([...this.live])
    for (const [other, same] of [...this.live]) if (same === end) this.live.delete(other)
    this.live.delete(key)
    end()
  }

  private add(kind: string, at: number | null, bytes: number, end: (at: VirtAddr) => void): void {
    if (at === null) return
    this.live.set(`${kind} ${at} ${bytes}`, () => end(at as VirtAddr))
  }

  private take(what: number): void {
    const { m, random } = this
    const { pages, heap, vm } = m
    if (what <= 1) {
      const size = 1 + random.below(what === 0 ? 300 : 8192)
      const classes = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192]
      const bytes = must(classes.find((one) => one >= size))
      this.add('object', heap.kmalloc(size), bytes, (p) => heap.kfree(p))
    } else if (what === 2) {
      const size = 8193 + random.below(50_000)
      const bytes = 2 ** Math.ceil(Math.log2(size))
      this.add('large', heap.kmalloc(size), bytes, (p) => heap.kfree(p))
    } else if (what === 3) {
      this.add('object', this.cache.alloc(), 200, (p) => this.cache.free(p))
    } else if (what === 4) {
      const order = random.below(4)
      const pfn = pages.allocPages(GFP_KERNEL, order)
      if (pfn !== null) this.addPages(pfn, order, () => pages.freePages(pfn, order))
    } else if (what === 5) {
      const size = 1 + random.below(random.below(8) === 0 ? 530 * PAGE_SIZE : 60_000)
      const bytes = (Math.ceil(size / PAGE_SIZE) + 1) * PAGE_SIZE
      this.add('area', vm.vmalloc(size), bytes, (p) => vm.vfree(p))
    } else this.map(what)
  }

  /** Maps pages: they are the owner's still, but with VM_MAP_PUT_PAGES. */
  private map(what: number): void {
    const { pages, vm } = this.m
    const count = what === 8 ? 65 + this.random.below(5) : 1 + this.random.below(6)
    const pfns = Array.from({ length: count }, () => must(pages.allocPages(GFP_KERNEL)))
    const give = () => {
      for (const pfn of pfns) pages.freePages(pfn)
    }
    if (what === 6) {
      const put = this.random.below(2) === 0
      const p = must(vmap(vm, pfns, put ? VM_MAP | VM_MAP_PUT_PAGES : VM_MAP))
      const end = () => (put ? vm.vfree(p) : [vm.vunmap(p), give()])
      this.live.set(`area ${p} ${(count + 1) * PAGE_SIZE}`, end)
      if (!put) for (const pfn of pfns) this.addPages(pfn, 0, end)
      return
    }
    const p = must(vmMapRam(vm, pfns))
    const end = () => {
      vmUnmapRam(vm, p, count)
      give()
    }
    for (const pfn of pfns) this.addPages(pfn, 0, end)
    if (count > 64) this.live.set(`area ${p} ${count * PAGE_SIZE}`, end)
    else {
      for (let i = 0; i < count; i++)
        this.live.set(`mapping ${p + i * PAGE_SIZE} ${PAGE_SIZE}`, end)
    }
  }

  private addPages(pfn: number, order: number, end: () => void): void {
    const at = this.m.slabs.context.directMap + pfn * PAGE_SIZE
    this.live.set(`pages ${at} ${PAGE_SIZE << order}`, end)
  }
}

describe.each(LAYOUTS)('what is live on a machine of layout %s', (_name, layout) => {
  it.each([1, 2, 3])('is what a script left, each once: seed %i', (seed) => {
    const m = make({ layout, mib: 16, cpus: 2 })
    expect(asked(m)).toEqual([])
    const script = new Script(m, seed)
    const keyOf = ({ kind, address, size }: LiveAllocation) => `${kind} ${address} ${size}`
    for (let step = 0; step < 240; step++) {
      script.step()
      if (step % 8 !== 0) continue
      expect(asked(m).map(keyOf).sort().join('\n')).toBe([...script.live.keys()].sort().join('\n'))
    }
    checkEach(m)
    expect(slabFaults(m)).toEqual([])
    // Blocks, those of kmalloc included, are all pages in use, each once.
    const live = [...liveAllocations(m)]
    const blocks = live.filter(({ kind }) => kind === 'pages' || kind === 'large')
    const bytes = blocks.reduce((sum, { size }) => sum + size, 0)
    const used = m.pages.words[HEADER_TOTAL_RAM]! - freePages(m)
    expect(bytes).toBe(used * PAGE_SIZE)
    expect(new Set(live.map(keyOf)).size).toBe(live.length)
  })
})

/** What is listed as live is described as live when asked about. */
function checkEach(m: VmMachine): void {
  const { words } = m.slabs
  for (const { kind, address, cache, use } of liveAllocations(m)) {
    const answer = inspect(m, must(address))
    if (kind === 'object') {
      expect(slabIn(answer)).toMatchObject({ cache, object: { state: 'in use', use, offset: 0 } })
    } else if (kind === 'area' || kind === 'mapping') {
      expect(isVmallocAddr(m.vm.context.layout, must(address))).toBe(true)
      const struct = findVmAreaAt(m.vm, must(address)) !== null
      expect(answer.area?.kind).toBe(struct ? 'area' : 'vm_map_ram')
      if (kind === 'mapping') expect(answer.page?.state).toBe('used')
    } else {
      const word = words[SLAB_FRAMES + must(answer.page).pfn]!
      const isSlab = word > 0 && words[word + SLAB_CACHE]! > 0
      expect(answer.page?.use?.kind === 'slab').toBe(isSlab)
      expect(answer.page).toMatchObject({ state: 'used', offset: 0 })
    }
  }
}

describe('a cache with tracks', () => {
  it('is walked by its free list', () => {
    const m = make({ slabs: { debug: slubDebug() } })
    const flags = SLAB_STORE_USER
    const cache = new SlabCache(m.slabs, { name: 'u', size: 64, flags })
    const [a, b, c] = [must(cache.alloc()), must(cache.alloc()), must(cache.alloc())]
    cache.free(b)
    const found = asked(m).map(({ address, caller }) => [address, caller])
    expect(found).toEqual([
      [a, 'unknown'],
      [c, 'unknown'],
    ])
    expect(slabIn(inspect(m, a)).list).toBe('partial list of node 0')
  })
})
