import { describe, expect, it } from 'vitest'
import { addEvent, countOne, eventCount } from '../../src/state/counters'

describe('events of two words', () => {
  it('carry from the low word, of 31 bits, into the high one', () => {
    const words = new Int32Array(2)
    addEvent(words, 0, 2 ** 30)
    addEvent(words, 0, 2 ** 30 - 1)
    expect(Array.from(words)).toEqual([0x7fffffff, 0])
    countOne(words, 0)
    expect(Array.from(words)).toEqual([0, 1])
    expect(eventCount(words, 0)).toBe(2 ** 31)
    words[0] = 0x7ffffff0
    addEvent(words, 0, 2 ** 30)
    expect(eventCount(words, 0)).toBe(2 ** 31 + 0x7ffffff0 + 2 ** 30)
    expect(words[1]).toBe(2)
  })
})
