import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug } from '../../src/base/errors'
import type { ZoneState } from '../../src/buddy/nodeState'
import { zoneBlocks } from '../../src/proc/memoryBlocks'
import { SOLID } from '../../src/proc/memoryCells'
import { memoryPicture, memoryPicturePair } from '../../src/proc/memoryPicture'
import { HEADER_BLOCKS, PAGE_NEXT, ZONE_LISTS } from '../../src/state/schema'
import { loadNodeState, zoneNamed } from '../support/loadNodeState'
import { sameWords } from '../zone/bootFixture'
import { fixtureText, textProcWords, zoneOf } from './fixtures'

/** Tags and their nesting, entities, attributes: enough of XML for what a picture may contain. */
function checkXml(svg: string): string[] {
  const open: string[] = []
  const names: string[] = []
  let at = 0
  for (const match of svg.matchAll(/<(\/?)(\w+)((?: [\w:-]+="[^"<]*")*)(\/?)>/g)) {
    checkText(svg.slice(at, match.index))
    at = match.index + match[0].length
    const [, closing, name, attributes, empty] = match
    checkText(attributes ?? '')
    if (closing === '/') expect(open.pop()).toBe(name)
    else {
      names.push(name ?? '')
      if (empty !== '/') open.push(name ?? '')
    }
  }
  checkText(svg.slice(at))
  expect(open).toEqual([])
  expect(names[0]).toBe('svg')
  expect(names.filter((name) => name === 'svg')).toHaveLength(1)
  return names
}

function checkText(content: string): void {
  expect(content).not.toMatch(/[<>]|&(?!amp;|lt;|gt;|quot;)/)
}

/** Tooltips of the cells: all titles but that of the picture. */
function tooltips(svg: string): string[] {
  return [...svg.matchAll(/<title>([^<]*)<\/title>/g)].slice(1).map(([, title]) => title ?? '')
}

/** Area of the paths of a colour, in square pixels; all of them are made of rectangles. */
function area(svg: string, fill: string): number {
  let sum = 0
  for (const [, path] of svg.matchAll(new RegExp(`<path fill="${fill}" d="([^"]*)"`, 'g'))) {
    for (const [, width, height] of (path ?? '').matchAll(/h([\d.]+)v([\d.]+)/g)) {
      sum += Number(width) * Number(height)
    }
  }
  return sum
}

function trace(): { before: Int32Array; after: Int32Array } {
  const text = fixtureText('traces/untar-hash-compress.state.json')
  const { before, after } = JSON.parse(text) as Record<'before' | 'after', { zones: ZoneState[] }>
  return { before: loadNodeState(before.zones), after: loadNodeState(after.zones) }
}

function bootState(name: string): Int32Array {
  const path = new URL(`../fixtures/boot/${name}.json`, import.meta.url)
  const { handover, memblock } = JSON.parse(readFileSync(path, 'utf8')) as {
    handover: ZoneState[]
    memblock: { memory: { base: string; size: string; node: number }[] }
  }
  const ranges = memblock.memory.map(({ base, size, node }) => ({
    start: Math.ceil(Number(base) / 4096),
    end: Math.floor((Number(base) + Number(size)) / 4096),
    node,
  }))
  return loadNodeState(handover, ranges)
}

/** Two pageblocks at 4 GiB: one half free, the other of another type and all in use. */
const TWO_BLOCKS = zoneOf({
  name: 'Normal',
  startPfn: 1048576,
  spanned: 1024,
  pageblocks: '10',
  freeLists: { 8: { 1: [1048576] } },
})

describe('memory picture', () => {
  it('has a cell for each pageblock of a small machine', () => {
    const svg = memoryPicture(trace().after)
    const names = checkXml(svg)
    // 8 blocks of DMA, 376 of DMA32.
    expect(tooltips(svg)).toHaveLength(384)
    expect(names).not.toContain('script')
    expect(svg.length).toBeLessThan(300_000)
    expect(svg).toContain('Each cell is 2 MiB, one pageblock.')
    expect(tooltips(svg)[0]).toBe('0x00000000-0x001fffff Unmovable: 256 of 511 pages free')
    expect(tooltips(svg)[383]).toMatch(/^0x2fe00000-0x2fffffff Movable: \d+ of \d+ pages free$/)
  })

  it('draws a cell solid as far as it is in use', () => {
    const svg = memoryPicture(loadNodeState([TWO_BLOCKS]))
    expect(tooltips(svg)).toEqual([
      '0x100000000-0x1001fffff Movable: 256 of 512 pages free',
      '0x100200000-0x1003fffff Unmovable: 0 of 512 pages free',
    ])
    // A cell is 24 x 24; the legend has a swatch of 14 x 7 of each colour.
    expect(area(svg, SOLID[1] ?? '')).toBe(24 * 12 + 14 * 7)
    expect(area(svg, SOLID[0] ?? '')).toBe(24 * 24 + 14 * 7)
    expect(area(svg, SOLID[2] ?? '')).toBe(14 * 7)
  })

  it('joins pageblocks of a large machine, holes in one thin row', () => {
    const svg = memoryPicture(bootState('17g'))
    checkXml(svg)
    expect(svg).toContain('Each cell is 16 MiB, 8 pageblocks.')
    // DMA 1; DMA32 from 16 MiB on, 3 GiB of 64 cells; the hole row; Normal 14 GiB.
    expect(tooltips(svg)).toHaveLength(1 + 191 + 1 + 14 * 64)
    expect(tooltips(svg).filter((title) => title.startsWith('hole of 1 GiB'))).toHaveLength(1)
    expect(tooltips(svg)).toContain(
      '0x100000000-0x100ffffff Unmovable 2, Movable 6: 4032 of 4096 pages free',
    )
    expect(svg.length).toBeLessThan(300_000)
  })

  it('shows nodes and zones, and only those asked for', () => {
    const words = bootState('three-nodes')
    const all = memoryPicture(words)
    for (const node of [0, 1, 2]) expect(all).toContain(`>Node ${node}</text>`)
    const some = memoryPicture(words, { nodes: [1], zones: ['Movable'] })
    expect(some).not.toContain('Node 0')
    expect(some).not.toContain('DMA32')
    expect(tooltips(some)).toHaveLength(174080 / 512)
  })

  it('escapes the title, whatever it is', () => {
    const words = loadNodeState([TWO_BLOCKS])
    expect(memoryPicture(words, { title: '<a & "b">' })).toContain(
      '<title>&lt;a &amp; &quot;b&quot;&gt;</title>',
    )
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (title) => {
        const svg = memoryPicture(words, { title })
        checkXml(svg)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: these XML forbids
        expect(svg).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Cs}/u)
      }),
      { numRuns: 40 },
    )
    expect(memoryPicture(words, { title: 'a\ud800b\u0000' })).toContain(
      '<title>a\ufffdb\ufffd</title>',
    )
  })

  it('gives the same text for the same state, and leaves the state alone', () => {
    const { before, after } = trace()
    const copy = after.slice()
    expect(memoryPicture(after)).toBe(memoryPicture(trace().after))
    expect(memoryPicturePair(before, after)).toBe(memoryPicturePair(before, copy))
    expect(sameWords(after, copy)).toBe(true)
  })

  it('refuses widths out of range and zones that are not there', () => {
    const words = loadNodeState([TWO_BLOCKS])
    for (const width of [479, 4097, 600.5]) {
      expect(() => memoryPicture(words, { width })).toThrow(InvalidArgument)
    }
    expect(() => memoryPicturePair(words, words, { width: 799 })).toThrow(InvalidArgument)
    expect(() => memoryPicture(words, { zones: ['DMA'] })).toThrow(InvalidArgument)
    for (const width of [480, 4096])
      expect(memoryPicture(words, { width })).toContain(`width="${width}"`)
  })
})

