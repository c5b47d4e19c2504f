/** Playing a script from the boot of its machine to the end, and what went wrong then. */

import { KernelBug } from '../../src/index'
import { CALLS } from './calls'
import { baseline, finish } from './finish'
import { bootMachine } from './machines'
import type { Script } from './script'
import { Simulation } from './simulation'
import { endTwin, playBoth } from './twin'
import { Violation } from './violation'

/** How closely to look. */
export interface PlayOptions {
  /** All checkers run after each so many calls; 0 for only at the end. */
  readonly verifyEvery: number
  /** Keep what each call came to. */
  readonly notes?: boolean
}

/** What went wrong. */
export interface Failure {
  /** Tells one kind of fault from another. */
  readonly key: string
  readonly message: string
  /** Calls that were made, that included at which it was noticed; all of them for what was noticed at the end. */
  readonly calls: number
}

/** How a script went. */
export interface Played {
  readonly failure: Failure | null
  /** How often all checkers ran. */
  readonly verified: number
  /** What each call came to; empty unless asked for. */
  readonly notes: readonly string[]
  /** All answers in one number, and the hash of the machine at the end. */
  readonly answer: number
  readonly hash: string
}

/** Plays a script. It never throws: what is thrown is a failure. */
export function playScript({ machine, calls }: Script, options: PlayOptions): Played {
  const { verifyEvery } = options
  const notes: string[] = []
  let done = 0
  let verified = 0
  let s: Simulation | null = null
  try {
    s = new Simulation(machine, bootMachine(machine))
    const before = baseline(s)
    s.verify()
    for (const call of calls) {
      const operation = CALLS[call.name]
      if (operation === undefined) throw new RangeError(`no operation is called ${call.name}`)
      s.notes = options.notes === true ? [] : null
      done += 1
      playBoth(s, call, operation)
      if (s.notes !== null) notes.push(s.notes.join('; '))
      if (verifyEvery > 0 && done % verifyEvery === 0) {
        s.verify()
        verified += 1
      }
    }
    endTwin(s)
    s.verify()
    const { answer, machine: last } = s
    const hash = last.hash()
    s.notes = null
    finish(s, before)
    return { failure: null, verified: verified + 3, notes, answer, hash }
  } catch (error) {
    if (s?.notes != null) notes.push(s.notes.join('; '))
    const failure = { key: keyOf(error), message: textOf(error), calls: done }
    return { failure, verified, notes, answer: s?.answer ?? 0, hash: '' }
  }
}

/** The kind of a fault: without the numbers that are other ones each time. */
function keyOf(error: unknown): string {
  if (error instanceof Violation) return error.key
  if (error instanceof KernelBug) return `KernelBug ${error.code}`
  if (!(error instanceof Error)) return String(error)
  return `${error.name} ${error.message.split('\n', 1)[0]!.replace(/0x[0-9a-f]+|\d+/g, '#')}`
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
