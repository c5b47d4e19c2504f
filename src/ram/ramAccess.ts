/** Typed reads and writes by physical address: little endian, unaligned allowed, one window kept hot. */

import { InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import type { Backing, RamBuffer } from './backing'
import { DirtyPages } from './dirtyPages'
import {
  checkAddress,
  type DeviceBytes,
  type DeviceRange,
  hex,
  lastAtOrBelow,
  type MappedRange,
  noCallback,
  notMapped,
  packExtents,
  type RamExtent,
  singleRange,
} from './memoryMap'

/** An extent with the views of its bytes; both are empty without content. */
interface Extent extends RamExtent {
  bytes: Uint8Array
  view: DataView
}

const NO_BYTES = /* @__PURE__ */ new Uint8Array(0)
const NO_VIEW = /* @__PURE__ */ new DataView(/* @__PURE__ */ new ArrayBuffer(0))
const floatBits = /* @__PURE__ */ new DataView(/* @__PURE__ */ new ArrayBuffer(8))

/**
 * The typed half of `PhysicalMemory`.
 *
 * The window is the extent of RAM that was used last. An access inside it costs one comparison with the length
 * of its view; that length is 0 once the buffer was detached, so a stale view can only miss, and a miss
 * makes the views anew. Everything else takes the slow path: another extent, a device, a wrong address.
 *
 * Invariants: RAM-1: every view is over `buffer`, or over one that was detached or is a shared prefix of it.
 * RAM-2: the window is one of the extents. RAM-3: `size` is the sum of the extents' sizes.
 *
 * All methods throw InvalidArgument, with nothing changed, unless all their bytes lie in one extent of RAM or in one
 * device range. A write takes any number and stores it as a DataView would: integers are cut to their
 * low bits, NaN is 0 as an integer. A value that is not a number throws.
 */
export class RamAccess {
  /** Whether there are bytes behind the addresses; without them every access to RAM throws. */
  readonly hasContent: boolean
  protected readonly memory: WebAssembly.Memory | null
  protected readonly dirty: DirtyPages | null
  protected readonly extents: readonly Extent[]
  protected backing: RamBuffer | null
  protected mapped: readonly MappedRange[]
  protected ramBytes: number
  /** The window, spread into fields: the hot path reads them without another hop. */
  protected windowBytes: Uint8Array
  protected windowOffset: number
  private windowView: DataView
  private windowBase: number

  protected constructor(backing: Backing, dirtyTracking: boolean) {
    this.hasContent = backing.buffer !== null
    this.memory = backing.memory
    this.backing = backing.buffer
    this.mapped = backing.ranges
    this.windowBytes = NO_BYTES
    this.windowView = NO_VIEW
    this.windowOffset = 0
    this.windowBase = 0
    this.extents = packExtents(backing.ranges).map((extent) => ({
      ...extent,
      bytes: NO_BYTES,
      view: NO_VIEW,
    }))
    this.ramBytes = this.extents.reduce((sum, extent) => sum + extent.size, 0)
    this.dirty = dirtyTracking ? new DirtyPages(this.ramBytes / PAGE_SIZE) : null
    this.makeViews()
  }

  /** The unsigned byte at `address`. */
  readU8(address: number): number {
    const at = this.reach(address, 1)
    return at >= 0 ? this.windowView.getUint8(at) : this.load(address, 1)
  }

  /** The unsigned 16-bit word at `address`. */
  readU16(address: number): number {
    const at = this.reach(address, 2)
    return at >= 0 ? this.windowView.getUint16(at, true) : this.load(address, 2)
  }

  /** The unsigned 32-bit word at `address`. */
  readU32(address: number): number {
    const at = this.reach(address, 4)
    return at >= 0 ? this.windowView.getUint32(at, true) : this.load(address, 4)
  }

  /** The signed byte at `address`. */
  readI8(address: number): number {
    return (this.readU8(address) << 24) >> 24
  }

  /** The signed 16-bit word at `address`. */
  readI16(address: number): number {
    return (this.readU16(address) << 16) >> 16
  }

  /** The signed 32-bit word at `address`. */
  readI32(address: number): number {
    return this.readU32(address) | 0
  }

  /** The low, unsigned 32 bits of the 64-bit word at `address`. A device sees a read of this half only. */
  readU64Lo(address: number): number {
    const at = this.reach(address, 8)
    return at >= 0 ? this.windowView.getUint32(at, true) : this.load(address, 4)
  }

  /** The high, unsigned 32 bits of the 64-bit word at `address`. A device sees a read of this half only. */
  readU64Hi(address: number): number {
    const at = this.reach(address, 8)
    return at >= 0 ? this.windowView.getUint32(at + 4, true) : this.load(address + 4, 4)
  }

  /** The unsigned 64-bit word at `address`. Slow (BigInt): for debuggers and formatting. */
  readBigU64(address: number): bigint {
    const lo = this.readU64Lo(address)
    return (BigInt(this.readU64Hi(address)) << 32n) | BigInt(lo)
  }

  /** The 32-bit float at `address`. */
  readF32(address: number): number {
    const at = this.reach(address, 4)
    if (at >= 0) return this.windowView.getFloat32(at, true)
    floatBits.setUint32(0, this.load(address, 4))
    return floatBits.getFloat32(0)
  }

  /** The 64-bit float at `address`. A device sees two reads of 4 bytes, the low word first. */
  readF64(address: number): number {
    const at = this.reach(address, 8)
    if (at >= 0) return this.windowView.getFloat64(at, true)
    const lo = this.load(address, 4)
    const hi = this.load(address + 4, 4)
    floatBits.setUint32(4, lo)
    floatBits.setUint32(0, hi)
    return floatBits.getFloat64(0)
  }

  /** Writes the low 8 bits of `value`. */
  writeU8(address: number, value: number): void {
    if (typeof value !== 'number') throw notNumber('value', value)
    const at = this.reach(address, 1)
    if (at < 0) {
      this.store(address, 1, value & 0xff)
      return
    }
    this.windowView.setUint8(at, value)
    if (this.dirty !== null) this.dirty.mark(this.windowOffset + at, 1)
  }

  /** Writes the low 16 bits of `value`. */
  writeU16(address: number, value: number): void {
    if (typeof value !== 'number') throw notNumber('value', value)
    const at = this.reach(address, 2)
    if (at < 0) {
      this.store(address, 2, value & 0xffff)
      return
    }
    this.windowView.setUint16(at, value, true)
    if (this.dirty !== null) this.dirty.mark(this.windowOffset + at, 2)
  }

  /** Writes the low 32 bits of `value`. */
  writeU32(address: number, value: number): void {
    if (typeof value !== 'number') throw notNumber('value', value)
    const at = this.reach(address, 4)
    if (at < 0) {
      this.store(address, 4, value >>> 0)
      return
    }
    this.windowView.setUint32(at, value, true)
    if (this.dirty !== null) this.dirty.mark(this.windowOffset + at, 4)
  }

  /** Writes the low 8 bits of `value`, the same as `writeU8`. */
  writeI8(address: number, value: number): void {
    this.writeU8(address, value)
  }

  /** Writes the low 16 bits of `value`, the same as `writeU16`. */
  writeI16(address: number, value: number): void {
    this.writeU16(address, value)
  }

  /** Writes the low 32 bits of `value`, the same as `writeU32`. */
  writeI32(address: number, value: number): void {
    this.writeU32(address, value)
  }

  /** Writes a 64-bit word from its halves, 32 bits each. A device sees two writes of 4 bytes, `lo` first. */
  writeU64(address: number, hi: number, lo: number): void {
    if (typeof hi !== 'number') throw notNumber('hi', hi)
    if (typeof lo !== 'number') throw notNumber('lo', lo)
    const at = this.reach(address, 8)
    if (at < 0) {
      this.storeTwo(address, hi, lo)
      return
    }
    this.windowView.setUint32(at, lo, true)
    this.windowView.setUint32(at + 4, hi, true)
    if (this.dirty !== null) this.dirty.mark(this.windowOffset + at, 8)
  }

  /** Writes the low 64 bits of `value`. Slow (BigInt): for debuggers and formatting. */
  writeBigU64(address: number, value: bigint): void {
    if (typeof value !== 'bigint') throw new InvalidArgument('value', value, 'a bigint')
    const word = BigInt.asUintN(64, value)
    this.writeU64(address, Number(word >> 32n), Number(word & 0xffffffffn))
  }

  /** Writes `value` as a 32-bit float. */
  writeF32(address: number, value: number): void {
    if (typeof value !== 'number') throw notNumber('value', value)
    floatBits.setFloat32(0, value)
    this.writeU32(address, floatBits.getUint32(0))
  }

  /** Writes `value` as a 64-bit float. */
  writeF64(address: number, value: number): void {
    if (typeof value !== 'number') throw notNumber('value', value)
    floatBits.setFloat64(0, value)
    this.writeU64(address, floatBits.getUint32(0), floatBits.getUint32(4))
  }

  /**
   * The offset of `address` in the window, which was moved to its extent; -1 when all `bytes` bytes are a device's.
   * @throws InvalidArgument when they are neither, or RAM without content.
   */
  protected reach(address: number, bytes: number): number {
    if (Number.isInteger(address)) {
      const at = address - this.windowBase
      if (at >= 0 && at + bytes <= this.windowBytes.length) return at
    }
    return this.moveWindow('address', address, bytes)
  }

  /** The slow half of `reach`: makes stale views anew and names the argument in errors. */
  protected moveWindow(argument: string, address: number, bytes: number): number {
    this.renew()
    checkAddress(argument, address)
    const extent = this.extentOf(address, bytes)
    if (extent === null) {
      if (this.deviceOf(address, bytes) !== null) return -1
      throw notMapped(argument, address, bytes)
    }
    if (!this.hasContent) {
      const limit = `left alone: the machine has no content (content: false), so none at ${hex(address)}`
      throw new InvalidArgument(argument, address, limit)
    }
    if (extent.bytes.length === 0) {
      throw new InvalidArgument('buffer', this.backing, 'attached, and it was transferred away')
    }
    this.setWindow(extent)
    return address - extent.base
  }

  /** Makes the views anew if WebAssembly's memory has another buffer by now: the one place that does. */
  protected renew(): void {
    if (this.memory === null) return
    const buffer: RamBuffer = this.memory.buffer
    if (buffer === this.backing) return
    const extent = this.extents[0]
    if (extent === undefined) return
    extent.size = buffer.byteLength
    this.backing = buffer
    this.ramBytes = extent.size
    this.mapped = singleRange(extent.base, extent.size)
    if (this.dirty !== null) this.dirty.grow(extent.size / PAGE_SIZE)
    this.makeViews()
  }

  /** The extent that holds all `bytes` bytes from `address` on, or null. */
  protected extentOf(address: number, bytes: number): Extent | null {
    const extent = lastAtOrBelow(this.extents, address)
    if (extent === null || address + bytes > extent.base + extent.size) return null
    return extent
  }

  private makeViews(): void {
    const buffer = this.backing
    if (buffer !== null) {
      for (const extent of this.extents) {
        extent.bytes = viewOf(buffer, extent)
        extent.view = new DataView(buffer, extent.offset, extent.size)
      }
    }
    const first = this.extents[0]
    if (first !== undefined) this.setWindow(first)
  }

  private setWindow(extent: Extent): void {
    this.windowBytes = extent.bytes
    this.windowView = extent.view
    this.windowBase = extent.base
    this.windowOffset = extent.offset
  }

  private deviceOf(address: number, bytes: number): DeviceRange | null {
    const range = lastAtOrBelow(this.mapped, address)
    if (range === null || range.type !== 'device') return null
    return address + bytes <= range.base + range.size ? range : null
  }

  private load(address: number, bytes: DeviceBytes): number {
    const device = this.deviceOf(address, bytes)
    if (device?.read === undefined) throw noCallback('read', address)
    const value = device.read(address - device.base, bytes)
    if (typeof value !== 'number') throw notNumber('answer of read', value)
    return bytes === 4 ? value >>> 0 : value & (bytes === 2 ? 0xffff : 0xff)
  }

  private store(address: number, bytes: DeviceBytes, value: number): void {
    const device = this.deviceOf(address, bytes)
    if (device?.write === undefined) throw noCallback('write', address)
    device.write(address - device.base, bytes, value)
  }

  private storeTwo(address: number, hi: number, lo: number): void {
    this.store(address, 4, lo >>> 0)
    this.store(address + 4, 4, hi >>> 0)
  }
}

function viewOf(buffer: RamBuffer, extent: Extent): Uint8Array {
  try {
    return new Uint8Array(buffer, extent.offset, extent.size)
  } catch {
    const limit = 'bytes that this engine can view at once (or give content: false)'
    throw new InvalidArgument('size', extent.size, limit)
  }
}

function notNumber(argument: string, value: unknown): InvalidArgument {
  return new InvalidArgument(argument, value, 'a number')
}
