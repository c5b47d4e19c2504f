/** The slab layer at its edges: words of the command line, foreign states, names, layouts with a direct map elsewhere. */

import { describe, expect, it } from 'vitest'
import {
  attachSlabs,
  BuddyAllocator,
  findCache,
  GFP_KERNEL,
  InvalidArgument,
  KernelBug,
  Kmalloc,
  LAYOUT_X86_64,
  MiB,
  PAGE_SIZE,
  PhysicalMemory,
  SlabAllocator,
  SlabCache,
} from '../../src/index'
import { slabStateHash } from '../../src/slab/attach'
import { slabOptions } from '../../src/slab/bootWords'
import { encodeName, formatName } from '../../src/slab/cacheName'
import {
  devmFreePages,
  devmGetFreePages,
  devmKfree,
  devmKmalloc,
  devmKmemdup,
  devmKrealloc,
  devmKstrdup,
} from '../../src/slab/devm'
import { Devres } from '../../src/slab/devres'
import { DmaPool } from '../../src/slab/dmaPool'
import { GenPool } from '../../src/slab/genalloc'
import {
  CACHE_OFFSET,
  SLAB_MAGIC,
  SLAB_MAX_PFN,
  SLAB_NR_CPUS,
  SLAB_NR_NODES,
  SLAB_VERSION,
} from '../../src/state/slabSchema'
import { thrownBy } from '../buddy/machines'
import { heapMachine } from './heapMachine'
import { must, slabMachine } from './machines'
import { DEVICE } from './managedDevice'

describe('words of the command line', () => {
  const NUMBERS = ['slub_min_order', 'slub_max_order', 'slub_min_objects']
  const FLAGS = ['init_on_alloc', 'init_on_free']

  it.each([...NUMBERS, 'debug_guardpage_minorder'])(
    '%s takes a number, and names itself',
    (name) => {
      for (const value of ['x', 'x1', '1x', '1.5', '-1', '', '0x1', '99999999999']) {
        const error = thrownBy(() => slabOptions(`${name}=${value}`))
        expect(error, value).toBeInstanceOf(InvalidArgument)
        expect(error).toMatchObject({ argument: name })
      }
      expect(thrownBy(() => slabOptions(name))).toMatchObject({ argument: name, value: '' })
    },
  )

  it.each(FLAGS)('%s takes a switch, and names itself', (name) => {
    for (const value of ['', 'x1', '1x', 'yy', 'on1', 'non', '0x', 'off0', 'nn', 'On']) {
      const error = thrownBy(() => slabOptions(`${name}=${value}`))
      expect(error, value).toBeInstanceOf(InvalidArgument)
      expect(error).toMatchObject({ argument: name, value })
    }
    expect(thrownBy(() => slabOptions(name))).toMatchObject({ argument: name, value: null })
    for (const on of ['1', 'y', 'Y', 'on']) {
      expect(Object.values(slabOptions(`${name}=${on}`))).toContain(true)
    }
    for (const off of ['0', 'n', 'N', 'off']) {
      expect(Object.values(slabOptions(`${name}=${off}`))).toContain(false)
    }
  })

  it('that begin with = are words like others', () => {
    expect(slabOptions('=slab_nomerge =')).toEqual({ unknown: ['=slab_nomerge', '='] })
  })
})

describe('attachSlabs', () => {
  it.each([
    ['magic word of the state', SLAB_MAGIC],
    ['version of the state', SLAB_VERSION],
    ['frames of the state', SLAB_MAX_PFN],
    ['CPUs of the state', SLAB_NR_CPUS],
    ['nodes of the state', SLAB_NR_NODES],
  ])('refuses another %s, by name', (argument, column) => {
    const { pages, slabs } = slabMachine()
    const words = slabs.words.slice()
    words[column]! += 1
    expect(thrownBy(() => attachSlabs(pages, words.buffer))).toMatchObject({
      argument,
      value: words[column],
    })
  })

  it('refuses a state that is longer, or shorter', () => {
    const { pages, slabs } = slabMachine()
    const { length } = slabs.words
    for (const other of [length + 1, length - 1]) {
      const words = new Int32Array(other)
      words.set(slabs.words.subarray(0, Math.min(other, length)))
      expect(thrownBy(() => attachSlabs(pages, words.buffer))).toMatchObject({
        argument: 'words of the state',
        value: other,
      })
    }
  })
})

describe('slabStateHash', () => {
  it('tells two states apart, and equal ones not', () => {
    const [one, other] = [slabMachine().slabs, slabMachine().slabs]
    expect(slabStateHash(one)).toBe(slabStateHash(other))
    const heap = new Kmalloc(one)
    expect(slabStateHash(one)).not.toBe(slabStateHash(other))
    const before = slabStateHash(one)
    heap.kmalloc(64)
    expect(slabStateHash(one)).not.toBe(before)
  })
})

describe('names of caches', () => {
  it('are kept to the byte, up to 63 of them', () => {
    const { slabs } = slabMachine()
    for (const name of [
      'a',
      'ab',
      'abc',
      'abcd',
      'abcde',
      'Käse ~!',
      'é'.repeat(31),
      'x'.repeat(63),
    ]) {
      const cache = new SlabCache(slabs, { name, size: 64 })
      expect(formatName(slabs.words, cache.record)).toBe(name)
      expect(findCache(slabs, name)?.record).toBe(cache.record)
      cache.destroy()
    }
  })

  it('are refused when empty, too long, or with control characters', () => {
    for (const name of [
      '',
      'x'.repeat(64),
      'é'.repeat(32),
      'a\tb',
      'a\u001f',
      'a\u007f',
      5,
      null,
    ]) {
      expect(thrownBy(() => encodeName(name as string))).toMatchObject({ argument: 'name' })
    }
    expect(encodeName(' ~')).toEqual(new Uint8Array([0x20, 0x7e]))
  })
})

