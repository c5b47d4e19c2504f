import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import type { ZoneState } from '../../src/buddy/nodeState'
import { formatPagetypeinfo, parsePagetypeinfo } from '../../src/proc/pagetypeinfo'
import { HEADER_BLOCKS } from '../../src/state/schema'
import { ZONES_X86_64 } from '../../src/zone/spans'
import { loadNodeState } from '../support/loadNodeState'
import { stateFor } from '../zone/bootFixture'
import { fixtureText, textProcWords, zoneOf } from './fixtures'

const RECORDED = fixtureText('text/text-proc.pagetypeinfo.txt')

describe('pagetypeinfo', () => {
  it('prints what the kernel printed for the recorded state', () => {
    // Zone DMA32 lived on between the two recordings.
    const settled = (text: string) =>
      text.split('\n').map((line) => line.replace(/(DMA32).*/, '$1'))
    expect(settled(formatPagetypeinfo(textProcWords()))).toEqual(settled(RECORDED))
  })

  it('reads the recorded text, and what it prints itself', () => {
    const recorded = parsePagetypeinfo(RECORDED)
    expect(recorded.pageblockOrder).toBe(9)
    expect(recorded.pagesPerBlock).toBe(512)
    expect(recorded.free).toHaveLength(18)
    expect(recorded.free[13]).toEqual({
      node: 1,
      name: 'Normal',
      type: 'Movable',
      counts: [30, 30, 22, 12, 13, 1, 15, 2, 0, 10, 2],
    })
    expect(recorded.blocks[0]?.counts).toMatchObject({ Unmovable: 1, Movable: 7, CMA: 0 })
    const own = parsePagetypeinfo(formatPagetypeinfo(textProcWords()))
    expect(own.free.filter(({ node }) => node === 1)).toEqual(
      recorded.free.filter(({ node }) => node === 1),
    )
    expect(own.blocks[2]).toEqual(recorded.blocks[2])
  })

  it('stops counting a list at 100,000 blocks', () => {
    const list = (length: number): ZoneState =>
      zoneOf({
        name: 'Normal',
        startPfn: 1048576,
        spanned: 131072,
        freeLists: { 0: { 1: Array.from({ length }, (_, i) => 1048576 + i) } },
      })
    const line = (zone: ZoneState) =>
      formatPagetypeinfo(loadNodeState([zone]))
        .split('\n')
        .find((text) => text.includes(', type      Movable'))
    expect(line(list(99_999))).toMatch(/^Node {4}0, zone {3}Normal, type {6}Movable {2}99999 {6}0 /)
    expect(line(list(120_000))).toMatch(/Movable >100000 {6}0 /)
    expect(
      parsePagetypeinfo(formatPagetypeinfo(loadNodeState([list(120_000)]))).free[1]?.counts[0],
    ).toBe(100_000)
  })

  it('counts pageblocks in steps from the zone start, holes of present sections with them', () => {
    // 16 MiB at 16 MiB, then nothing up to 1 GiB: sections 1..7 have no memory map.
    const words = stateFor({
      ranges: [
        { start: 4096, end: 8192, node: 0 },
        { start: 262144, end: 262144 + 1024, node: 0 },
      ],
      nodes: 1,
      limits: ZONES_X86_64,
    })
    const counts = parsePagetypeinfo(formatPagetypeinfo(words)).blocks[0]?.counts
    // [4096, 32768) is mapped: 8 blocks of memory, 48 of hole; then two blocks at 1 GiB.
    expect(counts).toMatchObject({ Movable: 10, Unmovable: 48 })
  })

  it('takes the type of the block that each step falls into, aligned or not', () => {
    const words = loadNodeState([
      zoneOf({ name: 'Normal', startPfn: 1048576 + 100, spanned: 1024, pageblocks: '123' }),
    ])
    // Steps at +100 and +612; the third block, though partly of the zone, is never reached.
    const counts = parsePagetypeinfo(formatPagetypeinfo(words)).blocks[0]?.counts
    expect(counts).toMatchObject({ Movable: 1, Reclaimable: 1, HighAtomic: 0 })
  })

  it('counts no block of another zone within its span', () => {
    const words = loadNodeState([zoneOf({ name: 'Normal', startPfn: 1048576, spanned: 1024 })])
    words[words[HEADER_BLOCKS]! + 1048576 / 512 + 1] = (3 << 8) | 0x21
    expect(parsePagetypeinfo(formatPagetypeinfo(words)).blocks[0]?.counts).toMatchObject({
      Movable: 1,
    })
  })

  it('skips nodes without memory', () => {
    const words = loadNodeState([
      zoneOf({ node: 1, name: 'Normal', startPfn: 1048576, spanned: 512 }),
    ])
    expect(formatPagetypeinfo(words).match(/Page block order/g)).toHaveLength(1)
  })

  it('refuses a text without its head, or with counts that miss their types', () => {
    expect(() => parsePagetypeinfo('Node 0, zone DMA 1 2')).toThrow(InvalidArgument)
    expect(() => parsePagetypeinfo('')).toThrow('Page block order')
  })
})
