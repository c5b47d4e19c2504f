/** The kernel's report of a failed allocation. Source: spec/page-allocator.md §6.4. */

import { __GFP_DIRECT_RECLAIM, __GFP_DMA, __GFP_NOMEMALLOC, __GFP_NOWARN } from '../page/gfp'
import { formatGfp } from '../page/gfpText'
import { PCP_WORDS, ZONE_INDEX, ZONE_MANAGED, ZONE_WORDS_SHIFT } from '../state/schema'
import type { Nodemask } from './zonelistWalk'
import {
  type BuddyContext,
  CONTEXT_INTERRUPT,
  CONTEXT_MEMALLOC,
  CONTEXT_OOM_VICTIM,
  contextBits,
} from './context'
import { formatMemInfo } from './memInfo'

/** Reports are at least this far apart. */
const REPORT_SECONDS = 10

/** Logs that a request failed, with the state of memory: unless it asked for silence or too many fail. */
export function reportFailure(
  c: BuddyContext,
  gfp: number,
  order: number,
  highest: number,
  nodemask: Nodemask,
): void {
  if ((gfp & __GFP_NOWARN) !== 0) return
  if ((gfp & __GFP_DMA) !== 0 && !hasManagedDma(c)) return
  if (!mayReport(c)) return
  const mode = `mode:0x${gfp.toString(16)}(${formatGfp(gfp)})`
  c.log(
    `${c.taskName}: page allocation failure: order:${order}, ${mode}, nodemask=${formatNodes(nodemask)}`,
  )
  const filter = nodemask !== null && !mayUseAnyNode(c, gfp) ? nodemask : null
  const lines = formatMemInfo(c.words, {
    highestZone: highest,
    cpu: c.pcpShift / PCP_WORDS,
    ...(filter === null ? {} : { nodes: (node: number) => filter[node] !== 0 }),
  })
  for (const line of lines) c.log(line)
}

/** The rate limit: one report each ten seconds of the caller's clock. */
function mayReport(c: BuddyContext): boolean {
  if (c.clock === null) return true
  const now = c.clock()
  if (c.reportedAt !== null && now - c.reportedAt <= REPORT_SECONDS) {
    c.reportsMissed += 1
    return false
  }
  if (c.reportsMissed > 0) c.log(`warn_alloc: ${c.reportsMissed} callbacks suppressed`)
  c.reportedAt = now
  c.reportsMissed = 0
  return true
}

function mayUseAnyNode(c: BuddyContext, gfp: number): boolean {
  const context = contextBits(c)
  if ((context & CONTEXT_INTERRUPT) !== 0 || (gfp & __GFP_DIRECT_RECLAIM) === 0) return true
  if ((gfp & __GFP_NOMEMALLOC) !== 0) return false
  return (context & (CONTEXT_MEMALLOC | CONTEXT_OOM_VICTIM)) !== 0
}

function hasManagedDma(c: BuddyContext): boolean {
  for (let i = 0; i < c.nrZones; i++) {
    const zone = c.zones + (i << ZONE_WORDS_SHIFT)
    if (c.words[zone + ZONE_INDEX] === 0 && c.words[zone + ZONE_MANAGED] !== 0) return true
  }
  return false
}

/** A node set as the kernel prints it, `0-2,5`; `(null)` for no set. */
function formatNodes(nodemask: Nodemask): string {
  if (nodemask === null) return '(null)'
  const parts: string[] = []
  for (let node = 0; node < nodemask.length; node++) {
    if (nodemask[node] === 0) continue
    const first = node
    while (node + 1 < nodemask.length && nodemask[node + 1] !== 0) node += 1
    parts.push(first === node ? `${first}` : `${first}-${node}`)
  }
  return parts.join(',')
}
