/** Random calls against the model, seed after seed, until the time is over: `npm run fuzz`. */

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { BuddyAllocator, MiB, PAGE_SIZE, PhysicalMemory, ZONES_FLAT } from '../../src/index'
import { faults, freePagesOf, zonesOf } from '../buddy/machines'
import { Model } from '../buddy/model'
import { OPERATIONS, sequences } from '../buddy/operations'
import { limits } from './limits'

const RUNS_PER_SEED = 20
const CALLS_PER_RUN = 300

const machines = fc.record({
  mib: fc.constantFrom(2, 4, 7, 16, 24),
  cpus: fc.constantFrom(1, 2, 3),
  flat: fc.boolean(),
})

it('keeps every invariant after every call', () => {
  const { firstSeed, goesOn } = limits()
  const callsOf = (seed: number) => (seed - firstSeed) * RUNS_PER_SEED * CALLS_PER_RUN
  let seed = firstSeed
  for (; goesOn(seed, callsOf(seed)); seed++) {
    console.log(`seed ${seed}   (npm run fuzz -- --part pages --seed ${seed} --seeds 1)`)
    const property = fc.property(machines, sequences(OPERATIONS, CALLS_PER_RUN), play)
    fc.assert(property, { seed, numRuns: RUNS_PER_SEED })
  }
  console.log(`${seed - firstSeed} seeds, up to ${callsOf(seed)} calls`)
})

function play(
  { mib, cpus, flat }: { mib: number; cpus: number; flat: boolean },
  commands: Iterable<fc.Command<Model, BuddyAllocator>>,
): void {
  const ram = new PhysicalMemory({ size: mib * MiB })
  const pages = new BuddyAllocator({ ram, cpus, ...(flat ? { zones: ZONES_FLAT } : {}) })
  const model = new Model(pages, [{ start: 0, end: (mib * MiB) / PAGE_SIZE }], ram)
  expect(faults(pages)).toEqual([])
  fc.modelRun(() => ({ model, real: pages }), commands)
  model.releaseAll()
  const free = zonesOf(pages).reduce((sum, zone) => sum + freePagesOf(pages, zone), 0)
  expect(free).toBe(model.frames)
}
