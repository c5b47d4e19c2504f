/**
 * From virtual addresses to physical ones, as a processor does it: rights of user and kernel, marks for
 * use, faults, and a TLB if wanted.
 *
 * A look-up that succeeds makes no objects and calls little: the TLB, else a walk. Whatever fails there is
 * gone through once more by {@link SlowWalk}: that tells the fault, or sets the marks that a processor sets.
 *
 * Source: spec/vmalloc.md §13.
 */

import { checkInteger, InvalidArgument, KernelBug } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import type { ByteRam } from '../page/pageSource'
import { type AccessMode, ModeBits } from './accessMode'
import { AccessRights } from './accessRights'
import type { FlushOps } from './flushOps'
import { FramePlaces } from './framePlaces'
import type { FaultDetails } from './pageFault'
import { type PageAccess, SlowWalk } from './slowWalk'
import { flushing, Tlb } from './tlb'
import { checkTranslatorOptions, type TranslatorOptions } from './translatorOptions'
import { type TypedRam, typedRam } from './typedRam'
import { checkVirtual, gapOf } from './virtualAddress'
import { type WalkedTables, Walker } from './walker'

export type { TranslatorOptions } from './translatorOptions'

/** A word so far below 0 that no offset into a page makes it 0. */
const NO_PLACE = -4096
/** Places from here on are no small integers: such memory takes the slow path. */
const WORDS_LIMIT = 2147483648
const OFFSET_MASK = 4095

/** Page tables whose flushes can be listened to. */
export interface TranslatedTables extends WalkedTables {
  listen(listener: FlushOps): () => void
}

/** The half of `VirtualMemory` that translates. */
export class Translator {
  /** The last fault. The same object each time: copy what has to outlive the next one. */
  readonly fault: FaultDetails
  /** All bytes of memory, as they were when the translator last looked. */
  protected bytes: Uint8Array
  protected view: DataView
  protected readonly ram: ByteRam
  protected readonly typed: TypedRam | null
  private readonly rules: AccessRights
  protected readonly walker: Walker
  protected readonly tlb: Tlb
  /** Whether whoever writes has to tell the memory. */
  protected readonly tracksDirty: boolean
  private readonly slow: SlowWalk
  private readonly limit: number
  private readonly gap: number
  private readonly data: FramePlaces
  private readonly mode: ModeBits
  /** By access: rights of which one must be there. */
  private readonly need: Int32Array
  private readonly stopListening: () => void
  // The columns of the TLB: the hot path reads them without another hop.
  private readonly hasTlb: boolean
  private readonly tlbMask: number
  private readonly tlbTags: Float64Array
  private readonly tlbPlaces: Int32Array
  private readonly tlbRights: Int32Array

  constructor(tables: TranslatedTables, options: TranslatorOptions) {
    const { frames, format } = tables
    const { tlb = 0, hardwareUpdates = 'set' } = options
    checkTranslatorOptions(format, options)
    this.rules = new AccessRights(format, hardwareUpdates === 'set')
    this.limit = 2 ** format.vaBits
    this.gap = gapOf(format)
    this.ram = frames.ram
    this.typed = typedRam(frames.ram)
    this.tracksDirty = frames.ram.tracksDirty
    this.walker = new Walker(tables, this.rules)
    this.data = new FramePlaces(frames)
    this.tlb = new Tlb(tlb)
    this.hasTlb = tlb !== 0
    this.tlbMask = this.tlb.mask
    this.tlbTags = this.tlb.tags
    this.tlbPlaces = this.tlb.places
    this.tlbRights = this.tlb.rights
    this.slow = new SlowWalk(this.walker, this.rules, format, frames.ram)
    this.fault = this.slow.fault
    this.mode = new ModeBits(this.rules.architecture)
    this.mode.set(options)
    this.need = this.mode.need
    this.bytes = new Uint8Array(0)
    this.view = new DataView(this.bytes.buffer)
    this.makeViews()
    this.stopListening = tlb === 0 ? () => {} : tables.listen(flushing(this.tlb))
  }

  /** Whether accesses come from user mode. */
  get user(): boolean {
    return this.mode.user
  }

  /** Sets it. */
  set user(user: boolean) {
    this.setMode({ user })
  }

  /**
   * Changes the bits of the mode that are given. Costs some assignments: nothing has to be flushed.
   * @throws InvalidArgument for one that is not a boolean.
   */
  setMode(mode: AccessMode): void {
    this.mode.set(mode)
  }

  /**
   * Physical address behind an address; -1 with the reason in {@link fault}. Marks the page as accessed,
   * and as dirty for a write, as the processor does. Up to 40 ns without a TLB.
   *
   * Bytes that reach into the next page are all checked, but may continue in another frame: resolve that
   * page for itself. On -1 nothing has been marked.
   * @param access ACCESS_READ, ACCESS_WRITE (or both, a write) or ACCESS_EXECUTE.
   * @param bytes 1 to 4096.
   * @throws InvalidArgument for other numbers, and for addresses that are no integers from 0 to 2^64.
   */
  resolve(address: number, access: number, bytes = 1): number {
    const offset = address & OFFSET_MASK
    if (bytes > 0 && offset + bytes <= PAGE_SIZE) {
      const need = this.need[access]!
      if (this.hasTlb) {
        const slot = (address / PAGE_SIZE) & this.tlbMask
        // Whatever is no integer has no page.
        if (this.tlbTags[slot] === address - offset && (this.tlbRights[slot]! & need) !== 0) {
          return this.tlb.frames[slot]! * PAGE_SIZE + offset
        }
      }
      const pfn = this.walker.find(address)
      if (pfn >= 0 && (this.walker.rights & need) !== 0) {
        if (this.hasTlb) this.remember(address, pfn)
        return pfn * PAGE_SIZE + offset
      }
    }
    return this.resolveSlow(address, access, bytes)
  }

