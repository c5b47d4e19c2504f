/** Pictures of free lists, slabs, fragmentation and the vmalloc space. */

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pictures } from '../../scripts/pictures'
import { InvalidArgument } from '../../src/base/errors'
import { PAGE_SIZE, toPhysAddr, type VirtAddr } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { GFP_KERNEL } from '../../src/page/gfp'
import { formatBuddyinfo, parseBuddyinfo } from '../../src/proc/buddyinfo'
import { fragmentationPicture } from '../../src/proc/fragmentationPicture'
import { type FragmentationSample, fragmentationSample } from '../../src/proc/fragmentationSample'
import { freeListPicture } from '../../src/proc/freeListPicture'
import { fitText, sizeText, textWidth } from '../../src/proc/pictureParts'
import { cacheCounts, cpuPartialSlabs, sum } from '../../src/proc/slabCounts'
import { slabPicture } from '../../src/proc/slabPicture'
import { formatVmallocInfo } from '../../src/proc/vmallocinfo'
import { vmallocPicture } from '../../src/proc/vmallocPicture'
import { cachesOf } from '../../src/slab/hotplug'
import { SlabCache } from '../../src/slab/slabCache'
import { hashWords } from '../../src/state/checkState'
import { purgeVmapAreas } from '../../src/vmalloc/drainWork'
import { ioremap } from '../../src/vmalloc/ioremap'
import { moduleAlloc } from '../../src/vmalloc/moduleAlloc'
import { getVmAreaNode, setVmallocCaller } from '../../src/vmalloc/vmAreas'
import { vmap } from '../../src/vmalloc/vmap'
import { vmMapRam } from '../../src/vmalloc/vmapRam'
import { slabMachine } from '../slab/machines'
import { loadNodeState } from '../support/loadNodeState'
import { takeFrames, vmMachine } from '../vmalloc/machines'
import { textProcWords, zoneOf } from './fixtures'

const HOSTILE = `<script>&"'x`

/** A number of an attribute. */
function attribute(attributes: string, name: string): number {
  const value = new RegExp(` ${name}="([^"]*)"`).exec(attributes)?.[1]
  return value === undefined ? Number.NaN : Number(value)
}

/** Checks that a text is XML, one element `svg`, and that all that it draws lies inside its view box. */
function checkSvg(svg: string): void {
  const [, width = '', height = ''] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? []
  const [right, bottom] = [Number(width), Number(height)]
  expect(svg).toContain(` width="${width}" height="${height}"`)
  const faults: string[] = []
  const inside = (what: string, x: number, y: number) => {
    if (!(x >= 0 && x <= right && y >= 0 && y <= bottom)) faults.push(`${what}: ${x} ${y}`)
  }
  const open: string[] = []
  let defs = false
  let at = 0
  const tags = /<(\/?)([a-z]+)((?: [\w:-]+="[^"<]*")*)(\/?)>/gi
  for (const tag of svg.matchAll(tags)) {
    const [all, closing, name = '', attributes = '', empty] = tag
    const between = svg.slice(at, tag.index) + attributes
    if (/[<>]|&(?!amp;|lt;|gt;|quot;)/.test(between)) faults.push(between)
    at = tag.index + all.length
    if (name === 'defs') defs = closing === ''
    if (closing === '/' && open.pop() !== name) faults.push(all)
    else if (closing === '/') continue
    else if (empty === '') open.push(name)
    if (defs) continue
    const [x, y] = [attribute(attributes, 'x'), attribute(attributes, 'y')]
    if (name === 'rect') {
      inside(all, x, y)
      inside(all, x + attribute(attributes, 'width'), y + attribute(attributes, 'height'))
    } else if (name === 'text') {
      const content = /^[^<]*/.exec(svg.slice(at))?.[0].replace(/&[a-z]+;/g, '_') ?? ''
      const size = attribute(attributes, 'font-size') || 10.5
      // Digits and small letters are about half as wide as they are high.
      const length = content.length * size * 0.5
      const anchor = /text-anchor="(\w+)"/.exec(attributes)?.[1] ?? 'start'
      const left = anchor === 'end' ? x - length : anchor === 'middle' ? x - length / 2 : x
      if (size < 10) faults.push(all)
      inside(all + content, left, y - size)
      inside(all + content, left + length, y)
    } else if (name === 'path') {
      for (const corner of pathCorners(attributes)) inside('path', corner[0], corner[1])
    }
  }
  expect(svg.slice(at).trim()).toBe('')
  expect(open).toEqual([])
  expect(svg.match(/<svg /g)).toHaveLength(1)
  expect(svg).not.toMatch(/NaN|Infinity|undefined|null|<script|\d\.\d{4}/)
  expect(faults).toEqual([])
}

function pathCorners(attributes: string): [number, number][] {
  const corners: [number, number][] = []
  let [x, y] = [0, 0]
  const path = / d="([^"]*)"/.exec(attributes)?.[1] ?? ''
  for (const [, step, a, b] of path.matchAll(/([MLhvz])(-?[\d.]+)?(?: (-?[\d.]+))?/g)) {
    if (step === 'M' || step === 'L') [x, y] = [Number(a), Number(b)]
    else if (step === 'h') x += Number(a)
    else if (step === 'v') y += Number(a)
    corners.push([Math.round(x * 10) / 10, Math.round(y * 10) / 10])
  }
  return corners
}

