/** Random calls of the slab layer against the model, seed after seed, until the time is over: `npm run fuzz`. */

import fc from 'fast-check'
import { it } from 'vitest'
import { Kmalloc } from '../../src/index'
import { must, slabMachine } from '../slab/machines'
import { MODEL_SLABS, SlabModel } from '../slab/model'
import { playSlabs, slabSequences } from '../slab/operations'
import { limits } from './limits'

const RUNS_PER_SEED = 20
const CALLS_PER_RUN = 300

const machines = fc.record({
  mib: fc.constantFrom(2, 4, 8),
  cpus: fc.constantFrom(1, 2, 4),
  nodes: fc.constantFrom(1, 2),
  heap: fc.boolean(),
  slabs: fc.constantFrom(...Object.keys(MODEL_SLABS)),
})

it('keeps every invariant of slabs and pages after every call', () => {
  const { firstSeed, goesOn } = limits()
  const callsOf = (seed: number) => (seed - firstSeed) * RUNS_PER_SEED * CALLS_PER_RUN
  let seed = firstSeed
  for (; goesOn(seed, callsOf(seed)); seed++) {
    console.log(`seed ${seed}   (npm run fuzz -- --part slabs --seed ${seed} --seeds 1)`)
    const property = fc.property(machines, slabSequences(CALLS_PER_RUN), (options, commands) => {
      const slabs = must(MODEL_SLABS[options.slabs])()
      const machine = slabMachine({ ...options, slabs })
      const heap = options.heap ? new Kmalloc(machine.slabs) : null
      playSlabs(new SlabModel(machine, heap, options.cpus, options.nodes), commands)
    })
    fc.assert(property, { seed, numRuns: RUNS_PER_SEED })
  }
  console.log(`slabs: ${seed - firstSeed} seeds, up to ${callsOf(seed)} calls`)
})