describe('memory picture of two states', () => {
  it('draws both, and says what changed', () => {
    const { before, after } = trace()
    const svg = memoryPicturePair(before, after, { title: 'untar', labels: ['old <', 'new'] })
    checkXml(svg)
    expect(tooltips(svg)).toHaveLength(2 * 384)
    expect(svg.length).toBeLessThan(300_000)
    expect(svg).toContain('old &lt;</text>')
    expect(svg).toContain(
      'Free memory 478 MiB → 455.2 MiB (−22.9 MiB). Pageblocks with a change: 34.',
    )
    expect(svg).toContain(
      'Pageblocks of another type: 2 Movable to Unmovable, 2 Movable to Reclaimable.',
    )
    // One frame a pageblock of another type, and one in the legend.
    expect(svg.match(/<rect [^>]*width="13" height="13"\/>/g)).toHaveLength(4)
  })

  it('finds nothing between a state and itself', () => {
    const words = textProcWords()
    const svg = memoryPicturePair(words, words)
    expect(svg).toMatch(/Free memory (\S+ MiB) → \1 \(unchanged\)\. Pageblocks with a change: 0\./)
    expect(svg).toContain('No pageblock changed its type.')
    expect(svg).not.toContain('stroke-width="1.6">')
  })

  it('refuses states of two machines', () => {
    expect(() => memoryPicturePair(trace().before, textProcWords())).toThrow(InvalidArgument)
    const moved = loadNodeState([{ ...TWO_BLOCKS, startPfn: 1048576 + 1024, freeLists: {} }])
    expect(() => memoryPicturePair(loadNodeState([TWO_BLOCKS]), moved)).toThrow(InvalidArgument)
  })
})

