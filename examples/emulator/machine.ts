/** The machine: RAM with its page allocator, and one page of device registers. */

import {
  BuddyAllocator,
  type DeviceBytes,
  foldCounters,
  freeSummary,
  MiB,
  PAGE_SIZE,
  PhysicalMemory,
  physToPfn,
  toPhysAddr,
  ZONES_FLAT,
} from 'kmem'

const RAM_BASE = 0x8000_0000
const DEVICE_BASE = 0x1000_0000

// Registers, by offset in the page.
const UART_DATA = 0
const UART_STATUS = 5
const UART_READY = 0x20
const POWER_OFF = 0x100

/** Memory and devices. */
export class Machine {
  readonly ram: PhysicalMemory
  readonly pages: BuddyAllocator
  /** Frame of the device page. */
  readonly devicePfn = physToPfn(toPhysAddr(DEVICE_BASE))
  /** What the UART was given to send. */
  console = ''
  /** The code that the machine was switched off with; null while it is on. */
  off: number | null = null

  constructor(ramBytes = 8 * MiB) {
    this.ram = new PhysicalMemory({
      map: [
        {
          base: DEVICE_BASE,
          size: PAGE_SIZE,
          type: 'device',
          read: (offset) => (offset === UART_STATUS ? UART_READY : 0),
          write: (offset, bytes, value) => this.writeRegister(offset, bytes, value),
        },
        { base: RAM_BASE, size: ramBytes, type: 'usable' },
      ],
    })
    this.pages = new BuddyAllocator({ ram: this.ram, zones: ZONES_FLAT })
  }

  /** Pages of RAM that are in use. */
  usedPages(): number {
    this.pages.drainAllPages()
    foldCounters(this.pages)
    const { managedPages, freePages } = freeSummary(this.pages)
    return managedPages - freePages
  }

  private writeRegister(offset: number, bytes: DeviceBytes, value: number): void {
    if (offset === UART_DATA && bytes === 1) this.console += String.fromCharCode(value)
    if (offset === POWER_OFF && bytes === 4) this.off = value
  }
}
