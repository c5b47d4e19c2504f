/** Functions of a program that throw inside a call: the state is sound afterwards, nothing is lost, and it goes on. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_NOFAIL,
  __GFP_NOWARN,
  __GFP_RECLAIMABLE,
  failslab,
  GFP_KERNEL,
  kmemCacheAllocBulk,
  kmemCacheFreeBulk,
  type Machine,
  MiB,
  PAGE_SIZE,
  type Pfn,
  type PressureOps,
  pageOwner,
  SlabCache,
  setPageFaults,
  sysctl,
  TRACE_EVENTS,
  Tracepoints,
  vmMapRam,
  vmUnmapRam,
  withPressure,
} from '../../src/index'
import { BASE, blowUp, machine, workload } from './bomb'
import { Thrown } from './machines'
import { must } from './rows'

/** A block of pages. */
interface Block {
  readonly pfn: Pfn
  readonly order: number
}

/** Takes all pages that a request without any claims can have. */
function takeAll(m: Machine): Block[] {
  const blocks: Block[] = []
  for (let order = 10; order >= 0; order--) {
    const take = () => m.allocPages(__GFP_NOWARN, order)
    for (let pfn = take(); pfn !== null; pfn = take()) blocks.push({ pfn, order })
  }
  return blocks
}

describe('a constructor that throws', () => {
  it('ends the allocation, and the new slab goes back', () => {
    const count = blowUp((bomb) => {
      const m = machine()
      const cache = new SlabCache(m.slabs, { name: 'set up', size: 1000, ctor: bomb.tick })
      const act = () => kmemCacheFreeBulk(cache, kmemCacheAllocBulk(cache, GFP_KERNEL, 6))
      return { m, act }
    })
    expect(count).toBeGreaterThan(3)
  })
})

describe('a reclaimer that throws', () => {
  const names: readonly (keyof PressureOps)[] = [
    'wakeKswapd',
    'directReclaim',
    'directCompact',
    'outOfMemory',
    'reclaimablePages',
  ]

  it.each(names)('in %s ends the call', (name) => {
    const calls: readonly ((m: Machine) => void)[] = [
      (m) => must([m.allocPages(GFP_KERNEL, 4)]),
      (m) => m.kfree(m.kmalloc(100)),
      (m) => m.vfree(m.vmalloc(3 * PAGE_SIZE)),
      (m) => m.kfree(must(m.kmalloc(64, GFP_KERNEL | __GFP_NOFAIL))),
      (m) => {
        const p = vmMapRam(m.vm, [(BASE / PAGE_SIZE + 5) as Pfn])
        if (p !== null) vmUnmapRam(m.vm, p, 1)
      },
    ]
    let hoard: Block[] = []
    const free = () => {
      for (const { pfn, order } of hoard.splice(0)) m.freePages(pfn, order)
      return 32
    }
    // One machine for all: each call starts where the one before has given everything back.
    let tick = () => {}
    const m = machine({
      pressure: withPressure({
        wakeKswapd: () => {},
        directReclaim: () => 0,
        directCompact: () => 'complete',
        // The last resort of all is to give the memory back, so that a request that may not fail ends.
        outOfMemory: () => free() > 0,
        reclaimablePages: () => 0,
        [name]: () => {
          tick()
          if (name === 'directCompact') return 'complete'
          return name === 'outOfMemory' ? free() > 0 : 0
        },
      }),
    })
    let count = 0
    for (const call of calls) {
      count += blowUp((bomb) => {
        tick = bomb.tick
        return {
          m,
          act: () => {
            hoard = takeAll(m)
            call(m)
            free()
          },
          release: free,
        }
      }, 4)
    }
    expect(count).toBeGreaterThan(0)
  })
})

describe('a listener that throws', () => {
  it.each(TRACE_EVENTS)('to %s hears no more, and the call goes on', (event) => {
    // Types are kept apart on a machine of that size: a request has to take pages of another.
    const m = machine({ ram: event === 'mm_page_alloc_extfrag' ? 16 * MiB : 4 * MiB })
    const work = workload(m)
    const count = blowUp((bomb) => {
      return {
        m,
        comesOut: false,
        ...work,
        act: () => {
          const points = new Tracepoints(m)
          points.on(bomb.tick, [event])
          m.freePages(must(m.allocPages(GFP_KERNEL | __GFP_RECLAIMABLE, 4)), 4)
          work.act()
          points.close()
          expect(points.failures.every((error) => error instanceof Thrown)).toBe(true)
        },
      }
    }, 2)
    expect(count).toBeGreaterThan(0)
  })

  it.each(['listener', 'clock'])('a %s of tracepoints is told among their failures', (which) => {
    const count = blowUp((bomb) => {
      const m = machine()
      const clock = () => {
        bomb.tick()
        return 1
      }
      const points = new Tracepoints(m, which === 'clock' ? { clock } : {})
      points.ring(8)
      points.on(which === 'clock' ? () => {} : bomb.tick)
      return { m, comesOut: false, ...workload(m) }
    }, 3)
    expect(count).toBe(3)
  })

  it.each(['caller', 'clock', 'pid'] as const)(
    'the %s of a page owner is not asked again',
    (name) => {
      const count = blowUp((bomb) => {
        const m = machine()
        const told = { caller: () => '', clock: () => 1, pid: () => 1 }
        const owner = pageOwner(m.pages, {
          ...told,
          [name]: () => {
            bomb.tick()
            return told[name]()
          },
        })
        const work = workload(m)
        const act = () => {
          work.act()
          expect(owner.failures.every((error) => error instanceof Thrown)).toBe(true)
        }
        return { m, comesOut: false, ...work, act }
      }, 3)
      expect(count).toBe(3)
    },
  )
})

describe('faults that throw', () => {
  it('end the call, wherever they are asked', () => {
    const count = blowUp((bomb) => {
      const m = machine()
      const fail = () => {
        bomb.tick()
        return false
      }
      setPageFaults(m.pages, { failPage: fail })
      m.slabs.setFaults({ failSlab: fail })
      return { m, ...workload(m) }
    }, 40)
    expect(count).toBeGreaterThan(10)
  })

  it.each(['filter', 'stack', 'log'] as const)('a %s that throws ends the call', (name) => {
    const count = blowUp((bomb) => {
      const m = machine()
      const told = { filter: () => true, stack: () => ['a'], log: () => {} }
      const faults = failslab({
        probability: 100,
        times: -1,
        ignoreGfpWait: false,
        ...told,
        [name]: () => {
          bomb.tick()
          return told[name]()
        },
      })
      const work = workload(m)
      m.slabs.setFaults(faults)
      return { m, ...work }
    }, 3)
    expect(count).toBe(3)
  })
})

describe('a log that throws', () => {
  it('ends the call that failed, and what it had goes back', () => {
    let tick = () => {}
    const m = machine({ log: () => tick() })
    const work = workload(m)
    const held: Block[] = []
    const count = blowUp((bomb) => {
      tick = bomb.tick
      return {
        m,
        act: () => {
          held.push(...takeAll(m))
          work.act()
        },
        release: () => {
          work.release()
          for (const { pfn, order } of held.splice(0)) m.freePages(pfn, order)
        },
      }
    }, 60)
    expect(count).toBeGreaterThan(20)
  })

  it('leaves a sound state when a setting is written', () => {
    blowUp((bomb) => {
      const m = machine({ log: bomb.tick })
      return {
        m,
        act: () => {
          sysctl(m.pages, 'min_free_kbytes', 4000)
          sysctl(m.pages, 'min_free_kbytes', 70)
        },
      }
    })
  })
})
