/** Machines on the buffers of others: nothing is copied or changed, both go on exactly, and wrong buffers are refused. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { MiB, type Pfn, type VirtAddr } from '../../src/base/units'
import { Machine } from '../../src/machine/machine'
import type { MachineBuffers } from '../../src/machine/machineBuffers'
import type { MachineOptions } from '../../src/machine/machineOptions'
import { SlabCache } from '../../src/slab/slabCache'
import { AREA_NEXT, VMAP_AREA_CACHE, VMAP_ROOTS } from '../../src/state/vmapSchema'
import { work } from './work'

const KERNEL_CONFIGS = [
  { name: 'plain', options: {} },
  { name: 'shared', options: { shared: true } },
  {
    name: 'x86_64, two CPUs, no merging',
    options: { layout: LAYOUT_X86_64, cpus: 2, cmdline: 'slab_nomerge' },
  },
] as const satisfies readonly { name: string; options: Omit<MachineOptions, 'ram'> }[]

describe.each(KERNEL_CONFIGS)('a machine on the buffers of another: $name', ({ options }) => {
  const boot = () => Machine.boot({ ram: '64MiB', ...options })

  it('finds the same state, and changes nothing by looking', () => {
    const m = boot()
    work(m, [], 300, 1)
    const before = m.hash()
    const other = Machine.attach(m.buffers, options)
    expect(other.hash()).toBe(before)
    expect(other.ram.buffer).toBe(m.ram.buffer)
    expect(other.verify()).toEqual([])
  })

  it('on a copy goes on exactly, and leaves the first alone', () => {
    const m = boot()
    const live: number[] = []
    work(m, live, 300, 2)
    const before = m.hash()
    const { map, ram, pages, slabs, space, turn } = m.buffers
    const copy = { map, ram: ram.slice(0), pages: pages.slice(0), slabs: slabs.slice(0) }
    const other = Machine.attach({ ...copy, space: space.slice(0), turn: turn.slice(0) }, options)
    const answers = work(other, [...live], 300, 3)
    expect(m.hash()).toBe(before)
    expect(work(m, live, 300, 3)).toEqual(answers)
    expect(other.hash()).toBe(m.hash())
  })

  it('takes turns with it, as one machine would have gone on', () => {
    const one = boot()
    const alone: number[] = []
    const m = boot()
    // What postMessage does: shared buffers stay the same memory.
    const other = Machine.attach(
      'shared' in options ? structuredClone(m.buffers) : m.buffers,
      options,
    )
    const live: number[] = []
    for (let turn = 0; turn < 8; turn++) {
      const runs = turn % 2 === 0 ? m : other
      runs.resume()
      expect(work(runs, live, 100, turn)).toEqual(work(one, alone, 100, turn))
    }
    expect(other.hash()).toBe(one.hash())
    m.resume()
    expect(m.verify()).toEqual([])
    while (live.length > 0) m.kvfree(live.pop() as Parameters<Machine['kvfree']>[0])
    expect(m.verify()).toEqual([])
  })
})

describe('Machine.resume', () => {
  it('takes over the CPU that another machine switched to', () => {
    const m = Machine.boot({ ram: 16 * MiB, cpus: 2 })
    const other = Machine.attach(m.buffers, { cpus: 2 })
    other.onCpu(1, () => {
      m.resume()
      expect(m.pages.context.cpu).toBe(1)
    })
  })

  it('makes known the page tables that another machine made', () => {
    const m = Machine.boot({ ram: 16 * MiB })
    const other = Machine.attach(m.buffers)
    const p = other.vmalloc(3 * MiB)
    expect(m.vm.tables.tableCount).toBeLessThan(other.vm.tables.tableCount)
    m.resume()
    expect(m.vm.tables.tableCount).toBe(other.vm.tables.tableCount)
    m.vfree(p)
    expect(m.verify()).toEqual([])
  })
})

describe('a machine whose turn it is not', () => {
  const CALLS: readonly (readonly [name: string, call: (m: Machine, p: VirtAddr) => unknown])[] = [
    ['allocPages', (m) => m.allocPages()],
    ['freePages', (m) => m.freePages(4096 as Pfn)],
    ['kmalloc', (m) => m.kmalloc(100)],
    ['kzalloc', (m) => m.kzalloc(100)],
    ['krealloc', (m, p) => m.krealloc(p, 1000)],
    ['kfree', (m, p) => m.kfree(p)],
    ['kfree of nothing', (m) => m.kfree(null)],
    ['vmalloc', (m) => m.vmalloc(100)],
    ['vzalloc', (m) => m.vzalloc(100)],
    ['vfree', (m) => m.vfree(null)],
    ['kvmalloc', (m) => m.kvmalloc(100)],
    ['kvfree', (m, p) => m.kvfree(p)],
    ['onCpu', (m) => m.onCpu(0, () => expect.fail('called'))],
    ['inInterrupt', (m) => m.inInterrupt(() => expect.fail('called'))],
    ['inContext', (m) => m.inContext(0, () => expect.fail('called'))],
    ['proc', (m) => m.proc('meminfo')],
    ['save', (m) => m.save()],
    ['restore', (m) => m.restore(new Uint8Array(0))],
    ['inspect', (m, p) => m.inspect(p)],
    ['verify', (m) => m.verify()],
  ]

  it('is any that has every method but three', () => {
    const { constructor: _, ...methods } = Object.getOwnPropertyDescriptors(Machine.prototype)
    const checked = new Set(CALLS.map(([name]) => name.split(' ')[0]))
    const free = Object.keys(methods).filter((name) => !checked.has(name))
    expect(free.sort()).toEqual(['buffers', 'hash', 'resume'])
  })

  it.each(CALLS)('refuses %s and changes nothing, until it resumes', (_, call) => {
    const m = Machine.boot({ ram: 16 * MiB })
    const p = m.kmalloc(100) as VirtAddr
    const other = Machine.attach(m.buffers)
    const before = other.hash()
    const error = thrown(() => call(m, p))
    expect(error).toBeInstanceOf(KernelBug)
    expect(error).toMatchObject({ code: 'NOT_ITS_TURN' })
    expect(String(error)).toContain('call resume()')
    expect(m.hash()).toBe(before)
    expect(other.hash()).toBe(before)
    m.resume()
    expect(m.kmalloc(100)).not.toBeNull()
    expect(thrown(() => call(other, p))).toMatchObject({ code: 'NOT_ITS_TURN' })
  })

  it('is none that a failed attach or another machine’s copy leaves behind', () => {
    const m = Machine.boot({ ram: 16 * MiB })
    expect(() => Machine.attach(m.buffers, { layout: LAYOUT_X86_64 })).toThrow(InvalidArgument)
    m.kfree(m.kmalloc(100))
    const { map, ...states } = m.buffers
    Machine.attach({ map, ...structuredClone(states) }).kmalloc(100)
    m.kfree(m.kmalloc(100))
  })

  it('is told when the count of turns goes round', () => {
    const m = Machine.boot({ ram: 16 * MiB })
    new Int32Array(m.buffers.turn)[0] = 2 ** 31 - 2
    m.resume()
    const other = Machine.attach(m.buffers)
    other.kfree(other.kmalloc(100))
    expect(() => m.kmalloc(100)).toThrow(/its turn/)
  })

  function thrown(body: () => unknown): unknown {
    try {
      body()
    } catch (error) {
      return error
    }
    return null
  }
})

describe('Machine.attach', () => {
  const m = Machine.boot({ ram: 16 * MiB, layout: LAYOUT_X86_64 })
  const options = { layout: LAYOUT_X86_64 }
  const { buffers } = m

  it.each([
    ['null', null],
    ['nothing of a machine', {}],
    ['no memory', { ...buffers, ram: null }],
    ['a view in place of a buffer', { ...buffers, pages: m.pages.words }],
    ['no map', { ...buffers, map: undefined }],
    ['an empty map', { ...buffers, map: [] }],
    ['memory that is too short', { ...buffers, ram: new ArrayBuffer(4096) }],
    ['states that were swapped', { ...buffers, pages: buffers.slabs, slabs: buffers.pages }],
    ['an empty state', { ...buffers, space: new ArrayBuffer(0) }],
    ['a state that is cut off', { ...buffers, slabs: buffers.slabs.slice(0, 4096) }],
    ['no turn', { ...buffers, turn: null }],
    ['a turn that is none', { ...buffers, turn: new ArrayBuffer(8) }],
    ['memory of another moment', { ...buffers, ram: new ArrayBuffer(16 * MiB) }],
  ])('refuses %s, with nothing changed', (_, wrong) => {
    const before = m.hash()
    expect(() => Machine.attach(wrong as MachineBuffers, options)).toThrow(InvalidArgument)
    expect(m.hash()).toBe(before)
  })

  it.each([null, 5, 'x'])('refuses options %s', (wrong) => {
    expect(() => Machine.attach(buffers, wrong as unknown as MachineOptions)).toThrow(/^options/)
  })

  it('refuses another layout', () => {
    expect(() => Machine.attach(buffers)).toThrow(InvalidArgument)
  })

  it.each([
    ['an area cache that is none', VMAP_AREA_CACHE, 1],
    ['no area cache', VMAP_AREA_CACHE, 0],
  ])('refuses a state with %s', (_, column, value) => {
    const space = buffers.space.slice(0)
    new Int32Array(space)[column] = value
    expect(() => Machine.attach({ ...buffers, space }, options)).toThrow(/cache of the state/)
  })

  it('refuses a state that breaks an invariant', () => {
    const space = buffers.space.slice(0)
    const words = new Int32Array(space)
    words[words[VMAP_ROOTS]! + AREA_NEXT] = words[VMAP_ROOTS]!
    expect(() => Machine.attach({ ...buffers, space }, options)).toThrow(InvalidArgument)
  })

  it('has no buffers to give for memory without content', () => {
    const { ram } = m
    const nothing = Object.create(m, {
      ram: { value: Object.create(ram, { buffer: { value: null } }) },
    })
    expect(() => (nothing as Machine).buffers).toThrow(/without content/)
  })

  it('leaves the names of caches as they are, merged or not', () => {
    for (const cmdline of ['', 'slab_nomerge']) {
      const first = Machine.boot({ ram: 16 * MiB, cmdline })
      new SlabCache(first.slabs, { name: 'mine', size: 64 })
      const before = first.proc('slabinfo')
      expect(Machine.attach(first.buffers, { cmdline }).proc('slabinfo')).toBe(before)
    }
  })
})
