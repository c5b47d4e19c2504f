/**
 * Many bytes by virtual address, and few of them the slow way: page by page, through devices too.
 *
 * BULK-1: nothing is written before every page of the operation has been resolved, and been found to be
 * memory or a device.
 *
 * Source: spec/vmalloc.md §13.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import type { ByteRam } from '../page/pageSource'
import { ACCESS_READ, ACCESS_WRITE, type PageFault } from './pageFault'
import type { TypedRam } from './typedRam'
import { checkVirtual } from './virtualAddress'

/** 4 GiB: what is checked page by page before anything is changed. */
const MAX_BYTES = 2 ** 32

/** What is needed of virtual memory. */
export interface BulkTarget {
  readonly ram: ByteRam
  readonly typed: TypedRam | null
  /** Physical address, or -1. */
  resolve(address: number, access: number): number
  /** Start of the next page, or -1 for none. */
  pageAfter(address: number): number
  /** What is wrong with the address behind the last page, which has none. */
  noPageAfter(address: number, access: number): number
  /** The last fault, as an error. */
  faulted(): PageFault
}

/** Pieces of a range: physical addresses; all but the first start a page. */
interface Pieces {
  readonly places: readonly number[]
  /** Bytes before the first page that faults. */
  readonly bytes: number
}

/** Bulk operations. */
export class BulkAccess {
  private readonly target: BulkTarget

  constructor(target: BulkTarget) {
    this.target = target
  }

  read(address: number, target: Uint8Array): void {
    checkBytes('target', target)
    const places = this.all(address, target.length, ACCESS_READ)
    this.readPieces(places, target, target.length)
  }

  readPartial(address: number, target: Uint8Array): number {
    checkBytes('target', target)
    const { places, bytes } = this.pieces(address, target.length, ACCESS_READ)
    this.readPieces(places, target, bytes)
    return bytes
  }

  write(address: number, source: Uint8Array): void {
    checkBytes('source', source)
    const places = this.all(address, source.length, ACCESS_WRITE)
    this.writePieces(places, source, source.length)
  }

  writePartial(address: number, source: Uint8Array): number {
    checkBytes('source', source)
    const { places, bytes } = this.pieces(address, source.length, ACCESS_WRITE)
    this.writePieces(places, source, bytes)
    return bytes
  }

  fill(address: number, length: number, byte: number): void {
    checkInteger('length', length, 0, MAX_BYTES)
    const { ram } = this.target
    eachPiece(this.all(address, length, ACCESS_WRITE), length, (place, count) => {
      if (!this.isDevice(place)) return ram.fill(place, count, byte)
      for (let i = 0; i < count; i++) this.poke(place + i, 1, byte)
    })
  }

  /** Copies in ascending order, or in descending order where the target lies above the source. */
  copy(to: number, from: number, length: number): void {
    checkInteger('length', length, 0, MAX_BYTES)
    const sources = Float64Array.from(this.all(from, length, ACCESS_READ))
    const targets = Float64Array.from(this.all(to, length, ACCESS_WRITE))
    const steps: [number, number, number][] = []
    for (let done = 0; done < length; ) {
      const source = placeAt(sources, done)
      const target = placeAt(targets, done)
      const count = Math.min(length - done, roomAt(source), roomAt(target))
      steps.push([target, source, count])
      done += count
    }
    if (to > from) steps.reverse()
    for (const [target, source, count] of steps) this.copyPiece(target, source, count, to > from)
  }

  /** 1, 2 or 4 bytes of one page. */
  peek(physical: number, bytes: number): number {
    const { ram, typed } = this.target
    if (typed !== null) return typed.read(physical, bytes)
    const from = ram.bytes(physical, bytes)
    let value = 0
    for (let i = 0; i < bytes; i++) value |= from[i]! << (8 * i)
    return value >>> 0
  }

  /** Up to 4 bytes: `first` of them at one address, the others at another. */
  peekSplit(physical: number, first: number, second: number, bytes: number): number {
    let value = 0
    for (let i = 0; i < bytes; i++) {
      const place = i < first ? physical + i : second + i - first
      value |= this.peek(place, 1) << (8 * i)
    }
    return value >>> 0
  }

  /** Writes 1, 2 or 4 bytes of one page. */
  poke(physical: number, bytes: number, value: number): void {
    const { ram, typed } = this.target
    if (typed !== null) {
      typed.write(physical, bytes, value)
      return
    }
    const target = ram.bytes(physical, bytes)
    for (let i = 0; i < bytes; i++) target[i] = value >>> (8 * i)
    ram.markDirty(physical, bytes)
  }

