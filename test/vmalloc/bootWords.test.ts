import { describe, expect, it } from 'vitest'
import { InvalidArgument, vmallocOptions } from '../../src/index'

describe('vmallocOptions', () => {
  it('reads the words of vmalloc and leaves the others', () => {
    expect(vmallocOptions(' nohugevmalloc vmalloc=256M quiet  slab_nomerge')).toEqual({
      hugeVmalloc: false,
      vmalloc: 256 * 1024 * 1024,
      unknown: ['quiet', 'slab_nomerge'],
    })
    expect(vmallocOptions('nohugeiomap')).toEqual({ hugeIomap: false, unknown: [] })
    expect(vmallocOptions('')).toEqual({ unknown: [] })
  })

  it.each(['vmalloc', 'vmalloc=', 'vmalloc=much', 'nohugevmalloc=1', 'nohugeiomap='])(
    'refuses %s',
    (words) => {
      expect(() => vmallocOptions(words)).toThrow(InvalidArgument)
    },
  )

  it('refuses what is no string', () => {
    expect(() => vmallocOptions(3 as never)).toThrow(InvalidArgument)
  })
})