  /**
   * Drops translations of the pages in [start, end), of all pages by default, from the TLB. Changes made
   * by `PageTables` do so by themselves; for those that a guest writes into its tables, its own instruction
   * (sfence.vma, invlpg, tlbi) has to come here.
   * @throws InvalidArgument unless 0 <= start <= end <= 2^vaBits.
   */
  flushTlb(start = 0, end = this.limit): void {
    checkInteger('start', start, 0, this.limit)
    checkInteger('end', end, start, this.limit)
    this.tlb.flush(start, end)
  }

  /** Stops listening to changes of the tables: for one that is thrown away before them. It is of no use any more. */
  close(): void {
    this.walker.close()
    this.tlb.clear()
    this.stopListening()
  }

  /**
   * Place in {@link bytes} of memory that one access may use and that lies in one page; negative for
   * everything else, which takes the slow path.
   */
  protected place(address: number, access: number, bytes: number): number {
    const offset = address & OFFSET_MASK
    let word = NO_PLACE
    if (this.hasTlb) {
      const slot = (address / PAGE_SIZE) & this.tlbMask
      if (
        this.tlbTags[slot] === address - offset &&
        (this.tlbRights[slot]! & this.need[access]!) !== 0
      ) {
        word = this.tlbPlaces[slot]!
      } else {
        word = this.findPlace(address, access)
      }
    } else {
      const pfn = this.walker.find(address)
      if (pfn >= 0 && (this.walker.rights & this.need[access]!) !== 0) word = this.placeOf(pfn)
    }
    const at = word * 4 + offset
    return offset + bytes <= PAGE_SIZE && at + bytes <= this.bytes.length ? at : -1
  }

  /**
   * Start of the page after that of an address: page 0 after the last one; -1 when that has no address,
   * in the gap of the format.
   */
  protected pageAfter(address: number): number {
    const { limit, gap } = this
    const next = address - (address % PAGE_SIZE) + PAGE_SIZE
    if (next === limit) return 0
    return next === gap ? -1 : next
  }

  /** Records the fault of going on where {@link pageAfter} finds nothing. */
  protected noPageAfter(address: number, access: number): -1 {
    const next = address - (address % PAGE_SIZE) + PAGE_SIZE
    return this.slow.fail(this.request(next, access, false), 'non-canonical', 0)
  }

  /** Looks whether memory has grown. */
  protected renew(): void {
    const { words } = this.walker
    this.walker.renew()
    this.data.allWords()
    if (words !== this.walker.words) {
      this.tlb.clear()
      this.makeViews()
    }
  }

  private findPlace(address: number, access: number): number {
    const pfn = this.walker.find(address)
    const allowed = pfn >= 0 && (this.walker.rights & this.need[access]!) !== 0
    return allowed ? this.remember(address, pfn) : NO_PLACE
  }

  /** Place of the first word of a frame of memory; far below 0 when it is none. */
  private placeOf(pfn: number): number {
    const { typed } = this
    if (typed !== null && pfn < typed.devicesEnd && typed.isDevice(pfn)) return NO_PLACE
    const word = this.data.of(pfn)
    return word >= 0 && word < WORDS_LIMIT ? word : NO_PLACE
  }

  private resolveSlow(address: number, access: number, bytes: number): number {
    if (this.walker.closed) {
      throw new KernelBug('TABLES_DESTROYED', 'access through tables that are gone')
    }
    checkVirtual('address', address)
    if (access !== 1 && access !== 2 && access !== 3 && access !== 4) {
      throw new InvalidArgument('access', access, 'ACCESS_READ, ACCESS_WRITE or ACCESS_EXECUTE')
    }
    checkInteger('bytes', bytes, 1, PAGE_SIZE)
    this.renew()
    const offset = address % PAGE_SIZE
    if (offset + bytes > PAGE_SIZE && !this.checkNext(address, access)) return -1
    const pfn = this.checkPage(address, access, true)
    if (pfn < 0) return -1
    if (this.hasTlb && this.walker.find(address) === pfn) this.remember(address, pfn)
    return pfn * PAGE_SIZE + offset
  }

  /** Whether an access may reach into the next page; a fault of the first page comes first. */
  private checkNext(address: number, access: number): boolean {
    const need = this.need[access]!
    const next = this.pageAfter(address)
    const { walker } = this
    // Mostly there is nothing to mark, in either page.
    const easy = next >= 0 && walker.find(next) >= 0 && (walker.rights & need) !== 0
    if (easy && walker.find(address) >= 0 && (walker.rights & need) !== 0) return true
    if (this.checkPage(address, access, false) < 0) return false
    if (next < 0) return this.noPageAfter(address, access) >= 0
    return this.checkPage(next, access, false) >= 0 && this.checkPage(next, access, true) >= 0
  }

  private checkPage(address: number, access: number, mark: boolean): number {
    return this.slow.check(this.request(address, access, mark))
  }

  private request(address: number, access: number, mark: boolean): PageAccess {
    const { user, smep } = this.mode
    return { address, access, user, smep, need: this.need[access]!, mark }
  }

  private remember(address: number, pfn: number): number {
    const word = this.placeOf(pfn)
    this.tlb.set(address, pfn, word, this.walker.rights)
    return word
  }

  private makeViews(): void {
    const { buffer, byteOffset, byteLength } = this.walker.words
    this.bytes = new Uint8Array(buffer, byteOffset, byteLength)
    this.view = new DataView(buffer, byteOffset, byteLength)
  }
}
