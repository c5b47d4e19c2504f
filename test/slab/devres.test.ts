/** Managed resources: records, the order of release, groups, bad input; and a model. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GFP_KERNEL, InvalidArgument, KernelBug, PAGE_SIZE, type VirtAddr } from '../../src/index'
import {
  devmAddAction,
  devmFreePages,
  devmGetFreePages,
  devmKcalloc,
  devmKfree,
  devmKmalloc,
  devmKrealloc,
  devmKzalloc,
  devmReleaseAction,
  devmRemoveAction,
} from '../../src/slab/devm'
import { Devres } from '../../src/slab/devres'
import type { DevresRelease } from '../../src/slab/devresList'
import { bytesAt, heapMachine, must, thrown } from './heapMachine'
import { DEVICE, managed, object, ZEROED } from './managedDevice'

describe('records', () => {
  const nothing: DevresRelease = () => {}

  it('are zeroed, and the caller’s until they are added', () => {
    const { machine, dev } = managed()
    const used = must(machine.heap.kmalloc(64))
    machine.ram.fill(used, 64, 0xdd)
    machine.heap.kfree(used)
    machine.calls()
    const data = must(dev.alloc(nothing, 24))
    expect(machine.calls()).toEqual([`alloc 64 ${ZEROED} -> ${object(data)}`])
    expect(data).toBe(used + 40)
    expect(bytesAt(machine, used, 64)).toEqual(new Array(64).fill(0))
    expect(dev.find(nothing)).toBeNull()
    expect(dev.releaseAll()).toBe(0)
    dev.add(data)
    expect(dev.find(nothing)).toBe(data)
    expect(thrown(() => dev.free(data)).code).toBe('NOT_MANAGED')
    expect(thrown(() => dev.add(data)).code).toBe('NOT_MANAGED')
    expect(dev.releaseAll()).toBe(1)
    expect(machine.calls()).toEqual([`free ${object(data)}`])
    const other = must(dev.alloc(nothing, 0))
    dev.free(other)
    dev.free(null)
    expect(thrown(() => dev.free(other)).code).toBe('NOT_MANAGED')
    expect(machine.live.size).toBe(0)
  })

  it('are found from the newest, by release function and match', () => {
    const { dev } = managed()
    const other: DevresRelease = () => {}
    const [a, b, c] = [1, 2, 3].map((n) => must(dev.alloc(nothing, 8, GFP_KERNEL, n)))
    for (const data of [a, b, c]) dev.add(must(data))
    expect(dev.find(nothing)).toBe(c)
    expect(dev.find(nothing, (_data, payload) => payload === 1)).toBe(a)
    expect(dev.find(nothing, (data) => data === b)).toBe(b)
    expect(dev.find(nothing, () => false)).toBeNull()
    expect(dev.find(other)).toBeNull()
    expect(dev.remove(other)).toBeNull()
    expect([dev.destroy(other), dev.release(other)]).toEqual([false, false])
  })

  it('can be removed, destroyed or released', () => {
    const { machine, dev } = managed()
    const seen: unknown[] = []
    const see: DevresRelease = (data, payload) => void seen.push([data, payload])
    const list = ['a', 'b', 'c'].map((text) => must(dev.alloc(see, 8, GFP_KERNEL, text)))
    for (const data of list) dev.add(data)
    const [a, b, c] = list
    machine.calls()
    expect(dev.destroy(see)).toBe(true)
    expect(machine.calls()).toEqual([`free ${object(must(c))}`])
    expect(seen).toEqual([])
    expect(dev.release(see)).toBe(true)
    expect(machine.calls()).toEqual([`free ${object(must(b))}`])
    expect(seen).toEqual([[b, 'b']])
    expect(dev.remove(see)).toBe(a)
    expect(machine.calls()).toEqual([])
    expect(dev.find(see)).toBeNull()
    dev.add(must(a))
    expect(dev.find(see)).toBe(a)
  })

  it('are not found once the match has released them', () => {
    const { dev } = managed()
    for (const _ of [1, 2, 3]) dev.add(must(dev.alloc(nothing, 8)))
    let asked = 0
    const match = () => {
      asked += 1
      dev.releaseAll()
      return false
    }
    expect([dev.find(nothing, match), asked]).toEqual([null, 1])
  })

  it('are got: an older one that matches, or the new one', () => {
    const { machine, dev } = managed()
    const first = must(dev.alloc(nothing, 8))
    expect(dev.get(first)).toBe(first)
    const second = must(dev.alloc(nothing, 8))
    machine.calls()
    expect(dev.get(second)).toBe(first)
    expect(machine.calls()).toEqual([`free ${object(second)}`])
    const third = must(dev.alloc(nothing, 8))
    expect(dev.get(third, () => false)).toBe(third)
    expect(dev.find(nothing)).toBe(third)
    expect(thrown(() => dev.get(third)).code).toBe('NOT_MANAGED')
  })
})

describe('release', () => {
  it('is the reverse of registration: the callback, then the free', () => {
    const { machine, dev } = managed()
    const events: string[] = []
    const see: DevresRelease = (_data, payload) => {
      events.push(...machine.calls(), String(payload))
    }
    const memory = must(devmKmalloc(dev, 100))
    const a = must(dev.alloc(see, 8, GFP_KERNEL, 'a'))
    const b = must(dev.alloc(see, 8, GFP_KERNEL, 'b'))
    dev.add(b)
    dev.add(a)
    machine.calls()
    expect(dev.releaseAll()).toBe(3)
    events.push(...machine.calls())
    const frees = [a, b, memory].map((data) => `free ${object(data)}`)
    expect(events).toEqual(['a', frees[0], 'b', frees[1], frees[2]])
    expect(dev.releaseAll()).toBe(0)
  })

  it('leaves what is registered meanwhile', () => {
    const { dev } = managed()
    devmAddAction(dev, () => void devmKmalloc(dev, 8), null)
    expect(dev.releaseAll()).toBe(1)
    expect(dev.releaseAll()).toBe(1)
    expect(dev.releaseAll()).toBe(0)
  })
})

describe('groups', () => {
  const hex = (id: unknown) => (id as number).toString(16)

  it('are 96 bytes, and freed before the records in them', () => {
    const { machine, dev } = managed()
    const outside = must(devmKmalloc(dev, 8))
    const id = must(dev.openGroup())
    expect(machine.calls()[1]).toBe(`alloc 96 cc0 -> ${hex(id)}`)
    const inside = [must(devmKmalloc(dev, 8)), must(devmKmalloc(dev, 8))]
    dev.closeGroup(id)
    const later = must(devmKmalloc(dev, 8))
    machine.calls()
    expect(dev.releaseGroup(id)).toBe(2)
    expect(machine.calls()).toEqual([
      `free ${hex(id)}`,
      `free ${object(must(inside[1]))}`,
      `free ${object(must(inside[0]))}`,
    ])
    expect(dev.releaseAll()).toBe(2)
    expect(machine.calls()).toEqual([`free ${object(later)}`, `free ${object(outside)}`])
  })

  it('go with those that they lie in, the last one met first', () => {
    const { machine, dev } = managed()
    const outer = must(dev.openGroup('outer'))
    const first = must(dev.openGroup())
    const a = must(devmKmalloc(dev, 8))
    dev.closeGroup(first)
    const second = must(dev.openGroup())
    const b = must(devmKmalloc(dev, 8))
    dev.closeGroup(second)
    dev.closeGroup('outer')
    const made = machine.calls()
    expect(outer).toBe('outer')
    expect(dev.releaseGroup('outer')).toBe(2)
    expect(machine.calls()).toEqual([
      `free ${made[0]?.split('-> ')[1]}`,
      `free ${hex(second)}`,
      `free ${hex(first)}`,
      `free ${object(b)}`,
      `free ${object(a)}`,
    ])
  })

  it('reach to the end while open, and take open ones along', () => {
    const { machine, dev } = managed()
    must(devmKmalloc(dev, 8))
    const outer = must(dev.openGroup())
    must(devmKmalloc(dev, 8))
    const inner = must(dev.openGroup())
    must(devmKmalloc(dev, 8))
    machine.calls()
    expect(dev.releaseGroup(outer)).toBe(2)
    // Open groups are met at their opening markers: the outer first, so it is freed last.
    expect(machine.calls().slice(0, 2)).toEqual([`free ${hex(inner)}`, `free ${hex(outer)}`])
    expect(dev.releaseAll()).toBe(1)
    expect(machine.live.size).toBe(0)
  })

  it('that overlap are left alone', () => {
    const { machine, dev } = managed()
    dev.openGroup('a')
    must(devmKmalloc(dev, 8))
    dev.openGroup('b')
    must(devmKmalloc(dev, 8))
    dev.closeGroup('a')
    must(devmKmalloc(dev, 8))
    dev.closeGroup('b')
    expect(dev.releaseGroup('a')).toBe(2)
    expect(dev.releaseGroup('b')).toBe(1)
    expect(machine.live.size).toBe(0)
    dev.openGroup('c')
    must(devmKmalloc(dev, 8))
    dev.openGroup('d')
    dev.closeGroup('c')
    must(devmKmalloc(dev, 8))
    dev.closeGroup('d')
    expect(dev.releaseGroup('d')).toBe(1)
    expect(dev.releaseGroup('c')).toBe(1)
    expect(machine.live.size).toBe(0)
  })

  it('without an id are the newest open one; of one id the newest', () => {
    const { machine, dev } = managed()
    dev.openGroup('a')
    dev.openGroup('b')
    must(devmKmalloc(dev, 8))
    dev.closeGroup()
    expect(thrown(() => dev.closeGroup('b')).code).toBe('GROUP_CLOSED')
    must(devmKmalloc(dev, 8))
    dev.openGroup('b')
    must(devmKmalloc(dev, 8))
    dev.closeGroup('b')
    expect(dev.releaseGroup('b')).toBe(1)
    expect(dev.releaseGroup('b')).toBe(1)
    dev.removeGroup()
    expect(thrown(() => dev.removeGroup()).code).toBe('NO_GROUP')
    expect(dev.releaseAll()).toBe(1)
    expect(machine.live.size).toBe(0)
  })

  it('can be forgotten', () => {
    const { machine, dev } = managed()
    const id = must(dev.openGroup())
    must(devmKmalloc(dev, 8))
    dev.closeGroup(id)
    machine.calls()
    dev.removeGroup(id)
    expect(machine.calls()).toEqual([`free ${hex(id)}`])
    expect(thrown(() => dev.releaseGroup(id)).code).toBe('NO_GROUP')
    expect(dev.releaseAll()).toBe(1)
  })

  it('that are not there are a bug, except when nothing is', () => {
    const { machine, dev } = managed()
    expect(dev.releaseGroup()).toBe(0)
    expect(dev.releaseGroup('x')).toBe(0)
    must(devmKmalloc(dev, 8))
    const before = machine.state()
    const calls = [
      () => dev.releaseGroup(),
      () => dev.releaseGroup('x'),
      () => dev.closeGroup(),
      () => dev.closeGroup('x'),
      () => dev.removeGroup('x'),
    ]
    for (const call of calls) expect(thrown(call).code).toBe('NO_GROUP')
    expect(calls.slice(0, 2).map((call) => thrown(call).message)).toEqual([
      'the device has no open group',
      'the device has no group x',
    ])
    expect(machine.state()).toBe(before)
    machine.failFrom(1)
    expect(dev.openGroup()).toBeNull()
    expect(dev.openGroup('y')).toBeNull()
    machine.failFrom(null)
    expect(dev.releaseAll()).toBe(1)
  })
})

describe('bad input', () => {
  it('changes nothing', () => {
    const { machine, dev } = managed()
    const other = new Devres(machine.heap, DEVICE)
    const mine = must(devmKmalloc(dev, 100))
    const record = must(dev.alloc(() => {}, 8))
    dev.add(record)
    const pages = must(devmGetFreePages(dev, GFP_KERNEL, 1))
    const foreign = must(machine.heap.kmalloc(100))
    const act = () => {}
    devmAddAction(dev, act, 1)
    const before = machine.state()
    const addresses = [mine - 40, mine + 8, foreign, record, pages, 17, -8, 4096.5, Number.NaN]
    for (const address of addresses as VirtAddr[]) {
      expect(thrown(() => devmKfree(dev, address)).code).toBe('NOT_MANAGED')
      expect(thrown(() => devmKrealloc(dev, address, 500)).code).toBe('NOT_MANAGED')
      expect(thrown(() => other.add(address)).code).toBe('NOT_MANAGED')
      if (address !== pages) {
        expect(thrown(() => devmFreePages(dev, address)).code).toBe('NOT_MANAGED')
      }
    }
    expect(thrown(() => devmKfree(other, mine)).code).toBe('NOT_MANAGED')
    expect(thrown(() => devmFreePages(dev, (pages + PAGE_SIZE) as VirtAddr)).code).toBe(
      'NOT_MANAGED',
    )
    expect(thrown(() => devmRemoveAction(dev, act, 2)).code).toBe('NOT_MANAGED')
    expect(thrown(() => devmReleaseAction(dev, () => {}, 1)).code).toBe('NOT_MANAGED')
    for (const size of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => devmKmalloc(dev, size)).toThrow(InvalidArgument)
      expect(() => devmKrealloc(dev, mine, size)).toThrow(InvalidArgument)
      expect(() => devmKcalloc(dev, size, 8)).toThrow(InvalidArgument)
      expect(() => devmKcalloc(dev, 8, size)).toThrow(InvalidArgument)
      expect(() => dev.alloc(act, size)).toThrow(InvalidArgument)
    }
    for (const gfp of [-1, 0.5, Number.NaN, 2 ** 32]) {
      expect(() => devmKmalloc(dev, 8, gfp)).toThrow(InvalidArgument)
      expect(() => devmKzalloc(dev, 8, gfp)).toThrow(InvalidArgument)
      expect(() => devmGetFreePages(dev, gfp, 0)).toThrow(InvalidArgument)
      expect(() => dev.alloc(act, 8, gfp)).toThrow(InvalidArgument)
      expect(() => dev.openGroup('x', gfp)).toThrow(InvalidArgument)
    }
    expect(() => devmGetFreePages(dev, GFP_KERNEL, 1.5)).toThrow(InvalidArgument)
    const noAction = 5 as unknown as () => void
    expect(() => devmAddAction(dev, noAction, 1)).toThrow(InvalidArgument)
    expect(() => new Devres(machine.heap, { ...DEVICE, node: 7 })).toThrow(InvalidArgument)
    expect(machine.state()).toBe(before)
    expect(dev.releaseAll()).toBe(4)
    expect(thrown(() => devmKfree(dev, mine)).code).toBe('NOT_MANAGED')
  })
})

describe('a device beside a model', () => {
  it('calls actions in the reverse order of what is left, and loses no memory', () => {
    const step = fc.oneof(
      fc.record({ act: fc.constant(true) }),
      fc.record({ size: fc.integer({ min: 1, max: 3000 }) }),
      fc.record({ grow: fc.nat(1000), to: fc.integer({ min: 0, max: 3000 }) }),
      fc.record({ free: fc.nat(1000) }),
      fc.record({ call: fc.nat(1000) }),
      fc.record({ drop: fc.nat(1000) }),
      fc.record({ open: fc.constant(true) }),
      fc.record({ close: fc.constant(true) }),
      fc.record({ release: fc.constant(true) }),
    )
    const machine = heapMachine()
    const { heap, ram } = machine
    const fill = (address: number, length: number) => ram.fill(address, length, address % 251)
    const holds = (address: number, length: number, byte: number) =>
      ram.bytes(address, length).every((one) => one === byte)

    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (list) => {
        const dev = new Devres(heap, DEVICE)
        const called: number[] = []
        const act = (n: number) => void called.push(n)
        /** Numbers are actions, objects memory; a string opens the group of the rest. */
        const model: (number | { at: VirtAddr; size: number } | 'group')[] = []
        const memory = () => model.filter((one) => typeof one === 'object')
        const actions = () => model.filter((one) => typeof one === 'number')
        const forget = (one: unknown) => model.splice(model.indexOf(one as number), 1)
        let next = 0
        for (const one of list) {
          called.length = 0
          if ('act' in one) {
            next += 1
            devmAddAction(dev, act, next)
            model.push(next)
          } else if ('size' in one) {
            const at = must(devmKmalloc(dev, one.size))
            fill(at, one.size)
            model.push({ at, size: one.size })
          } else if ('grow' in one) {
            const block = memory()[one.grow % (memory().length + 1)]
            if (block === undefined) continue
            const byte = block.at % 251
            const at = must(devmKrealloc(dev, block.at, one.to))
            expect(holds(at, Math.min(block.size, one.to), byte)).toBe(true)
            if (one.to === 0) {
              forget(block)
              continue
            }
            Object.assign(block, { at, size: one.to })
            fill(at, one.to)
          } else if ('free' in one) {
            const block = memory()[one.free % (memory().length + 1)]
            if (block === undefined) continue
            expect(holds(block.at, block.size, block.at % 251)).toBe(true)
            devmKfree(dev, block.at)
            forget(block)
          } else if ('call' in one || 'drop' in one) {
            const at = 'call' in one ? one.call : one.drop
            const action = actions()[at % (actions().length + 1)]
            if (action === undefined) continue
            if ('call' in one) devmReleaseAction(dev, act, action)
            else devmRemoveAction(dev, act, action)
            expect(called).toEqual('call' in one ? [action] : [])
            forget(action)
          } else if ('open' in one) {
            must(dev.openGroup())
            model.push('group')
          } else if (!model.includes('group')) {
            if (model.length > 0) expect(() => dev.releaseGroup()).toThrow(KernelBug)
          } else if ('close' in one) {
            // A group that was closed and is forgotten leaves its records.
            dev.closeGroup()
            model.splice(model.lastIndexOf('group'), 1)
          } else {
            const gone = model.splice(model.lastIndexOf('group'))
            expect(dev.releaseGroup()).toBe(gone.length - 1)
            expect(called).toEqual(gone.filter((entry) => typeof entry === 'number').reverse())
          }
        }
        for (const { at, size } of memory()) expect(holds(at, size, at % 251)).toBe(true)
        called.length = 0
        const left = actions()
        expect(dev.releaseAll()).toBe(memory().length + left.length)
        expect(called).toEqual(left.reverse())
        expect(machine.live.size).toBe(0)
      }),
      { numRuns: 200 },
    )
  })
})
