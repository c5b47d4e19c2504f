import { describe, expect, it } from 'vitest'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { attachState } from '../../src/buddy/attach'
import { verifyVmalloc } from '../../src/debug/verifyVmalloc'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { attachSlabs } from '../../src/slab/attach'
import { Kmalloc } from '../../src/slab/kmalloc'
import { differences } from '../buddy/machines'
import { mapperOn, type VmMachine, type VmMachineOptions, vmHash, vmMachine } from './machines'
import { VmScript } from './model'

const STEPS = 200

const MACHINES: readonly (readonly [name: string, seed: number, cpus: number, nodes: number])[] = [
  ['one CPU', 1, 1, 1],
  ['four CPUs and two nodes', 3, 4, 2],
]

describe.each(MACHINES)(
  'the same calls on a machine of %s, seed %i',
  (_name, seed, cpus, nodes) => {
    const make = (options: VmMachineOptions = {}) =>
      vmMachine({ mib: 16, cpus, nodes, ...options, slabs: { merge: false, ...options.slabs } })
    const played = (machine: VmMachine, from = seed) => {
      const script = new VmScript(machine, from).run(STEPS, 0)
      return { machine, answer: script.answer }
    }
    const first = played(make())

    it('give the same answers and the same state a second time', () => {
      const again = played(make())
      expect(again.answer).toBe(first.answer)
      expect(vmHash(again.machine)).toBe(vmHash(first.machine))
      const other = played(make(), seed + 100)
      expect(other.answer).not.toBe(first.answer)
      expect(vmHash(other.machine)).not.toBe(vmHash(first.machine))
    })

    it('give the same on SharedArrayBuffers', () => {
      const shared = played(
        make({ pages: { shared: true }, slabs: { shared: true }, vm: { shared: true } }),
      )
      expect(shared.machine.vm.context.space.words.buffer).toBeInstanceOf(SharedArrayBuffer)
      expect(shared.answer).toBe(first.answer)
      expect(vmHash(shared.machine)).toBe(vmHash(first.machine))
    })

    it('give the same through a snapshot that is copied back', () => {
      const machine = make()
      const script = new VmScript(machine, seed).run(STEPS / 2, 0)
      const { ram, pages, slabs, vm } = machine
      const saved = [ram.words, pages.words, slabs.words, vm.context.space.words].map(
        (words) => [words, words.slice()] as const,
      )
      const before = vmHash(machine)
      const { tableCount } = vm.context.tables
      // What needs no new page table, as those are not known from the words alone.
      for (let i = 1; i < 20; i++) vm.vfree(vm.vmalloc(4096 * i))
      expect(vmHash(machine)).not.toBe(before)
      for (const [place, content] of saved) place.set(content)
      expect(vmHash(machine)).toBe(before)
      if (vm.context.tables.tableCount !== tableCount) return
      script.run(STEPS / 2, 0)
      expect(script.answer).toBe(first.answer)
      expect(vmHash(machine)).toBe(vmHash(first.machine))
    })

    it('give the same on another mapper attached to a copy', () => {
      const machine = make()
      const script = new VmScript(machine, seed).run(STEPS / 2, 0)
      const ram = new PhysicalMemory({ map: [...machine.ram.ranges] })
      ram.words.set(machine.ram.words)
      const pages = attachState(machine.pages.state.slice(0), { ram })
      const slabBuffer = machine.slabs.words.buffer as ArrayBuffer
      const slabs = attachSlabs(pages, slabBuffer.slice(0), { merge: false, layout: LAYOUT_X86_64 })
      const heap = new Kmalloc(slabs)
      const state = (machine.vm.context.space.words.buffer as ArrayBuffer).slice(0)
      const other = mapperOn({ ram, pages, slabs }, heap, { layout: LAYOUT_X86_64, vm: { state } })
      // What runs and who calls is not in the state.
      other.vm.context.caller = machine.vm.context.caller
      other.vm.context.space.held = machine.vm.context.space.held
      expect(vmHash(other)).toBe(vmHash(machine))
      const { tables } = machine.vm.context
      const attached = other.vm.context.tables
      expect([attached.tableCount, attached.pmdTables]).toEqual([
        tables.tableCount,
        tables.pmdTables,
      ])
      expect(verifyVmalloc(other.vm)).toEqual([])
      const before = vmHash(machine)
      script.moveTo(other).run(STEPS / 2, 0)
      expect(script.answer).toBe(first.answer)
      expect(differences(pages, first.machine.pages)).toEqual([])
      expect(vmHash(other)).toBe(vmHash(first.machine))
      expect(vmHash(machine)).toBe(before)
      script.finish()
    })
  },
)
