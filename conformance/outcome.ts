/** What came of playing a recording, and how an answer is compared with the recorded one. */

/** What came of one file. */
export interface Outcome {
  /** Calls made; for a boot the facts compared, for a trace its events. */
  calls: number
  /** Calls whose answer was the recorded one. */
  identical: number
  /** Calls whose answer was another one. */
  different: number
  /** Calls that were not played, by reason. */
  readonly skipped: Map<string, number>
  /** The first difference in full. */
  firstDifference: string | null
}

/** An outcome with nothing played yet. */
export function newOutcome(): Outcome {
  return { calls: 0, identical: 0, different: 0, skipped: new Map(), firstDifference: null }
}

/** An outcome of a recording of `calls` calls none of which was played. */
export function skippedOutcome(reason: string, calls: number): Outcome {
  const outcome = newOutcome()
  outcome.skipped.set(reason, calls)
  return outcome
}

/** Counts a comparison; `describe` is asked for the words of the first difference only. */
export function count(outcome: Outcome, identical: boolean, describe: () => string): void {
  outcome.calls += 1
  if (identical) {
    outcome.identical += 1
    return
  }
  outcome.different += 1
  outcome.firstDifference ??= describe()
}

/** Where two plain values differ, in words; null when nowhere. */
export function firstDifference(actual: unknown, expected: unknown, path = ''): string | null {
  if (!isObject(actual) || !isObject(expected)) {
    if (Object.is(actual, expected)) return null
    const place = path === '' ? '' : `at ${path}: `
    return `${place}expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`
  }
  for (const key of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
    const inside = path === '' ? key : `${path}.${key}`
    const difference = firstDifference(actual[key], expected[key], inside)
    if (difference !== null) return difference
  }
  return null
}

/** A state as text, a zone a line. */
export function stateText(zones: readonly object[]): string {
  return zones.map((zone) => `  ${JSON.stringify(zone)}`).join('\n')
}

/** Whether a value is an object or an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
