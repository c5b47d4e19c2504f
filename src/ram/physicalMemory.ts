/** The simulated RAM: bytes by physical address over one buffer, with bulk operations, growth and dirty pages. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE, PHYS_ADDR_LIMIT } from '../base/units'
import { isShared, openBacking, type PhysicalMemoryOptions, type RamBuffer } from './backing'
import { checkAddress, lastAtOrBelow, type MappedRange, notRam } from './memoryMap'
import { RamAccess } from './ramAccess'

/** Told about RAM that was added: its first address and its bytes. */
export type GrowListener = (base: number, size: number) => void

const WASM_PAGE_BYTES = 65536
const MAX_PFN = 2 ** 40 - 1
const NO_WORDS = /* @__PURE__ */ new Int32Array(0)

interface Registration {
  readonly listener: GrowListener
  /** RAM bytes that the listener knows of. */
  told: number
}

/**
 * RAM by physical address.
 *
 * ```text
 * addresses   | usable | reserved |   hole   | device |  usable  |
 *             '----- extent 0 ----'                   ' extent 1 '
 * buffer      |      extent 0     |  extent 1  |        packed, in address order
 * ```
 * Touching RAM ranges form one extent; an access may cross them. Between extents lies a hole or a device, so no
 * access can span two.
 *
 * A page allocator on top needs four members only: `ranges` (what there is), `hasContent`, `zeroPages` (frames for
 * `__GFP_ZERO`) and `onGrow` (RAM to hot-add).
 *
 * Growth: an access finds out by itself that a WebAssembly memory has grown and makes its views anew, but tells nobody,
 * because it may come from the middle of an allocation. Listeners are told by `refresh` and `grow`.
 */
export class PhysicalMemory extends RamAccess {
  /** Whether the buffer is a `SharedArrayBuffer`. */
  readonly shared: boolean
  private registrations: readonly Registration[] = []
  private wordView: Int32Array = NO_WORDS

  /**
   * Makes RAM from a size, a buffer, a WebAssembly memory or a memory map. New bytes are zero, new pages clean.
   * @throws InvalidArgument for options that are malformed or contradict each other, unaligned or overlapping ranges
   * and sizes that the engine cannot allocate.
   */
  constructor(options: PhysicalMemoryOptions) {
    super(openBacking(options), options.dirtyTracking === true)
    this.shared = this.backing !== null && isShared(this.backing)
  }

  /** Bytes of RAM, usable and reserved. */
  get size(): number {
    this.renew()
    return this.ramBytes
  }

  /** The lowest address of RAM. */
  get base(): number {
    return this.extents[0]?.base ?? 0
  }

  /** One more than the highest address of RAM. */
  get end(): number {
    this.renew()
    const last = this.extents[this.extents.length - 1]
    return last === undefined ? 0 : last.base + last.size
  }

  /** The memory map in address order, frozen; another array after growth. */
  get ranges(): readonly MappedRange[] {
    this.renew()
    return this.mapped
  }

  /** The buffer of this moment, or null without content. Do not keep it across growth. */
  get buffer(): RamBuffer | null {
    this.renew()
    return this.backing
  }

  /** Pages written since they were last cleared; 0 without dirty tracking. */
  get dirtyCount(): number {
    return this.dirty === null ? 0 : this.dirty.count
  }

  /** Whether all of [address, address + length) is RAM that one access could cover; false for anything but integers. */
  contains(address: number, length = 1): boolean {
    if (!Number.isInteger(address) || !Number.isInteger(length) || length < 0) return false
    this.renew()
    return this.extentOf(address, length) !== null
  }

  /** The RAM or device range that holds `address`, or null when none does. */
  rangeOf(address: number): MappedRange | null {
    if (!Number.isInteger(address)) return null
    this.renew()
    const range = lastAtOrBelow(this.mapped, address)
    return range !== null && address < range.base + range.size ? range : null
  }

  /**
   * Sets `length` bytes of RAM to the low 8 bits of `byte`.
   * @throws InvalidArgument, with nothing changed, unless all of them are RAM.
   */
  fill(address: number, length: number, byte: number): void {
    if (typeof byte !== 'number') throw new InvalidArgument('byte', byte, 'a number')
    const at = this.reachRam('address', address, length)
    this.windowBytes.fill(byte, at, at + length)
    this.markWindow(at, length)
  }

