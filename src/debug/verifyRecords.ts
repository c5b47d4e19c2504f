/** Checks that the state's words are all accounted for: every record is known, none lies over another. */

import { cacheShift, startsShift } from '../slab/caches'
import { RECORD_SHIFTS } from '../slab/slabState'
import {
  CACHE_RECORD_SHIFT,
  CACHE_STARTS,
  SLAB_CACHE,
  SLAB_FREE_RECORDS,
  SLAB_NEXT,
  SLAB_WORDS_USED,
} from '../state/slabSchema'
import { cacheText, slabText } from './slabInvariants'
import type { Survey } from './slabSurvey'

/** Place of the start in a stretch of words packed into one number, above its length. */
const START = 2 ** 20

/** Lays all records side by side. Only when nothing was found broken: else some are not known. */
export function checkRecords(s: Survey): void {
  const { words } = s
  const stretches: number[] = []
  const cacheLength = 2 ** cacheShift(words)
  for (const cache of s.caches) {
    stretches.push(cache * START + cacheLength)
    stretches.push(words[cache + CACHE_STARTS]! * START + 2 ** startsShift(words, cache))
  }
  const [cacheAt, shiftAt] = [SLAB_CACHE, CACHE_RECORD_SHIFT]
  for (const slab of s.slabs) {
    stretches.push(slab * START + 2 ** words[words[slab + cacheAt]! + shiftAt]!)
  }
  for (let i = 0; i < RECORD_SHIFTS.count; i++) {
    addFree(s, stretches, SLAB_FREE_RECORDS + i, 2 ** (RECORD_SHIFTS.first + i))
  }
  if (s.whole) lay(s, Float64Array.from(stretches).sort())
}

/** Adds the free records that are linked from the word at `head`. */
function addFree(s: Survey, stretches: number[], head: number, length: number): void {
  const { words } = s
  const known = new Set<number>()
  for (let at = words[head]!; at !== 0; at = words[at + SLAB_NEXT]!) {
    if (!s.isRecord(at, length) || known.has(at)) {
      s.broken('RECORD-2', `the free records of ${length} words lead to ${at}`)
      return
    }
    known.add(at)
    for (let i = 0; i < length; i++) {
      if (i === SLAB_NEXT || words[at + i] === 0) continue
      s.v.report('RECORD-2', `the free record at ${at} has ${words[at + i]} in word ${i}`)
      break
    }
    stretches.push(at * START + length)
  }
}

function lay(s: Survey, stretches: Float64Array): void {
  let end = s.tablesEnd
  for (const stretch of stretches) {
    const start = Math.floor(stretch / START)
    if (start !== end) {
      const what =
        start < end ? 'lies over what is before it' : `leaves ${start - end} words unused`
      s.v.report('RECORD-1', `${nameOf(s, start)} ${what}`)
    }
    end = start + (stretch % START)
  }
  if (end !== s.words[SLAB_WORDS_USED]) {
    s.v.report('RECORD-1', `${s.words[SLAB_WORDS_USED]} words are used, ${end} known`)
  }
}

/** The record at `start` in messages. */
function nameOf(s: Survey, start: number): string {
  if (s.slabs.has(start)) return `the ${slabText(s.words, start)}, at ${start},`
  const owner = s.caches.find((cache) => cache === start || s.words[cache + CACHE_STARTS] === start)
  if (owner === undefined) return `the free record at ${start}`
  return `${cacheText(s.words, owner)}, at ${start},`
}
