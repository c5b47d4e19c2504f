/** `/proc/iomem` of memory maps, and texts of other machines read. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { GiB, MiB } from '../../src/base/units'
import { formatIomem, parseIomem, readIomem } from '../../src/proc/iomem'
import type { MemoryRange } from '../../src/ram/memoryMap'
import { PhysicalMemory } from '../../src/ram/physicalMemory'

const PC: MemoryRange[] = [
  { base: 4 * GiB, size: GiB, type: 'usable', node: 1 },
  { base: 0, size: 0x1000, type: 'reserved' },
  { base: 0x1000, size: 0x9e000, type: 'usable' },
  { base: 0x9f000, size: 0x1000, type: 'reserved' },
  { base: MiB, size: 15 * MiB, type: 'usable' },
  { base: 16 * MiB, size: 16 * MiB, type: 'usable', node: 1 },
  { base: 0xfec00000, size: 0x1000, type: 'device' },
  { base: 0xfec01000, size: 0x1000, type: 'device' },
]

function machine(map: MemoryRange[]) {
  return { ram: new PhysicalMemory({ map, content: false }) }
}

describe('formatIomem', () => {
  it('has a line for each run of memory, and for each device', () => {
    const deviceName = (base: number) => (base === 0xfec00000 ? 'IOAPIC 0' : undefined)
    const text = formatIomem(machine(PC), { deviceName })
    expect(text).toBe(
      [
        '00000000-00000fff : Reserved',
        '00001000-0009efff : System RAM',
        '0009f000-0009ffff : Reserved',
        '00100000-01ffffff : System RAM',
        'fec00000-fec00fff : IOAPIC 0',
        'fec01000-fec01fff : Device',
        '100000000-13fffffff : System RAM',
        '',
      ].join('\n'),
    )
    expect(parseIomem(text)).toEqual(readIomem(machine(PC), { deviceName }))
  })

  it('hides addresses', () => {
    expect(formatIomem(machine(PC), { addresses: false })).toMatch(
      /^00000000-00000000 : Reserved\n00000000-00000000 : System RAM\n/,
    )
  })

  it('has every byte of memory once', () => {
    const range = fc.record({
      gap: fc.nat(2),
      pages: fc.integer({ min: 1, max: 4 }),
      type: fc.constantFrom('usable' as const, 'reserved' as const, 'device' as const),
    })
    fc.assert(
      fc.property(fc.array(range, { maxLength: 8 }), (parts) => {
        const map: MemoryRange[] = [{ base: 0, size: 4096, type: 'usable' }]
        const pages: string[] = ['System RAM']
        for (const { gap, pages: count, type } of parts) {
          const base = (pages.length + gap) * 4096
          map.push({ base, size: count * 4096, type })
          const name = { usable: 'System RAM', reserved: 'Reserved', device: 'Device' }[type]
          pages.push(...new Array<string>(gap).fill(''), ...new Array<string>(count).fill(name))
        }
        const told = new Array<string>(pages.length).fill('')
        for (const { start, end, name } of parseIomem(formatIomem(machine(map)))) {
          for (let at = start; at < end; at += 4096) {
            expect(told[at / 4096]).toBe('')
            told[at / 4096] = name
          }
        }
        expect(told).toEqual(pages)
      }),
      { numRuns: 100, seed: 5 },
    )
  })
})

describe('parseIomem', () => {
  it('reads ranges inside ranges', () => {
    expect(
      parseIomem('00100000-bfffffff : System RAM\n  01000000-0120da3c : Kernel code\n'),
    ).toEqual([
      { start: 0x100000, end: 0xbfffffff, name: 'System RAM', depth: 0 },
      { start: 0x1000000, end: 0x120da3c, name: 'Kernel code', depth: 1 },
    ])
  })

  it.each([
    'x',
    '00001000 : System RAM',
    '00001000-00000fff : System RAM',
    ' 00001000-00001fff : System RAM',
    '00001000-00001fff :',
    '0-ffffffffffffffff : all',
  ])('refuses %s', (line) => {
    expect(() => parseIomem(`00001000-0009efff : System RAM\n${line}\n`)).toThrow(InvalidArgument)
    expect(() => parseIomem(line)).toThrow(line)
  })
})
