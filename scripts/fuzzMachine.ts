/**
 * Long runs of the simulation of whole machines (`test/simulation`), seed after seed. Each seed plays a short script, with
 * all checkers after every call, and a long one on another machine, with all checkers now and then.
 *
 * A failure prints what went wrong, how to play it again, and a script of as few calls as were found to be enough.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { stream } from '../test/buddy/random'
import { drawScript } from '../test/simulation/calls'
import { type Failure, playScript } from '../test/simulation/run'
import { formatScript, parseScript, type Script } from '../test/simulation/script'
import { shrink } from '../test/simulation/shrink'

const SHORT_CALLS = 300
const LONG_CALLS = 100_000
/** Calls of a long script from one look of all checkers to the next. */
const LONG_CHECK = 1000
/** A failure is shortened for so long at most. Milliseconds. */
const SHRINK_TIME = 120_000
const OUT = 'out'

/** When to stop: what is not given is no limit. */
export interface FuzzLimits {
  readonly seed: number
  readonly seconds: number
  readonly ops: number
  readonly seeds: number
}

/** Plays seeds until a limit is reached. Returns whether all went well. */
export function fuzzMachines({ seed: first, seconds, ops, seeds }: FuzzLimits): boolean {
  const start = performance.now()
  const totals = { calls: 0, verified: 0 }
  let seed = first
  const goesOn = () =>
    seed === first ||
    (seed - first < seeds && totals.calls < ops && performance.now() - start < seconds * 1000)
  for (; goesOn(); seed++) {
    for (const [count, verifyEvery] of [
      [SHORT_CALLS, 1],
      [LONG_CALLS, LONG_CHECK],
    ] as const) {
      const script = drawScript(stream(seed * 2 + (verifyEvery === 1 ? 0 : 1)), count)
      const played = playScript(script, { verifyEvery })
      totals.calls += script.calls.length
      totals.verified += played.verified
      if (played.failure === null) continue
      console.log(reportFailure(script, played.failure, seed))
      return false
    }
    const time = ((performance.now() - start) / 1000).toFixed(0)
    console.log(`machine: seed ${seed}, ${totals.calls} calls in all, ${time} s`)
  }
  const time = ((performance.now() - start) / 1000).toFixed(0)
  const { calls, verified } = totals
  console.log(
    `machine: ${seed - first} seeds from ${first} on, ${calls} calls, all checkers ran ${verified} times, ${time} s`,
  )
  return true
}

/** Plays a script from a file, and tells of each call what it came to. Returns whether all went well. */
export function playFile(path: string): boolean {
  const script = parseScript(readFileSync(path, 'utf8'))
  const { failure, notes } = playScript(script, { verifyEvery: 1, notes: true })
  console.log(formatScript({ ...script, calls: script.calls.slice(0, notes.length) }, notes))
  if (failure === null) console.log(`${script.calls.length} calls, and nothing is wrong`)
  else console.log(failure.message)
  return failure === null
}

/**
 * Shortens a script that failed, writes that to a file, and tells how to play both again.
 * @param folder where the file goes.
 * @param milliseconds how long to shorten it at most.
 */
export function reportFailure(
  script: Script,
  failure: Failure,
  seed: number,
  folder = OUT,
  milliseconds = SHRINK_TIME,
): string {
  const end = performance.now() + milliseconds
  const shrunk = shrink(script, failure, () => performance.now() < end)
  const { notes } = playScript(shrunk.script, { verifyEvery: 1, notes: true })
  const text = formatScript(shrunk.script, notes)
  mkdirSync(folder, { recursive: true })
  const path = `${folder}/fuzz-machine-${seed}.txt`
  writeFileSync(path, text)
  return [
    `seed ${seed}, after ${failure.calls} calls: ${failure.message}`,
    '',
    `${shrunk.script.calls.length} calls are enough (${shrunk.tried} tries):`,
    '',
    text,
    shrunk.failure.message,
    '',
    `again:  npm run fuzz -- --part machine --seed ${seed} --seeds 1`,
    `short:  npm run fuzz -- --part machine --script ${path}`,
  ].join('\n')
}
