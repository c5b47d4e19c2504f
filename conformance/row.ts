/** Rows of a recording, and their fields. */

/** One row of a recording, as parsed from its line. */
export interface Row {
  readonly call?: string
  readonly [field: string]: unknown
}

/** What the library answered to a call, by field. */
export type Answer = Record<string, unknown>

/** A number of a row. */
export function num(row: Row, field: string): number {
  const value = row[field]
  if (typeof value !== 'number') throw new TypeError(`${field} is ${value}, not a number`)
  return value
}

/** The GFP mask of a row. */
export function gfp(row: Row): number {
  return Number.parseInt(String(row.gfp), 16)
}
