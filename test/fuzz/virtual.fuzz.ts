/**
 * Random calls of the vmalloc family on machines of all layouts, seed after seed, until the time is over:
 * `npm run fuzz`. Bytes in all memory tell whether it stays its owner's, and all checkers run after every few calls.
 */

import { it } from 'vitest'
import { LAYOUT_FLAT } from '../../src/base/layout'
import { LAYOUT_ARM64, LAYOUT_SV39, LAYOUT_SV48 } from '../../src/base/layouts'
import { ARM64 } from '../../src/paging/arm64Format'
import { SV39, SV48 } from '../../src/paging/riscvFormat'
import { type VmMachineOptions, vmMachine } from '../vmalloc/machines'
import { VmScript } from '../vmalloc/model'
import { limits } from './limits'

const SHORT_CALLS = 120
const LONG_CALLS = 2000
const LONG_CHECK = 250

const MACHINES: readonly VmMachineOptions[] = [
  {},
  { cpus: 4, nodes: 2 },
  { layout: LAYOUT_FLAT, cpus: 2 },
  { layout: LAYOUT_SV39, base: 0x80000000, vm: { format: SV39 } },
  { layout: LAYOUT_SV48, base: 0x80000000, vm: { format: SV48 } },
  { layout: LAYOUT_ARM64, base: 0x40000000, vm: { format: ARM64 } },
]

it('keeps every invariant of the virtual mapper and all beneath it', () => {
  const { firstSeed, goesOn } = limits()
  let seed = firstSeed
  let calls = 0
  for (; goesOn(seed, calls); seed++) {
    console.log(`seed ${seed}   (npm run fuzz -- --part virtual --seed ${seed} --seeds 1)`)
    const options = MACHINES[seed % MACHINES.length] ?? {}
    // A state that runs out of records is a shortage like any other.
    const small = { mib: 8, ...options, vm: { maxRecords: 500 + (seed % 7) * 100, ...options.vm } }
    new VmScript(vmMachine(small), seed).run(SHORT_CALLS, 1).finish()
    const large = { mib: 12 + (seed % 3) * 10, ...options }
    new VmScript(vmMachine(large), seed + 1_000_000).run(LONG_CALLS, LONG_CHECK).finish()
    calls += SHORT_CALLS + LONG_CALLS
  }
  console.log(`virtual: ${seed - firstSeed} seeds, ${calls} calls`)
})
