/** Memory as the core sees it: virtual addresses, translated for each access. */

import type { PhysicalMemory } from 'kmem'
import { CAUSE, type Memory, Trap, type Width } from './core'

/** What an instruction does to memory. */
export type Access = 'fetch' | 'load' | 'store'

/** Physical address of a virtual one below 2^38. -1: a page fault. */
export type Translate = (address: number, access: Access, bytes: Width) => number

const PAGE_FAULT: Record<Access, number> = {
  fetch: CAUSE.fetchPageFault,
  load: CAUSE.loadPageFault,
  store: CAUSE.storePageFault,
}
const MISALIGNED: Record<Access, number> = {
  fetch: CAUSE.misalignedFetch,
  load: CAUSE.misalignedLoad,
  store: CAUSE.misalignedStore,
}

/** In Sv39 the lower half of addresses, 256 GiB, is the user's. What lies above is not mapped for it. */
export const USER_END = 0x40_0000_0000

/** RAM and devices, behind page tables. Accesses that are not aligned trap, so none crosses a page. */
export class VirtualRam implements Memory {
  constructor(
    private readonly ram: PhysicalMemory,
    private readonly translate: Translate,
  ) {}

  fetch(address: bigint): number {
    return this.ram.readU32(this.reach(address, 'fetch', 4))
  }

  load(address: bigint, bytes: Width): bigint {
    const physical = this.reach(address, 'load', bytes)
    if (bytes === 8) return this.ram.readBigU64(physical)
    if (bytes === 4) return BigInt(this.ram.readU32(physical))
    return BigInt(bytes === 2 ? this.ram.readU16(physical) : this.ram.readU8(physical))
  }

  store(address: bigint, bytes: Width, value: bigint): void {
    const physical = this.reach(address, 'store', bytes)
    const low = BigInt.asUintN(bytes * 8, value)
    if (bytes === 8) this.ram.writeBigU64(physical, low)
    else if (bytes === 4) this.ram.writeU32(physical, Number(low))
    else if (bytes === 2) this.ram.writeU16(physical, Number(low))
    else this.ram.writeU8(physical, Number(low))
  }

  private reach(address: bigint, access: Access, bytes: Width): number {
    const near = Number(address)
    if (near % bytes !== 0) throw new Trap(MISALIGNED[access], address)
    const physical = near < USER_END ? this.translate(near, access, bytes) : -1
    if (physical < 0) throw new Trap(PAGE_FAULT[access], address)
    return physical
  }
}
