/** A request for a new cache, after its arguments were checked. */

import type { Ctor } from './context'

/** What a new cache is asked for; checked. */
export interface CacheRequest {
  readonly name: Uint8Array
  /** Bytes of an object. */
  readonly size: number
  /** The alignment asked for. */
  readonly wishedAlign: number
  /** The alignment that follows from it. */
  readonly align: number
  /** SLAB_ flags, those of the boot parameter included. */
  readonly flags: number
  readonly ctor: Ctor | null
  readonly useroffset: number
  readonly usersize: number
}
