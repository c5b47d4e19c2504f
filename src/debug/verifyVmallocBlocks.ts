/** Checks the blocks of address space that small mappings share: their pages, their lists, their areas. */

import { PAGE_SIZE } from '../base/units'
import {
  BLOCK_AREA,
  BLOCK_CPU,
  BLOCK_DIRTY,
  BLOCK_DIRTY_MAX,
  BLOCK_DIRTY_MIN,
  BLOCK_FREE,
  BLOCK_LISTED,
  BLOCK_NEXT,
  VMAP_CPU_BLOCKS,
  VMAP_CPU_LAST_BLOCK,
  VMAP_CPU_WORDS,
  VMAP_HEADER_WORDS,
  VMAP_NR_CPUS,
} from '../state/vmapSchema'
import { blockPages } from '../vmalloc/vmapBlock'
import type { VmallocSurvey } from './vmallocSurvey'

/** Checks all blocks, and the lists of all CPUs. */
export function checkBlocks(s: VmallocSurvey): void {
  for (const block of s.blocks) checkBlock(s, block)
  const listed = new Set<number>()
  for (let cpu = 0; cpu < s.words[VMAP_NR_CPUS]!; cpu++) checkList(s, cpu, listed)
  for (const block of s.blocks) {
    const free = s.words[block + BLOCK_FREE]!
    const right = free > 0
    if (listed.has(block) === right && s.words[block + BLOCK_LISTED] === Number(right)) continue
    const text = `the block of ${nameOf(s, block)} with ${free} free pages`
    s.v.report('VMALLOC-12', `${text} is ${listed.has(block) ? 'on a' : 'on no'} list`)
  }
}

function checkBlock(s: VmallocSurvey, block: number): void {
  const { words, v } = s
  const pages = blockPages(s.c)
  const free = words[block + BLOCK_FREE]!
  const dirty = words[block + BLOCK_DIRTY]!
  if (free < 0 || dirty < 0 || free + dirty > pages || dirty === pages) {
    const text = `has ${free} free and ${dirty} dirty pages of ${pages}`
    v.report('VMALLOC-11', `the block of ${nameOf(s, block)} ${text}`)
  }
  const area = words[block + BLOCK_AREA]!
  const bytes = pages * PAGE_SIZE
  const bad = (text: string) => v.report('VMALLOC-13', `the block of ${nameOf(s, block)} ${text}`)
  if (s.end(area) - s.start(area) !== bytes) bad(`has ${pages} pages`)
  if (s.start(area) % bytes !== 0) bad('does not start where a block may')
  const min = words[block + BLOCK_DIRTY_MIN]!
  const max = words[block + BLOCK_DIRTY_MAX]!
  const none = min === pages && max === 0
  const some = min >= 0 && min < max && max <= pages - free && dirty > 0
  if (!none && !some) bad(`has dirty pages from ${min} to ${max}`)
  const beyond = [...s.mapped(area).keys()].find((page) => page >= pages - free)
  if (beyond !== undefined) bad(`has page ${beyond} mapped, which was not handed out`)
}

/** Checks a CPU's list, as far as it leads. */
function checkList(s: VmallocSurvey, cpu: number, listed: Set<number>): void {
  const { words, v } = s
  const place = VMAP_HEADER_WORDS + cpu * VMAP_CPU_WORDS
  let last = 0
  for (let at = words[place + VMAP_CPU_BLOCKS]!; at !== 0; at = words[at + BLOCK_NEXT]!) {
    if (!s.blocks.includes(at) || listed.has(at) || words[at + BLOCK_CPU] !== cpu) {
      v.report('VMALLOC-12', `the list of CPU ${cpu} leads to word ${at}, no block of its own`)
      return
    }
    listed.add(at)
    last = at
  }
  const end = words[place + VMAP_CPU_LAST_BLOCK]!
  if (end !== last) v.report('VMALLOC-12', `the list of CPU ${cpu} ends at ${last}, not ${end}`)
}

function nameOf(s: VmallocSurvey, block: number): string {
  return s.areaText(s.words[block + BLOCK_AREA]!)
}
