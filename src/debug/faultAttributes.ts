/**
 * The attributes of a fault injection point, as the files under `/sys/kernel/debug/<point>/`: a
 * number or a flag in each.
 *
 * Source: spec/slab.md §17.1, spec/pressure.md §13.1.
 */

import { checkInteger, InvalidArgument } from '../base/errors'

/**
 * What the text of an attribute is: a number from 0 on, a 32-bit number with a sign, or Y and N.
 */
type Kind = 'count' | 'signed' | 'flag'

/** An attribute: its file, what is in it, and what is in it at first. */
export type AttributeSpec = readonly [file: string, kind: Kind, first: number]

/** The attributes that each point has. */
export const COMMON_ATTRIBUTES: readonly AttributeSpec[] = [
  ['probability', 'count', 0],
  ['interval', 'count', 1],
  ['times', 'signed', 1],
  ['space', 'signed', 0],
  ['verbose', 'count', 2],
  ['verbose_ratelimit_interval_ms', 'count', 0],
  ['verbose_ratelimit_burst', 'count', 10],
  ['task-filter', 'flag', 0],
]

/** The attributes of one fault injection point. Flags are 1 and 0 as numbers. */
export class FaultAttributes {
  private readonly kinds: ReadonlyMap<string, Kind>
  private readonly values: Map<string, number>

  constructor(specs: readonly AttributeSpec[]) {
    this.kinds = new Map(specs.map(([file, kind]) => [file, kind]))
    this.values = new Map(specs.map(([file, , first]) => [file, first]))
  }

  /** The names of the files. */
  get files(): readonly string[] {
    return [...this.kinds.keys()]
  }

  /**
   * The text of a file: a decimal number, or Y or N, and a newline.
   * @throws InvalidArgument for a file that the point does not have.
   */
  read(file: string): string {
    const value = this.get(file)
    if (this.kinds.get(file) !== 'flag') return `${value}\n`
    return value === 0 ? 'N\n' : 'Y\n'
  }

  /**
   * Writes a file: a decimal number, or Y or N (also y, n, 1 and 0), with or without a newline.
   * @throws InvalidArgument, with nothing changed, for another text or a file that the point does
   * not have.
   */
  write(file: string, text: string): void {
    const kind = this.kindOf(file)
    const word = text.endsWith('\n') ? text.slice(0, -1) : text
    if (kind === 'flag') {
      if (!/^[yYnN01]$/.test(word)) throw new InvalidArgument(file, text, 'Y or N')
      this.set(file, /^[yY1]$/.test(word) ? 1 : 0)
    } else {
      if (!/^-?\d+$/.test(word)) throw new InvalidArgument(file, text, 'a decimal number')
      this.set(file, Number(word))
    }
  }

  /** The value of a file. */
  get(file: string): number {
    const value = this.values.get(file)
    if (value === undefined) throw noFile(file)
    return value
  }

  /**
   * Sets the value of a file. @throws InvalidArgument, with nothing changed, when it is out of
   * range.
   */
  set(file: string, value: number): void {
    const kind = this.kindOf(file)
    if (kind === 'flag') checkInteger(file, value, 0, 1)
    else if (kind === 'count') checkInteger(file, value, 0, Number.MAX_SAFE_INTEGER)
    else checkInteger(file, value, -0x80000000, 0x7fffffff)
    this.values.set(file, value)
  }

  private kindOf(file: string): Kind {
    const kind = this.kinds.get(file)
    if (kind === undefined) throw noFile(file)
    return kind
  }
}

function noFile(file: string): InvalidArgument {
  return new InvalidArgument('file', file, 'an attribute of this fault injection point')
}
