/** All operations, and drawing them: each run multiplies their weights by numbers of its own, many of them 0. */

import type { Stream } from '../buddy/random'
import { FAULT_CALLS } from './faultCalls'
import { HEAP_CALLS } from './heapCalls'
import { HOSTILE_CALLS } from './hostileCalls'
import { drawMachine } from './machines'
import { PAGE_CALLS } from './pageCalls'
import { RECLAIM_CALLS } from './reclaimer'
import { SABOTAGE_CALLS } from './sabotage'
import { type Call, CONTEXTS, type Script } from './script'
import type { Operation } from './simulation'
import { SLAB_CALLS } from './slabCalls'
import { SNAPSHOT_CALLS } from './twin'
import { VIRTUAL_CALLS } from './virtualCalls'

/** Freeing what is in use, whatever it is. */
const FREE_CALLS: Readonly<Record<string, Operation>> = {
  'free.one': {
    weight: 25,
    inInterrupt: true,
    run: (s, { at, a, b }) => s.free(a, at, b),
  },
  'free.newest': {
    weight: 10,
    inInterrupt: true,
    run: (s, { at, b }) => s.free(at, at, b),
  },
  'free.many': {
    weight: 0.5,
    run(s, { at, a, b, c }) {
      const count = Math.floor(s.live.size * ((c % 8) / 8))
      for (let i = 0; i < count; i++) s.free(a, at, b + i)
    },
  },
}

export const CALLS: Readonly<Record<string, Operation>> = {
  ...FREE_CALLS,
  ...PAGE_CALLS,
  ...SLAB_CALLS,
  ...HEAP_CALLS,
  ...VIRTUAL_CALLS,
  ...RECLAIM_CALLS,
  ...FAULT_CALLS,
  ...SNAPSHOT_CALLS,
  ...HOSTILE_CALLS,
  ...SABOTAGE_CALLS,
}

/** The most that one draw gives. */
const DRAWS = 0xffffffff

/** A script from a seed: a machine, and so many calls. */
export function drawScript(random: Stream, count: number): Script {
  const machine = drawMachine(random)
  const layers = new Map<string, number>()
  const names = Object.keys(CALLS)
  const weights = names.map((name) => {
    const layer = name.slice(0, name.indexOf('.'))
    const factor = layers.get(layer) ?? random.pick([0.2, 1, 1, 3])
    layers.set(layer, factor)
    // Something has to be freed, or all that happens is that nothing is left.
    const own = name === 'free.one' ? 1 : random.pick([0, 0.5, 1, 1, 3])
    return CALLS[name]!.weight * factor * own
  })
  const light = weights.reduce((sum, weight) => sum + weight, 0)
  for (const [i, name] of names.entries()) {
    weights[i]! += ((CALLS[name]!.perRun ?? 0) / count) * light * random.pick([0, 1, 2])
  }
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const interrupts = random.pick([0, 0.05, 0.2])
  const calls: Call[] = []
  for (let at = 0; at < count; at++) {
    let place = (random.below(DRAWS) / DRAWS) * total
    let which = 0
    while (which < names.length - 1 && place >= weights[which]!) {
      place -= weights[which]!
      which += 1
    }
    const special = random.below(DRAWS) / DRAWS < interrupts
    calls.push({
      at,
      name: names[which]!,
      cpu: random.below(4) === 0 ? random.below(4) : (at >>> 6) & 3,
      context: special ? 1 + random.below(CONTEXTS.length - 1) : 0,
      a: random.below(DRAWS),
      b: random.below(DRAWS),
      c: random.below(DRAWS),
    })
  }
  return { machine, calls }
}
