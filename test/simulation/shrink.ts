/** Makes a script that fails as short as can be: leaves calls out, as long as the same fault is found. */

import { type Failure, playScript } from './run'
import type { Call, Script } from './script'

/** A script that fails, shortened. */
export interface Shrunk {
  readonly script: Script
  readonly failure: Failure
  /** Scripts that were played. */
  readonly tried: number
}

/** Scripts of fewer calls are checked after each call: the fault is then noticed where it is made. */
const CLOSE = 30

/**
 * Shortens a script by delta debugging. First the calls behind the failure go; then halves, quarters and so on of
 * the others, down to single calls.
 * @param mayGoOn asked before each try: false ends it with what was found so far.
 */
export function shrink(
  script: Script,
  first: Failure,
  mayGoOn: () => boolean = () => true,
): Shrunk {
  const { machine } = script
  let tried = 0
  let failure = first
  let calls = script.calls.slice(0, first.calls)

  const fails = (some: readonly Call[]): boolean => {
    tried += 1
    const verifyEvery = some.length <= CLOSE ? 1 : 0
    const played = playScript({ machine, calls: some }, { verifyEvery })
    if (played.failure?.key !== first.key) return false
    failure = played.failure
    calls = some.slice(0, played.failure.calls)
    return true
  }

  // Without checks on the way the same fault may be noticed otherwise: then the whole is the best there is.
  if (!fails(calls)) return { script: { machine, calls }, failure: first, tried }
  for (let size = Math.ceil(calls.length / 2); size >= 1; ) {
    let removed = false
    // From the end: what is left is found by what stands in front of it.
    for (let end = calls.length; end > 0 && mayGoOn(); end -= size) {
      const start = Math.max(0, end - size)
      if (end > calls.length) continue
      if (fails([...calls.slice(0, start), ...calls.slice(end)])) removed = true
    }
    if (!mayGoOn()) break
    if (size > 1) size = Math.ceil(size / 2)
    else if (!removed) break
  }
  return { script: { machine, calls }, failure, tried }
}
