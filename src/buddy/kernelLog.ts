/**
 * The kernel's log in full: boot lines, warnings, bad pages, failed allocations. There are no stacks
 * to dump (DIFF-11), no clock unless given (DIFF-12), and no tasks to name (DIFF-13).
 *
 * Source: spec/page-allocator.md §6.4, §7.7.
 */

import { rateLimit } from '../base/rateLimit'
import { __GFP_DIRECT_RECLAIM, __GFP_DMA, __GFP_NOMEMALLOC, __GFP_NOWARN } from '../page/gfp'
import { formatGfp } from '../page/gfpText'
import { MIGRATE_CMA } from '../page/migratetype'
import { badPageReport } from '../page/pageDump'
import {
  HEADER_CURRENT_CPU,
  ZONE_INDEX,
  ZONE_MANAGED,
  ZONE_NODE,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import { type KernelImage, memoryLog, zoneLog } from '../zone/bootLog'
import { pageblockType } from '../zone/pageblock'
import { minFreeMessage } from '../zone/watermark'
import { zonelistLog } from '../zone/zonelist'
import { highestZone } from './allocPages'
import type { BuddyContext, LogOps, Nodemask } from './context'
import { CONTEXT_INTERRUPT, CONTEXT_MEMALLOC, CONTEXT_OOM_VICTIM } from './contextBits'
import { zoneAt } from './freeArea'
import { formatMemInfo } from './memInfo'

/** Failure reports: one in ten seconds. */
const REPORTS = { messages: 1, seconds: 10, caller: 'warn_alloc' }

/** The function that each one-time warning is raised in, by its WARN_ number. */
const WARNING_PLACES = [
  '__alloc_pages',
  '__alloc_pages_slowpath',
  'rmqueue',
  '__alloc_pages_slowpath',
  '__alloc_pages_slowpath',
  '__alloc_pages_slowpath',
  'alloc_pages_exact',
]

/** Options of {@link kernelLog}. */
export interface KernelLogOptions {
  /** Seconds on any clock, for the rate limit of failure reports: one in ten. Without it none is left out. */
  readonly clock?: () => number
  /** Sizes of the kernel image in the boot line `Memory:`; zeros when not given. */
  readonly image?: KernelImage
}

/**
 * A log that writes what a kernel would, line by line.
 *
 * ```ts
 * const pages = new BuddyAllocator({ ram, log: kernelLog(console.log) })
 * ```
 * @param write takes one line, without a newline.
 */
export function kernelLog(write: (line: string) => void, options: KernelLogOptions = {}): LogOps {
  const mayReport = rateLimit(write, options.clock, REPORTS)
  const writeAll = (lines: readonly string[]): readonly string[] => {
    for (const line of lines) write(line)
    return lines
  }
  return {
    minFree: (event, user, other) => write(minFreeMessage(event, user, other)),
    warn(c, warning) {
      write('------------[ cut here ]------------')
      write(`WARNING: CPU: ${c.words[HEADER_CURRENT_CPU]} PID: 0 at ${WARNING_PLACES[warning]}`)
      write('---[ end trace 0000000000000000 ]---')
    },
    sleepInAtomic(c) {
      const irq = (c.contextBits & CONTEXT_INTERRUPT) !== 0 ? 1 : 0
      write('BUG: sleeping function called from invalid context at alloc_pages')
      write(`in_atomic(): 1, irqs_disabled(): ${irq}, non_block: 0, pid: 0, name: ${c.taskName}`)
      write('preempt_count: 1, expected: 0')
    },
    failure(c, gfp, order, highest, nodemask) {
      if (!mayWarn(c, gfp) || !mayReport()) return
      const message = `page allocation failure: order:${order}`
      writeAll(failureReport(c, gfp, message, highest, nodemask))
    },
    warnAlloc(c, gfp, message) {
      if (!mayWarn(c, gfp) || !mayReport()) return
      writeAll(failureReport(c, gfp, message, highestZone(c, gfp), null))
    },
    badPage(c, pfn, reason) {
      const zone = zoneAt(c, pfn)
      const place = {
        node: c.words[zone + ZONE_NODE]!,
        zoneIndex: c.words[zone + ZONE_INDEX]!,
        cma: pageblockType(c.words, pfn) === MIGRATE_CMA,
      }
      return writeAll(badPageReport(c.words, pfn, reason, place, c.taskName))
    },
    zones(words, spans, totalPages) {
      writeAll(zoneLog(words, spans))
      writeAll(zonelistLog(words, totalPages))
    },
    handedOver(words) {
      write(memoryLog(words, options.image))
    },
  }
}

function mayWarn(c: BuddyContext, gfp: number): boolean {
  return (gfp & __GFP_NOWARN) === 0 && ((gfp & __GFP_DMA) === 0 || hasManagedDma(c))
}

function failureReport(
  c: BuddyContext,
  gfp: number,
  message: string,
  highest: number,
  nodemask: Nodemask,
): string[] {
  const mode = `mode:0x${gfp.toString(16)}(${formatGfp(gfp)})`
  const nodes = `nodemask=${formatNodes(nodemask)}`
  const filter = nodemask !== null && !mayUseAnyNode(c, gfp) ? nodemask : null
  return [
    `${c.taskName}: ${message}, ${mode}, ${nodes}`,
    ...formatMemInfo(c.words, {
      highestZone: highest,
      cpu: c.cpu,
      ...(filter === null ? {} : { nodes: (node: number) => filter[node] !== 0 }),
    }),
  ]
}

function mayUseAnyNode(c: BuddyContext, gfp: number): boolean {
  const context = c.contextBits
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
