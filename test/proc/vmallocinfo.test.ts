/** `/proc/vmallocinfo`, as a kernel printed it after calls that were recorded; and of machines made by hand. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PRISTINE_NODE, slabMachine } from '../../conformance/machine'
import { parseRows } from '../../conformance/player'
import { isVmallocCall, VmallocPlayer } from '../../conformance/vmallocCalls'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_FLAT } from '../../src/base/layout'
import { layoutI386 } from '../../src/base/layoutI386'
import { GiB, MiB, PAGE_SIZE, type Pfn } from '../../src/base/units'
import { I386, I386_PAE } from '../../src/paging/x86Format'
import {
  formatVmallocInfo,
  formatVmallocMeminfo,
  formatVmallocRows,
  parseVmallocInfo,
} from '../../src/proc/vmallocinfo'
import { purgeVmapAreas } from '../../src/vmalloc/drainWork'
import { VM_DMA_COHERENT, VM_MAP } from '../../src/vmalloc/flags'
import { ioremap } from '../../src/vmalloc/ioremap'
import { highmemZones } from '../../src/vmalloc/kmap'
import { getVmAreaNode, setVmallocCaller } from '../../src/vmalloc/vmAreas'
import { vmMapRam } from '../../src/vmalloc/vmapRam'
import { must } from '../slab/machines'
import { pa, takeFrames, vmMachine } from '../vmalloc/machines'
import { fixtureText } from './fixtures'

const RECORDED = fixtureText('text/text-proc.vmallocinfo.txt')
const PAGE = PAGE_SIZE

/** Lines of areas from the address on that the recorded calls were given. */
function inRange(text: string): string[] {
  return text.split('\n').filter((line) => line >= '0xffffd00000000000')
}

describe('the recording', () => {
  it('is printed to the byte, in the range of its calls', () => {
    const { vm } = slabMachine(PRISTINE_NODE, 1)
    const player = new VmallocPlayer(vm, () => undefined)
    let calls = 0
    for (const row of parseRows(fixtureText('text/text-proc.jsonl'))) {
      const call = String(row.call)
      if (!isVmallocCall(call)) continue
      setVmallocCaller(
        vm,
        call === 'get_vm_area' ? 'run_line+0x10c2/0x1620' : 'run_line+0x0/0x1620',
      )
      const answer = player.play(row) ?? {}
      if ('address' in answer) expect(answer.address).toBe(row.address)
      calls += 1
    }
    expect(calls).toBe(18)
    const recorded = inRange(RECORDED)
    expect(recorded).toHaveLength(14)
    expect(inRange(formatVmallocInfo(vm))).toEqual(recorded)
  })

  it('is read, and printed the same', () => {
    const rows = parseVmallocInfo(RECORDED)
    expect(rows).toHaveLength(65)
    expect(formatVmallocRows(rows)).toBe(RECORDED)
    expect(rows[1]).toEqual({
      start: 0xffffc90000005000n,
      end: 0xffffc90000007000n,
      size: 8192,
      kind: 'area',
      caller: 'acpi_os_map_iomem+0x17a/0x190',
      pages: 0,
      phys: 0x1ffe2000,
      words: ['ioremap'],
      nodes: {},
    })
    expect(rows[5]).toMatchObject({ pages: 4, words: ['vmalloc'], nodes: { 0: 4 } })
    expect(rows.filter(({ kind }) => kind === 'unpurged')).toHaveLength(5)
  })
})

