/** How fast a recorded trace replays. */

import type { Kmem } from './kmem'

/** What one replay did. */
export interface ReplayRate {
  readonly trace: string
  readonly events: number
  readonly seconds: number
}

/** One rate per recorded trace; none until the replay is wired in here. */
export async function measureReplays(_kmem: Kmem): Promise<readonly ReplayRate[]> {
  return []
}
