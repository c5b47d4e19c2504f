/** Faults made on purpose, that the simulation has to find: for its own tests. They are never drawn. */

import { PAGE_SIZE, type Pfn } from '../../src/index'
import { CPU_EVENTS, HEADER_CPUS, ZONE_FREE_PAGES } from '../../src/state/schema'
import { zoneOfPfn } from '../../src/zone/zones'
import type { Operation } from './simulation'

export const SABOTAGE_CALLS: Readonly<Record<string, Operation>> = {
  /** A counter of the state is wrong. */
  'sabotage.counter': {
    weight: 0,
    run(s) {
      const { words } = s.machine.pages
      words[zoneOfPfn(words, s.frame(0)) + ZONE_FREE_PAGES]! += 1
    },
  },
  /** From now on, each page that is allocated is handed out twice, if it can be. */
  'sabotage.double': {
    weight: 0,
    run(s) {
      const { machine } = s
      const allocate = machine.allocPages.bind(machine)
      let last: Pfn | null = null
      machine.allocPages = (gfp, order) => {
        if (last !== null) {
          const again = last
          last = null
          return again
        }
        last = allocate(gfp, order)
        return last
      }
    },
  },
  /** Somebody writes into memory that is in use. */
  'sabotage.content': {
    weight: 0,
    run(s, { at, a }) {
      const block = s.live.pick(a, at, 'block')
      if (block?.kind === 'block') s.content.fill(block.pfn * PAGE_SIZE, 8, 0x5a)
    },
  },
  /** A machine from a snapshot is not quite the one that was saved. */
  'sabotage.twin': {
    weight: 0,
    ofMachine: true,
    run(s) {
      const words = s.twin?.simulation.machine.pages.words
      if (words !== undefined) words[words[HEADER_CPUS]! + CPU_EVENTS]! += 1
    },
  },
  /** Somebody forgets memory. */
  'sabotage.leak': { weight: 0, run: (s) => void s.machine.kmalloc(100) },
  /** A refused call changes something. */
  'sabotage.refusal': {
    weight: 0,
    run(s) {
      const { pages } = s.machine
      const free = pages.freePages.bind(pages)
      pages.freePages = (pfn, order) => {
        try {
          free(pfn, order)
        } catch (error) {
          pages.words[pages.words.length - 1]! += 1
          throw error
        }
      }
    },
  },
}
