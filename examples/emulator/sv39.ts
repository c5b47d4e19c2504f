/**
 * The core's memory management unit: Sv39 page tables, read from RAM as the RISC-V manual has a
 * processor read them. It knows the address of the top table and nothing of who wrote it.
 *
 *     address   38..30  29..21  20..12  11..0      index into three tables, offset
 *     entry     63 N  62..61 PBMT  60..54 0  53..10 PPN  7 D  6 A  5 G  4 U  3 X  2 W  1 R  0 V
 */

import type { PhysicalMemory } from 'kmem'
import type { Access } from './memory'

const VALID = 0x01
const READ = 0x02
const WRITE = 0x04
const EXECUTE = 0x08
const USER = 0x10
const ACCESSED = 0x40
const DIRTY = 0x80

/** What a leaf must have for each access. Accessed and dirty bits are the kernel's to set. */
const NEEDED: Record<Access, number> = {
  fetch: EXECUTE | USER | ACCESSED,
  load: READ | USER | ACCESSED,
  store: WRITE | USER | ACCESSED | DIRTY,
}

/** Physical address that user mode reaches at `address`, below 2^39. -1: a page fault. */
export function walkSv39(
  ram: PhysicalMemory,
  root: number,
  address: number,
  access: Access,
): number {
  const page = Math.floor(address / 4096)
  let table = root
  for (let level = 2; level >= 0; level--) {
    const at = table + ((page >>> (9 * level)) & 511) * 8
    const lo = ram.readU64Lo(at)
    const hi = ram.readU64Hi(at)
    const reserved = hi & 0x9fc0_0000 // N, and bits 60 to 54
    const memoryType = (hi >>> 29) & 3 // PBMT: 3 is not defined
    const writeOnly = (lo & (READ | WRITE)) === WRITE
    if ((lo & VALID) === 0 || writeOnly || reserved !== 0 || memoryType === 3) return -1

    const frame = (hi & 0x3f_ffff) * 2 ** 22 + (lo >>> 10)
    if ((lo & (READ | WRITE | EXECUTE)) === 0) {
      if ((lo & (USER | ACCESSED | DIRTY)) !== 0 || memoryType !== 0) return -1
      table = frame * 4096
      continue
    }
    if ((lo & NEEDED[access]) !== NEEDED[access]) return -1
    const pages = 512 ** level
    if (frame % pages !== 0) return -1 // a superpage that is not aligned
    return (frame + (page % pages)) * 4096 + (address % 4096)
  }
  return -1 // a table where the last level has pages
}
