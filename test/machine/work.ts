/** Calls that use all layers of a machine: for tests that make them in turn, here or in a worker. */

import type { Machine } from '../../src/machine/machine'

/** Makes `rounds` calls among what `live` holds: what they answer. */
export function work(m: Machine, live: number[], rounds: number, seed: number): number[] {
  const answers: number[] = []
  let x = seed
  for (let i = 0; i < rounds; i++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0
    const size = 1 + ((x >>> 8) % 40_000)
    const p =
      i % 3 === 0 ? m.vmalloc(size) : i % 3 === 1 ? m.kmalloc(size % 9000) : m.kvmalloc(size)
    answers.push(p ?? -1)
    if (p !== null) live.push(p)
    if (live.length > 40) m.kvfree(live.splice(x % 40, 1)[0] as Parameters<Machine['kvfree']>[0])
  }
  return answers
}
