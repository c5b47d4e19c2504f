/** Faults on purpose, and looks at the machine that may not change it. */

import { failPageAlloc, failslab, inspect, PROC_TEXTS, setPageFaults } from '../../src/index'
import type { Operation } from './simulation'
import { stateHash } from './stateHash'
import { Violation } from './violation'

export const FAULT_CALLS: Readonly<Record<string, Operation>> = {
  'faults.slabs': {
    weight: 0.3,
    run(s, { a, b, c }) {
      const probability = [1, 5, 20, 60, 100][a % 5]!
      const spared = { ignoreGfpWait: b % 4 === 0, space: (b >>> 8) % 5000 }
      s.machine.slabs.setFaults(failslab({ probability, times: -1, ...spared, seed: c }))
    },
  },
  'faults.pages': {
    weight: 0.3,
    run(s, { a, b, c }) {
      const probability = [1, 5, 20, 60, 100][a % 5]!
      const spared = { ignoreGfpWait: b % 4 === 0, ignoreGfpHighmem: b % 3 === 0 }
      const minOrder = (b >>> 8) % 4
      const options = { probability, times: -1, minOrder, ...spared, seed: c }
      setPageFaults(s.machine.pages, failPageAlloc(options))
    },
  },
  'faults.nth': {
    weight: 0.5,
    run(s, { a, b }) {
      const slabs = failslab({ ignoreGfpWait: false })
      slabs.failNth(1 + (a % 12))
      s.machine.slabs.setFaults(slabs)
      const pages = failPageAlloc({ ignoreGfpWait: false, minOrder: 0 })
      pages.failNth(1 + (b % 12))
      setPageFaults(s.machine.pages, pages)
    },
  },
  'faults.stop': { weight: 1.5, run: (s) => s.stopFaults() },
  'look.proc': {
    weight: 0.05,
    run(s, { a }) {
      const before = stateHash(s.machine)
      const name = PROC_TEXTS[a % PROC_TEXTS.length]!
      s.machine.proc(name)
      if (stateHash(s.machine) !== before)
        throw new Violation('look', `${name} changed the machine`)
    },
  },
  'look.inspect': {
    weight: 0.3,
    run(s, { at, a, b }) {
      const item = s.live.pick(a, at)
      const address = item !== undefined && 'address' in item ? item.address + (b % 9000) : a
      inspect(s.machine, address)
    },
  },
  'look.marks': { weight: 0.1, run: (s) => s.expectAllMarks() },
}
