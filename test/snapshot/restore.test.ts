import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug } from '../../src/base/errors'
import { MiB } from '../../src/base/units'
import { switchCpu } from '../../src/buddy/context'
import { VirtualMemory } from '../../src/paging/virtualMemory'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { findCache } from '../../src/slab/attach'
import { SlabCache } from '../../src/slab/slabCache'
import { machineHash } from '../../src/snapshot/machineHash'
import { restoreSnapshot } from '../../src/snapshot/restoreSnapshot'
import { saveSnapshot } from '../../src/snapshot/saveSnapshot'
import { holdDrainWork, purgeVmapAreas } from '../../src/vmalloc/drainWork'
import type { MachineParts } from '../../src/vmalloc/machineParts'
import { setVmallocCaller } from '../../src/vmalloc/vmAreas'
import { must } from '../slab/machines'
import { type VmMachineOptions, va, vmFaults, vmMachine } from '../vmalloc/machines'
import { VmScript } from '../vmalloc/model'

const SHARED = { pages: { shared: true }, slabs: { shared: true }, vm: { shared: true } }

const MACHINES: readonly (readonly [name: string, seed: number, options: VmMachineOptions])[] = [
  ['one CPU', 1, {}],
  ['four CPUs and two nodes', 3, { cpus: 4, nodes: 2 }],
  ['two CPUs over shared buffers', 5, { cpus: 2, ...SHARED }],
  ['RAM that does not start at 0', 7, { base: 2 ** 28 }],
]

describe.each(MACHINES)('a machine of %s, seed %i', (_name, seed, options) => {
  const make = () => vmMachine({ mib: 8, ...options })

  it('goes on from a snapshot on another machine, wherever it is taken', () => {
    const machine = make()
    const other = make()
    // What the other one did before must not matter.
    new VmScript(other, seed + 50).run(30, 0)
    const script = new VmScript(machine, seed)
    const whole = make()
    const twin = new VmScript(whole, seed)
    for (let point = 0; point < 4; point++) {
      script.run(40, 0)
      const file = saveSnapshot(machine)
      restoreSnapshot(other, file)
      expect(machineHash(other)).toBe(machineHash(machine))
      expect(Buffer.compare(saveSnapshot(other), file)).toBe(0)
      expect(vmFaults(other)).toEqual([])
      const { tables } = machine.vm.context
      expect(other.vm.context.tables.tableCount).toBe(tables.tableCount)
      expect(other.vm.context.tables.pmdTables).toBe(tables.pmdTables)
    }
    const before = machineHash(machine)
    // The original goes on beside the one that was restored.
    script.moveTo(other).run(80, 0)
    expect(machineHash(machine)).toBe(before)
    twin.run(240, 0)
    expect(script.answer).toBe(twin.answer)
    expect(machineHash(other)).toBe(machineHash(whole))
    script.finish()
  })
})

