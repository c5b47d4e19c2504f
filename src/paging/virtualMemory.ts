/**
 * Memory by virtual address: loads and stores as a program makes them, and bulk operations as a kernel
 * makes them on behalf of one.
 *
 * Source: spec/vmalloc.md §13.
 */

import { InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import { BulkAccess } from './bulkAccess'
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE, PageFault } from './pageFault'
import type { PageTables } from './pageTables'
import { Translator, type TranslatorOptions } from './translator'

/** Options of `VirtualMemory`. */
export type VirtualMemoryOptions = TranslatorOptions

const floatBits = /* @__PURE__ */ new DataView(/* @__PURE__ */ new ArrayBuffer(8))

/**
 * Virtual memory through page tables, which others may own and change.
 *
 * Little endian; unaligned addresses are fine, and so are accesses that reach into the next page. Those
 * touch nothing unless both pages allow them. Addresses are without sign extension. Memory of a device gets
 * the accesses that were made, of 1, 2 and 4 bytes; one of 8 bytes is two of 4, the low word first, and one
 * that reaches into another page is one for each byte.
 *
 * All throw {@link PageFault} where a processor faults. They throw InvalidArgument for an address that is no
 * integer from 0 to 2^64, for a value that is no number, and when what is mapped is neither memory nor a
 * device.
 */
export class VirtualMemory extends Translator {
  /** The tables. */
  readonly tables: PageTables
  private readonly bulk: BulkAccess

  /**
   * @throws InvalidArgument for wrong options, and for memory without content.
   */
  constructor(tables: PageTables, options: VirtualMemoryOptions = {}) {
    super(tables, options)
    this.tables = tables
    this.bulk = new BulkAccess({
      ram: this.ram,
      typed: this.typed,
      resolve: (address, access) => this.resolve(address, access),
      pageAfter: (address) => this.pageAfter(address),
      noPageAfter: (address, access) => this.noPageAfter(address, access),
      faulted: () => this.faulted(),
    })
  }

  /** The unsigned byte at `address`. */
  loadU8(address: number): number {
    const at = this.place(address, ACCESS_READ, 1)
    return at >= 0 ? this.bytes[at]! : this.loadSlow(address, 1)
  }

  /** The unsigned 16-bit word at `address`. */
  loadU16(address: number): number {
    const at = this.place(address, ACCESS_READ, 2)
    return at >= 0 ? this.view.getUint16(at, true) : this.loadSlow(address, 2)
  }

  /** The unsigned 32-bit word at `address`. */
  loadU32(address: number): number {
    const at = this.place(address, ACCESS_READ, 4)
    return at >= 0 ? this.view.getUint32(at, true) : this.loadSlow(address, 4)
  }

  /** The unsigned 16-bit word at `address`, as an instruction: it has to be executable. */
  fetchU16(address: number): number {
    const at = this.place(address, ACCESS_EXECUTE, 2)
    return at >= 0 ? this.view.getUint16(at, true) : this.loadSlow(address, 2, ACCESS_EXECUTE)
  }

  /** The unsigned 32-bit word at `address`, as an instruction: it has to be executable. */
  fetchU32(address: number): number {
    const at = this.place(address, ACCESS_EXECUTE, 4)
    return at >= 0 ? this.view.getUint32(at, true) : this.loadSlow(address, 4, ACCESS_EXECUTE)
  }

  /** The signed byte at `address`. */
  loadI8(address: number): number {
    return (this.loadU8(address) << 24) >> 24
  }

  /** The signed 16-bit word at `address`. */
  loadI16(address: number): number {
    return (this.loadU16(address) << 16) >> 16
  }

  /** The signed 32-bit word at `address`. */
  loadI32(address: number): number {
    const at = this.place(address, ACCESS_READ, 4)
    return at >= 0 ? this.view.getInt32(at, true) : this.loadSlow(address, 4) | 0
  }

  /** The low, unsigned 32 bits of the 64-bit word at `address`. A device sees a read of this half only. */
  loadU64Lo(address: number): number {
    const at = this.place(address, ACCESS_READ, 8)
    return at >= 0 ? this.view.getUint32(at, true) : this.loadHalf(address, 0)
  }

  /** The high, unsigned 32 bits of the 64-bit word at `address`. A device sees a read of this half only. */
  loadU64Hi(address: number): number {
    const at = this.place(address, ACCESS_READ, 8)
    return at >= 0 ? this.view.getUint32(at + 4, true) : this.loadHalf(address, 4)
  }

  /** The unsigned 64-bit word at `address`. Slow (BigInt): for debuggers and formatting. */
  loadBigU64(address: number): bigint {
    const lo = this.loadU64Lo(address)
    return (BigInt(this.loadU64Hi(address)) << 32n) | BigInt(lo)
  }

  /** The 32-bit float at `address`. */
  loadF32(address: number): number {
    const at = this.place(address, ACCESS_READ, 4)
    if (at >= 0) return this.view.getFloat32(at, true)
    floatBits.setUint32(0, this.loadSlow(address, 4))
    return floatBits.getFloat32(0)
  }

  /** The 64-bit float at `address`. */
  loadF64(address: number): number {
    const at = this.place(address, ACCESS_READ, 8)
    if (at >= 0) return this.view.getFloat64(at, true)
    const lo = this.loadHalf(address, 0)
    const hi = this.loadHalf(address, 4)
    floatBits.setUint32(4, lo)
    floatBits.setUint32(0, hi)
    return floatBits.getFloat64(0)
  }

  /** Stores the low 8 bits of `value`. */
  storeU8(address: number, value: number): void {
    checkNumber('value', value)
    const at = this.storePlace(address, 1)
    if (at >= 0) this.bytes[at] = value
    else this.storeSlow(address, 1, value, 0)
  }

