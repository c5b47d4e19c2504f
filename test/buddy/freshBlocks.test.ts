import { describe, expect, it } from 'vitest'
import {
  allocContigPages,
  allocContigRange,
  BuddyAllocator,
  compareSnapshots,
  formatBuddyinfo,
  formatPagetypeinfo,
  freeContigRange,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  GiB,
  MIGRATE_CMA,
  MiB,
  machineHash,
  memoryPicture,
  nodeState,
  PAGE_SIZE,
  PhysicalMemory,
  pageOwner,
  reservePages,
  restoreSnapshot,
  saveSnapshot,
  snapshotInfo,
  stateHash,
  toPfn,
} from '../../src/index'
import { freshEnd, touchFresh, writtenParts } from '../../src/page/freshBlocks'
import { isFresh, pageRecord } from '../../src/page/memmap'
import { HEADER_MAX_PFN, PAGE_FLAGS, PAGE_REFS } from '../../src/state/schema'
import { faults, thrownBy } from './machines'
import { stream } from './random'
import { Script } from './script'

/** Gives every fresh block its record: the machine is one that never had any. */
function touchAll(pages: BuddyAllocator): BuddyAllocator {
  touchFresh(pages.words, 0, pages.words[HEADER_MAX_PFN]!)
  return pages
}

function freshBlocks({ words }: BuddyAllocator): number {
  let blocks = 0
  for (let pfn = 0; pfn < words[HEADER_MAX_PFN]!; pfn += 1024) if (isFresh(words, pfn)) blocks += 1
  return blocks
}

/** What a call throws, in words; '' when it does not. */
function attempt(call: () => void): string {
  try {
    call()
    return ''
  } catch (error) {
    return `${error}`
  }
}

/** All that a program can see: zones with their lists, and what each record says. */
function visible(pages: BuddyAllocator): unknown {
  const { words } = pages
  const records: number[] = []
  for (let pfn = 0; pfn < words[HEADER_MAX_PFN]!; pfn++) {
    records.push(words[pageRecord(pfn) + PAGE_FLAGS]!, words[pageRecord(pfn) + PAGE_REFS]!)
  }
  const nodes = [0, 1].slice(0, pages.context.nrNodes).map((node) => nodeState(pages, node))
  return { nodes, records }
}

function withoutContent(size: number): BuddyAllocator {
  return new BuddyAllocator({ ram: new PhysicalMemory({ size, content: false }) })
}

function twoNodes(): BuddyAllocator {
  return new BuddyAllocator({
    cpus: 2,
    memory: {
      memory: [
        { base: MiB, size: 99 * MiB, node: 0 },
        { base: 101 * MiB, size: 91 * MiB, node: 1 },
      ],
      reserved: [{ base: 49 * MiB, size: PAGE_SIZE }],
    },
    maxAddress: 512 * MiB,
  })
}

describe('fresh blocks', () => {
  it('are what boot hands over in long stretches', () => {
    const pages = twoNodes()
    expect(freshBlocks(pages)).toBeGreaterThan(35)
    expect(faults(pages)).toEqual([])
    const touched = touchAll(twoNodes())
    expect(freshBlocks(touched)).toBe(0)
    expect(faults(touched)).toEqual([])
    expect(nodeState(pages)).toEqual(nodeState(touched))
    expect(formatPagetypeinfo(pages.words)).toBe(formatPagetypeinfo(touched.words))
    expect(formatBuddyinfo(pages.words)).toBe(formatBuddyinfo(touched.words))
    expect(memoryPicture(pages.words)).toBe(memoryPicture(touched.words))
  })

  it.each([1, 2, 3, 4, 5, 6])('answer as blocks with records do, seed %i', (seed) => {
    const pages = twoNodes()
    const touched = touchAll(twoNodes())
    const scripts = [new Script(seed), new Script(seed)] as const
    const random = stream(seed)
    for (let round = 0; round < 30; round++) {
      scripts[0].run(pages, 20, 2)
      scripts[1].run(touched, 20, 2)
      expect(scripts[0].answer).toBe(scripts[1].answer)
      const start = toPfn(random.below(48_000))
      const end = toPfn(start + 1 + random.below(3000))
      const type = random.below(4) === 0 ? MIGRATE_CMA : undefined
      const what = random.below(6)
      const isFree = isFresh(pages.words, start)
      const answers = [pages, touched].map((one) => {
        if (what === 0) return allocContigRange(one, start, end, type)
        if (what === 1) return allocContigPages(one, 700, GFP_HIGHUSER_MOVABLE)
        if (what === 2) return reservePages(one, start, 3)
        if (what === 3) return one.allocPages(GFP_KERNEL, 10)
        if (what === 4 && round === 20) return one.addMemory(200 * MiB, 100 * MiB)
        return isFree ? attempt(() => one.freePages(start)) : null
      })
      expect(answers[0]).toEqual(answers[1])
      expect(nodeState(pages)).toEqual(nodeState(touched))
      expect(nodeState(pages, 1)).toEqual(nodeState(touched, 1))
      expect(faults(pages)).toEqual([])
    }
    expect(visible(touchAll(pages))).toEqual(visible(touchAll(touched)))
  })

  it('keep their place on the list wherever they are touched', () => {
    for (const order of [[7], [3], [7, 6, 5], [2, 6, 5], [9, 3], [5, 7, 6]]) {
      const pages = withoutContent(64 * MiB)
      const before = nodeState(pages)
      for (const block of order) touchFresh(pages.words, block * 1024 + 77, block * 1024 + 78)
      expect(nodeState(pages)).toEqual(before)
      expect(faults(pages)).toEqual([])
    }
  })

  it('are reported as free ones when somebody frees them', () => {
    const report = (pages: BuddyAllocator, pfn: number) => {
      const hash = stateHash(pages)
      const bug = thrownBy(() => pages.freePages(toPfn(pfn)))
      expect(stateHash(pages)).toBe(hash)
      return { ...bug, text: bug.message }
    }
    for (const pfn of [4096, 5000]) {
      const told = report(withoutContent(64 * MiB), pfn)
      expect(told).toEqual(report(touchAll(withoutContent(64 * MiB)), pfn))
      expect(told).toMatchObject({ code: 'DOUBLE_FREE' })
    }
  })

  it('have no owner', () => {
    const pages = withoutContent(64 * MiB)
    const owner = pageOwner(pages)
    const pfn = pages.allocPages(GFP_KERNEL)
    expect([...owner.records()].map((record) => record.pfn)).toContain(pfn)
    expect(owner.ownerOf(8192)).toBeNull()
    expect(freshBlocks(pages)).toBeGreaterThan(5)
  })
})

