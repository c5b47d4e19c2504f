/** The memory of a machine, from a size or a map, as the command line limits and splits it. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { parseMemSize } from '../base/memSize'
import { MAX_ORDER_PAGES, PAGE_SIZE } from '../base/units'
import type { MemoryRange } from '../ram/memoryMap'
import { PhysicalMemory } from '../ram/physicalMemory'
import type { CommandLine } from './commandLine'

/** Bytes that parts of memory for fake nodes are a multiple of: the largest block. */
const SPLIT_BYTES = MAX_ORDER_PAGES * PAGE_SIZE

/** What memory there is: bytes, text such as `512MiB` or `1G`, or ranges with holes and devices. */
export type MachineMemory = number | string | readonly MemoryRange[] | PhysicalMemory

/** How it is kept. */
export interface MemoryKeeping {
  /** First address, where a size is given; 0 when not given. */
  readonly base?: number
  /** Keep it in a SharedArrayBuffer. */
  readonly shared?: boolean
  /** Remember which pages were written. */
  readonly dirtyTracking?: boolean
}

/**
 * Makes the memory of a machine.
 * @throws InvalidArgument for what is no memory, and for words of the command line that do not go with it.
 */
export function makeMemory(
  memory: MachineMemory,
  keeping: MemoryKeeping,
  line: CommandLine,
): PhysicalMemory {
  const { mem, fakeNodes = 1 } = line
  if (memory instanceof PhysicalMemory) {
    if (mem !== undefined || fakeNodes > 1) {
      throw new InvalidArgument(
        'ram',
        'memory that exists',
        'a size or a map, with mem= or numa=fake=',
      )
    }
    return memory
  }
  const { shared = false, dirtyTracking = false } = keeping
  const whole = Array.isArray(memory) ? memory : [sizedRange(memory as number | string, keeping)]
  const kept = mem === undefined ? whole : limit(whole, mem)
  const map = fakeNodes === 1 ? kept : split(kept, fakeNodes)
  return new PhysicalMemory({ map, shared, dirtyTracking })
}

/** Bytes of a size: a number, or text with a unit. */
function parseBytes(size: number | string): number {
  const bytes = typeof size === 'string' ? parseMemSize(size.trim().replace(/i?B$/, '')) : size
  checkInteger('ram', bytes, PAGE_SIZE, Number.MAX_SAFE_INTEGER)
  if (bytes % PAGE_SIZE !== 0) throw new InvalidArgument('ram', size, `a multiple of ${PAGE_SIZE}`)
  return bytes
}

function sizedRange(memory: number | string, { base = 0 }: MemoryKeeping): MemoryRange {
  return { base, size: parseBytes(memory), type: 'usable' }
}

/** `mem=`: what lies at or above that address is left out. Devices stay. */
function limit(map: readonly MemoryRange[], mem: number): MemoryRange[] {
  const end = Math.floor(mem / PAGE_SIZE) * PAGE_SIZE
  return map.flatMap((range) => {
    if (range.type === 'device' || range.base + range.size <= end) return [range]
    return range.base < end ? [{ ...range, size: end - range.base }] : []
  })
}

/** `numa=fake=`: nodes of equal size, in ascending order; the last one has what is left over. */
function split(map: readonly MemoryRange[], nodes: number): MemoryRange[] {
  const bytes = map.reduce((sum, { type, size }) => (type === 'device' ? sum : sum + size), 0)
  const share = Math.floor(bytes / nodes / SPLIT_BYTES) * SPLIT_BYTES
  if (share === 0) {
    throw new InvalidArgument('numa=fake', nodes, `so few that each has ${SPLIT_BYTES} bytes`)
  }
  const parts: MemoryRange[] = []
  let node = 0
  let room = share
  for (const range of [...map].sort((a, b) => a.base - b.base)) {
    if (range.type === 'device') {
      parts.push(range)
      continue
    }
    for (let base = range.base; base < range.base + range.size; ) {
      const left = range.base + range.size - base
      const size = node === nodes - 1 ? left : Math.min(left, room)
      parts.push({ ...range, base, size, node })
      base += size
      room -= size
      if (room > 0 || node === nodes - 1) continue
      node += 1
      room = share
    }
  }
  return parts
}
