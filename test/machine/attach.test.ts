/** Machines on the buffers of others: nothing is copied or changed, both go on exactly, and wrong buffers are refused. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { MiB } from '../../src/base/units'
import { Machine } from '../../src/machine/machine'
import type { MachineBuffers } from '../../src/machine/machineBuffers'
import type { MachineOptions } from '../../src/machine/machineOptions'
import { SlabCache } from '../../src/slab/slabCache'
import { AREA_NEXT, VMAP_AREA_CACHE, VMAP_ROOTS } from '../../src/state/vmapSchema'

const KERNEL_CONFIGS = [
  { name: 'plain', options: {} },
  { name: 'shared', options: { shared: true } },
  {
    name: 'x86_64, two CPUs, no merging',
    options: { layout: LAYOUT_X86_64, cpus: 2, cmdline: 'slab_nomerge' },
  },
] as const satisfies readonly { name: string; options: Omit<MachineOptions, 'ram'> }[]

/** Calls that use all layers, among what `live` holds: what they answer. */
function work(m: Machine, live: number[], rounds: number, seed: number): number[] {
  const answers: number[] = []
  let x = seed
  for (let i = 0; i < rounds; i++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0
    const size = 1 + ((x >>> 8) % 40_000)
    const p =
      i % 3 === 0 ? m.vmalloc(size) : i % 3 === 1 ? m.kmalloc(size % 9000) : m.kvmalloc(size)
    answers.push(p ?? -1)
    if (p !== null) live.push(p)
    if (live.length > 40) m.kvfree(live.splice(x % 40, 1)[0] as Parameters<Machine['kvfree']>[0])
  }
  return answers
}

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
    const { map, ram, pages, slabs, space } = m.buffers
    const copy = { map, ram: ram.slice(0), pages: pages.slice(0), slabs: slabs.slice(0) }
    const other = Machine.attach({ ...copy, space: space.slice(0) }, options)
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
