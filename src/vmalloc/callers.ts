/**
 * Names of callers in the state, of at most 55 bytes (DIFF-55): each is kept once, with a count of the areas that name it.
 */

import { InvalidArgument } from '../base/errors'
import {
  CALLER_NAME,
  CALLER_NAME_BYTES,
  CALLER_NEXT,
  CALLER_REFS,
  VMAP_CALLERS,
} from '../state/vmapSchema'
import { giveRecord, RECORD_CALLER, takeRecord, type VmapContext } from './vmapContext'

/**
 * Checks a caller's name; `''` stands for none.
 * @throws InvalidArgument unless it has at most 55 bytes, without control characters.
 */
export function checkCaller(name: string): void {
  const bytes = typeof name === 'string' ? new TextEncoder().encode(name) : null
  if (bytes === null || bytes.length > CALLER_NAME_BYTES || bytes.some((byte) => byte < 0x20)) {
    const limit = `at most ${CALLER_NAME_BYTES} printable bytes`
    throw new InvalidArgument('caller', name, limit)
  }
}

/** Names a caller once more: its record; 0 for `''`, and -1 when no record is left. */
export function takeCaller(c: VmapContext, name: string): number {
  if (name === '') return 0
  const bytes = new TextEncoder().encode(name)
  const known = findCaller(c, bytes)
  if (known !== 0) {
    c.words[known + CALLER_REFS]! += 1
    return known
  }
  const record = takeRecord(c, RECORD_CALLER)
  if (record === 0) return -1
  const { words } = c
  words[record + CALLER_REFS] = 1
  for (let i = 0; i < bytes.length; i++) {
    words[record + CALLER_NAME + (i >> 2)]! |= bytes[i]! << ((i & 3) << 3)
  }
  words[record + CALLER_NEXT] = words[VMAP_CALLERS]!
  words[VMAP_CALLERS] = record
  return record
}

/** Drops a name; the last one gives its record back. */
export function dropCaller(c: VmapContext, record: number): void {
  if (record === 0) return
  const { words } = c
  words[record + CALLER_REFS]! -= 1
  if (words[record + CALLER_REFS]! > 0) return
  const next = words[record + CALLER_NEXT]!
  if (words[VMAP_CALLERS] === record) words[VMAP_CALLERS] = next
  for (let at = words[VMAP_CALLERS]!; at !== 0; at = words[at + CALLER_NEXT]!) {
    if (words[at + CALLER_NEXT] === record) words[at + CALLER_NEXT] = next
  }
  giveRecord(c, record, RECORD_CALLER)
}

/** The name of a record; `''` for record 0. */
export function callerName(words: Int32Array, record: number): string {
  if (record === 0) return ''
  const bytes: number[] = []
  for (let i = 0; i < CALLER_NAME_BYTES; i++) {
    const byte = byteOf(words, record, i)
    if (byte === 0) break
    bytes.push(byte)
  }
  return new TextDecoder().decode(new Uint8Array(bytes))
}

/** The record of a name; 0 when it has none. Cost: one step for each name in use. */
function findCaller(c: VmapContext, bytes: Uint8Array): number {
  const { words } = c
  for (let at = words[VMAP_CALLERS]!; at !== 0; at = words[at + CALLER_NEXT]!) {
    let same = bytes.length === CALLER_NAME_BYTES || byteOf(words, at, bytes.length) === 0
    for (let i = 0; same && i < bytes.length; i++) same = byteOf(words, at, i) === bytes[i]
    if (same) return at
  }
  return 0
}

function byteOf(words: Int32Array, record: number, i: number): number {
  return (words[record + CALLER_NAME + (i >> 2)]! >>> ((i & 3) << 3)) & 0xff
}
