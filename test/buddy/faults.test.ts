import { describe, expect, it } from 'vitest'
import {
  __GFP_DIRECT_RECLAIM,
  __GFP_DMA,
  __GFP_DMA32,
  __GFP_HIGH,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_NOFAIL,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_RETRY_MAYFAIL,
  __GFP_THISNODE,
  allocContigPages,
  allocPagesBulk,
  allocPagesExact,
  BuddyAllocator,
  CONTEXT_MEMALLOC,
  CONTEXT_OOM_VICTIM,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOFS,
  GFP_NOIO,
  GFP_NOWAIT,
  inContext,
  kernelLog,
  MiB,
  OutOfMemory,
  PAGE_SIZE,
  type Pfn,
  type PressureOps,
  type SlowRequest,
  withPressure,
} from '../../src/index'
import { ZONE_RESERVE, ZONE_WMARK } from '../../src/state/schema'
import { cachedPages, faults, flatMachine, freePagesOf, nrFree, zoneOf, zonesOf } from './machines'

/** A machine with batches of one page, so that requests stop exactly where their mark is. */
function small(options: ConstructorParameters<typeof BuddyAllocator>[0] = {}): BuddyAllocator {
  return flatMachine((16 * MiB) / PAGE_SIZE, 0, options as object)
}

/** Normal, the one zone of such machines. */
function normal(pages: BuddyAllocator): number {
  return zoneOf(pages, 0, 2)
}

/** Allocates until there is nothing more for the mask. */
function exhaust(pages: BuddyAllocator, gfp: number, order = 0): Pfn[] {
  const taken: Pfn[] = []
  for (;;) {
    const pfn = pages.allocPages(gfp, order)
    if (pfn === null) return taken
    taken.push(pfn)
  }
}

function freeAll(pages: BuddyAllocator, taken: readonly Pfn[], order = 0): void {
  for (const pfn of taken) pages.freePages(pfn, order)
  pages.drainAllPages()
}