  /** Writes up to 8 bytes: `first` of them at one address, the others at another. */
  pokeSplit(
    physical: number,
    first: number,
    second: number,
    bytes: number,
    lo: number,
    hi: number,
  ): void {
    this.checkUsable(physical, ACCESS_WRITE)
    this.checkUsable(second, ACCESS_WRITE)
    for (let i = 0; i < bytes; i++) {
      const place = i < first ? physical + i : second + i - first
      this.poke(place, 1, i < 4 ? lo >>> (8 * i) : hi >>> (8 * (i - 4)))
    }
  }

  private copyPiece(to: number, from: number, count: number, down: boolean): void {
    if (!this.isDevice(to) && !this.isDevice(from)) {
      this.target.ram.copy(to, from, count)
      return
    }
    for (let i = 0; i < count; i++) {
      const offset = down ? count - 1 - i : i
      this.poke(to + offset, 1, this.peek(from + offset, 1))
    }
  }

  private readPieces(places: readonly number[], target: Uint8Array, bytes: number): void {
    const { ram } = this.target
    let done = 0
    eachPiece(places, bytes, (place, count) => {
      if (this.isDevice(place)) {
        for (let i = 0; i < count; i++) target[done + i] = this.peek(place + i, 1)
      } else {
        target.set(ram.bytes(place, count), done)
      }
      done += count
    })
  }

  private writePieces(places: readonly number[], source: Uint8Array, bytes: number): void {
    const { ram } = this.target
    let done = 0
    eachPiece(places, bytes, (place, count) => {
      if (this.isDevice(place)) {
        for (let i = 0; i < count; i++) this.poke(place + i, 1, source[done + i]!)
      } else {
        ram.bytes(place, count).set(source.subarray(done, done + count))
        ram.markDirty(place, count)
      }
      done += count
    })
  }

  /** All pieces of a range. */
  private all(address: number, length: number, access: number): readonly number[] {
    const { places, bytes } = this.pieces(address, length, access)
    if (bytes < length) throw this.target.faulted()
    return places
  }

  private pieces(address: number, length: number, access: number): Pieces {
    const places: number[] = []
    let here = address
    checkVirtual('address', address)
    for (let bytes = 0; bytes < length; ) {
      const place = this.target.resolve(here, access)
      if (place < 0) return { places, bytes }
      this.checkUsable(place, access)
      places.push(place)
      bytes += roomAt(place)
      if (bytes >= length) break
      const next = this.target.pageAfter(here)
      if (next < 0) {
        this.target.noPageAfter(here, access)
        return { places, bytes }
      }
      here = next
    }
    return { places, bytes: length }
  }

  private isDevice(place: number): boolean {
    const { typed } = this.target
    return typed?.isDevice(Math.floor(place / PAGE_SIZE)) ?? false
  }

  /** Throws unless a place is memory, or a device that takes such accesses. */
  private checkUsable(place: number, access: number): void {
    const { typed, ram } = this.target
    if (!this.isDevice(place)) ram.bytes(place, 1)
    else if (typed?.takes(place, access === ACCESS_WRITE) !== true) {
      const kind = access === ACCESS_WRITE ? 'written' : 'read'
      throw new InvalidArgument('address', place, `of a device that can be ${kind}`)
    }
  }
}

/** Bytes from a place to the end of its page. */
function roomAt(place: number): number {
  return PAGE_SIZE - (place % PAGE_SIZE)
}

/** Place of a byte of a range that is not empty. */
function placeAt(places: Float64Array, offset: number): number {
  const first = places[0]!
  const room = roomAt(first)
  if (offset < room) return first + offset
  const behind = offset - room
  return places[1 + Math.floor(behind / PAGE_SIZE)]! + (behind % PAGE_SIZE)
}

function eachPiece(
  places: readonly number[],
  bytes: number,
  use: (place: number, count: number) => void,
): void {
  let left = bytes
  for (const place of places) {
    const count = Math.min(left, roomAt(place))
    use(place, count)
    left -= count
  }
}

function checkBytes(argument: string, bytes: Uint8Array): void {
  if (!(bytes instanceof Uint8Array)) throw new InvalidArgument(argument, bytes, 'a Uint8Array')
}