  /**
   * Copies `length` bytes of RAM from `from` to `to`; the two may overlap.
   * @throws InvalidArgument, with nothing changed, unless all of both are RAM.
   */
  copy(to: number, from: number, length: number): void {
    const source = this.reachRam('from', from, length)
    const bytes = this.windowBytes
    const at = this.reachRam('to', to, length)
    if (bytes === this.windowBytes) bytes.copyWithin(at, source, source + length)
    else this.windowBytes.set(bytes.subarray(source, source + length), at)
    this.markWindow(at, length)
  }

  /**
   * Compares `length` bytes of RAM as unsigned bytes, first difference first: -1 when `a` is less, 0 or 1.
   * @throws InvalidArgument unless all of both are RAM.
   */
  compare(a: number, b: number, length: number): -1 | 0 | 1 {
    const first = this.reachRam('a', a, length)
    const bytes = this.windowBytes
    const second = this.reachRam('b', b, length)
    const others = this.windowBytes
    for (let i = 0; i < length; i++) {
      const difference = bytes[first + i]! - others[second + i]!
      if (difference !== 0) return difference < 0 ? -1 : 1
    }
    return 0
  }

  /**
   * A view of `length` bytes of RAM, not a copy. Writes through it are not tracked as dirty (see `markDirty`), and a
   * growing WebAssembly memory detaches it: make it, use it, drop it.
   * @throws InvalidArgument unless all of them are RAM.
   */
  bytes(address: number, length: number): Uint8Array {
    const at = this.reachRam('address', address, length)
    return this.windowBytes.subarray(at, at + length)
  }

  /**
   * All bytes of RAM as 32-bit words in the machine's byte order, range after range; no words without content.
   * Writes through it are not tracked as dirty. Another array after growth: a stale one may have no words left.
   */
  get words(): Int32Array {
    this.renew()
    const buffer = this.backing
    if (buffer === null) return NO_WORDS
    if (this.wordView.buffer !== buffer) this.wordView = new Int32Array(buffer)
    return this.wordView
  }

  /**
   * Place in `words` of the word at `address`, a multiple of 4.
   * @throws InvalidArgument unless its bytes are RAM.
   */
  wordIndex(address: number): number {
    if (address % 4 !== 0) throw new InvalidArgument('address', address, 'a multiple of 4')
    return this.checkRam(address, 4) / 4
  }

  /** Whether pages that were written are remembered. */
  get tracksDirty(): boolean {
    return this.dirty !== null
  }

  /**
   * Sets `count` page frames from `pfn` on to zero; does nothing without content.
   * @throws InvalidArgument, with nothing changed, unless all of them are RAM.
   */
  zeroPages(pfn: number, count: number): void {
    checkInteger('pfn', pfn, 0, MAX_PFN)
    checkInteger('count', count, 0, MAX_PFN + 1)
    if (this.hasContent) this.fill(pfn * PAGE_SIZE, count * PAGE_SIZE, 0)
    else this.checkRam(pfn * PAGE_SIZE, count * PAGE_SIZE)
  }

  /** True over a WebAssembly memory: more RAM may come. */
  get growable(): boolean {
    return this.memory !== null
  }

  /**
   * Looks whether the WebAssembly memory has grown, makes the views anew and tells every listener about RAM that it has
   * not been told of. Does nothing for other memories.
   * @throws whatever a listener throws; the listeners after it are told by the next call.
   */
  refresh(): void {
    this.renew()
    for (const registration of this.registrations) {
      const { told } = registration
      if (told === this.ramBytes) continue
      registration.told = this.ramBytes
      registration.listener(this.base + told, this.ramBytes - told)
    }
  }