describe('restoring', () => {
  it('puts a machine back to where it was, with its handles', () => {
    const machine = vmMachine({ mib: 8, cpus: 2 })
    const { heap, slabs, pages, vm } = machine
    const built: number[] = []
    const ctor = (object: number) => void built.push(object)
    const cache = new SlabCache(slabs, { name: 'thing', size: 200, ctor })
    const thing = must(cache.alloc())
    const p = must(heap.kmalloc(100))
    holdDrainWork(vm, true)
    setVmallocCaller(vm, 'early+0x0/0x1')
    switchCpu(pages.context, 1)
    const file = saveSnapshot(machine)
    const hash = machineHash(machine)

    new VmScript(machine, 9).run(60, 0)
    cache.free(thing)
    heap.kfree(p)
    setVmallocCaller(vm, 'late')
    holdDrainWork(vm, false)
    switchCpu(pages.context, 0)
    expect(machineHash(machine)).not.toBe(hash)
    restoreSnapshot(machine, file)

    expect(machineHash(machine)).toBe(hash)
    expect([pages.context.cpu, pages.context.pcpShift]).toEqual([1, 64])
    expect([vm.context.caller, vm.context.space.held]).toEqual(['early+0x0/0x1', true])
    cache.free(thing)
    heap.kfree(p)
    expect(() => heap.kfree(p)).toThrow(KernelBug)
    built.length = 0
    // As many as need a new slab: the constructor is still known.
    for (let i = 0; i < 100; i++) cache.alloc()
    expect(built.length).toBeGreaterThan(0)
    expect(vmFaults(machine)).toEqual([])
  })

  it('finds the constructor of a cache by its name, or asks for it', () => {
    const from = vmMachine({ mib: 8 })
    const options = { name: 'thing', size: 200, ctor: () => {} }
    must(new SlabCache(from.slabs, options).alloc())
    const file = saveSnapshot(from)
    const other = vmMachine({ mib: 8 })
    restoreSnapshot(other, file)
    const fill = (cache: SlabCache | null) => {
      for (let i = 0; i < 50; i++) cache?.alloc()
    }
    expect(() => fill(findCache(other.slabs, 'thing'))).toThrow(/given to findCache/)
    let built = 0
    fill(findCache(other.slabs, 'thing', () => void built++))
    expect(built).toBeGreaterThan(0)

    const another = vmMachine({ mib: 8 })
    new SlabCache(another.slabs, { name: 'first', size: 5000 })
    let again = 0
    new SlabCache(another.slabs, { ...options, ctor: () => void again++ })
    restoreSnapshot(another, file)
    fill(findCache(another.slabs, 'thing'))
    expect(again).toBeGreaterThan(0)
  })

  it('marks as dirty the pages that it changes, and no others', () => {
    const ram = new PhysicalMemory({ size: 8 * MiB, dirtyTracking: true })
    const machine = vmMachine({ mib: 8, ram })
    const p = must(machine.vm.vmalloc(3 * 4096))
    const pfns = [0, 1].map((i) => must(machine.vm.vmallocToPfn(va(p + i * 4096))))
    const [first, second] = [must(pfns[0]), must(pfns[1])]
    ram.writeU32(first * 4096, 7)
    const file = saveSnapshot(machine)
    ram.clearDirty()
    restoreSnapshot(machine, file)
    expect(ram.dirtyPages()).toEqual([])
    ram.writeU32(first * 4096, 8)
    ram.writeU32(second * 4096, 9)
    ram.clearDirty()
    restoreSnapshot(machine, file)
    expect(ram.dirtyPages()).toEqual([first, second].sort((a, b) => a - b))
    expect([ram.readU32(first * 4096), ram.readU32(second * 4096)]).toEqual([7, 0])
  })

  it('tells processors to forget their translations', () => {
    const machine = vmMachine({ mib: 8 })
    const memory = new VirtualMemory(machine.vm.tables)
    const p = must(machine.vm.vmalloc(4096))
    memory.storeU32(p, 1)
    const file = saveSnapshot(machine)
    machine.vm.vfree(p)
    purgeVmapAreas(machine.vm)
    machine.flushes()
    expect(() => memory.loadU32(p)).toThrow()
    restoreSnapshot(machine, file)
    expect(machine.flushes()).toEqual(['tlb 0x0 0x1000000000000'])
    expect(memory.loadU32(p)).toBe(1)
    machine.vm.vfree(p)
  })

  it('goes back when a check refuses the machine', () => {
    const machine = vmMachine({ mib: 8 })
    const file = saveSnapshot(machine)
    new VmScript(machine, 4).run(40, 0)
    const hash = machineHash(machine)
    const { tableCount } = machine.vm.context.tables
    const check = (m: MachineParts) => {
      expect(machineHash(m)).not.toBe(hash)
      throw new Error('refused')
    }
    expect(() => restoreSnapshot(machine, file, { check })).toThrow('refused')
    expect(machineHash(machine)).toBe(hash)
    expect(machine.vm.context.tables.tableCount).toBe(tableCount)
    expect(vmFaults(machine)).toEqual([])
    restoreSnapshot(machine, file, { check: () => {} })
    expect(Buffer.compare(saveSnapshot(machine), file)).toBe(0)
    expect(() => restoreSnapshot(machine, file, { check: 1 as never })).toThrow(InvalidArgument)
  })

  it('takes a file from a shared buffer, or from the middle of another', () => {
    const machine = vmMachine({ mib: 8 })
    const file = saveSnapshot(machine)
    const shared = new Uint8Array(new SharedArrayBuffer(file.length + 3), 3)
    shared.set(file)
    const hash = machineHash(machine)
    new VmScript(machine, 4).run(10, 0)
    restoreSnapshot(machine, shared)
    expect(machineHash(machine)).toBe(hash)
    restoreSnapshot(machine, Buffer.from(file))
    expect(machineHash(machine)).toBe(hash)
  })
})
