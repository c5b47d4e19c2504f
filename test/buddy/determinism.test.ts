import { describe, expect, it } from 'vitest'
import { verifyState } from '../../src/debug/verify'
import {
  attachState,
  BuddyAllocator,
  type BuddyOptions,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  loadZones,
  MiB,
  movableMemory,
  nodeState,
  noPageTrace,
  type Pfn,
  PhysicalMemory,
  stateHash,
  withPageListsHeld,
  withPressure,
  ZONES_FLAT,
} from '../../src/index'
import {
  CPU_EVENTS,
  CPU_WORDS,
  EVENT_ALLOCSTALL,
  HEADER_CPUS,
  HEADER_NR_CPUS,
  NR_ZONES,
  ZONE_BOOST,
} from '../../src/state/schema'
import { cachedPages, differences, faults, freePagesOf, twoNodes, zonesOf } from './machines'
import { Script } from './script'

const STEPS = 3000

type Machine = readonly [name: string, make: (options: Partial<BuddyOptions>) => BuddyAllocator]

const MACHINES: readonly Machine[] = [
  ['one small zone', (options) => flat(16, options)],
  ['one zone with large page lists', (options) => flat(120, options)],
  ['two nodes', (options) => twoNodes({ cpuNodes: [0, 1, 0], ...options })],
  [
    'two nodes with Movable zones',
    (options) => twoNodes({ movable: movableMemory({ movablecore: 12 * MiB }), ...options }),
  ],
]

function flat(mib: number, options: Partial<BuddyOptions>): BuddyAllocator {
  const ram = new PhysicalMemory({ size: mib * MiB, content: false })
  return new BuddyAllocator({ ram, zones: ZONES_FLAT, cpus: 2, ...options })
}

/** A machine after the whole script, and what the script got. */
function played(make: () => BuddyAllocator, seed: number) {
  const pages = make()
  const script = new Script(seed)
  script.run(pages, STEPS, 2)
  expect(faults(pages)).toEqual([])
  return { pages, answer: script.answer }
}

/** Sets the counts of direct reclaims to 0: without a reclaimer one round stands for all (DIFF-7). */
function forgetStalls(pages: BuddyAllocator): void {
  const { words } = pages
  for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
    const stalls = words[HEADER_CPUS]! + cpu * CPU_WORDS + CPU_EVENTS + EVENT_ALLOCSTALL * 2
    words.fill(0, stalls, stalls + 2 * NR_ZONES)
  }
}

/** A seed for each machine, so that a failure names it. */
const RUNS = MACHINES.flatMap(([name, make]) =>
  [1, 2, 3].map((seed) => [name, seed, make] as const),
)

describe.each(RUNS)('the same calls on %s, seed %i', (_name, seed, make) => {
  const first = played(() => make({}), seed)

  it('give the same answers and the same state a second time', () => {
    const again = played(() => make({}), seed)
    expect(again.answer).toBe(first.answer)
    expect(stateHash(again.pages)).toBe(stateHash(first.pages))
    expect(stateHash(played(() => make({}), seed + 100).pages)).not.toBe(stateHash(first.pages))
  })

  it('give the same on a SharedArrayBuffer', () => {
    const shared = played(() => make({ shared: true }), seed)
    expect(shared.pages.state).toBeInstanceOf(SharedArrayBuffer)
    expect(shared.answer).toBe(first.answer)
    expect(stateHash(shared.pages)).toBe(stateHash(first.pages))
  })

  it('give the same through a snapshot that is copied back', () => {
    const pages = make({})
    const script = new Script(seed)
    script.run(pages, STEPS / 2, 2)
    const snapshot = pages.words.slice()
    const before = stateHash(pages)
    new Script(seed + 7).run(pages, 500, 2)
    expect(stateHash(pages)).not.toBe(before)
    pages.words.set(snapshot)
    expect(stateHash(pages)).toBe(before)
    script.run(pages, STEPS / 2, 2)
    expect(script.answer).toBe(first.answer)
    expect(differences(pages, first.pages)).toEqual([])
    expect(stateHash(pages)).toBe(stateHash(first.pages))
  })

  it('give the same on another allocator attached to a copy', () => {
    const pages = make({})
    const script = new Script(seed)
    script.run(pages, STEPS / 2, 2)
    const other = attachState(pages.state.slice(0))
    expect(stateHash(other)).toBe(stateHash(pages))
    script.run(other, STEPS / 2, 2)
    expect(script.answer).toBe(first.answer)
    expect(differences(other, first.pages)).toEqual([])
    expect(stateHash(other)).toBe(stateHash(first.pages))
    expect(stateHash(pages)).not.toBe(stateHash(other))
  })

  it('give the same when one allocator after the other works on one buffer', () => {
    const pages = make({})
    const script = new Script(seed)
    for (let i = 0; i < 10; i++) script.run(attachState(pages.state), STEPS / 10, 2)
    expect(script.answer).toBe(first.answer)
    expect(differences(pages, first.pages)).toEqual([])
  })

  it('give the same when somebody listens, so that no call takes a fast path', () => {
    const listened = played(() => {
      const pages = make({})
      pages.setTrace(noPageTrace)
      return pages
    }, seed)
    expect(listened.answer).toBe(first.answer)
    expect(differences(listened.pages, first.pages)).toEqual([])
  })

  it('give the same with a reclaimer that has nothing to reclaim, but for counted stalls', () => {
    const reclaiming = played(() => make({ pressure: withPressure({}) }), seed)
    expect(reclaiming.answer).toBe(first.answer)
    const copies = [first.pages, reclaiming.pages].map((pages) => {
      const copy = attachState(pages.state.slice(0))
      forgetStalls(copy)
      return copy
    }) as [BuddyAllocator, BuddyAllocator]
    expect(differences(...copies)).toEqual([])
  })
})

