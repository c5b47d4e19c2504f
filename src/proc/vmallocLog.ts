/**
 * The virtual mapper's messages in the kernel's words. There are no stacks to dump.
 *
 * Source: spec/vmalloc.md §11.
 */

import type { Layout } from '../base/layout'
import { rateLimit } from '../base/rateLimit'
import { formatAddress } from '../vmalloc/addresses'
import type { VmallocLogOps } from '../vmalloc/vmallocLogOps'

/** The limit of messages: ten in five seconds. */
const MESSAGES = { messages: 10, seconds: 5, caller: 'alloc_vmap_area' }

/** The function that each one-time warning is raised in, by its WARN_ number. */
const WARNING_PLACES = [
  'adjust_va_to_fit_type',
  '__vmalloc_node_range',
  'vmap',
  'vmap_pfn_apply',
  'kvmalloc_node',
  'vmap_pages_pte_range',
  'pcpu_get_vm_areas',
  '__ioremap_caller',
]

/** Options of {@link vmallocLog}. */
export interface VmallocLogOptions {
  /** Where addresses lie: how they are printed. */
  readonly layout: Layout
  /** Seconds on any clock, for the rate limit of failed requests: ten in five. Without it none is left out. */
  readonly clock?: () => number
}

/**
 * A log that writes what a kernel would, line by line. What fails for want of memory is written by the page
 * allocator's log, under its limit.
 *
 * ```ts
 * const vm = new Vmalloc(pages, { log: vmallocLog(console.log, { layout: LAYOUT_FLAT }) })
 * ```
 * @param write takes one line, without a newline.
 */
export function vmallocLog(
  write: (line: string) => void,
  options: VmallocLogOptions,
): VmallocLogOps {
  const { layout, clock } = options
  const mayReport = rateLimit(write, clock, MESSAGES)
  const address = (value: number) => formatAddress(layout, value)
  const short = (value: number) => `0x${address(value).replace(/^0+(?=.)/, '')}`
  const warn = (place: string, lines: readonly string[]): void => {
    write('------------[ cut here ]------------')
    for (const line of lines) write(line)
    write(`WARNING: CPU: 0 PID: 0 at ${place}`)
    write('---[ end trace 0000000000000000 ]---')
  }
  return {
    noSpace(size) {
      if (!mayReport()) return
      const advice = 'use vmalloc=<size> to increase size'
      write(`vmap allocation for size ${size} failed: ${advice}`)
    },
    overlap(start, end, oldStart, oldEnd) {
      const old = `${short(oldStart)}-${short(oldEnd)}`
      const text = `vmalloc bug: ${short(start)}-${short(end)} overlaps with ${old}`
      warn('find_va_links', [text])
    },
    badAddress: (at) => warn('__vunmap', [`Trying to vfree() bad address (${address(at)})`]),
    noArea: (at) => warn('__vunmap', [`Trying to vfree() nonexistent vm area (${address(at)})`]),
    badPhysical: (phys) => write(`ioremap: invalid physical address ${phys.toString(16)}`),
    ioremapOnRam(first, last) {
      warn('__ioremap_caller', [`ioremap on RAM at ${physText(first)} - ${physText(last)}`])
    },
    iounmapIsa: () =>
      warn('iounmap', ['iounmap() called for ISA range not obtained using ioremap()']),
    iounmapBad: (at) => write(`iounmap: bad address ${address(at)}`),
    warn: (warning) => warn(WARNING_PLACES[warning] ?? 'vmalloc', []),
  }
}

function physText(phys: number): string {
  return `0x${phys.toString(16).padStart(16, '0')}`
}
