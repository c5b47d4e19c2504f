/** The whole family, called at random: memory stays its owner's, the state in order, and nothing is lost. */

import { describe, expect, it } from 'vitest'
import { LAYOUT_FLAT } from '../../src/base/layout'
import { LAYOUT_ARM64, LAYOUT_SV39 } from '../../src/base/layouts'
import { ARM64 } from '../../src/paging/arm64Format'
import { SV39 } from '../../src/paging/riscvFormat'
import { type VmMachineOptions, vmMachine } from './machines'
import { VmScript } from './model'

const MACHINES: readonly (readonly [name: string, options: VmMachineOptions])[] = [
  ['x86_64', {}],
  ['x86_64 with four CPUs and two nodes', { cpus: 4, nodes: 2 }],
  ['a flat layout', { layout: LAYOUT_FLAT }],
  ['Sv39', { layout: LAYOUT_SV39, base: 0x80000000, vm: { format: SV39 } }],
  ['arm64', { layout: LAYOUT_ARM64, base: 0x40000000, vm: { format: ARM64 } }],
]

/** A seed for each run, so that a failure names it. */
const SHORT = MACHINES.flatMap(([name, options]) =>
  [1, 2].map((seed) => [name, seed, options] as const),
)

describe('calls at random', () => {
  it.each(SHORT)('on %s, seed %i, checked after each', (_name, seed, options) => {
    const script = new VmScript(
      vmMachine({ mib: 8, ...options, vm: { maxRecords: 800, ...options.vm } }),
      seed,
    )
    script.run(50, 1).finish()
    expect(script.live).toEqual([])
  })

  it.each(MACHINES)('on %s, a long run', (_name, options) => {
    const machine = vmMachine({ mib: 16, ...options })
    new VmScript(machine, 77).run(800, 200).finish()
  })
})