describe('nodes', () => {
  const machine = () => {
    // Node 1 has neither memory nor a CPU.
    const ram = new PhysicalMemory({
      map: [
        { base: 0, size: 8 * MiB, type: 'usable', node: 0 },
        { base: 8 * MiB, size: 8 * MiB, type: 'usable', node: 2 },
      ],
    })
    return new Kmalloc(new SlabAllocator(new BuddyAllocator({ ram })))
  }

  it('that are asked for must be online', () => {
    const heap = machine()
    for (const node of [-1, 0, 2]) expect(heap.kmalloc(64, GFP_KERNEL, node)).not.toBeNull()
    for (const node of [1, 3, 4, -2]) {
      expect(thrownBy(() => heap.kmalloc(64, GFP_KERNEL, node))).toMatchObject({ argument: 'node' })
    }
  })

  it('of a device must be online too', () => {
    const heap = machine()
    for (const node of [-1, 0, 2]) new Devres(heap, { name: 'd', node, dmaMask: 0 })
    for (const node of [1, 3, 4, -2]) {
      const device = { name: 'd', node, dmaMask: 0xffffffff }
      expect(thrownBy(() => new Devres(heap, device))).toMatchObject({ argument: 'device.node' })
    }
    for (const dmaMask of [-1, NaN]) {
      const device = { name: 'd', node: 0, dmaMask }
      expect(thrownBy(() => new Devres(heap, device))).toMatchObject({ argument: 'device.dmaMask' })
    }
  })
})

describe('a direct map that is not at 0', () => {
  const machine = () => heapMachine({ slabs: { layout: LAYOUT_X86_64 } })
  const bytesOf = (m: ReturnType<typeof machine>, address: number, count: number) => [
    ...m.ram.bytes(address - LAYOUT_X86_64.directMap, count),
  ]

  it('holds what devices own', () => {
    const m = machine()
    const dev = new Devres(m.heap, DEVICE)
    const copy = must(devmKmemdup(dev, new Uint8Array([1, 2, 3])))
    expect(bytesOf(m, copy, 3)).toEqual([1, 2, 3])
    const text = must(devmKstrdup(dev, 'kmem'))
    expect(bytesOf(m, text, 5)).toEqual([107, 109, 101, 109, 0])
    expect(devmKmemdup(dev, new Uint8Array(0))).not.toBeNull()
  })

  it('keeps the bytes of what grows, and no more than these', () => {
    const m = machine()
    const dev = new Devres(m.heap, DEVICE)
    const small = must(devmKmalloc(dev, 88))
    const at = (address: number) => address - LAYOUT_X86_64.directMap
    for (let i = 0; i < 88; i++) m.ram.writeU8(at(small) + i, i + 1)
    const large = must(devmKrealloc(dev, small, 400, GFP_KERNEL))
    expect(large).not.toBe(small)
    expect(bytesOf(m, large, 88)).toEqual(Array.from({ length: 88 }, (_, i) => i + 1))
    devmKfree(dev, large)
    expect(m.live.size).toBe(0)
  })

  it('has the pages of devices, and takes them back', () => {
    const m = machine()
    const dev = new Devres(m.heap, DEVICE)
    const address = must(devmGetFreePages(dev, GFP_KERNEL, 1))
    expect((address - LAYOUT_X86_64.directMap) % PAGE_SIZE).toBe(0)
    expect(thrownBy(() => devmFreePages(dev, (address + PAGE_SIZE) as never))).toBeInstanceOf(
      KernelBug,
    )
    devmFreePages(dev, address)
    expect(thrownBy(() => devmFreePages(dev, address))).toBeInstanceOf(KernelBug)
  })

  it('names the blocks of a pool that are still in use by their address there', () => {
    const m = machine()
    const pool = must(DmaPool.create(m.heap, { name: 'ring', device: DEVICE, size: 64 }))
    const block = must(pool.alloc())
    expect(block.address - block.dma).toBe(LAYOUT_X86_64.directMap)
    expect(thrownBy(() => pool.destroy())).toMatchObject({ code: 'POOL_BUSY' })
    pool.free(block.address, block.dma)
    pool.destroy()
  })
})

describe('dirty pages', () => {
  it('are those of the free pointers that are written', () => {
    const ram = new PhysicalMemory({ size: 8 * MiB, dirtyTracking: true })
    const slabs = new SlabAllocator(new BuddyAllocator({ ram }))
    const cache = new SlabCache(slabs, { name: 'wide', size: 3000 })
    const objects = Array.from({ length: 5 }, () => must(cache.alloc()))
    const offset = slabs.words[cache.record + CACHE_OFFSET]!
    for (const object of objects) {
      ram.clearDirty()
      cache.free(object)
      expect(ram.dirtyPages()).toEqual([Math.floor((object + offset) / PAGE_SIZE)])
    }
  })
})

describe('pools of addresses', () => {
  it('say where a wrong free begins', () => {
    const pool = must(GenPool.create({ minAllocOrder: 5 }))
    pool.add(0x10000, 0x1000)
    const first = must(pool.alloc(64))
    const second = must(pool.alloc(32))
    pool.free(first, 64)
    expect(thrownBy(() => pool.free(first, 64)).message).toContain('address 65536 is free')
    expect(thrownBy(() => pool.free(first, 96)).message).toContain('address 65536 is free')
    expect(thrownBy(() => pool.destroy()).message).toContain(`address ${second} of the pool`)
    pool.free(second, 32)
    pool.destroy()
  })
})
