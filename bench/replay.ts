/** How fast the recorded traces replay. */

import { readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { Kmem } from './kmem'

/** What one replay did. */
export interface ReplayRate {
  readonly trace: string
  readonly events: number
  readonly seconds: number
}

const FOLDER = new URL('../test/fixtures/traces/', import.meta.url)
const SUFFIX = '.ftrace.gz'
/** Replays of each trace; the fastest counts, since anything else on the machine only slows one down. */
const ROUNDS = 7

/** One rate for each recorded trace, its first replay and so the compiler's work apart. */
export function measureReplays(kmem: Kmem): readonly ReplayRate[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(SUFFIX))
  return names.map((name) => {
    const events = kmem.parseFtrace(gunzipSync(readFileSync(new URL(name, FOLDER))))
    const state = new URL(name.replace(SUFFIX, '.state.json'), FOLDER)
    const { before } = JSON.parse(readFileSync(state, 'utf8'))
    let fastest = Number.POSITIVE_INFINITY
    for (let round = 0; round < ROUNDS; round++) {
      const pages = kmem.loadZones(before.zones)
      const start = performance.now()
      const result = kmem.replay(events, pages)
      fastest = Math.min(fastest, performance.now() - start)
      if (result.different !== 0) throw new Error(`${name}: ${result.different} differences`)
    }
    return { trace: name.replace(SUFFIX, ''), events: events.count, seconds: fastest / 1000 }
  })
}