  /** Stores the low 16 bits of `value`. */
  storeU16(address: number, value: number): void {
    checkNumber('value', value)
    const at = this.storePlace(address, 2)
    if (at >= 0) this.view.setUint16(at, value, true)
    else this.storeSlow(address, 2, value, 0)
  }

  /** Stores the low 32 bits of `value`. */
  storeU32(address: number, value: number): void {
    checkNumber('value', value)
    const at = this.storePlace(address, 4)
    if (at >= 0) this.view.setUint32(at, value, true)
    else this.storeSlow(address, 4, value, 0)
  }

  /** Stores a 64-bit word from its halves, 32 bits each. */
  storeU64(address: number, hi: number, lo: number): void {
    checkNumber('hi', hi)
    checkNumber('lo', lo)
    const at = this.storePlace(address, 8)
    if (at >= 0) {
      this.view.setUint32(at, lo, true)
      this.view.setUint32(at + 4, hi, true)
    } else {
      this.storeSlow(address, 8, lo, hi)
    }
  }

  /** Stores the low 64 bits of `value`. Slow (BigInt): for debuggers and formatting. */
  storeBigU64(address: number, value: bigint): void {
    if (typeof value !== 'bigint') throw new InvalidArgument('value', value, 'a bigint')
    const word = BigInt.asUintN(64, value)
    this.storeU64(address, Number(word >> 32n), Number(word & 0xffffffffn))
  }

  /** Stores `value` as a 32-bit float. */
  storeF32(address: number, value: number): void {
    checkNumber('value', value)
    floatBits.setFloat32(0, value)
    this.storeU32(address, floatBits.getUint32(0))
  }

  /** Stores `value` as a 64-bit float. */
  storeF64(address: number, value: number): void {
    checkNumber('value', value)
    floatBits.setFloat64(0, value)
    this.storeU64(address, floatBits.getUint32(0), floatBits.getUint32(4))
  }

  /**
   * Copies memory from `address` on into all of `target`. On a fault `target` is unchanged.
   * Devices are read byte by byte.
   */
  read(address: number, target: Uint8Array): void {
    this.bulk.read(address, target)
  }

  /**
   * Copies all of `source` to `address`. Every page is resolved before the first byte is written: a
   * fault changes nothing. Devices are written byte by byte, and may throw in the middle.
   */
  write(address: number, source: Uint8Array): void {
    this.bulk.write(address, source)
  }

  /** Sets `length` bytes, 4 GiB at most, to the low 8 bits of `byte`; all or nothing, as {@link write}. */
  fill(address: number, length: number, byte: number): void {
    checkNumber('byte', byte)
    this.bulk.fill(address, length, byte)
  }

  /**
   * Copies `length` bytes, 4 GiB at most, from one address to another; all or nothing, as {@link write}. The two ranges
   * may overlap, but not by being different addresses of the same frames.
   */
  copy(to: number, from: number, length: number): void {
    this.bulk.copy(to, from, length)
  }

  /**
   * Copies as {@link read} does, up to the first page that faults. Returns the bytes that were copied; when
   * they are fewer than asked for, `fault` tells why.
   */
  readPartial(address: number, target: Uint8Array): number {
    return this.bulk.readPartial(address, target)
  }

  /** Copies as {@link write} does, up to the first page that faults; see {@link readPartial}. */
  writePartial(address: number, source: Uint8Array): number {
    return this.bulk.writePartial(address, source)
  }

  private storePlace(address: number, bytes: number): number {
    return this.tracksDirty ? -1 : this.place(address, ACCESS_WRITE, bytes)
  }

  /** The last fault as an error. */
  private faulted(): PageFault {
    return new PageFault(this.tables.format, this.fault)
  }

  private resolved(address: number, access: number, bytes: number): number {
    this.renew()
    const physical = this.resolve(address, access, bytes)
    if (physical < 0) throw this.faulted()
    return physical
  }

  /** 1, 2 or 4 bytes, from wherever. */
  private loadSlow(address: number, bytes: number, access = ACCESS_READ): number {
    const physical = this.resolved(address, access, bytes)
    const first = PAGE_SIZE - (physical % PAGE_SIZE)
    if (bytes <= first) return this.bulk.peek(physical, bytes)
    const second = this.resolved(this.pageAfter(address), access, 1)
    return this.bulk.peekSplit(physical, first, second, bytes)
  }

  /** A half of 8 bytes. */
  private loadHalf(address: number, offset: 0 | 4): number {
    const physical = this.resolved(address, ACCESS_READ, 8)
    const first = PAGE_SIZE - (physical % PAGE_SIZE)
    if (first >= 8) return this.bulk.peek(physical + offset, 4)
    const second = this.resolved(this.pageAfter(address), ACCESS_READ, 1)
    if (first <= offset) return this.bulk.peek(second + offset - first, 4)
    return this.bulk.peekSplit(physical + offset, first - offset, second, 4)
  }

  private storeSlow(address: number, bytes: number, lo: number, hi: number): void {
    const physical = this.resolved(address, ACCESS_WRITE, bytes)
    const first = PAGE_SIZE - (physical % PAGE_SIZE)
    if (bytes > first) {
      const second = this.resolved(this.pageAfter(address), ACCESS_WRITE, 1)
      this.bulk.pokeSplit(physical, first, second, bytes, lo, hi)
    } else if (bytes === 8) {
      this.bulk.poke(physical, 4, lo)
      this.bulk.poke(physical + 4, 4, hi)
    } else {
      this.bulk.poke(physical, bytes, lo)
    }
  }
}

function checkNumber(argument: string, value: number): void {
  if (typeof value !== 'number') throw new InvalidArgument(argument, value, 'a number')
}