/** Texts of the tooltips. */
function tooltips(svg: string): string[] {
  return [...svg.matchAll(/<title>([^<]*)<\/title>/g)].slice(1).map(([, title]) => title ?? '')
}

function emptyWords(): Int32Array {
  return loadNodeState([zoneOf({ name: 'Normal', startPfn: 1048576, spanned: 1024 })])
}

/** Rectangles with tooltips of one colour: their widths and texts. */
function bars(svg: string): { width: number; fill: string; text: string }[] {
  const found = svg.matchAll(/width="([\d.]+)" height="13" fill="([^"]+)"><title>([^<]*)</g)
  return [...found].map(([, width, fill, text]) => ({
    width: Number(width),
    fill: fill ?? '',
    text: text ?? '',
  }))
}

describe('free lists', () => {
  it('have a bar as long as there are free blocks, for each order and migratetype', () => {
    const words = loadNodeState([
      zoneOf({
        name: 'Normal',
        startPfn: 1048576,
        spanned: 2048,
        pageblocks: '1012',
        freeLists: {
          0: { 1: [1048576, 1048578, 1048580, 1048582], 0: [1048576 + 512] },
          1: { 1: [1048584] },
          8: { 2: [1048576 + 1536] },
        },
      }),
    ])
    const svg = freeListPicture(words)
    checkSvg(svg)
    expect(bars(svg).map(({ text }) => text)).toEqual([
      'order 0 Unmovable: 1 block, 4 KiB',
      'order 0 Movable: 4 blocks, 16 KiB',
      'order 1 Movable: 1 block, 8 KiB',
      'order 8 Reclaimable: 1 block, 1 MiB',
      'order 0 Unmovable: 1 block, 4 KiB',
      'order 0 Movable: 4 blocks, 16 KiB',
      'order 1 Movable: 1 block, 8 KiB',
      'order 8 Reclaimable: 1 block, 1 MiB',
    ])
    const [one, four, two, big, , , , memory] = bars(svg)
    expect(four?.width).toBeCloseTo(4 * (one?.width ?? 0), 0)
    expect(two?.width).toBe(one?.width)
    expect(big?.fill).toBe('#009e73')
    // The largest of each column fills it: 960 wide, less labels, figures and room for thin segments.
    expect((one?.width ?? 0) + (four?.width ?? 0)).toBeCloseTo(memory?.width ?? 0, 0)
    expect(svg).toContain('7 free blocks, 1 MiB, by order and migratetype.')
  })

  it('agree with buddyinfo, zone by zone', () => {
    const words = textProcWords()
    const svg = freeListPicture(words)
    checkSvg(svg)
    const zones = svg.split(/(?=<text [^>]*>Node )/).slice(1)
    const expected = parseBuddyinfo(formatBuddyinfo(words))
    expect(zones).toHaveLength(expected.length)
    for (const [i, { node, name, nrFree }] of expected.entries()) {
      const zone = zones[i] ?? ''
      expect(zone).toContain(`>Node ${node}, ${name}<`)
      const counts = new Array<number>(11).fill(0)
      for (const title of tooltips(`<title></title>${zone}`)) {
        const [, order, count] = /^order (\d+) \w+: ([\d,]+) block/.exec(title) ?? []
        counts[Number(order)]! += Number(count?.replace(/,/g, '')) / 2
      }
      expect(counts).toEqual(nrFree)
    }
  })

  it('of a machine without free blocks are empty, at all widths', () => {
    for (const width of [480, 4096]) {
      const svg = freeListPicture(emptyWords(), { width })
      checkSvg(svg)
      expect(bars(svg)).toEqual([])
      expect(svg).toContain('0 free blocks, 0 B')
    }
  })

  it('tell what waits on the lists of CPUs', () => {
    const pages = new BuddyAllocator({ ram: vmMachine({ mib: 8 }).ram })
    const pfn = pages.allocPages(GFP_KERNEL)
    if (pfn === null) expect.fail('no page')
    pages.freePages(pfn)
    expect(freeListPicture(pages)).toMatch(/free of [^<]* KiB more on CPU lists</)
    pages.drainAllPages()
    expect(freeListPicture(pages)).not.toContain('more on CPU lists')
  })
})

