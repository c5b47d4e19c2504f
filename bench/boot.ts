/** How long a machine takes to bring up its memory, by its size. RAM has no content: only the bookkeeping counts. */

import type { Kmem } from './kmem'
import { type Effort, medianNs } from './measure'

/** Name and bytes of each machine. */
const SIZES: readonly (readonly [name: string, bytes: number])[] = [
  ['64 MiB', 2 ** 26],
  ['1 GiB', 2 ** 30],
  ['64 GiB', 2 ** 36],
]

/** Milliseconds to boot, by machine. */
export async function measureBoots(
  kmem: Kmem,
  effort: Effort,
): Promise<readonly (readonly [name: string, ms: number])[]> {
  const rows: (readonly [string, number])[] = []
  for (const [name, size] of SIZES) {
    const boot = (): unknown =>
      new kmem.BuddyAllocator({ ram: new kmem.PhysicalMemory({ size, content: false }) })
    rows.push([name, (await medianNs(boot, effort)) / 1e6])
  }
  return rows
}
