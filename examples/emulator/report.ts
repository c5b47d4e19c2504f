/** What is mapped in an address space, as text. */

import {
  type AddressSpace,
  CACHE_WB,
  PAGE_SIZE,
  PROT_CACHE_MASK,
  PROT_EXEC,
  PROT_READ,
  PROT_USER,
  PROT_WRITE,
} from 'kmem'

/** Pages in a row with the same protection. */
interface Run {
  start: number
  end: number
  prot: number
  lowest: number
  highest: number
}

/** One line for each run of pages: addresses, protection, pages, and the frames they lie in. */
export function describeMappings(space: AddressSpace): string[] {
  const runs: Run[] = []
  for (const { address, bytes, pfn, prot } of space.mappings()) {
    const top = pfn + bytes / PAGE_SIZE - 1
    const last = runs.at(-1)
    if (last !== undefined && last.end === address && last.prot === prot) {
      last.end += bytes
      last.lowest = Math.min(last.lowest, pfn)
      last.highest = Math.max(last.highest, top)
    } else {
      runs.push({ start: address, end: address + bytes, prot, lowest: pfn, highest: top })
    }
  }
  return runs.map(({ start, end, prot, lowest, highest }) => {
    const pages = String((end - start) / PAGE_SIZE).padStart(3)
    const frames = lowest === highest ? hex(lowest, 5) : `${hex(lowest, 5)}..${hex(highest, 5)}`
    const cached = (prot & PROT_CACHE_MASK) === CACHE_WB ? '' : ', not cached'
    return `${hex(start, 10)}-${hex(end, 10)} ${rights(prot)} ${pages} in ${frames}${cached}`
  })
}

function rights(prot: number): string {
  const letter = (bit: number, is: string): string => ((prot & bit) !== 0 ? is : '-')
  const access = letter(PROT_READ, 'r') + letter(PROT_WRITE, 'w') + letter(PROT_EXEC, 'x')
  return access + letter(PROT_USER, 'u')
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}
