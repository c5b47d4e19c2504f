/**
 * Tracks: who allocated an object and who freed it, as 32 bytes behind it.
 *
 *     0        8        12    16    20         24    32
 *     | caller | handle | cpu | pid | (unused) | when |
 *
 * A caller is a name here, and a stack a list of names; in memory stand an address that looks like
 * one of kernel code, and the number of the stack. The tables that say what they mean are not in
 * the state (DIFF-42).
 *
 * Source: spec/slab.md §16.2.
 */

import { readWord32, writeWord32 } from '../slab/byteWords'
import type { ObjectTrack, SlabContext, TrackKind } from '../slab/context'
import { SLAB_STORE_USER } from '../slab/flags'
import { TRACK_BYTES } from '../slab/objectLayout'
import { hasFlags, slabByte, tracksStart } from './slubSlot'

/** The track of an allocation. */
export const TRACK_ALLOC: TrackKind = 0
/** The track of a free. */
export const TRACK_FREE: TrackKind = 1

/** Callers stand as addresses from here on, so many bytes apart: low and high half. */
const TEXT_LOW = 0x81000000
const TEXT_HIGH = 0xffffffff
const TEXT_BYTES = 256
const TWO_32 = 4294967296

/** Where tracks get what they hold from. */
interface TrackSources {
  /** The time in jiffies. */
  readonly time: () => number
  /** The running task's number. */
  readonly pid: () => number
  /** The stack, innermost frame first; empty for none. */
  readonly stack: () => readonly string[]
}

/** Writes and reads tracks, and knows what their numbers mean. */
export class SlubTracks {
  private readonly sources: TrackSources
  private readonly callers = new Names()
  private readonly stacks = new Names()

  constructor(sources: TrackSources) {
    this.sources = sources
  }

  /** Remembers the caller as the one who allocated, or freed, an object. */
  write(c: SlabContext, cache: number, slab: number, offset: number, kind: TrackKind): void {
    const at = trackAt(c, cache, slab, offset, kind)
    const stack = this.sources.stack()
    const caller = this.callers.number(c.caller === '' ? 'unknown' : c.caller)
    const when = this.sources.time()
    writeWord32(c.ram, at, TEXT_LOW + TEXT_BYTES * caller)
    writeWord32(c.ram, at + 4, TEXT_HIGH)
    writeWord32(c.ram, at + 8, stack.length === 0 ? 0 : this.stacks.number(stack.join('\n')))
    writeWord32(c.ram, at + 12, c.running.cpu)
    writeWord32(c.ram, at + 16, this.sources.pid())
    writeWord32(c.ram, at + 24, when % TWO_32)
    writeWord32(c.ram, at + 28, Math.floor(when / TWO_32))
  }

  /** The track of an object; null in caches without. */
  read(
    c: SlabContext,
    cache: number,
    slab: number,
    offset: number,
    kind: TrackKind,
  ): ObjectTrack | null {
    if (!hasFlags(c.words, cache, SLAB_STORE_USER)) return null
    const at = trackAt(c, cache, slab, offset, kind)
    const lo = readWord32(c.ram, at)
    const hi = readWord32(c.ram, at + 4)
    const handle = readWord32(c.ram, at + 8)
    const when = readWord32(c.ram, at + 28) * TWO_32 + readWord32(c.ram, at + 24)
    const stack = this.stacks.name(handle)
    return {
      address: wordOf(lo, hi),
      label: this.label(lo, hi),
      handle,
      stack: stack === '' ? [] : stack.split('\n'),
      when,
      age: this.sources.time() - when,
      cpu: readWord32(c.ram, at + 12),
      pid: readWord32(c.ram, at + 16),
    }
  }

  /** Frames of the stack at this moment, as reports end with. */
  get stack(): readonly string[] {
    return this.sources.stack()
  }

  /**
   * A caller's name, with what its address was changed by; an address that is none's is printed as
   * it is.
   */
  private label(lo: number, hi: number): string {
    if (lo === 0 && hi === 0) return ''
    const shift = lo % TEXT_BYTES
    const name = hi === TEXT_HIGH ? this.callers.name((lo - shift - TEXT_LOW) / TEXT_BYTES) : ''
    if (name === '') return `0x${wordOf(lo, hi).toString(16)}`
    return shift === 0 ? name : `${name}+0x${shift.toString(16)}`
  }
}

/** Wipes both tracks of an object. */
export function clearTracks(c: SlabContext, cache: number, slab: number, offset: number): void {
  c.ram.fill(trackAt(c, cache, slab, offset, TRACK_ALLOC), 2 * TRACK_BYTES, 0)
}

/** A word of 64 bits from its halves. */
function wordOf(lo: number, hi: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo)
}

function trackAt(
  c: SlabContext,
  cache: number,
  slab: number,
  offset: number,
  kind: TrackKind,
): number {
  return slabByte(c, slab, offset + tracksStart(c.words, cache) + kind * TRACK_BYTES)
}

/** Names with numbers from 1 on. */
class Names {
  private readonly names: string[] = ['']
  private readonly numbers = new Map<string, number>()

  number(name: string): number {
    const known = this.numbers.get(name)
    if (known !== undefined) return known
    this.numbers.set(name, this.names.length)
    this.names.push(name)
    return this.names.length - 1
  }

  /** '' for a number that has no name. */
  name(number: number): string {
    return this.names[number] ?? ''
  }
}
