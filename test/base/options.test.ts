import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { parseFaultAttr } from '../../src/base/faultAttr'
import { given } from '../../src/base/given'

describe('given', () => {
  it('leaves out what is undefined, and nothing else', () => {
    const options = { a: undefined, b: null, c: 0, d: '', e: false }
    expect(Object.entries(given(options))).toEqual([
      ['b', null],
      ['c', 0],
      ['d', ''],
      ['e', false],
    ])
  })
})

describe('parseFaultAttr', () => {
  it.each([
    ['1,100,0,-1', { interval: 1, probability: 100, space: 0, times: -1 }],
    ['20,35,-4096,12', { interval: 20, probability: 35, space: -4096, times: 12 }],
    [
      '0,0,-2147483648,2147483647',
      { interval: 0, probability: 0, space: -(2 ** 31), times: 2 ** 31 - 1 },
    ],
    [
      '10,10,2147483647,-2147483648',
      { interval: 10, probability: 10, space: 2 ** 31 - 1, times: -(2 ** 31) },
    ],
  ])('reads %s', (text, attr) => {
    expect(parseFaultAttr(text)).toEqual(attr)
  })

  it.each([
    '',
    '1,100,0',
    '1,100,0,-1,',
    'x1,100,0,-1',
    ' 1,100,0,-1',
    '1,100,0,-1 ',
    '-1,100,0,-1',
    '1,-100,0,-1',
    '1,100,+0,-1',
    '1,100,0.5,-1',
    'a,b,c,d',
    '1,100,2147483648,-1',
    '1,100,-2147483649,-1',
    '1,100,0,2147483648',
    '1,100,0,-2147483649',
    '9007199254740993,100,0,-1',
    '1,9007199254740993,0,-1',
  ])('refuses "%s"', (text) => {
    expect(() => parseFaultAttr(text)).toThrow(InvalidArgument)
  })
})
