/** What the page tells the script that opened it, one message after the other. */

import type { SeedRow } from '../determinism/playAll'

/** A message. */
export type Report =
  /** A check of the smoke test; `problem` is null when it held. */
  | { readonly kind: 'check'; readonly name: string; readonly problem: string | null }
  | {
      readonly kind: 'recording'
      readonly path: string
      readonly calls: number
      readonly identical: number
      readonly different: number
      /** Why it was not played, or only in part; what differed first. */
      readonly problem: string | null
    }
  | { readonly kind: 'determinism'; readonly rows: readonly SeedRow[] }
  | { readonly kind: 'end'; readonly agent: string }
