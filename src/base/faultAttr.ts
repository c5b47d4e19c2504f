/**
 * The value of the boot parameters `failslab=` and `fail_page_alloc=`. Source: spec/pressure.md
 * §13.1.
 */

import { checkInteger, InvalidArgument } from './errors'

/** What makes allocations fail, as far as the boot parameters tell. */
export interface FaultAttr {
  /** Of the calls that are not spared otherwise, each so many'th may fail. */
  readonly interval: number
  /** Percent of those that do. */
  readonly probability: number
  /** Bytes, or pages, that may be allocated before the first failure. */
  readonly space: number
  /** Failures in all; -1 for no limit. */
  readonly times: number
}

/**
 * Reads `<interval>,<probability>,<space>,<times>`, four decimal numbers. The last two may be
 * negative.
 * @throws InvalidArgument for anything else; a kernel would log "FAULT_INJECTION: failed to parse
 * arguments".
 */
export function parseFaultAttr(text: string): FaultAttr {
  const parts = /^(\d+),(\d+),(-?\d+),(-?\d+)$/.exec(text)
  if (parts === null) {
    throw new InvalidArgument('fault attributes', text, '<interval>,<probability>,<space>,<times>')
  }
  const [interval, probability, space, times] = parts.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
  ]
  checkInteger('interval', interval, 0, Number.MAX_SAFE_INTEGER)
  checkInteger('probability', probability, 0, Number.MAX_SAFE_INTEGER)
  checkInteger('space', space, -0x80000000, 0x7fffffff)
  checkInteger('times', times, -0x80000000, 0x7fffffff)
  return { interval, probability, space, times }
}
