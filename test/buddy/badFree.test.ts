import { describe, expect, it } from 'vitest'
import {
  __GFP_COMP,
  allocPagesExact,
  BuddyAllocator,
  freePagesAt,
  freePagesExact,
  freePagesList,
  GFP_KERNEL,
  getPage,
  KernelBug,
  MiB,
  PAGE_SIZE,
  type Pfn,
  PhysicalMemory,
  putPage,
  reservePages,
  splitPage,
  stateHash,
  toPfn,
} from '../../src/index'
import { faults, thrownBy, twoNodes } from './machines'

describe('frees that a kernel would report', () => {
  const hole = toPfn((21 * MiB) / PAGE_SIZE - 1)
  const reserved = toPfn((2 * MiB) / PAGE_SIZE)

  /** A machine, what to do on it first, and the wrong free. */
  const cases: readonly (readonly [
    what: string,
    code: string,
    prepare: (pages: BuddyAllocator) => () => unknown,
  ])[] = [
    [
      'a page on a page list',
      'DOUBLE_FREE',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL) as Pfn
        pages.freePages(pfn)
        return () => pages.freePages(pfn)
      },
    ],
    [
      'a page in the free areas',
      'DOUBLE_FREE',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL) as Pfn
        pages.freePages(pfn)
        pages.drainAllPages()
        return () => pages.freePages(pfn)
      },
    ],
    [
      'a large block twice',
      'DOUBLE_FREE',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL, 5) as Pfn
        pages.freePages(pfn, 5)
        return () => pages.freePages(pfn, 5)
      },
    ],
    [
      'a page inside a free block',
      'DOUBLE_FREE',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL, 5) as Pfn
        pages.freePages(pfn, 5)
        return () => pages.freePages(toPfn(pfn + 3))
      },
    ],
    [
      'a page twice in a list',
      'DOUBLE_FREE',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL) as Pfn
        return () => freePagesList(pages, [pfn, pfn])
      },
    ],
    [
      'a block as a single page',
      'WRONG_ORDER',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL, 3) as Pfn
        return () => pages.freePages(pfn)
      },
    ],
    [
      'a single page as a block',
      'WRONG_ORDER',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL) as Pfn
        return () => pages.freePages(pfn, 3)
      },
    ],
    [
      'a compound page with another order',
      'WRONG_ORDER',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL | __GFP_COMP, 3) as Pfn
        return () => pages.freePages(pfn, 2)
      },
    ],
    [
      'an exact allocation as a block',
      'WRONG_ORDER',
      (pages) => {
        const pfn = allocPagesExact(pages, 3 * PAGE_SIZE, GFP_KERNEL) as Pfn
        return () => pages.freePages(pfn, 2)
      },
    ],
    [
      'a tail page',
      'TAIL_PAGE',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL, 3) as Pfn
        return () => pages.freePages(toPfn(pfn + 1))
      },
    ],
    [
      'a tail page of a compound page',
      'TAIL_PAGE',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL | __GFP_COMP, 3) as Pfn
        return () => pages.freePages(toPfn(pfn + 4), 2)
      },
    ],
    ['a reserved page', 'RESERVED_PAGE', (pages) => () => pages.freePages(reserved)],
    ['a page in a hole', 'RESERVED_PAGE', (pages) => () => pages.freePages(hole)],
    [
      'a page behind the last memory',
      'RESERVED_PAGE',
      (pages) => () => pages.freePages(toPfn(13_400)),
    ],
    [
      'a page that is still referenced',
      'STILL_REFERENCED',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL) as Pfn
        getPage(pages, pfn)
        return () => pages.freePages(pfn)
      },
    ],
    [
      'a split page that is still referenced',
      'STILL_REFERENCED',
      (pages) => {
        const pfn = pages.allocPages(GFP_KERNEL, 1) as Pfn
        splitPage(pages, pfn, 1)
        getPage(pages, toPfn(pfn + 1))
        return () => freePagesExact(pages, pfn, 2 * PAGE_SIZE)
      },
    ],
  ]

  it.each(cases)('%s: %s, with the kernel’s report', (_what, code, prepare) => {
    const pages = twoNodes()
    const call = prepare(pages)
    const before = stateHash(pages)
    const error = thrownBy(call)
    expect(error).toBeInstanceOf(KernelBug)
    const bug = error as KernelBug
    expect(bug.code).toBe(code)
    expect(bug.message).toMatch(/0x[0-9a-f]+/)
    expect(bug.report[0]).toMatch(/^BUG: Bad page state in process \S+ {2}pfn:[0-9a-f]{5}$/)
    expect(bug.report[bug.report.length - 1]).toMatch(/^page dumped because: \S/)
    expect(stateHash(pages)).toBe(before)
    expect(faults(pages)).toEqual([])
  })

  it('does not mind the address of an allocation that failed', () => {
    const pages = twoNodes()
    const before = stateHash(pages)
    freePagesAt(pages, null)
    freePagesAt(pages, null, 3)
    expect(stateHash(pages)).toBe(before)
    expect(thrownBy(() => freePagesAt(pages, 0))).toBeInstanceOf(KernelBug)
  })

  it('names the frame at fault, not only the first of a range', () => {
    const pages = twoNodes()
    const pfn = pages.allocPages(GFP_KERNEL, 3) as Pfn
    splitPage(pages, pfn, 3)
    pages.freePages(toPfn(pfn + 5))
    const before = stateHash(pages)
    const error = thrownBy(() => freePagesExact(pages, pfn, 8 * PAGE_SIZE)) as KernelBug
    expect(error.message).toContain(`0x${(pfn + 5).toString(16)}`)
    expect(error.report[0]).toContain(`pfn:${(pfn + 5).toString(16).padStart(5, '0')}`)
    expect(stateHash(pages)).toBe(before)
  })

  it('reports frames outside memory as the fault that a kernel would take', () => {
    const pages = twoNodes({ maxAddress: 1024 * MiB })
    const before = stateHash(pages)
    for (const pfn of [200_000, 2 ** 27, 2 ** 31, 2 ** 40, 100 * 1024]) {
      const error = thrownBy(() => pages.freePages(toPfn(pfn))) as KernelBug
      expect(error, String(pfn)).toBeInstanceOf(KernelBug)
      expect(error.code).toBe('OUTSIDE_MEMORY')
      expect(error.message).toContain(`0x${pfn.toString(16)}`)
      expect(error.report[0]).toMatch(
        /^BUG: unable to handle page fault for address: [0-9a-f]{1,16}$/,
      )
    }
    expect(stateHash(pages)).toBe(before)
  })

  it('refuses references to pages that nobody holds', () => {
    const pages = twoNodes()
    const used = pages.allocPages(GFP_KERNEL, 2) as Pfn
    const freed = pages.allocPages(GFP_KERNEL) as Pfn
    pages.freePages(freed)
    const before = stateHash(pages)
    for (const pfn of [toPfn(used + 1), freed, reserved, hole, toPfn(9000)]) {
      for (const call of [getPage, putPage]) {
        const error = thrownBy(() => call(pages, pfn)) as KernelBug
        expect(error, String(pfn)).toBeInstanceOf(KernelBug)
        expect(error.code).toBe('NOT_REFERENCED')
        expect(error.message).toContain(`0x${pfn.toString(16)}`)
      }
    }
    expect(stateHash(pages)).toBe(before)
  })

  it('refuses to split what is no block in use of that order', () => {
    const pages = twoNodes()
    const block = pages.allocPages(GFP_KERNEL, 3) as Pfn
    const before = stateHash(pages)
    for (const [pfn, order] of [
      [block, 2],
      [block, 4],
      [block + 1, 0],
      [reserved, 0],
      [9000, 3],
    ] as const) {
      expect(thrownBy(() => splitPage(pages, toPfn(pfn), order))).toBeInstanceOf(KernelBug)
    }
    expect(stateHash(pages)).toBe(before)
  })

  it('reserves nothing when one frame of the range is not free', () => {
    const pages = twoNodes()
    const single = pages.allocPages(GFP_KERNEL) as Pfn
    pages.drainAllPages()
    const before = stateHash(pages)
    for (const pfn of [single, reserved, hole]) {
      expect(reservePages(pages, toPfn(pfn - 2), 5)).toBe(false)
      expect(reservePages(pages, toPfn(pfn), 1)).toBe(false)
    }
    expect(stateHash(pages)).toBe(before)
  })
})

describe('splitPage', () => {
  it('refuses a compound page, and leaves it whole', () => {
    const pages = new BuddyAllocator({
      ram: new PhysicalMemory({ size: 16 * MiB, content: false }),
    })
    const pfn = pages.allocPages(GFP_KERNEL | __GFP_COMP, 2) ?? toPfn(0)
    const before = stateHash(pages)
    expect(() => splitPage(pages, pfn, 2)).toThrow('is a compound page')
    expect(stateHash(pages)).toBe(before)
    pages.freePages(pfn, 2)
  })
})
