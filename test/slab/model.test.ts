import fc from 'fast-check'
import { describe, it } from 'vitest'
import { Kmalloc } from '../../src/index'
import { must, slabMachine } from './machines'
import { MODEL_SLABS, SlabModel } from './model'
import { playSlabs, slabSequences } from './operations'

/** The limit cuts the search for a smaller failure short, which takes minutes otherwise. */
const LIMIT = { interruptAfterTimeLimit: 60_000 }

describe('the slab allocator against a map of objects in use', () => {
  const machines = fc.record({
    cpus: fc.constantFrom(1, 4),
    nodes: fc.constantFrom(1, 2),
    slabs: fc.constantFrom(...Object.keys(MODEL_SLABS)),
  })

  it('keeps caches in order, and the content of their objects', () => {
    fc.assert(
      fc.property(machines, slabSequences(120), ({ cpus, nodes, slabs }, commands) => {
        const machine = slabMachine({ mib: 4, cpus, nodes, slabs: must(MODEL_SLABS[slabs])() })
        playSlabs(new SlabModel(machine, null, cpus, nodes), commands)
      }),
      { numRuns: 50, ...LIMIT },
    )
  })

  it('keeps kmalloc in order besides', () => {
    fc.assert(
      fc.property(machines, slabSequences(100), ({ cpus, nodes, slabs }, commands) => {
        const machine = slabMachine({ mib: 4, cpus, nodes, slabs: must(MODEL_SLABS[slabs])() })
        playSlabs(new SlabModel(machine, new Kmalloc(machine.slabs), cpus, nodes), commands)
      }),
      { numRuns: 25, ...LIMIT },
    )
  })
})