describe('fast paths', () => {
  /** A machine that serves GFP_KERNEL by a fast path from now on, and its state. */
  function quickMachine(): { pages: BuddyAllocator; snapshot: Int32Array } {
    const pages = flat(120, {})
    pages.freePages(pages.allocPages(GFP_KERNEL) as Pfn)
    pages.freePages(pages.allocPages(GFP_KERNEL) as Pfn)
    return { pages, snapshot: pages.words.slice() }
  }

  it('are not taken while somebody listens, even after a snapshot was copied back', () => {
    const { pages, snapshot } = quickMachine()
    const told: number[] = []
    pages.setTrace({
      ...noPageTrace,
      pageAlloc: (pfn) => void told.push(pfn),
      pageFree: (pfn) => void told.push(pfn),
    })
    pages.words.set(snapshot)
    const pfn = pages.allocPages(GFP_KERNEL) as Pfn
    pages.freePages(pfn)
    expect(told).toEqual([pfn, pfn])
  })

  it('are not taken while page lists are held, even after a snapshot was copied back', () => {
    const { pages, snapshot } = quickMachine()
    const [zone] = zonesOf(pages)
    if (zone === undefined) throw new Error('no zone')
    const before = cachedPages(pages, zone)
    withPageListsHeld(pages, () => {
      pages.words.set(snapshot)
      pages.allocPages(GFP_KERNEL)
    })
    expect(cachedPages(pages, zone)).toBe(before)
  })

  it.each([200, 299, 300, 301, 302, 400, 500])(
    'look again when a steal has raised the marks, at %i free pages',
    (free) => {
      const play = (listened: boolean) => {
        const pages = flat(16, { cpus: 1 })
        if (listened) pages.setTrace(noPageTrace)
        const zone = zonesOf(pages)[0] ?? 0
        while (freePagesOf(pages, zone) > free) pages.allocPages(GFP_HIGHUSER_MOVABLE)
        // Nothing UNMOVABLE is left: this steals from a MOVABLE pageblock, and boosts.
        const answers = [pages.allocPages(GFP_KERNEL)]
        expect(pages.words[zone + ZONE_BOOST]).toBe(512)
        expect(faults(pages)).toEqual([])
        for (let i = 0; i < 50; i++) answers.push(pages.allocPages(GFP_HIGHUSER_MOVABLE))
        return { pages, answers }
      }
      const [fast, slow] = [play(false), play(true)]
      expect(fast.answers).toEqual(slow.answers)
      expect(differences(fast.pages, slow.pages)).toEqual([])
    },
  )

  it('forget what they know when memory comes, in the same way on each of two branches', () => {
    const branch = (mib: number) => {
      const pages = twoNodes({ maxAddress: 4096 * MiB })
      for (let i = 0; i < 3; i++) pages.allocPages(GFP_HIGHUSER_MOVABLE)
      pages.addMemory(64 * MiB, mib * MiB, 0)
      return pages
    }
    const pages = branch(8)
    const snapshot = pages.words.slice()
    pages.addMemory(128 * MiB, 64 * MiB, 1)
    for (let i = 0; i < 20; i++) pages.allocPages(GFP_HIGHUSER_MOVABLE)
    pages.words.set(snapshot)
    const other = branch(8)
    for (const each of [pages, other]) {
      each.addMemory(128 * MiB, 32 * MiB, 0)
      for (let i = 0; i < 20; i++) each.allocPages(GFP_HIGHUSER_MOVABLE)
    }
    expect(differences(pages, other)).toEqual([])
    expect(faults(pages)).toEqual([])
  })
})

describe('recorded zones', () => {
  it.each([1, 2, 3])(
    'make a state in order, that answers like the recorded one, seed %i',
    (seed) => {
      const pages = flat(64, { cpus: 1 })
      new Script(seed).run(pages, 800, 1)
      const loaded = loadZones(nodeState(pages))
      expect(verifyState(loaded.words, { unknownFrames: true })).toEqual([])
      expect(nodeState(loaded)).toEqual(nodeState(pages))
      const answers = [pages, loaded].map((each) => {
        const script = new Script(seed + 50)
        script.run(each, 800, 1)
        return script.answer
      })
      expect(answers[1]).toBe(answers[0])
      expect(nodeState(loaded)).toEqual(nodeState(pages))
      expect(verifyState(loaded.words, { unknownFrames: true })).toEqual([])
    },
  )
})
