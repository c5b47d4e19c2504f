/**
 * Copies in memory of the kmalloc family: of bytes, and of text as UTF-8 ended by a 0. A copy
 * belongs to the caller until `kfree`. A source of the wrong kind throws InvalidArgument, as a wrong mask does.
 *
 * Source: spec/slab.md §14.1.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import type { VirtAddr } from '../base/units'
import { GFP_KERNEL } from '../page/gfp'
import { writeBytes } from './byteWords'
import type { Kmalloc } from './kmalloc'

/** Copies bytes. None of them give `ZERO_SIZE_PTR`; null when there is no memory. */
export function kmemdup(
  heap: Kmalloc,
  source: Uint8Array,
  gfp: number = GFP_KERNEL,
): VirtAddr | null {
  checkBytes(source)
  return copyOf(heap, source, source.length, gfp)
}

/** Copies bytes and appends a 0; null for null, and when there is no memory. */
export function kmemdupNul(
  heap: Kmalloc,
  source: Uint8Array | null,
  gfp: number = GFP_KERNEL,
): VirtAddr | null {
  if (source === null) return null
  checkBytes(source)
  return copyOf(heap, source, source.length + 1, gfp)
}

/**
 * Copies a text, up to its first 0 if it has one, and the 0 that ends it; null for null, and
 * without memory.
 */
export function kstrdup(
  heap: Kmalloc,
  text: string | null,
  gfp: number = GFP_KERNEL,
): VirtAddr | null {
  if (text === null) return null
  const bytes = encode(text)
  return copyOf(heap, bytes, bytes.length + 1, gfp)
}

/** Copies `max` bytes of a text at most, and appends a 0: the end of a character may be cut off. */
export function kstrndup(
  heap: Kmalloc,
  text: string | null,
  max: number,
  gfp: number = GFP_KERNEL,
): VirtAddr | null {
  checkInteger('max', max, 0, Number.MAX_SAFE_INTEGER)
  if (text === null) return null
  const bytes = encode(text).subarray(0, max)
  return copyOf(heap, bytes, bytes.length + 1, gfp)
}

/**
 * Reads the text at `p`, up to its 0, or to the end of the memory that may be used there: '' at
 * `ZERO_SIZE_PTR`.
 * @throws KernelBug unless memory in use starts at `p`.
 */
export function readString(heap: Kmalloc, p: VirtAddr): string {
  const { ram, directMap } = heap.slabs.context
  const usable = heap.ksize(p)
  if (usable === 0) return ''
  const bytes = ram.bytes(p - directMap, usable)
  const end = bytes.indexOf(0)
  // A copy: decoders refuse views of shared memory.
  return new TextDecoder().decode(bytes.slice(0, end < 0 ? bytes.length : end))
}

function checkBytes(source: unknown): void {
  if (!(source instanceof Uint8Array)) throw new InvalidArgument('source', source, 'a Uint8Array')
}

function encode(text: string): Uint8Array {
  if (typeof text !== 'string') throw new InvalidArgument('text', text, 'a string or null')
  const end = text.indexOf('\0')
  return new TextEncoder().encode(end < 0 ? text : text.slice(0, end))
}

/** Memory of `size` bytes that starts with a copy of `source`; a byte behind it is 0. */
function copyOf(heap: Kmalloc, source: Uint8Array, size: number, gfp: number): VirtAddr | null {
  const p = heap.kmalloc(size, gfp)
  if (p === null || size === 0) return p
  const { ram, directMap } = heap.slabs.context
  writeBytes(ram, p - directMap, source)
  if (size > source.length) ram.fill(p - directMap + source.length, size - source.length, 0)
  return p
}
