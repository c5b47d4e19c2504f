/**
 * What has been allocated since a leakMark, and is still there.
 *
 * An allocation is the same as one at the mark when kind, address and size are, and nothing else tells them apart:
 *
 * - an object of a cache with tracks: who allocated it, on which CPU, in which task, and when;
 * - pages and large blocks, with the option `owner`: what it says of them;
 * - an area: its caller, flags, first and last frame, and where its vm_struct lies;
 * - a mapping of `vmMapRam`: its frames.
 *
 * Without tracks and an owner, an address that was freed and allocated again since the mark looks as it did.
 */

import { InvalidArgument } from '../base/errors'
import type { MachineParts } from '../vmalloc/machineParts'
import type { InspectOptions } from './backing'
import { type AddressDigits, digitsOf } from './inspection'
import { count } from './inspectText'
import { type LiveAllocation, liveAllocations } from './liveAllocations'

/** Addresses of a group that are shown. */
const SHOWN = 4

/** What was allocated at a moment. */
export interface LeakMark {
  /** What tells each allocation from all others. */
  readonly ids: ReadonlySet<string>
}

/** Options of {@link leaks}. */
export interface LeakOptions extends InspectOptions {
  /** Whether allocations are told too that back others, such as the block of a new slab; false when not given. */
  readonly internal?: boolean
}

/**
 * Remembers what is allocated now. The machine is not changed; the mark grows with what there is.
 * @param options the same as for {@link leaks}: what an owner says is part of what is remembered.
 * @throws InvalidArgument for what is no machine.
 */
export function leakMark(m: MachineParts, options: InspectOptions = {}): LeakMark {
  const ids = new Set<string>()
  for (const live of liveAllocations(m, options)) ids.add(idOf(live))
  return { ids }
}

/**
 * What is allocated now and was not at the leakMark, in the order of {@link liveAllocations}.
 * @throws InvalidArgument for what is no machine or no mark.
 */
export function leaks(
  m: MachineParts,
  since: LeakMark,
  options: LeakOptions = {},
): LiveAllocation[] {
  const ids = (Object(since) as Partial<LeakMark>).ids
  if (!(ids instanceof Set)) throw new InvalidArgument('mark', since, 'what mark returned')
  const found: LiveAllocation[] = []
  for (const live of liveAllocations(m, options)) {
    if (live.internal && options.internal !== true) continue
    if (!ids.has(idOf(live))) found.push(live)
  }
  return found
}

/**
 * Allocations as text: a line for each group of the same kind, cache, size and caller, those with the most bytes
 * first; then the sum. The text of none is `no leaks`.
 */
export function formatLeaks(m: MachineParts, found: readonly LiveAllocation[]): string {
  if (!Array.isArray(found)) throw new InvalidArgument('leaks', found, 'an array')
  if (found.length === 0) return 'no leaks\n'
  const groups = new Map<string, LiveAllocation[]>()
  for (const live of found) {
    const key = [live.kind, live.cache, live.size, live.caller, live.use].join('\n')
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [live])
    else group.push(live)
  }
  const total = (list: readonly LiveAllocation[]) => list.reduce((sum, { size }) => sum + size, 0)
  const { layout } = m.vm.context
  const lines = [...groups.values()]
    .sort((a, b) => total(b) - total(a))
    .map((group) => `${String(total(group)).padStart(10)} ${groupText(group, layout)}\n`)
  const sum = `${String(total(found)).padStart(10)} bytes in ${count(found.length, 'allocation')}\n`
  return lines.join('') + sum
}

function groupText(group: readonly LiveAllocation[], digits: AddressDigits): string {
  const first = group[0]
  if (first === undefined) return ''
  const { kind, cache, size, caller, use } = first
  const name = kind === 'object' ? cache : kind === 'large' ? 'large kmalloc' : kind
  const whose = `${use === '' ? '' : `, ${use}`}${caller === '' ? '' : `, by ${caller}`}`
  const places = group.slice(0, SHOWN).map((live) => placeText(live, digits))
  const more = group.length > SHOWN ? ', …' : ''
  return `${name}: ${group.length} of ${count(size, 'byte')}${whose}: ${places.join(', ')}${more}`
}

function placeText({ address, pfn }: LiveAllocation, digits: AddressDigits): string {
  return address === null ? `frame 0x${pfn.toString(16)}` : digitsOf(digits, address)
}

function idOf({ kind, address, pfn, size, cache, stamp }: LiveAllocation): string {
  return [kind, address ?? `pfn ${pfn}`, size, cache, stamp].join('\n')
}
