/**
 * Circular doubly linked lists of records, each through a head of two words.
 *
 * LIST-1: for every record r of a list, next(prev(r)) = prev(next(r)) = r.
 * LIST-2: an empty list's head links to itself.
 */

import { PAGE_NEXT, PAGE_PREV } from './schema'

/** Makes `head` an empty list. */
export function listInit(words: Int32Array, head: number): void {
  words[head + PAGE_NEXT] = head
  words[head + PAGE_PREV] = head
}

/** True when the list holds nothing. */
export function listEmpty(words: Int32Array, head: number): boolean {
  return words[head + PAGE_NEXT] === head
}

/** Inserts `record` as the first of the list. */
export function listAddHead(words: Int32Array, head: number, record: number): void {
  const first = words[head + PAGE_NEXT]!
  words[record + PAGE_NEXT] = first
  words[record + PAGE_PREV] = head
  words[first + PAGE_PREV] = record
  words[head + PAGE_NEXT] = record
}

/** Inserts `record` as the last of the list. */
export function listAddTail(words: Int32Array, head: number, record: number): void {
  const last = words[head + PAGE_PREV]!
  words[record + PAGE_NEXT] = head
  words[record + PAGE_PREV] = last
  words[last + PAGE_NEXT] = record
  words[head + PAGE_PREV] = record
}

/** Takes `record` off the list it is on. Its own links stay, meaningless. */
export function listRemove(words: Int32Array, record: number): void {
  const next = words[record + PAGE_NEXT]!
  const prev = words[record + PAGE_PREV]!
  words[next + PAGE_PREV] = prev
  words[prev + PAGE_NEXT] = next
}
