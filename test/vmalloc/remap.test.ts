/** Memory of vmalloc in a user's address space, and memory of modules. Source: spec/vmalloc.md §6.1, §9.2. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_FLAT, LAYOUT_X86_64 } from '../../src/base/layout'
import { AddressSpace } from '../../src/paging/addressSpace'
import { PAGE_READONLY } from '../../src/paging/format'
import { PageFault } from '../../src/paging/pageFault'
import { X86_64 } from '../../src/paging/x86Format'
import { VM_FLUSH_RESET_PERMS } from '../../src/vmalloc/flags'
import { writeKernelMemory } from '../../src/vmalloc/kernelBytes'
import { moduleAlloc } from '../../src/vmalloc/moduleAlloc'
import { remapVmallocRange } from '../../src/vmalloc/remap'
import { findVmAreaAt, vmAreaPages } from '../../src/vmalloc/vmAreas'
import { expectVmSound, va, vmMachine } from './machines'

const USER = 0x10000

function userMachine() {
  const machine = vmMachine()
  const space = new AddressSpace(machine.pages, { format: X86_64, user: true })
  const memory = machine.vm.vmallocUser(5 * 4096) ?? va(0)
  return { machine, space, memory }
}

describe('remapVmallocRange', () => {
  it('shows the pages of an area in order, and what the kernel writes there', () => {
    const { machine, space, memory } = userMachine()
    const range = { address: USER, size: 3 * 4096 - 5 }
    expect(remapVmallocRange(machine.vm, space, range, memory, 1)).toBe(0)
    const shown = [0, 1, 2].map((page) => space.walk(USER + page * 4096).pfn)
    expect(shown).toEqual(vmAreaPages(machine.vm, memory).slice(1, 4))
    expect(space.walk(USER + 3 * 4096).pfn).toBeNull()
    writeKernelMemory(machine.vm, va(memory + 4096 + 4094), new Uint8Array([1, 2, 3, 4]))
    expect(space.loadU32(USER + 4094)).toBe(0x04030201)
    space.storeU8(USER, 9)
    space.unmap(USER, 3 * 4096)
    space.destroy()
    machine.vm.vfree(memory)
    expectVmSound(machine)
  })

  it('starts at any page of an area, with the protection asked for', () => {
    const { machine, space, memory } = userMachine()
    const from = va(memory + 2 * 4096)
    const range = { address: USER, size: 4096 }
    expect(remapVmallocRange(machine.vm, space, range, from, 2, PAGE_READONLY)).toBe(0)
    expect(space.walk(USER).pfn).toBe(vmAreaPages(machine.vm, memory)[4])
    expect(() => space.storeU8(USER, 1)).toThrow(PageFault)
  })

  it('refuses with EINVAL, and maps nothing', () => {
    const { machine, space, memory } = userMachine()
    const { vm } = machine
    const plain = vm.vmalloc(4096) ?? va(0)
    const size = 4096
    const cases: readonly (readonly [string, number])[] = [
      ['another start', remapVmallocRange(vm, space, { address: USER + 1, size }, memory)],
      ['inside a page', remapVmallocRange(vm, space, { address: USER, size }, va(memory + 8))],
      ['no area', remapVmallocRange(vm, space, { address: USER, size }, va(memory - 4096 * 64))],
      ['not for users', remapVmallocRange(vm, space, { address: USER, size }, plain)],
      [
        'a page too many',
        remapVmallocRange(vm, space, { address: USER, size: 5 * 4096 + 1 }, memory),
      ],
      ['an offset too far', remapVmallocRange(vm, space, { address: USER, size }, memory, 5)],
      ['far too far', remapVmallocRange(vm, space, { address: USER, size }, memory, 2 ** 50)],
    ]
    for (const [name, result] of cases) expect(result, name).toBe(-22)
    expect(space.mappings()).toEqual([])
  })

  it('answers ENOMEM without a page for a table', () => {
    const { machine, space, memory } = userMachine()
    machine.pages.context.faults = { failPage: () => true }
    const range = { address: USER, size: 4096 }
    // As a fault on purpose is set behind its back, the fast way is told of it.
    machine.pages.setTrace(null)
    expect(remapVmallocRange(machine.vm, space, range, memory)).toBe(-12)
    expect(space.mappings()).toEqual([])
  })

  it('throws for what is no argument', () => {
    const { machine, space, memory } = userMachine()
    const { vm } = machine
    const range = { address: USER, size: 4096 }
    for (const call of [
      () => remapVmallocRange(vm, {} as never, range, memory),
      () => remapVmallocRange(vm, space, null as never, memory),
      () => remapVmallocRange(vm, space, { address: -1, size: 1 }, memory),
      () => remapVmallocRange(vm, space, { address: USER, size: 0 }, memory),
      () => remapVmallocRange(vm, space, range, Number.NaN as never),
      () => remapVmallocRange(vm, space, range, memory, -1),
      () => remapVmallocRange(vm, space, range, memory, 0, 0x10000),
    ]) {
      expect(call).toThrow(InvalidArgument)
    }
    expect(space.mappings()).toEqual([])
  })
})

describe('moduleAlloc', () => {
  it('takes memory in the window of modules, which freeing flushes', () => {
    const machine = vmMachine()
    const { vm } = machine
    const module = moduleAlloc(vm, 10_000) ?? va(0)
    expect(module).toBe(LAYOUT_X86_64.modules?.start)
    expect(findVmAreaAt(vm, module)?.flags).toBe(VM_FLUSH_RESET_PERMS | 2)
    machine.flushes()
    vm.vfree(module)
    expect(machine.flushes().some((line) => line.startsWith('tlb'))).toBe(true)
    expect(moduleAlloc(vm, 0x60000000)).toBeNull()
    expectVmSound(machine)
  })

  it('needs such a window', () => {
    expect(() => moduleAlloc(vmMachine({ layout: LAYOUT_FLAT }).vm, 1)).toThrow(InvalidArgument)
  })
})