describe('slabs', () => {
  it('are a cell each, coloured by how full they are', () => {
    const { slabs } = slabMachine({ slabs: { merge: false }, cpus: 2 })
    const cache = new SlabCache(slabs, { name: 'things', size: 512 })
    const objects: VirtAddr[] = []
    for (let i = 0; i < 16 * 6; i++) objects.push(cache.alloc(GFP_KERNEL) ?? (0 as VirtAddr))
    // Slabs of 16; the last is the CPU's.
    const kept = [2, 8, 12, 15, 16, 16]
    objects.forEach((object, i) => {
      if (i % 16 >= (kept[Math.floor(i / 16)] ?? 0)) cache.free(object)
    })
    const svg = slabPicture(slabs)
    checkSvg(svg)
    const row = svg.split('<g>').find((part) => part.startsWith('<title>things:')) ?? ''
    expect(row).toContain('things: 6 slabs, 48 KiB, 72% in use; 69 of 96 objects of 512 B')
    const cells = (fill: string) =>
      new RegExp(`<path fill="${fill}" d="([^"]*)"`).exec(row)?.[1]?.match(/M/g)?.length ?? 0
    expect(['#dfe3e8', '#bcdcf0', '#8cc1e3', '#56a0d0', '#2b7fb8', '#005587'].map(cells)).toEqual([
      0, 1, 1, 1, 1, 2,
    ])
    expect(row.match(/stroke="#d55e00"/g)).toHaveLength(1)
    expect(row.match(/fill="#d55e00"/g)).toHaveLength(
      sum(cpuPartialSlabs(slabs.words, cache.record)),
    )
    expect(row.match(/fill="#d55e00"/g)).toHaveLength(4)
  })

  it('are as many as the counters say, the caches sorted by memory', () => {
    const { slabs } = slabMachine({ mib: 32, slabs: { merge: false } })
    for (let i = 0; i < 40; i++) {
      const cache = new SlabCache(slabs, { name: `cache ${i}`, size: 100 + 37 * i })
      for (let n = 0; n < 10 * i; n++) cache.alloc(GFP_KERNEL)
    }
    const svg = slabPicture(slabs, { caches: 10_000 })
    checkSvg(svg)
    const counted = Array.from(
      cachesOf(slabs.words),
      (cache) => cacheCounts(slabs.words, cache).slabs,
    )
    const told = tooltips(svg).map((title) => Number(/: ([\d,]+) slab/.exec(title)?.[1]))
    expect(sum(told)).toBe(sum(counted))
    expect(told).toHaveLength(counted.filter((count) => count > 0).length)
    const cells = svg
      .split('<g>')
      .slice(1)
      .map((row) => row.match(/M[\d.]+ [\d.]+h10v10/g)?.length)
    expect(cells).toEqual(told)
    const bytes = tooltips(svg).map((title) => {
      const [, size, unit] = /slabs?, ([\d.]+) (KiB|MiB)/.exec(title) ?? []
      return Number(size) * (unit === 'MiB' ? 1024 : 1)
    })
    expect(bytes).toEqual([...bytes].sort((a, b) => b - a))
    const few = slabPicture(slabs, { caches: 3, width: 480 })
    checkSvg(few)
    expect(tooltips(few)).toEqual(tooltips(svg).slice(0, 3))
    expect(few).toContain(`${told.length - 3} smaller caches: ${sum(told.slice(3))} slabs`)
  })

  it('share cells when there are many', () => {
    const { slabs } = slabMachine({ mib: 32 })
    const cache = new SlabCache(slabs, { name: 'many', size: 2048 })
    for (let i = 0; i < 16 * 500; i++) cache.alloc(GFP_KERNEL)
    const svg = slabPicture(slabs, { width: 480 })
    checkSvg(svg)
    const row = svg.split('<g>').find((part) => part.startsWith('<title>many:')) ?? ''
    const perCell = Number(/a cell is (\d+) slabs/.exec(row)?.[1])
    const slabCount = Number(/many: ([\d,]+) slabs/.exec(row)?.[1]?.replace(',', ''))
    expect(slabCount).toBeGreaterThanOrEqual(500)
    const held = row.match(/#d55e00/g)?.length ?? 0
    expect(row.match(/M[\d.]+ [\d.]+h10v10/g)).toHaveLength(
      held + Math.ceil((slabCount - held) / perCell),
    )
  })

  it('and large blocks', () => {
    const { heap, slabs } = vmMachine()
    heap.kmalloc(70_000)
    expect(slabPicture(slabs)).toContain('1 large block of kmalloc besides, 128 KiB.')
  })
})

describe('fragmentation', () => {
  const sampleAt = (at: number | null, unusable: number): FragmentationSample => ({
    at,
    zones: [
      {
        node: 0,
        name: 'Normal',
        freePages: 256,
        unusable: new Array<number>(11).fill(unusable),
        fragmentation: new Array<number>(11).fill(unusable === 0 ? -1000 : unusable),
      },
    ],
  })
  const line = (svg: string) => / d="([^"]*)"><title>order 9</.exec(svg)?.[1]

  it('is sampled as the kernel counts it', () => {
    const words = loadNodeState([
      zoneOf({
        name: 'Normal',
        startPfn: 1048576,
        spanned: 1024,
        freeLists: { 0: { 1: [1048577] }, 1: { 1: [1048578] }, 3: { 1: [1048584] } },
      }),
    ])
    expect(fragmentationSample(words, 7)).toEqual({
      at: 7,
      zones: [
        {
          node: 0,
          name: 'Normal',
          freePages: 11,
          unusable: [0, 90, 272, 272, 1000, 1000, 1000, 1000, 1000, 1000, 1000],
          fragmentation: [-1000, -1000, -1000, -1000, 438, 553, 610, 639, 653, 660, 664],
        },
      ],
    })
  })

  it('goes up and down where the samples do', () => {
    const svg = fragmentationPicture([sampleAt(0, 0), sampleAt(10, 500), sampleAt(40, 1000)], {
      orders: [9],
    })
    checkSvg(svg)
    const points = [...(line(svg) ?? '').matchAll(/[ML]([\d.]+) ([\d.]+)/g)]
    const [[x0, y0], [x1, y1], [x2, y2]] = points.map(([, x, y]) => [Number(x), Number(y)]) as [
      [number, number],
      [number, number],
      [number, number],
    ]
    expect(y0 - y2).toBe(176)
    expect(y0 - y1).toBe(88)
    expect((x1 - x0) / (x2 - x0)).toBeCloseTo(0.25, 3)
    expect(svg).toContain('>1 MiB free at the end<')
  })

  it('has a gap where a request would not fail, and a dot for one sample', () => {
    const samples = [
      sampleAt(null, 700),
      sampleAt(null, 0),
      sampleAt(null, 800),
      sampleAt(null, 900),
    ]
    const svg = fragmentationPicture(samples, { index: 'fragmentation', orders: [9] })
    checkSvg(svg)
    expect(line(svg)).toMatch(/^M[\d.]+ [\d.]+h0M[\d.]+ [\d.]+L[\d.]+ [\d.]+$/)
    const one = fragmentationPicture([sampleAt(5, 300)])
    checkSvg(one)
    expect(one.match(/h0"><title>order/g)).toHaveLength(10)
  })

  it('shows nothing of no samples, and all of many', () => {
    const none = fragmentationPicture([], { width: 480 })
    checkSvg(none)
    expect(none).toContain('No samples.')
    const many = Array.from({ length: 20_000 }, (_, i) => sampleAt(i, (i * 7919) % 1001))
    const svg = fragmentationPicture(many, { width: 480, orders: [9] })
    checkSvg(svg)
    expect(svg.length).toBeLessThan(40_000)
    const heights = [...(line(svg) ?? '').matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) =>
      Number(y),
    )
    expect(Math.max(...heights) - Math.min(...heights)).toBe(176)
  })

  it('draws zones that come later, and times of any size', () => {
    const late = { ...sampleAt(9e15, 10) }
    const zones = late.zones.map((zone) => ({ ...zone, name: HOSTILE, node: 1 }))
    const samples = [sampleAt(9e15 - 4, 20), { at: 9e15, zones: [...late.zones, ...zones] }]
    const svg = fragmentationPicture(samples, { unit: HOSTILE.repeat(30) })
    checkSvg(svg)
    expect(svg).toContain('>Node 1, &lt;script&gt;&amp;&quot;')
    checkSvg(fragmentationPicture([sampleAt(-1e15, 1), sampleAt(1e15, 2)], { width: 4096 }))
    checkSvg(fragmentationPicture([sampleAt(0, 1), sampleAt(5e-324, 2)]))
  })
})

