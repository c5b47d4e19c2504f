/** The texts of a machine by the names of their files in `/proc` and `/sys/kernel/debug`. */

import { InvalidArgument } from '../base/errors'
import type { NodeCounters } from '../buddy/memInfo'
import type { MachineParts } from '../vmalloc/machineParts'
import { formatBuddyinfo } from './buddyinfo'
import { formatExtfragIndex, formatUnusableIndex } from './fragmentation'
import { formatIomem } from './iomem'
import { formatMeminfo } from './meminfo'
import { formatPagetypeinfo } from './pagetypeinfo'
import { formatSlabinfo } from './slabinfo'
import { slabNodeCounters } from './slabMemory'
import { formatVmallocInfo } from './vmallocinfo'
import { formatVmstat } from './vmstat'
import { formatZoneinfo } from './zoneinfo'
import { onlineNodes } from './zoneText'

const TEXTS: ReadonlyMap<string, (m: MachineParts) => string> = /* @__PURE__ */ new Map([
  ['buddyinfo', (m: MachineParts) => formatBuddyinfo(m.pages.words)],
  ['pagetypeinfo', (m: MachineParts) => formatPagetypeinfo(m.pages.words)],
  ['zoneinfo', (m: MachineParts) => formatZoneinfo(m.pages.words, machineCounters(m))],
  ['meminfo', (m: MachineParts) => formatMeminfo(m)],
  ['slabinfo', (m: MachineParts) => formatSlabinfo(m.slabs)],
  ['vmallocinfo', (m: MachineParts) => formatVmallocInfo(m.vm)],
  ['vmstat', (m: MachineParts) => formatVmstat(m.pages.words, machineCounters(m))],
  ['iomem', (m: MachineParts) => formatIomem(m)],
  ['extfrag/extfrag_index', (m: MachineParts) => formatExtfragIndex(m.pages.words)],
  ['extfrag/unusable_index', (m: MachineParts) => formatUnusableIndex(m.pages.words)],
])

/** Names that {@link procText} knows, in the order of their list in the documentation. */
export const PROC_TEXTS: readonly string[] = /* @__PURE__ */ Object.freeze(
  /* @__PURE__ */ Array.from(/* @__PURE__ */ TEXTS.keys()),
)

/**
 * The text of a file, as the machine's kernel would print it now.
 *
 * It brings in the printers of all files; a program that needs one or two calls their own functions
 * (`formatBuddyinfo`), and is smaller.
 * @param name such as `buddyinfo`, `/proc/buddyinfo`, `/sys/kernel/debug/extfrag/unusable_index`.
 * @throws InvalidArgument for another name, listing those that there are.
 */
export function procText(m: MachineParts, name: string): string {
  const file = String(name).replace(/^\/(?:proc|sys\/kernel\/debug)\//, '')
  const text = TEXTS.get(file)
  if (text === undefined) {
    throw new InvalidArgument('name', name, `one of ${[...TEXTS.keys()].join(', ')}`)
  }
  return text(m)
}

/**
 * The nodes' counters that the parts of a machine keep: pages of slabs, and page tables. Tables are not counted by
 * node: all of them are the first node's.
 */
function machineCounters(m: MachineParts): NodeCounters {
  const [first] = onlineNodes(m.pages.words)
  return slabNodeCounters(m.slabs, (node, name) =>
    name === 'nr_page_table_pages' && node === first ? m.vm.tables.pmdTables : 0,
  )
}
