/** Memory that has bytes and nothing else, as others than `PhysicalMemory` may bring it. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { PAGE_SIZE } from '../../src/base/units'
import type { FrameSource } from '../../src/page/frameSource'
import type { ByteRam } from '../../src/page/pageSource'
import { AddressSpace } from '../../src/paging/addressSpace'
import { PAGE_SHARED, PROT_DIRTY, PROT_READ, PROT_WRITE } from '../../src/paging/format'
import { FramePlaces } from '../../src/paging/framePlaces'
import { PageFault } from '../../src/paging/pageFault'
import { SV39 } from '../../src/paging/riscvFormat'
import { I386, X86_64 } from '../../src/paging/x86Format'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { machine, scattered, thrown } from './spaces'

const DATA = PAGE_SHARED | PROT_DIRTY
const BASE = 0x10000000

/** Just the bytes of a memory. */
function plain(ram: PhysicalMemory): ByteRam {
  return {
    hasContent: true,
    words: ram.words,
    wordIndex: (address) => ram.wordIndex(address),
    tracksDirty: true,
    markDirty: (address, length) => ram.markDirty(address, length),
    bytes: (address, length) => ram.bytes(address, length),
    fill: (address, length, byte) => ram.fill(address, length, byte),
    copy: (to, from, length) => ram.copy(to, from, length),
  }
}

describe('memory without devices', () => {
  it('is read and written across pages, by single values and in bulk', () => {
    const ram = new PhysicalMemory({ size: 4 * 1048576, dirtyTracking: true })
    const { pages, source } = machine({ ram })
    const space = new AddressSpace({ ...source, ram: plain(ram) }, { format: X86_64, user: true })
    const pfns = scattered(pages, 3)
    expect(space.mapPages(BASE, pfns, DATA)).toBe(true)
    ram.clearDirty()
    space.storeU32(BASE + 4094, 0x04030201)
    expect(space.loadU32(BASE + 4094)).toBe(0x04030201)
    expect(space.loadU16(BASE + 4095)).toBe(0x0302)
    const [first = 0, second = 0] = pfns
    expect([...ram.bytes(first * 4096 + 4094, 2)]).toEqual([1, 2])
    expect([...ram.bytes(second * 4096, 2)]).toEqual([3, 4])
    expect([ram.isDirty(first * 4096), ram.isDirty(second * 4096)]).toEqual([true, true])
    space.fill(BASE + 8190, 3, 7)
    space.copy(BASE + 2, BASE + 4094, 4)
    space.copy(BASE + 4095, BASE + 4094, 4)
    const target = new Uint8Array(6)
    space.read(BASE + 4094, target)
    expect([...target]).toEqual([1, 1, 2, 3, 4, 0])
    space.read(BASE, target)
    expect([...target]).toEqual([0, 0, 1, 2, 3, 4])
    space.read(BASE + 8189, target)
    expect([...target]).toEqual([0, 7, 7, 7, 0, 0])
  })
})

describe('bulk access', () => {
  it.each([
    [X86_64, 2 ** 47, 'non-canonical'],
    [I386, 2 ** 32, 'unmapped'],
  ] as const)('ends where the addresses of a format do: %o', (format, end, reason) => {
    const { pages, source } = machine()
    const space = new AddressSpace(source, { format, user: true })
    const [pfn = 0] = scattered(pages, 1)
    expect(space.map(end - PAGE_SIZE, pfn, 1, DATA)).toBe(true)
    const target = new Uint8Array(4)
    expect(thrown(() => space.read(end - 2, target))).toBeInstanceOf(PageFault)
    expect(space.fault).toMatchObject({ reason })
    expect(space.readPartial(end - 2, target)).toBe(2)
    expect(thrown(() => space.write(end - 2, Uint8Array.of(1, 2, 3)))).toBeInstanceOf(PageFault)
    expect(space.loadU16(end - 2)).toBe(0)
    expect(space.writePartial(end - 2, Uint8Array.of(1, 2, 3))).toBe(2)
    expect(space.loadU16(end - 2)).toBe(0x201)
  })

  it('copies to a device from its end where the target lies above, and reads none that only writes', () => {
    const log: string[] = []
    const ram = new PhysicalMemory({
      map: [
        { base: 0, size: 4 * 1048576, type: 'usable' },
        {
          base: 0x10000000,
          size: 4096,
          type: 'device',
          write: (offset, _bytes, value) => log.push(`${offset}:${value}`),
        },
      ],
    })
    const { pages } = machine({ ram })
    const space = new AddressSpace(pages, { format: SV39 })
    const rights = PROT_READ | PROT_WRITE
    space.map(0x4000, scattered(pages, 1)[0] ?? 0, 1, rights)
    space.mapRange(0x5000, 0x10000000, 4096, rights)
    space.mapRange(0x3000, 0x10000000, 4096, rights)
    space.write(0x4000, Uint8Array.of(1, 2, 3))
    space.copy(0x5000, 0x4000, 3)
    expect(log.splice(0)).toEqual(['2:3', '1:2', '0:1'])
    space.copy(0x3000, 0x4000, 3)
    expect(log.splice(0)).toEqual(['0:1', '1:2', '2:3'])
    const refusal = thrown(() => space.read(0x4ffe, new Uint8Array(4)))
    expect(refusal).toBeInstanceOf(InvalidArgument)
    expect((refusal as Error).message).toContain('of a device that can be read')
  })
})

describe('places of frames', () => {
  /** A source of `maxPfn` frames in one piece of bytes, whose words lie as `wordIndex` says. */
  function placesOf(maxPfn: number, wordIndex: (address: number) => number): FramePlaces {
    const ram = {
      words: new Int32Array(1),
      wordIndex,
      bytes: (_address: number, length: number) => ({ length }),
    }
    return new FramePlaces({ maxPfn, ram } as unknown as FrameSource)
  }

  it('are found frame by frame where words are not in the order of bytes', () => {
    const places = placesOf(6, (address) => (5 - address / 4096) * 1024)
    for (const pfn of [3, 0, 5, 1, 4, 2, 3]) expect(places.of(pfn)).toBe((5 - pfn) * 1024)
    expect(places.of(6)).toBe(-1)
  })

  it('may be more than 31 bits have room for', () => {
    const places = placesOf(2 ** 23, (address) => address / 4)
    for (const pfn of [2 ** 21 + 5, 2 ** 21 - 1, 2 ** 23 - 1, 0]) {
      expect(places.of(pfn)).toBe(pfn * 1024)
    }
  })
})