describe('the vmalloc space', () => {
  it('has every area with its kind, and what is free between', () => {
    const m = vmMachine()
    const { vm } = m
    setVmallocCaller(vm, 'make+0x1/0x2')
    const first = vm.vmalloc(4096)
    vm.vmalloc(3 * 4096)
    purgeVmapAreas(vm)
    const frames = takeFrames(m, 4)
    vmap(vm, frames)
    ioremap(vm, toPhysAddr(0xe0000000), 8192)
    vmMapRam(vm, frames.slice(0, 2))
    getVmAreaNode(vm, 4096)
    moduleAlloc(vm, 4096)
    vm.vfree(first)
    const svg = vmallocPicture(vm)
    checkSvg(svg)
    const lines = formatVmallocInfo(vm).trimEnd().split('\n')
    const shown = tooltips(svg).filter((title) => !title.endsWith(' free'))
    // Each line of vmallocinfo has its part: the same first address and size.
    const key = (start: string, bytes: number) => `${start} ${sizeText(bytes)}`
    const expected = lines.map((text) => key(text.slice(0, 18), Number(/ +(\d+) /.exec(text)?.[1])))
    const got = shown.map((title) => title.replace(/^(0x\w+)-\w+ ([\d.]+ \w+) .*/, '$1 $2'))
    expect([...got].sort()).toEqual([...expected].sort())
    const kinds = shown.map((title) => title.split(' ')[3] ?? '')
    expect([...kinds].sort()).toEqual(
      ['block', 'ioremap', 'other', 'unpurged', 'vmalloc', 'vmalloc', 'vmap'].sort(),
    )
    expect(svg).toContain('6 areas in use')
    expect(svg).toContain('1 freed and waiting for a purge, 8 KiB.')
    expect(svg).toContain('vmalloc window, 0xffffc90000000000 to 0xffffe8ffffffffff, 32 TiB')
    expect(svg).toContain('>window of modules, 0xffffffffa0000000')
  })

  it('covers the window without holes, on a scale of logarithms', () => {
    const { vm } = vmMachine()
    vm.vmalloc(15 * PAGE_SIZE)
    vm.vmalloc(255 * PAGE_SIZE)
    const svg = vmallocPicture(vm)
    const parts = tooltips(svg).map((title) => title.slice(0, 37).split('-'))
    expect(parts).toHaveLength(3)
    parts.forEach(([start], i) => {
      const before = i === 0 ? '0xffffc8ffffffffff' : (parts[i - 1]?.[1] ?? '')
      expect(BigInt(start ?? '')).toBe(BigInt(before) + 1n)
    })
    expect(parts[2]?.[1]).toBe('0xffffe8ffffffffff')
    const widths = [...svg.matchAll(/width="([\d.]+)" height="26"/g)].map(([, w]) => Number(w) + 1)
    // 9 pixels a doubling: 16 and 256 pages.
    expect(widths.slice(0, 2)).toEqual([45, 81])
  })

  it('is one free part when nothing is in it', () => {
    const { vm } = vmMachine()
    for (const width of [480, 4096]) {
      const svg = vmallocPicture(vm, { width })
      checkSvg(svg)
      expect(tooltips(svg)).toEqual(['0xffffc90000000000-0xffffe8ffffffffff 32 TiB free'])
    }
  })

  it('has room for 10,000 areas, and leaves out those above the limit', () => {
    const { vm } = vmMachine({ mib: 32, vm: { maxRecords: 40_000 } })
    for (let i = 0; i < 10_000; i++) getVmAreaNode(vm, 4096 << (i % 5), { align: 4096 << (i % 7) })
    const svg = vmallocPicture(vm, { width: 480 })
    checkSvg(svg)
    const drawn = / fill="#8b949e" d="([^"]*)"/.exec(svg)?.[1]?.match(/M/g)?.length
    expect(drawn).toBe(10_000)
    expect(svg.length).toBeLessThan(1_500_000)
    const few = vmallocPicture(vm, { areas: 10 })
    checkSvg(few)
    expect(tooltips(few).filter((title) => title.endsWith(' other'))).toHaveLength(10)
    expect(few).toContain('9,990 areas more, at higher addresses')
  })
})