  /**
   * Grows the WebAssembly memory by `bytes` and tells the listeners, as `refresh` does. False, with nothing changed,
   * when the engine or the memory's maximum refuses.
   * @throws InvalidArgument for another kind of memory, or unless `bytes` is a positive multiple of 65536.
   */
  grow(bytes: number): boolean {
    if (this.memory === null) {
      throw new InvalidArgument('memory', undefined, 'a WebAssembly.Memory: only that can grow')
    }
    if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % WASM_PAGE_BYTES !== 0) {
      throw new InvalidArgument('bytes', bytes, 'a positive multiple of 65536')
    }
    try {
      this.memory.grow(bytes / WASM_PAGE_BYTES)
    } catch {
      return false
    }
    this.refresh()
    return true
  }

  /**
   * Registers a listener for RAM that is added from now on, not in `size` and `ranges` yet. Each piece is
   * told once, in address order. Returns the function that removes the listener.
   */
  onGrow(listener: GrowListener): () => void {
    if (typeof listener !== 'function') {
      throw new InvalidArgument('listener', listener, 'a function')
    }
    this.renew()
    const registration = { listener, told: this.ramBytes }
    this.registrations = [...this.registrations, registration]
    return () => {
      this.registrations = this.registrations.filter((other) => other !== registration)
    }
  }

  /**
   * Marks the pages of [address, address + length) as written, for writes through `bytes` or `buffer`.
   * Does nothing without dirty tracking.
   * @throws InvalidArgument, with nothing changed, unless all of it is RAM.
   */
  markDirty(address: number, length: number): void {
    const offset = this.checkRam(address, length)
    if (this.dirty !== null && length > 0) this.dirty.mark(offset, length)
  }

  /**
   * Whether the page that holds `address` was written since it was last cleared.
   * @throws InvalidArgument unless `address` is RAM, or without dirty tracking.
   */
  isDirty(address: number): boolean {
    const page = Math.floor(this.checkRam(address, 1) / PAGE_SIZE)
    return this.tracker().next(page, page + 1) !== -1
  }

  /**
   * The PFNs of dirty pages with a byte in [address, address + length), ascending; all of RAM by default. The range may
   * span holes and devices. Takes time with the pages that it spans (32 at a time) and those that it finds.
   * @throws InvalidArgument without dirty tracking.
   */
  dirtyPages(address = 0, length = PHYS_ADDR_LIMIT - address): number[] {
    const dirty = this.tracker()
    const found: number[] = []
    this.eachPageRun(address, length, (page, end, pfnOfPage0) => {
      for (let at = dirty.next(page, end); at !== -1; at = dirty.next(at + 1, end)) {
        found.push(pfnOfPage0 + at)
      }
    })
    return found
  }

  /**
   * Makes clean the pages with a byte in [address, address + length); all of RAM by default. The range may span
   * holes and devices.
   * @throws InvalidArgument without dirty tracking.
   */
  clearDirty(address = 0, length = PHYS_ADDR_LIMIT - address): void {
    const dirty = this.tracker()
    this.eachPageRun(address, length, (page, end) => dirty.clear(page, end))
  }

  private tracker(): NonNullable<typeof this.dirty> {
    if (this.dirty === null) {
      throw new InvalidArgument('dirtyTracking', false, 'true to ask for dirty pages')
    }
    return this.dirty
  }

  private markWindow(at: number, length: number): void {
    if (this.dirty !== null && length > 0) this.dirty.mark(this.windowOffset + at, length)
  }

  private reachRam(argument: string, address: number, length: number): number {
    checkInteger('length', length, 0, PHYS_ADDR_LIMIT)
    const at = this.moveWindow(argument, address, length)
    if (at < 0) throw notRam(argument, address, length)
    return at
  }

  /** The byte of the packed RAM that holds `address`. */
  private checkRam(address: number, length: number): number {
    checkInteger('length', length, 0, PHYS_ADDR_LIMIT)
    checkAddress('address', address)
    this.renew()
    const extent = this.extentOf(address, length)
    if (extent === null) throw notRam('address', address, length)
    return extent.offset + (address - extent.base)
  }

  /** Visits, extent by extent, the pages of packed RAM that a range of addresses touches. */
  private eachPageRun(
    address: number,
    length: number,
    visit: (page: number, end: number, pfnOfPage0: number) => void,
  ): void {
    checkAddress('address', address)
    checkInteger('length', length, 0, PHYS_ADDR_LIMIT)
    this.renew()
    for (const { base, size, offset } of this.extents) {
      const start = Math.max(address, base)
      const end = Math.min(address + length, base + size)
      if (start >= end) continue
      const shift = offset - base
      const page = Math.floor((start + shift) / PAGE_SIZE)
      visit(page, Math.ceil((end + shift) / PAGE_SIZE), -shift / PAGE_SIZE)
    }
  }
}
