import { describe, expect, it } from 'vitest'
import { checkInteger, InvalidArgument, KernelBug, OutOfMemory } from '../../src/base/errors'

/** What a call throws. */
function thrown(call: () => void): unknown {
  try {
    call()
  } catch (error) {
    return error
  }
  return expect.fail('nothing was thrown')
}

describe('errors', () => {
  it('are named after their class, so that a log tells them apart', () => {
    const names = [new InvalidArgument('order', 11, 'less'), new KernelBug('CODE', 'text')]
    expect(names.map((error) => error.name)).toEqual(['InvalidArgument', 'KernelBug'])
    expect(new OutOfMemory('no memory').name).toBe('OutOfMemory')
  })

  it.each([
    [11, '11'],
    ['11', '"11"'],
    [null, 'null'],
    [undefined, 'undefined'],
    [true, 'true'],
    [{ order: 1 }, 'an object'],
    [[1, 2], 'an object'],
  ])('say which argument was wrong, its value (%s) and the limit', (value, shown) => {
    const error = new InvalidArgument('order', value, 'an integer from 0 to 10')
    expect(error.message).toBe(`order is ${shown}; it must be an integer from 0 to 10`)
    expect(error.argument).toBe('order')
    expect(error.value).toBe(value)
  })

  it('have the lines of a report behind the message, if there are any', () => {
    const bug = new KernelBug('DOUBLE_FREE', 'pfn 0x10 is free', ['BUG: Bad page', 'flags: 0'])
    expect(bug.message).toBe('pfn 0x10 is free\nBUG: Bad page\nflags: 0')
    expect(bug.report).toEqual(['BUG: Bad page', 'flags: 0'])
    const bare = new KernelBug('DOUBLE_FREE', 'pfn 0x10 is free')
    expect(bare.message).toBe('pfn 0x10 is free')
    expect(bare.report).toEqual([])
    expect(bare.code).toBe('DOUBLE_FREE')
  })
})

describe('checkInteger', () => {
  it('takes the integers of a range, its ends among them', () => {
    for (const value of [-2, -1, 0, 3]) {
      expect(() => checkInteger('n', value, -2, 3)).not.toThrow()
    }
  })

  it('throws for all else, and names it', () => {
    for (const value of [-3, 4, 0.5, NaN, Infinity, '1' as never, null as never]) {
      expect(thrown(() => checkInteger('n', value, -2, 3))).toBeInstanceOf(InvalidArgument)
    }
    expect(thrown(() => checkInteger('n', 4, -2, 3))).toMatchObject({ argument: 'n', value: 4 })
  })
})
