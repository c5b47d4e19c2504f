import { describe, expect, it } from 'vitest'
import { listAddHead, listAddTail, listEmpty, listInit, listRemove } from '../../src/state/lists'

const HEAD = 10
const [A, B, C] = [20, 30, 40] as const

/** The records of the list at {@link HEAD}, by the links forward; links back must say the same. */
function members(words: Int32Array): number[] {
  const found: number[] = []
  for (let at = words[HEAD]!; at !== HEAD && found.length < 10; at = words[at]!) found.push(at)
  const back: number[] = []
  for (let at = words[HEAD + 1]!; at !== HEAD && back.length < 10; at = words[at + 1]!)
    back.push(at)
  expect(back.reverse()).toEqual(found)
  return found
}

function list(...records: number[]): Int32Array {
  const words = new Int32Array(64)
  listInit(words, HEAD)
  for (const record of records) listAddTail(words, HEAD, record)
  return words
}

describe('lists', () => {
  it('are empty at first, and again when the last record is taken off', () => {
    const words = list()
    expect(listEmpty(words, HEAD)).toBe(true)
    expect(members(words)).toEqual([])
    listAddHead(words, HEAD, A)
    expect(listEmpty(words, HEAD)).toBe(false)
    listRemove(words, A)
    expect(listEmpty(words, HEAD)).toBe(true)
    expect(members(words)).toEqual([])
  })

  it('take records in front and behind', () => {
    const words = list()
    listAddHead(words, HEAD, B)
    listAddHead(words, HEAD, A)
    listAddTail(words, HEAD, C)
    expect(members(words)).toEqual([A, B, C])
  })

  it.each([
    [A, [B, C]],
    [B, [A, C]],
    [C, [A, B]],
  ])('lose record %i, wherever it is, and nothing else', (record, rest) => {
    const words = list(A, B, C)
    listRemove(words, record)
    expect(members(words)).toEqual(rest)
  })

  it('write nothing but links', () => {
    const words = list(A, B, C)
    const used = [HEAD, A, B, C].flatMap((at) => [at, at + 1])
    words.forEach((word, at) => {
      if (!used.includes(at)) expect(word).toBe(0)
    })
  })
})
