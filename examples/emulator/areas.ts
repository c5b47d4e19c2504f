/** The areas of a program's address space: what may be there, before any page is. */

import { PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE } from 'kmem'
import type { Program, Segment } from './elf'
import { USER_END } from './memory'

/** Addresses [start, end), filled with pages as they are touched. */
export interface Area {
  readonly name: string
  /** A multiple of 4096, as `end`. */
  readonly start: number
  readonly end: number
  /** PROT_READ, PROT_WRITE, PROT_EXEC. */
  readonly prot: number
  /** Where its first bytes come from; the others are 0. */
  readonly segment: Segment | null
  /** Page faults that gave it a page. */
  faults: number
}

/** The stack ends here, and grows down. */
export const STACK_END = USER_END - PAGE_SIZE
const STACK_BYTES = 0x10_0000 // 1 MiB
const HEAP_START = 0x20_0000_0000
const HEAP_BYTES = 0x4000_0000 // 1 GiB

/** Areas of a program: its segments, the heap, the stack. */
export function layOut(program: Program): Area[] {
  const areas = program.segments.map((segment) => {
    const start = pageOf(segment.address)
    const end = pageOf(segment.address + segment.size + PAGE_SIZE - 1)
    const prot = protOf(segment)
    return { name: segmentName(prot), start, end, prot, segment, faults: 0 }
  })
  const more = { prot: PROT_READ | PROT_WRITE, segment: null }
  return [
    ...areas,
    { name: 'heap', start: HEAP_START, end: HEAP_START + HEAP_BYTES, ...more, faults: 0 },
    { name: 'stack', start: STACK_END - STACK_BYTES, end: STACK_END, ...more, faults: 0 },
  ]
}

/** The bytes that belong on a page of an area, and where on it. Null: none, the page is all zeros. */
export function pageContent(area: Area, page: number): { at: number; bytes: Uint8Array } | null {
  if (area.segment === null) return null
  const { address, bytes } = area.segment
  const from = Math.max(page, address)
  const to = Math.min(page + PAGE_SIZE, address + bytes.length)
  if (from >= to) return null
  return { at: from - page, bytes: bytes.subarray(from - address, to - address) }
}

/** First address of the page of an address. */
export function pageOf(address: number): number {
  return address - (address % PAGE_SIZE)
}

function protOf({ readable, writable, executable }: Segment): number {
  return (readable ? PROT_READ : 0) | (writable ? PROT_WRITE : 0) | (executable ? PROT_EXEC : 0)
}

function segmentName(prot: number): string {
  if ((prot & PROT_EXEC) !== 0) return 'code'
  return (prot & PROT_WRITE) !== 0 ? 'data' : 'constants'
}