describe('pageblock figures', () => {
  it('counts free lists and page lists, blocks above a pageblock in each', () => {
    const words = loadNodeState([
      zoneOf({
        name: 'Normal',
        startPfn: 1048576 + 2,
        spanned: 2558,
        pageblocks: '11012',
        pcp: {
          count: 515,
          high: 0,
          batch: 1,
          freeFactor: 0,
          lists: { 1: [1048578], 4: [1048580], 13: [1048576 + 2048] },
        },
        freeLists: { 0: { 1: [1048579] }, 10: { 1: [1048576 + 1024] } },
      }),
    ])
    const blocks = zoneBlocks(words, zoneNamed(words, 0, 'Normal'))
    expect(blocks).toMatchObject({
      node: 0,
      name: 'Normal',
      first: 2048,
      freePages: 4 + 1024 + 512,
    })
    expect([...blocks.free]).toEqual([4, 0, 512, 512, 512])
    expect([...blocks.present]).toEqual([510, 512, 512, 512, 512])
    expect([...blocks.types]).toEqual([1, 1, 0, 1, 2])
  })

  it('knows holes from the memory ranges', () => {
    const words = loadNodeState(
      [{ ...TWO_BLOCKS, spanned: 2048, freeLists: {}, pageblocks: '1111' }],
      [
        { start: 1048576, end: 1048576 + 100, node: 0 },
        { start: 1048576 + 1000, end: 1048576 + 1536, node: 0 },
      ],
    )
    const blocks = zoneBlocks(words, zoneNamed(words, 0, 'Normal'))
    expect([...blocks.present]).toEqual([100, 24, 512, 0])
    expect(tooltips(memoryPicture(words))[3]).toBe('0x100600000-0x1007fffff hole')
  })

  it('gives up on a list that does not end', () => {
    const words = loadNodeState([TWO_BLOCKS])
    const head = zoneNamed(words, 0, 'Normal') + ZONE_LISTS
    const record = words[HEADER_BLOCKS]! - 4
    words[head + PAGE_NEXT] = record
    words[record + PAGE_NEXT] = record
    expect(() => memoryPicture(words)).toThrow(KernelBug)
  })
})
