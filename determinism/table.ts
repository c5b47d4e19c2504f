/** The table of what the seeds come to, and how a run differs from it. */

import { fileURLToPath } from 'node:url'
import type { SeedRow } from './playAll'
import type { Hashes } from './workload'

/** The file of the table. */
export const EXPECTED: string = fileURLToPath(new URL('expected.json', import.meta.url))

/** The table: its index is no seed. */
export type Expected = readonly (Hashes & { readonly seed: number })[]

/** The table that a run makes. */
export function expectedOf(rows: readonly SeedRow[]): Expected {
  return rows.map(({ seed, hashes }) => ({ seed, ...hashes }))
}

/** How a run differs from the table, in words; null when it does not. */
export function differenceOf(rows: readonly SeedRow[], expected: Expected): string | null {
  const wrong = rows.flatMap(({ seed, hashes, different }) => {
    const row = expected.find((one) => one.seed === seed)
    const parts = Object.entries(hashes).filter(
      ([name, hash]) => row?.[name as keyof Hashes] !== hash,
    )
    if (parts.length > 0) return [`seed ${seed}: ${parts.map(([name]) => name).join(', ')}`]
    return different.length > 0 ? [`seed ${seed}, ${different[0]}`] : []
  })
  if (rows.length !== expected.length) wrong.push(`${rows.length} seeds, not ${expected.length}`)
  return wrong.length === 0 ? null : `different: ${wrong.join('; ')}`
}
