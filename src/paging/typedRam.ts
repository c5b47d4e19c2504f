/** Memory with devices in it: accesses of a size, by physical address, that may reach a callback. */

import { PAGE_SIZE } from '../base/units'
import type { ByteRam } from '../page/pageSource'

/** A range of the map, as far as it matters here. */
interface MapRange {
  readonly base: number
  readonly size: number
  readonly type: string
  readonly read?: unknown
  readonly write?: unknown
}

/** What `PhysicalMemory` has and plain bytes have not. */
export interface DeviceRam {
  readonly ranges: readonly MapRange[]
  readU8(address: number): number
  readU16(address: number): number
  readU32(address: number): number
  writeU8(address: number, value: number): void
  writeU16(address: number, value: number): void
  writeU32(address: number, value: number): void
}

/** Memory with devices, and where they are: that never changes. */
export class TypedRam {
  readonly ram: DeviceRam
  /** One more than the highest frame of a device; 0 without devices. */
  readonly devicesEnd: number
  private readonly devices: readonly MapRange[]

  constructor(ram: DeviceRam) {
    this.ram = ram
    this.devices = ram.ranges.filter(({ type }) => type === 'device')
    const end = this.devices.reduce((most, { base, size }) => Math.max(most, base + size), 0)
    this.devicesEnd = end / PAGE_SIZE
  }

  /** Whether a frame is a device's. */
  isDevice(pfn: number): boolean {
    const frame = pfn * PAGE_SIZE
    for (const { base, size } of this.devices) {
      if (frame >= base && frame + PAGE_SIZE <= base + size) return true
    }
    return false
  }

  /** Whether the device at an address can be written, or read. */
  takes(address: number, write: boolean): boolean {
    const device = this.devices.find(({ base, size }) => address >= base && address < base + size)
    return (write ? device?.write : device?.read) !== undefined
  }

  /** Reads 1, 2 or 4 bytes. */
  read(address: number, bytes: number): number {
    if (bytes === 1) return this.ram.readU8(address)
    return bytes === 2 ? this.ram.readU16(address) : this.ram.readU32(address)
  }

  /** Writes 1, 2 or 4 bytes. */
  write(address: number, bytes: number, value: number): void {
    if (bytes === 1) this.ram.writeU8(address, value)
    else if (bytes === 2) this.ram.writeU16(address, value)
    else this.ram.writeU32(address, value)
  }
}

/** Memory as one with devices; null for plain bytes. */
export function typedRam(ram: ByteRam): TypedRam | null {
  const candidate = ram as ByteRam & Partial<DeviceRam>
  const fits = typeof candidate.readU8 === 'function' && Array.isArray(candidate.ranges)
  return fits ? new TypedRam(candidate as ByteRam & DeviceRam) : null
}