describe('formatVmallocInfo', () => {
  it('has a word for everything', () => {
    const m = vmMachine({ mib: 32, nodes: 2, cpus: 2 })
    const { vm } = m
    expect(formatVmallocInfo(vm)).toBe('')
    setVmallocCaller(vm, 'test_op+0x1c4/0x9a0 [test]')
    must(vm.vmalloc(8 * MiB))
    setVmallocCaller(vm, '')
    must(ioremap(vm, pa(0xffe0000), 1))
    must(getVmAreaNode(vm, 4 * PAGE, { flags: VM_MAP | VM_DMA_COHERENT }))
    must(vm.vmallocUser(PAGE))
    must(vm.vmallocNode(2 * PAGE, 1))
    must(vmMapRam(vm, takeFrames(m, 1)))
    vm.vfree(must(vm.vmalloc(PAGE)))
    const text = formatVmallocInfo(vm)
    expect(text).toBe(
      [
        '0xffffc90000000000-0xffffc90000801000 8392704 test_op+0x1c4/0x9a0 [test] pages=2048 vmalloc vpages N0=2048',
        '0xffffc90000801000-0xffffc90000806000   20480 test_op+0x1c4/0x9a0 [test] pages=4 vmalloc N0=4',
        '0xffffc90000806000-0xffffc90000808000    8192 phys=0x000000000ffe0000 ioremap',
        '0xffffc90000808000-0xffffc9000080d000   20480 vmap dma-coherent',
        '0xffffc9000080d000-0xffffc9000080f000    8192 pages=1 vmalloc user N0=1',
        '0xffffc9000080f000-0xffffc90000812000   12288 pages=2 vmalloc N1=2',
        '0xffffc90000c00000-0xffffc90001000000 4194304 vm_map_ram',
        '0xffffc90000812000-0xffffc90000814000    8192 unpurged vm_area',
        '',
      ].join('\n'),
    )
    const hidden = formatVmallocInfo(vm, { addresses: false }).split('\n')
    expect(hidden[2]).toBe(
      '0x0000000000000000-0x0000000000000000    8192 phys=0x000000000ffe0000 ioremap',
    )
    expect(formatVmallocRows(parseVmallocInfo(text))).toBe(text)
    purgeVmapAreas(vm)
    expect(formatVmallocInfo(vm)).not.toContain('unpurged')
    expect(formatVmallocMeminfo(vm)).toBe(
      'VmallocTotal:   34359738367 kB\nVmallocUsed:        8220 kB\nVmallocChunk:          0 kB\n',
    )
  })

  it('says nothing of what waits when nothing is in use', () => {
    const m = vmMachine()
    m.vm.vfree(must(m.vm.vmalloc(PAGE)))
    expect(formatVmallocInfo(m.vm)).toBe('')
  })

  it.each([
    [false, I386, 'phys=0xfed00000'],
    [true, I386_PAE, 'phys=0x00000000fed00000'],
  ] as const)('has 8 digits on i386, with PAE: %s', (pae, format, phys) => {
    const layout = layoutI386({ memory: GiB, pae })
    const m = vmMachine({ mib: 16, layout, pages: { zones: highmemZones(layout) }, vm: { format } })
    must(ioremap(m.vm, pa(0xfed00000), 1))
    const start = layout.vmallocStart.toString(16)
    const end = (layout.vmallocStart + 2 * PAGE).toString(16)
    const text = formatVmallocInfo(m.vm)
    expect(text).toBe(`0x${start}-0x${end}    8192 ${phys} ioremap\n`)
    if (!pae) expect(formatVmallocRows(parseVmallocInfo(text), 8)).toBe(text)
  })

  it('counts the pages of huge blocks where their first page is', () => {
    const m = vmMachine({ mib: 32, layout: LAYOUT_FLAT })
    must(m.vm.vmallocHuge(2 * MiB))
    expect(formatVmallocInfo(m.vm)).toBe(
      '0x0000400000000000-0x0000400000201000 2101248 pages=512 vmalloc N0=512\n',
    )
  })
})

describe('parseVmallocInfo', () => {
  const line = '0xffffc90000000000-0xffffc90000005000   20480 f+0x1/0x2 pages=4 vmalloc N0=4'

  it.each([
    'x',
    line.slice(1),
    line.replace('20480', '9999999999999999999'),
    line.replace('pages=4', 'pages=0x4'),
    line.replace('pages=4', 'pages=4e1'),
    line.replace('pages=4', 'pages='),
    line.replace('N0=4', 'N0=f'),
    line.replace('N0', 'N00'),
    line.replace('vmalloc', 'vmallocs'),
    line.replace('vmalloc', 'phys=12'),
    `${line} `,
    line.replace(' f', '  f'),
  ])('refuses %s', (text) => {
    expect(() => parseVmallocInfo(`${line}\n${text}\n`)).toThrow(/^line 2 is/)
    expect(() => parseVmallocInfo(text)).toThrow(InvalidArgument)
  })

  it('takes text without a last newline, and none', () => {
    expect(parseVmallocInfo(line)).toEqual(parseVmallocInfo(`${line}\n`))
    expect(parseVmallocInfo('')).toEqual([])
  })

  it('reads what it printed, or throws InvalidArgument, whatever the text', () => {
    const lines = RECORDED.trimEnd().split('\n')
    const garbled = fc
      .tuple(fc.constantFrom(...lines), fc.nat(100), fc.nat(4), fc.string({ maxLength: 4 }))
      .map(([text, at, cut, more]) => text.slice(0, at) + more + text.slice(at + cut))
    fc.assert(
      fc.property(
        fc.oneof(
          garbled,
          fc.string(),
          fc.array(garbled).map((all) => all.join('\n')),
        ),
        (text) => {
          try {
            const rows = parseVmallocInfo(text)
            expect(parseVmallocInfo(formatVmallocRows(rows))).toEqual(rows)
          } catch (error) {
            if (!(error instanceof InvalidArgument)) throw error
          }
        },
      ),
      { numRuns: 400, seed: 5 },
    )
  })
})

describe('a machine of vmap alone', () => {
  it('names frames by nobody', () => {
    const m = vmMachine()
    const pfns: Pfn[] = takeFrames(m, 2)
    must(vmMapRam(m.vm, [...pfns, ...takeFrames(m, 63)]))
    expect(formatVmallocInfo(m.vm)).toBe(
      '0xffffc90000000000-0xffffc90000041000  266240 vm_map_ram\n',
    )
  })
})