describe('every picture', () => {
  const machine = vmMachine()
  const { pages, slabs, vm } = machine
  setVmallocCaller(vm, HOSTILE)
  vm.vmalloc(5000)
  new SlabCache(slabs, { name: HOSTILE, size: 777 }).alloc(GFP_KERNEL)
  const sample = fragmentationSample(pages)
  const draw = [
    (options?: object) => freeListPicture(pages, options),
    (options?: object) => slabPicture(slabs, options),
    (options?: object) => fragmentationPicture([sample], options),
    (options?: object) => vmallocPicture(vm, options),
  ]

  it('escapes names and titles, whatever they are', () => {
    expect(slabPicture(slabs)).toContain("<title>&lt;script&gt;&amp;&quot;'x: 1 slab")
    expect(vmallocPicture(vm)).toContain("vmalloc &lt;script&gt;&amp;&quot;'x</title>")
    const check = (picture: (options: object) => string, title: string) => {
      const svg = picture({ title: HOSTILE + title, width: 480 })
      checkSvg(svg.replace(/<title>[^<]*<\/title>/, '').replace(/>[^<>]*<\/text>/, '></text>'))
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these XML forbids
      expect(svg).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Cs}/u)
      expect(svg).toContain('<title>&lt;script&gt;&amp;&quot;')
    }
    for (const picture of draw) check(picture, 'a\ud800b\u0000 ]]> \ufffe 漢字')
    const title = fc.string({ unit: 'binary', maxLength: 60 })
    const none = (options: object) => fragmentationPicture([], options)
    fc.assert(
      fc.property(title, (text) => check(none, text)),
      { numRuns: 30 },
    )
  })

  it('is the same for the same state, and leaves that alone', () => {
    const hash = () => [pages.words, slabs.words].map((words) => hashWords(words, 300_000))
    const before = hash()
    for (const picture of draw) expect(picture()).toBe(picture())
    expect(hash()).toEqual(before)
  })

  it('is sound at every width', () => {
    for (const picture of draw) {
      for (const width of [480, 481, 777, 4096]) {
        const svg = picture({ width })
        checkSvg(svg)
        expect(svg).toContain(`viewBox="0 0 ${width} `)
      }
    }
  })

  it('refuses wrong arguments', () => {
    for (const picture of draw) {
      for (const width of [479, 4097, 500.5, Number.NaN, '960', null]) {
        expect(() => picture({ width })).toThrow(InvalidArgument)
      }
      expect(() => picture({ title: 5 })).toThrow(InvalidArgument)
      expect(() => picture(null as never)).toThrow(InvalidArgument)
      expect(() => picture(7 as never)).toThrow(InvalidArgument)
    }
    for (const caches of [0, 10_001, 1.5]) {
      expect(() => slabPicture(slabs, { caches })).toThrow(InvalidArgument)
    }
    for (const areas of [0, 100_001, 1.5]) {
      expect(() => vmallocPicture(vm, { areas })).toThrow(InvalidArgument)
    }
    for (const wrong of [null, undefined, 5, 'x', {}, [], new Int32Array(0), new Int32Array(99)]) {
      expect(() => freeListPicture(wrong as never)).toThrow(InvalidArgument)
      expect(() => fragmentationSample(wrong as never)).toThrow(InvalidArgument)
      expect(() => slabPicture(wrong as never)).toThrow(InvalidArgument)
      expect(() => vmallocPicture(wrong as never)).toThrow(InvalidArgument)
    }
    expect(() => slabPicture(vm as never)).toThrow(InvalidArgument)
    expect(() => vmallocPicture(slabs as never)).toThrow(InvalidArgument)
    expect(() => freeListPicture(slabs as never)).toThrow(InvalidArgument)
  })

  it('refuses samples that are none', () => {
    const [zone] = sample.zones
    const wrong: unknown[] = [
      null,
      5,
      'x',
      [null],
      [{}],
      [{ at: 0, zones: [null] }],
      [{ at: Number.NaN, zones: [] }],
      [
        { at: 1, zones: [] },
        { at: 0, zones: [] },
      ],
      [{ at: 0, zones: [{ ...zone, name: 7 }] }],
      [{ at: 0, zones: [{ ...zone, node: -1 }] }],
      [{ at: 0, zones: [{ ...zone, freePages: 1.5 }] }],
      [{ at: 0, zones: [{ ...zone, unusable: [1, 2] }] }],
      [{ at: 0, zones: [{ ...zone, fragmentation: new Array(11).fill(1001) }] }],
    ]
    for (const samples of wrong) {
      expect(() => fragmentationPicture(samples as never)).toThrow(InvalidArgument)
    }
    for (const orders of [[11], [-1], [0.5], 5, ['a']]) {
      expect(() => fragmentationPicture([sample], { orders } as never)).toThrow(InvalidArgument)
    }
    expect(() => fragmentationPicture([sample], { index: 'other' } as never)).toThrow(
      InvalidArgument,
    )
    expect(() => fragmentationPicture([sample], { unit: 3 } as never)).toThrow(InvalidArgument)
    for (const at of [Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '1']) {
      expect(() => fragmentationSample(pages, at as never)).toThrow(InvalidArgument)
    }
  })
})

