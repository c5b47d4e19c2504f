/** Functions of a program that throw inside calls of debug caches, of the mapper, of pools and of devices. */

import { describe, expect, it } from 'vitest'
import {
  Devres,
  devmAddAction,
  devmKmalloc,
  GenPool,
  Mempool,
  PAGE_SIZE,
  purgeVmapAreas,
  registerVmapPurgeNotifier,
  SlabCache,
  type SlubDebug,
  slabHardening,
} from '../../src/index'
import { blowUp, machine, workload } from './bomb'
import { Thrown } from './machines'
import { must } from './rows'

describe('what debug caches ask for', () => {
  it.each(['time', 'pid', 'stack', 'log'] as const)(
    'a %s that throws is not asked again',
    (name) => {
      const count = blowUp((bomb) => {
        const told = { time: () => 1, pid: () => 1, stack: () => ['f'], log: () => {} }
        const { log, ...debug } = {
          ...told,
          [name]: () => {
            bomb.tick()
            return told[name]()
          },
        }
        const m = machine({ cmdline: 'slub_debug=FZPUT', debug, log })
        const work = workload(m)
        const act = () => {
          work.act()
          const { failures } = m.slabs.context.debug as SlubDebug
          expect(failures.every((error) => error instanceof Thrown)).toBe(true)
          if (bomb.calls > 0 && failures.length > 0) expect(failures.length).toBe(1)
        }
        return { m, ...work, act, comesOut: false }
      }, 4)
      expect(count).toBe(4)
    },
  )
})

describe('hardening that throws', () => {
  it.each(['secret', 'order'] as const)('in %s ends the call', (name) => {
    const count = blowUp((bomb) => {
      const sound = slabHardening({ seed: 1 })
      const hardening = {
        ...sound,
        [name]: (...args: never[]) => {
          bomb.tick()
          return (sound[name] as (...given: never[]) => never)(...args)
        },
      }
      const m = machine({ hardening })
      return {
        m,
        act: () => {
          const cache = new SlabCache(m.slabs, { name: 'hard', size: 900, ctor: () => {} })
          try {
            cache.free(must(cache.alloc()))
          } finally {
            cache.destroy()
          }
        },
      }
    }, 4)
    expect(count).toBeGreaterThan(0)
  })
})

describe('flushes that throw', () => {
  it.each(['flushTlb', 'flushCacheMap', 'flushCacheUnmap'] as const)(
    'in %s end the call, and what it had goes back',
    (name) => {
      const count = blowUp((bomb) => {
        const none = { flushTlb() {}, flushCacheMap() {}, flushCacheUnmap() {} }
        const m = machine({ flush: { ...none, [name]: bomb.tick } })
        const work = workload(m)
        return {
          m,
          ...work,
          act: () => {
            work.act()
            purgeVmapAreas(m.vm)
          },
        }
      })
      expect(count).toBeGreaterThan(0)
    },
  )
})

describe('what asks for address space', () => {
  it('ends the call, and leaves no area', () => {
    const count = blowUp((bomb) => {
      const m = machine()
      registerVmapPurgeNotifier(m.vm, () => {
        bomb.tick()
        return 0
      })
      const range = { start: m.vm.context.layout.vmallocStart }
      const end = range.start + 2 * PAGE_SIZE
      return { m, act: () => void m.vm.vmallocNodeRange(4 * PAGE_SIZE, { ...range, end }) }
    })
    expect(count).toBe(1)
  })
})

describe('functions of pools and of devices', () => {
  it('an allocator of elements that throws ends a pool in the making', () => {
    const count = blowUp((bomb) => {
      const m = machine()
      const alloc = (gfp: number) => {
        bomb.tick()
        return m.kmalloc(500, gfp)
      }
      const free = (p: number) => m.kfree(p as never)
      return {
        m,
        act: () => Mempool.create(m.heap, { minNr: 4, alloc, free })?.destroy(),
      }
    })
    expect(count).toBe(4)
  })

  it('a release function that throws does not keep the others from being called', () => {
    const count = blowUp((bomb) => {
      const m = machine()
      return {
        m,
        act: () => {
          const dev = new Devres(m.heap, { name: 'nic0', node: -1, dmaMask: 2 ** 32 - 1 })
          devmKmalloc(dev, 100)
          devmAddAction(dev, bomb.tick, 1)
          devmAddAction(dev, bomb.tick, 2)
          dev.releaseAll()
        },
      }
    })
    expect(count).toBe(2)
  })

  it('an algorithm of genalloc that throws has taken nothing', () => {
    const count = blowUp((bomb) => {
      const m = machine()
      return {
        m,
        act: () => {
          const pool = new GenPool({ minAllocOrder: 4, heap: m.heap })
          pool.add(0x1000, 0x1000)
          try {
            const at = pool.allocAlgo(100, () => {
              bomb.tick()
              return 0
            })
            pool.free(must(at), 100)
          } finally {
            pool.destroy()
          }
        },
      }
    })
    expect(count).toBe(1)
  })
})