describe('exhaustion', () => {
  /** What stays free, out of the min mark. */
  const limits: readonly (readonly [name: string, gfp: number, left: (min: number) => number])[] = [
    ['GFP_NOWAIT', GFP_NOWAIT, (min) => min],
    ['GFP_KERNEL', GFP_KERNEL, (min) => min],
    ['GFP_KERNEL, MOVABLE', GFP_KERNEL | __GFP_MOVABLE, (min) => min],
    ['GFP_KERNEL, NORETRY', GFP_KERNEL | __GFP_NORETRY, (min) => min],
    ['GFP_KERNEL, HIGH', GFP_KERNEL | __GFP_HIGH, (min) => min - (min >> 1)],
    ['GFP_ATOMIC', GFP_ATOMIC, (min) => min - (min >> 1) - ((min - (min >> 1)) >> 2)],
    ['GFP_ATOMIC, NOMEMALLOC', GFP_ATOMIC | __GFP_NOMEMALLOC, (min) => min - (min >> 1)],
    ['MEMALLOC', __GFP_MEMALLOC, () => 0],
    ['MEMALLOC, NOMEMALLOC', __GFP_MEMALLOC | __GFP_NOMEMALLOC, (min) => min],
  ]

  it.each(limits)('%s stops where its reserve begins, and gives all back', (_name, gfp, left) => {
    const pages = small()
    const zone = normal(pages)
    const pristine = nrFree(pages, zone)
    const expected = left(pages.words[zone + ZONE_WMARK]!)
    const taken = exhaust(pages, gfp)
    expect(new Set(taken).size).toBe(taken.length)
    // Marks are compared with the stored counter, which may lag by the CPU's threshold of 2.
    expect(freePagesOf(pages, zone)).toBeLessThanOrEqual(expected)
    expect(freePagesOf(pages, zone)).toBeGreaterThanOrEqual(Math.max(0, expected - 2))
    expect(cachedPages(pages, zone)).toBe(0)
    expect(faults(pages)).toEqual([])
    expect(pages.allocPages(gfp)).toBeNull()
    freeAll(pages, taken)
    expect(nrFree(pages, zone)).toEqual(pristine)
    expect(faults(pages)).toEqual([])
  })

  it.each([1, 2, 3, 4, 7, 9, 10])('every order %i block comes, and all comes back', (order) => {
    for (const gfp of [GFP_KERNEL, GFP_KERNEL | __GFP_MOVABLE, GFP_NOWAIT, __GFP_MEMALLOC]) {
      const pages = small()
      const zone = normal(pages)
      const pristine = nrFree(pages, zone)
      const taken = exhaust(pages, gfp, order)
      if (gfp === __GFP_MEMALLOC) expect(taken.length).toBe(4096 >> order)
      else expect(taken.length).toBeGreaterThan((4096 >> order) * 0.6)
      expect(faults(pages)).toEqual([])
      freeAll(pages, taken, order)
      expect(nrFree(pages, zone)).toEqual(pristine)
      expect(faults(pages)).toEqual([])
    }
  })

  it('an OOM victim gets half of the reserve, a task that reclaims all of it', () => {
    const pages = small()
    const zone = normal(pages)
    const min = pages.words[zone + ZONE_WMARK]!
    const taken = exhaust(pages, GFP_KERNEL)
    taken.push(...inContext(pages, CONTEXT_OOM_VICTIM, () => exhaust(pages, GFP_KERNEL)))
    expect(freePagesOf(pages, zone)).toBeLessThanOrEqual(min - (min >> 1))
    expect(freePagesOf(pages, zone)).toBeGreaterThanOrEqual(min - (min >> 1) - 2)
    taken.push(...inContext(pages, CONTEXT_MEMALLOC, () => exhaust(pages, GFP_KERNEL)))
    expect(freePagesOf(pages, zone)).toBe(0)
    expect(taken.length).toBe(4096)
    freeAll(pages, taken)
    expect(freePagesOf(pages, zone)).toBe(4096)
  })

  it('requests that may use a higher zone leave the lower one its reserve', () => {
    const memory = [{ base: 0, size: 96 * MiB }]
    const pages = new BuddyAllocator({ memory: { memory, reserved: [] } })
    const dma = zoneOf(pages, 0, 0)
    const min = pages.words[dma + ZONE_WMARK]!
    const reserve = pages.words[dma + ZONE_RESERVE + 2]!
    expect(reserve).toBe((80 * MiB) / PAGE_SIZE / 256)
    const taken = exhaust(pages, GFP_KERNEL)
    expect(freePagesOf(pages, dma)).toBeLessThanOrEqual(min + reserve)
    expect(freePagesOf(pages, dma)).toBeGreaterThanOrEqual(min + reserve - 2)
    taken.push(...exhaust(pages, GFP_KERNEL | __GFP_DMA))
    expect(freePagesOf(pages, dma)).toBeLessThanOrEqual(min)
    expect(freePagesOf(pages, dma)).toBeGreaterThanOrEqual(min - 2)
    freeAll(pages, taken)
    expect(faults(pages)).toEqual([])
  })

  it('a request that must not fail throws, when nothing helps, and leaves nothing behind', () => {
    const pages = small()
    const zone = normal(pages)
    const taken = exhaust(pages, GFP_KERNEL)
    const min = pages.words[zone + ZONE_WMARK]!
    const gfp = GFP_KERNEL | __GFP_NOFAIL
    for (let i = 0; i < min; i++) {
      const before = freePagesOf(pages, zone)
      try {
        const pfn = pages.allocPages(gfp)
        expect(pfn).not.toBeNull()
        if (pfn !== null) taken.push(pfn)
      } catch (error) {
        expect(error).toBeInstanceOf(OutOfMemory)
        expect((error as Error).message).toMatch(/order.?0/)
        expect(freePagesOf(pages, zone)).toBe(before)
      }
    }
    // Its last resort is half of the reserve.
    expect(freePagesOf(pages, zone)).toBeLessThanOrEqual(min - (min >> 1))
    expect(freePagesOf(pages, zone)).toBeGreaterThanOrEqual(min - (min >> 1) - 2)
    expect(() => pages.allocPages(gfp)).toThrow(OutOfMemory)
    expect(faults(pages)).toEqual([])
    freeAll(pages, taken)
    expect(freePagesOf(pages, zone)).toBe(4096)
  })

  it('one that must not fail but may not wait fails all the same', () => {
    const pages = small()
    exhaust(pages, GFP_KERNEL)
    expect(pages.allocPages(GFP_NOWAIT | __GFP_NOFAIL)).toBeNull()
  })

  it('operations of several pages leave nothing behind when they fail', () => {
    const pages = small()
    const zone = normal(pages)
    const taken = exhaust(pages, __GFP_MEMALLOC)
    for (let free = 0; free < 40; free++) {
      const before = freePagesOf(pages, zone) + cachedPages(pages, zone)
      expect(before).toBe(free)
      expect(allocPagesExact(pages, 64 * PAGE_SIZE, __GFP_MEMALLOC)).toBeNull()
      expect(allocContigPages(pages, 64, GFP_KERNEL)).toBeNull()
      expect(pages.allocPages(__GFP_MEMALLOC, 6)).toBeNull()
      expect(allocPagesBulk(pages, GFP_KERNEL, 64)).toEqual([])
      expect(freePagesOf(pages, zone) + cachedPages(pages, zone)).toBe(before)
      expect(faults(pages)).toEqual([])
      const pfn = taken.pop()
      if (pfn !== undefined) pages.freePages(pfn)
    }
  })

  it('every block of the machine comes once, whatever the mix of orders', () => {
    const pages = small()
    const taken: [Pfn, number][] = []
    for (let order = 10; order >= 0; order--) {
      for (let i = 0; i < 3 || order === 0; i++) {
        const pfn = pages.allocPages(__GFP_MEMALLOC | __GFP_NOWARN, order)
        if (pfn === null) break
        taken.push([pfn, order])
      }
    }
    const frames = new Set(
      taken.flatMap(([pfn, order]) => Array.from({ length: 1 << order }, (_, i) => pfn + i)),
    )
    expect(frames.size).toBe(4096)
    for (const [pfn, order] of taken) pages.freePages(pfn, order)
    pages.drainAllPages()
    expect(nrFree(pages, normal(pages))[10]).toBe(4)
  })

  it('is reported once for each failure, unless that asked for silence', () => {
    const lines: string[] = []
    const pages = small({ log: kernelLog((line) => lines.push(line)) })
    const taken = exhaust(pages, GFP_KERNEL | __GFP_NOWARN)
    const reports = () => lines.filter((line) => line.includes('page allocation failure'))
    expect(reports()).toEqual([])
    expect(pages.allocPages(GFP_KERNEL, 2)).toBeNull()
    expect(reports()).toEqual([
      'kmem: page allocation failure: order:2, mode:0xcc0(GFP_KERNEL), nodemask=(null)',
    ])
    expect(taken.length).toBeGreaterThan(3900)
  })
})