describe('the pictures of the documentation', () => {
  it('are what the script makes, and small', () => {
    const made = pictures()
    expect([...made.keys()]).toEqual([
      'free-lists.svg',
      'fragmentation.svg',
      'slabs.svg',
      'vmalloc-space.svg',
    ])
    for (const [name, svg] of made) {
      checkSvg(svg)
      expect(svg.length).toBeLessThan(30_000)
      const file = new URL(`../../docs/images/${name}`, import.meta.url)
      expect(readFileSync(file, 'utf8') === svg, `${name}: run npx tsx scripts/pictures.ts`).toBe(
        true,
      )
    }
  })
})

describe('text', () => {
  it('that does not fit is cut', () => {
    expect(fitText('abc', 10, 100)).toBe('abc')
    for (const room of [12, 40, 300]) {
      const cut = fitText('Wide words, 漢字 and 😀 '.repeat(9), 10, room)
      expect(cut.endsWith('…')).toBe(true)
      expect(textWidth(cut, 10)).toBeLessThanOrEqual(room)
    }
  })

  it('of sizes has the largest unit', () => {
    expect([0, 96, 4096, 1536 * 1024, 32 * 2 ** 40, 2 ** 56].map(sizeText)).toEqual([
      '0 B',
      '96 B',
      '4 KiB',
      '1.5 MiB',
      '32 TiB',
      '65,536 TiB',
    ])
  })
})
