/** Machines from files: they go on as those that were saved. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { LAYOUT_SV39 } from '../../src/base/layouts'
import type { VirtAddr } from '../../src/base/units'
import { machineFromSnapshot } from '../../src/machine/fromSnapshot'
import { Machine } from '../../src/machine/machine'
import type { MachineOptions } from '../../src/machine/machineOptions'
import { SV39 } from '../../src/paging/riscvFormat'
import { ZONE_FREE_PAGES } from '../../src/state/schema'
import { zoneRecord } from '../../src/zone/zones'
import { stream } from '../buddy/random'

const MACHINES: readonly (readonly [string, MachineOptions])[] = [
  ['flat', { ram: '32MiB' }],
  [
    'x86_64, two nodes, four CPUs',
    { ram: '64MiB', cpus: 4, layout: LAYOUT_X86_64, cmdline: 'numa=fake=2 movablecore=16M' },
  ],
  [
    'slab_nomerge slub_debug=FZPU',
    { ram: '32MiB', cmdline: 'slab_nomerge slub_debug=FZPU init_on_free=1 nohugevmalloc' },
  ],
  ['Sv39', { ram: '32MiB', base: 0x80000000, layout: LAYOUT_SV39, format: SV39 }],
]

/** Calls drawn from a seed; what they answer. */
function work(m: Machine, seed: number, live: VirtAddr[]): number[] {
  const random = stream(seed)
  const answers: number[] = []
  for (let i = 0; i < 400; i++) {
    const cpu = random.below(m.pages.context.nrCpus)
    m.onCpu(cpu, () => {
      if (live.length > 40 || (live.length > 0 && random.below(3) === 0)) {
        const [p] = live.splice(random.below(live.length), 1)
        m.kvfree(p ?? null)
        return
      }
      const size = 1 + random.below(random.below(8) === 0 ? 200_000 : 2000)
      const p = random.below(2) === 0 ? m.kmalloc(size) : m.vmalloc(size)
      answers.push(p ?? -1)
      if (p !== null) live.push(p)
    })
  }
  return answers
}

describe('machineFromSnapshot', () => {
  it.each(MACHINES)('goes on exactly as the machine that was saved: %s', (_name, options) => {
    const m = Machine.boot(options)
    const live: VirtAddr[] = []
    work(m, 1, live)
    const file = m.save()
    const words = /slub_debug=\S*/.exec(String(options.cmdline))?.[0] ?? ''
    const copy = machineFromSnapshot(file, { cmdline: words })
    expect(copy.hash()).toBe(m.hash())
    expect(copy.verify()).toEqual([])
    const others = [...live]
    expect(work(copy, 2, others)).toEqual(work(m, 2, live))
    expect(copy.hash()).toBe(m.hash())
    expect(copy.proc('slabinfo')).toBe(m.proc('slabinfo'))
  })

  it('a machine goes back to what it was', () => {
    const m = Machine.boot({ ram: '32MiB' })
    const live: VirtAddr[] = []
    work(m, 3, live)
    const [before, file, kept] = [m.hash(), m.save(), [...live]]
    const first = work(m, 4, live)
    expect(m.hash()).not.toBe(before)
    m.restore(file)
    expect(m.hash()).toBe(before)
    expect(work(m, 4, kept)).toEqual(first)
  })

  it('refuses a state that breaks an invariant, unless it is to be looked at', () => {
    const m = Machine.boot({ ram: '32MiB' })
    const zone = zoneRecord(m.pages.words, 0, 0)
    m.pages.words[zone + ZONE_FREE_PAGES] = (m.pages.words[zone + ZONE_FREE_PAGES] ?? 0) + 7
    const file = m.save()
    expect(() => machineFromSnapshot(file)).toThrow(/ZONE-2/)
    expect(machineFromSnapshot(file, { verify: false }).verify()[0]).toMatchObject({
      part: 'pages',
      id: 'ZONE-2',
    })
  })

  it('needs what the file cannot tell', () => {
    const layout = { ...LAYOUT_X86_64, name: 'mine' }
    const file = Machine.boot({ ram: '32MiB', layout }).save()
    expect(() => machineFromSnapshot(file)).toThrow(InvalidArgument)
    expect(machineFromSnapshot(file, { layout }).verify()).toEqual([])
  })

  it('refuses files that are damaged', () => {
    const file = Machine.boot({ ram: '32MiB' }).save()
    const random = stream(9)
    for (let i = 0; i < 60; i++) {
      const bad = file.slice()
      const at = random.below(bad.length)
      bad[at] = (bad[at] ?? 0) ^ (1 << random.below(8))
      expect(() => machineFromSnapshot(bad)).toThrow(InvalidArgument)
      expect(() => machineFromSnapshot(file.slice(0, at))).toThrow(InvalidArgument)
    }
    expect(() => machineFromSnapshot(null as never)).toThrow(InvalidArgument)
  })
})