/** A reclaimer that writes down what it is asked, and does what the test wants. */
class Reclaimer {
  readonly calls: string[] = []
  pages: BuddyAllocator | null = null
  /** Blocks of order 0 that it can free. */
  readonly hoard: Pfn[] = []
  reclaimable = 0
  killsLeft = 0

  /** As an object of functions. */
  ops(): PressureOps {
    return {
      wakeKswapd: (node, order, highest, gfp) => {
        this.calls.push(`kswapd ${node} ${order} ${highest} 0x${gfp.toString(16)}`)
      },
      directReclaim: (request) => {
        this.calls.push(`reclaim ${request.order}`)
        return this.release(32)
      },
      directCompact: (_request, priority) => {
        this.calls.push(`compact ${priority}`)
        return 'skipped'
      },
      outOfMemory: (request) => this.kill(request),
      reclaimablePages: () => this.reclaimable,
    }
  }

  names(): string[] {
    return this.calls.map((call) => call.split(' ')[0] ?? '')
  }

  private release(count: number): number {
    const freed = this.hoard.splice(0, count)
    for (const pfn of freed) this.pages?.freePages(pfn)
    return freed.length
  }

  private kill(request: SlowRequest): boolean {
    this.calls.push(`oom ${request.order}`)
    if (this.killsLeft === 0) return false
    this.killsLeft -= 1
    this.release(64)
    return true
  }
}

/** A machine with no memory left for GFP_KERNEL, and a reclaimer behind it. */
function pressed(): { pages: BuddyAllocator; reclaimer: Reclaimer; taken: Pfn[] } {
  const reclaimer = new Reclaimer()
  const pages = small({ pressure: withPressure(reclaimer.ops()) })
  const taken = exhaust(pages, GFP_KERNEL)
  reclaimer.pages = pages
  reclaimer.calls.length = 0
  return { pages, reclaimer, taken }
}

