import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { parseMemSize } from '../../src/base/memSize'
import { type MovableMemory, movableMemory } from '../../src/zone/movableCore'
import {
  computeSpans as computeSpansBy,
  type PfnRange,
  type SpanInput,
  ZONES_FLAT,
  ZONES_I386,
  ZONES_X86_64,
} from '../../src/zone/spans'

const GUEST: PfnRange[] = [
  { start: 1, end: 0x9f, node: 0 },
  { start: 0x100, end: 0x3ffe0, node: 0 },
]
/** computeSpans, with kernelcore= and movablecore= as the words that they are. */
function computeSpans({
  kernelcore,
  movablecore,
  ...input
}: SpanInput & MovableMemory): ReturnType<typeof computeSpansBy> {
  const words = {
    ...(kernelcore === undefined ? {} : { kernelcore }),
    ...(movablecore === undefined ? {} : { movablecore }),
  }
  return computeSpansBy({ ...input, movable: movableMemory(words) })
}

const NOTHING = { start: 0, spanned: 0, present: 0 }

describe('computeSpans', () => {
  it('gives the example of movablecore=256M', () => {
    const spans = computeSpans({
      ranges: GUEST,
      nodes: 1,
      limits: ZONES_X86_64,
      movablecore: '256M',
    })
    expect(spans.nodes).toEqual([
      {
        start: 1,
        end: 262112,
        movablePfn: 196608,
        zones: [
          { start: 1, spanned: 4095, present: 3998 },
          { start: 4096, spanned: 192512, present: 192512 },
          NOTHING,
          { start: 196608, spanned: 65504, present: 65504 },
        ],
      },
    ])
    expect(spans.movableZone).toBe(1)
    expect(spans.possible).toEqual([
      { start: 1, end: 4096 },
      { start: 4096, end: 262112 },
      { start: 262112, end: 262112 },
    ])
  })

  it('takes kernelcore and movablecore together as the larger kernel part', () => {
    const movable = (kernelcore: string, movablecore: string): number | undefined =>
      computeSpans({ ranges: GUEST, nodes: 1, limits: ZONES_X86_64, kernelcore, movablecore })
        .nodes[0]?.movablePfn
    // 262014 pages; 900M = 230400 pages, the first range and DMA among them: 98 pages of hole.
    expect(movable('900M', '256M')).toBe(Math.ceil((230400 + 98) / 1024) * 1024)
    expect(movable('10M', '256M')).toBe(196608)
  })

  it('reads percentages of all memory', () => {
    const start = (words: { kernelcore?: string; movablecore?: string }): number | undefined =>
      computeSpans({ ranges: GUEST, nodes: 1, limits: ZONES_X86_64, ...words }).nodes[0]?.movablePfn
    // 30% of 262014 is 78604 pages of kernel memory, less rounding.
    expect(start({ kernelcore: '30%' })).toBe(Math.ceil((78604 + 98) / 1024) * 1024)
    // 25% is 65503 pages, rounded up to 65536.
    expect(start({ movablecore: '25%' })).toBe(196608)
    expect(start({ kernelcore: '100%' })).toBe(0)
    expect(start({ movablecore: '0%' })).toBe(0)
    expect(() => start({ kernelcore: '101%' })).toThrow(InvalidArgument)
  })

  it('spreads kernel memory over nodes and lets large nodes take what small ones cannot', () => {
    const ranges = [
      { start: 0, end: 4096, node: 0 },
      { start: 4096, end: 69632, node: 1 },
    ]
    const spans = computeSpans({ ranges, nodes: 2, limits: ZONES_FLAT, kernelcore: 20480 * 4096 })
    // Each gets 10240; node 0 gives all its 4096, node 1 the other 16384.
    expect(spans.nodes.map((node) => node.movablePfn)).toEqual([0, 4096 + 16384])
    expect(spans.nodes[1]?.zones).toEqual([
      NOTHING,
      NOTHING,
      { start: 4096, spanned: 16384, present: 16384 },
      { start: 20480, spanned: 49152, present: 49152 },
    ])
  })

  it('stops in the range where the share of a node is used up', () => {
    const ranges = [
      { start: 0, end: 8192, node: 0 },
      { start: 16384, end: 32768, node: 0 },
    ]
    const spans = computeSpans({ ranges, nodes: 1, limits: ZONES_FLAT, kernelcore: 4096 * 4096 })
    expect(spans.nodes[0]?.movablePfn).toBe(4096)
    expect(spans.nodes[0]?.zones[3]).toEqual({ start: 4096, spanned: 28672, present: 20480 })
  })

  it('leaves a rest of fewer pages than nodes to no one', () => {
    const ranges = [0, 1, 2].map((node) => ({ start: node * 8192, end: (node + 1) * 8192, node }))
    const starts = (pages: number): (number | undefined)[] => {
      const kernelcore = pages * 4096
      const spans = computeSpans({ ranges, nodes: 3, limits: ZONES_FLAT, kernelcore })
      return spans.nodes.map((node) => node.movablePfn)
    }
    expect(starts(3 * 1024 + 2)).toEqual([1024, 8192 + 1024, 16384 + 1024])
    // A page for each is a share, and takes a whole block of the largest order.
    expect(starts(3 * 1024 + 3)).toEqual([2048, 8192 + 2048, 16384 + 2048])
  })

  it('empties a zone that starts at the Movable zone', () => {
    const ranges = [
      { start: 0, end: 262144, node: 0 },
      { start: 1048576, end: 1310720, node: 0 },
    ]
    const spans = computeSpans({
      ranges,
      nodes: 1,
      limits: ZONES_X86_64,
      kernelcore: 100000 * 4096,
    })
    expect(spans.nodes[0]?.zones).toEqual([
      { start: 0, spanned: 4096, present: 4096 },
      { start: 4096, spanned: 1044480, present: 258048 },
      NOTHING,
      { start: 1048576, spanned: 262144, present: 262144 },
    ])
  })

  it('splits i386 memory at 16 MiB and 896 MiB', () => {
    const spans = computeSpans({
      ranges: [{ start: 1, end: 524288, node: 0 }],
      nodes: 1,
      limits: ZONES_I386,
    })
    expect(spans.nodes[0]?.zones).toEqual([
      { start: 1, spanned: 4095, present: 4095 },
      { start: 4096, spanned: 225280, present: 225280 },
      { start: 229376, spanned: 294912, present: 294912 },
      NOTHING,
    ])
  })

  it('keeps the span of a node over a zone without memory of its own', () => {
    const ranges = [
      { start: 1, end: 2048, node: 0 },
      { start: 1048576, end: 1049600, node: 0 },
    ]
    const [node] = computeSpans({ ranges, nodes: 1, limits: ZONES_X86_64 }).nodes
    expect(node?.zones[1]).toEqual({ start: 4096, spanned: 1044480, present: 0 })
  })

  it('refuses zone limits inside a largest block, falling, or short of the end', () => {
    const limits = (...list: number[]): (() => unknown) => {
      const profile = { highmem: false, limits: list }
      return () => computeSpans({ ranges: GUEST, nodes: 1, limits: profile })
    }
    expect(limits(4096, 5120, Infinity)).not.toThrow()
    expect(limits(4000, 5120, Infinity)).toThrow('zone limits is "4000,5120,Infinity"')
    expect(limits(4096, 1024, Infinity)).toThrow('zone limits is "4096,1024,Infinity"')
    expect(limits(4096, 5120, 1048576)).toThrow(InvalidArgument)
    expect(limits()).toThrow(InvalidArgument)
    expect(limits(Infinity, Infinity)).toThrow(InvalidArgument)
  })

  it('refuses ranges that overlap, are empty, or belong to no node', () => {
    const compute = (...ranges: PfnRange[]): (() => unknown) => {
      return () => computeSpans({ ranges, nodes: 1, limits: ZONES_FLAT })
    }
    expect(compute({ start: 0, end: 8, node: 0 }, { start: 7, end: 9, node: 0 })).toThrow(
      'ranges[1].start is 7',
    )
    expect(compute({ start: 8, end: 8, node: 0 })).toThrow('ranges[0].end is 8')
    expect(compute({ start: 8, end: 9, node: 1 })).toThrow('ranges[0].node is 1')
  })

  it('gives every page of memory to exactly one zone of its node', () => {
    const gap = fc.nat(3000)
    const size = fc.integer({ min: 1, max: 5000 })
    const pieces = fc.array(fc.tuple(gap, size, fc.nat(2)), { minLength: 1, maxLength: 8 })
    const limits = { highmem: false, limits: [4096, 8192, Infinity] as const }
    fc.assert(
      fc.property(
        pieces,
        fc.option(fc.nat(100)),
        fc.option(fc.nat(100)),
        (list, kernel, movable) => {
          let at = 0
          const ranges = list.map(([hole, pages, node]) => {
            const start = at + hole
            at = start + pages
            return { start, end: at, node }
          })
          const spans = computeSpans({
            ranges,
            nodes: 3,
            limits,
            ...(kernel === null ? {} : { kernelcore: `${kernel}%` }),
            ...(movable === null ? {} : { movablecore: `${movable}%` }),
          })
          for (const [id, node] of spans.nodes.entries()) {
            const own = ranges.filter((range) => range.node === id)
            const pages = own.reduce((sum, range) => sum + range.end - range.start, 0)
            expect(node.zones.reduce((sum, zone) => sum + zone.present, 0)).toBe(pages)
            const parts = node.zones.filter((zone) => zone.spanned > 0)
            parts.sort((a, b) => a.start - b.start)
            for (const [i, zone] of parts.entries()) {
              const next = parts[i + 1]
              if (next !== undefined)
                expect(zone.start + zone.spanned).toBeLessThanOrEqual(next.start)
              if (i > 0) expect(zone.start % 1024).toBe(0)
            }
          }
        },
      ),
    )
  })
})

describe('movableMemory', () => {
  it('takes numbers for bytes, and refuses what is none', () => {
    const movable = (size: number) => () =>
      computeSpans({ ranges: GUEST, nodes: 1, limits: ZONES_X86_64, movablecore: size })
    expect(movable(256 * 2 ** 20)().nodes[0]?.movablePfn).toBe(196608)
    for (const size of [-1, 0.5, Number.NaN, 2 ** 53])
      expect(movable(size)).toThrow(InvalidArgument)
  })
})

describe('parseMemSize', () => {
  it.each([
    ['256M', 268435456],
    ['1g', 1073741824],
    ['0x100000', 1048576],
    ['0x10K', 16384],
    ['010k', 8192],
    ['0', 0],
    ['4096', 4096],
    ['2T', 2199023255552],
    ['1P', 1125899906842624],
  ])('reads %s as %d', (text, bytes) => {
    expect(parseMemSize(text)).toBe(bytes)
  })

  it.each(['', 'M', '12Q', '-1', '1.5G', '09', '12 M', '0x', '1E'])('refuses "%s"', (text) => {
    expect(() => parseMemSize(text)).toThrow(InvalidArgument)
  })
})