describe('a machine of a tebibyte', () => {
  const written = ({ words }: BuddyAllocator) => {
    const parts = writtenParts(words)
    return parts.reduce((sum, place, i) => sum + (i % 2 === 0 ? -place : place), 0)
  }

  it('boots, works and is saved in proportion to what is in use', () => {
    const make = () => ({ ram: new PhysicalMemory({ size: 1024 * GiB, content: false }) })
    const boot = (m: { ram: PhysicalMemory }) => ({ ...m, pages: new BuddyAllocator(m) })
    const machine = boot(make())
    const { pages } = machine
    // A word for each pageblock, and no more than a few records.
    expect(written(pages)).toBeLessThan(600_000)
    expect(pages.words.length).toBeGreaterThan(2 ** 30)
    expect(formatBuddyinfo(pages.words)).toMatch(/Normal +(?:0 +){10}261120/)

    const singles = Array.from({ length: 5000 }, () => pages.allocPages(GFP_KERNEL))
    const blocks = Array.from({ length: 300 }, () => pages.allocPages(GFP_KERNEL, 10))
    expect([...singles, ...blocks]).not.toContain(null)
    expect(blocks.map((pfn) => (pfn ?? 0) % 1024)).toEqual(blocks.map(() => 0))
    expect(reservePages(pages, toPfn(2 ** 27 + 12_345))).toBe(true)
    expect(allocContigRange(pages, toPfn(2 ** 26 + 5), toPfn(2 ** 26 + 5000))).toBe(0)
    for (const pfn of singles.slice(0, 2500)) if (pfn !== null) pages.freePages(pfn)
    freeContigRange(pages, toPfn(2 ** 26 + 5), 1000)
    expect(written(pages)).toBeLessThan(2_000_000)

    const file = saveSnapshot(machine)
    expect(file.length).toBeLessThan(3_000_000)
    expect(snapshotInfo(file)).toMatchObject({
      memoryBytes: 1024 * GiB,
      content: false,
      pagesInUse: 2500 + 300 * 1024 + 1 + 3995,
      sections: [{ name: 'pages' }],
    })
    const other = boot(make())
    expect(compareSnapshots(file, machine).same).toBe(true)
    expect(compareSnapshots(file, other).pages.freedPages).toBe(2500 + 300 * 1024 + 1 + 3995)
    restoreSnapshot(other, file)
    expect(machineHash(other)).toBe(machineHash(machine))
    expect(other.pages.allocPages(GFP_KERNEL, 3)).toBe(pages.allocPages(GFP_KERNEL, 3))
    expect(stateHash(other.pages)).toBe(stateHash(pages))
  })

  it('passes every check, at 64 GiB', () => {
    const pages = withoutContent(64 * GiB)
    for (let i = 0; i < 50; i++) pages.allocPages(GFP_KERNEL, i % 11)
    expect(faults(pages)).toEqual([])
    expect(freshEnd(pages.words, 2 ** 22)).toBe(2 ** 24)
  })
})