describe('memory pressure', () => {
  it('asks for reclaim, and succeeds with what that frees', () => {
    const { pages, reclaimer, taken } = pressed()
    reclaimer.hoard.push(...taken.splice(0, 40))
    expect(pages.allocPages(GFP_KERNEL)).not.toBeNull()
    expect(reclaimer.names()).toEqual(['kswapd', 'kswapd', 'reclaim'])
    expect(reclaimer.calls[0]).toBe('kswapd 0 0 2 0xcc0')
    expect(faults(pages)).toEqual([])
  })

  it('tries again after progress that was too small', () => {
    const { pages, reclaimer, taken } = pressed()
    const min = pages.words[normal(pages) + ZONE_WMARK]!
    // Reclaim frees 32 pages a round; the request needs the min mark and one more.
    exhaust(pages, __GFP_MEMALLOC)
    reclaimer.hoard.push(...taken)
    reclaimer.reclaimable = taken.length
    reclaimer.calls.length = 0
    expect(pages.allocPages(GFP_KERNEL)).not.toBeNull()
    const rounds = reclaimer.names().filter((name) => name === 'reclaim').length
    expect(rounds).toBe(Math.floor(min / 32) + 1)
    expect(faults(pages)).toEqual([])
  })

  it('wakes kswapd only for requests that may', () => {
    const { pages, reclaimer } = pressed()
    expect(pages.allocPages(GFP_NOWAIT)).toBeNull()
    expect(reclaimer.names()).toEqual(['kswapd', 'kswapd'])
    reclaimer.calls.length = 0
    expect(pages.allocPages(0)).toBeNull()
    expect(pages.allocPages(__GFP_HIGH | __GFP_NOMEMALLOC | __GFP_DIRECT_RECLAIM)).not.toBeNull()
    expect(reclaimer.calls).toEqual([])
  })

  it('does not reclaim for requests that may not wait, or that reclaim themselves', () => {
    const { pages, reclaimer } = pressed()
    exhaust(pages, GFP_ATOMIC)
    expect(pages.allocPages(GFP_NOWAIT)).toBeNull()
    expect(inContext(pages, CONTEXT_MEMALLOC, () => pages.allocPages(GFP_KERNEL))).not.toBeNull()
    inContext(pages, CONTEXT_MEMALLOC, () => exhaust(pages, GFP_KERNEL))
    expect(reclaimer.names()).not.toContain('reclaim')
    expect(reclaimer.names()).not.toContain('oom')
  })

  it('gives up after 16 rounds without progress while memory could be reclaimed', () => {
    const { pages, reclaimer } = pressed()
    reclaimer.reclaimable = 1000
    expect(pages.allocPages(GFP_KERNEL)).toBeNull()
    expect(reclaimer.names().filter((name) => name === 'reclaim').length).toBe(17)
    expect(reclaimer.names().filter((name) => name === 'oom').length).toBe(1)
  })

  it('compacts: asynchronously first for costly orders, never without I/O or for one page', () => {
    const { pages, reclaimer } = pressed()
    expect(pages.allocPages(GFP_KERNEL, 4)).toBeNull()
    expect(reclaimer.names().filter((name) => name !== 'kswapd')).toEqual([
      'compact',
      'reclaim',
      'compact',
    ])
    expect(reclaimer.calls.filter((call) => call.startsWith('compact'))).toEqual([
      'compact 0',
      'compact 1',
    ])
    reclaimer.calls.length = 0
    expect(pages.allocPages(GFP_NOIO, 4)).toBeNull()
    expect(pages.allocPages(GFP_KERNEL)).toBeNull()
    expect(reclaimer.names()).not.toContain('compact')
  })

  it('calls the killer only for requests that may, and goes on while that helps', () => {
    const { pages, reclaimer, taken } = pressed()
    const never: readonly (readonly [gfp: number, order: number])[] = [
      [GFP_NOWAIT, 0],
      [GFP_KERNEL, 4],
      [GFP_KERNEL | __GFP_NORETRY, 0],
      [GFP_KERNEL | __GFP_RETRY_MAYFAIL, 0],
      [GFP_KERNEL | __GFP_THISNODE, 0],
      [GFP_KERNEL | __GFP_DMA, 0],
      [GFP_KERNEL | __GFP_DMA32, 0],
      [GFP_NOFS, 0],
      [GFP_NOIO, 0],
    ]
    for (const [gfp, order] of never) {
      expect(pages.allocPages(gfp, order)).toBeNull()
      expect(reclaimer.names(), `gfp 0x${gfp.toString(16)}`).not.toContain('oom')
    }
    expect(pages.allocPages(GFP_KERNEL, 3)).toBeNull()
    expect(reclaimer.names()).toContain('oom')

    reclaimer.calls.length = 0
    // Two victims free nothing that reclaim could not; the third has the memory.
    reclaimer.killsLeft = 3
    const hoard = taken.splice(0, 64)
    const ops = reclaimer.ops()
    expect(ops.reclaimablePages(2)).toBe(0)
    const release = () => {
      if (reclaimer.killsLeft === 0) reclaimer.hoard.push(...hoard.splice(0))
      return true
    }
    const kill = reclaimer.ops().outOfMemory
    const again = small({
      pressure: withPressure({ ...ops, outOfMemory: (r) => kill(r) && release() }),
    })
    const all = exhaust(again, GFP_KERNEL | __GFP_NORETRY)
    reclaimer.pages = again
    hoard.length = 0
    hoard.push(...all.splice(0, 64))
    reclaimer.calls.length = 0
    expect(again.allocPages(GFP_KERNEL)).not.toBeNull()
    expect(reclaimer.names().filter((name) => name === 'oom').length).toBe(3)
    expect(faults(again)).toEqual([])
  })

  it('lets a request that must not fail wait for the killer', () => {
    const { pages, reclaimer, taken } = pressed()
    reclaimer.killsLeft = 1
    reclaimer.hoard.push(...taken.splice(0, 10))
    expect(pages.allocPages(GFP_KERNEL | __GFP_NOFAIL)).not.toBeNull()
    expect(faults(pages)).toEqual([])
  })

  it('survives a hook that throws: nothing is lost', () => {
    const { pages, taken } = pressed()
    const failing = small({
      pressure: withPressure({
        directReclaim() {
          throw new Error('from the hook')
        },
      }),
    })
    const held = exhaust(failing, GFP_NOWAIT)
    const free = freePagesOf(failing, normal(failing))
    expect(() => failing.allocPages(GFP_KERNEL, 1)).toThrow('from the hook')
    expect(freePagesOf(failing, normal(failing))).toBe(free)
    expect(faults(failing)).toEqual([])
    freeAll(failing, held)
    freeAll(pages, taken)
    for (const each of [pages, failing]) expect(freePagesOf(each, normal(each))).toBe(4096)
  })

  it('asks a reclaimer that is an instance of a class', () => {
    class Ops implements PressureOps {
      asked = 0
      wakeKswapd(): void {
        this.asked += 1
      }
      directReclaim(): number {
        this.asked += 1
        return 0
      }
      directCompact(): 'skipped' {
        this.asked += 1
        return 'skipped'
      }
      outOfMemory(): boolean {
        this.asked += 1
        return false
      }
      reclaimablePages(): number {
        return 0
      }
    }
    const ops = new Ops()
    const pages = small({ pressure: withPressure(ops) })
    exhaust(pages, GFP_KERNEL)
    expect(ops.asked).toBeGreaterThan(0)
  })

  it('leaves one zone alone when another serves', () => {
    const reclaimer = new Reclaimer()
    const memory = [{ base: 0, size: 64 * MiB }]
    const pages = new BuddyAllocator({
      memory: { memory, reserved: [] },
      pressure: withPressure(reclaimer.ops()),
    })
    const [dma, dma32] = zonesOf(pages)
    if (dma === undefined || dma32 === undefined) throw new Error('no zones')
    const before = freePagesOf(pages, dma)
    const taken: Pfn[] = []
    while (freePagesOf(pages, dma32) > pages.words[dma32 + ZONE_WMARK + 1]! + 100) {
      const pfn = pages.allocPages(GFP_KERNEL)
      if (pfn !== null) taken.push(pfn)
    }
    expect(freePagesOf(pages, dma)).toBe(before)
    expect(reclaimer.calls).toEqual([])
    freeAll(pages, taken)
    expect(faults(pages)).toEqual([])
  })
})
