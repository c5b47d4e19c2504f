import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { formatGfp, formatGfpTrace, parseGfp } from '../../src/page/gfpText'

const EXAMPLES: [mask: number, text: string][] = [
  [0xdc0, 'GFP_KERNEL|__GFP_ZERO'],
  [0x820, 'GFP_NOWAIT|__GFP_HIGH'],
  [0x52cc0, 'GFP_KERNEL|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP'],
  [0x92a20, 'GFP_ATOMIC|__GFP_NOWARN|__GFP_NORETRY|__GFP_NOMEMALLOC'],
  [0xcc1, 'GFP_KERNEL|GFP_DMA'],
  [0x100cc8, 'GFP_USER|__GFP_MOVABLE'],
  [0x480, '__GFP_FS|__GFP_DIRECT_RECLAIM'],
  [0x152dc0, 'GFP_USER|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP|__GFP_ZERO'],
  [0x9000000, '0x9000000'],
  [0x9000cc0, 'GFP_KERNEL|0x9000000'],
  [0x80000000, '0x80000000'],
  [0x500cc0, 'GFP_USER|__GFP_ACCOUNT'],
]

const NAMED: [mask: number, name: string][] = [
  [0x1c24ca, 'GFP_TRANSHUGE'],
  [0x1c20ca, 'GFP_TRANSHUGE_LIGHT'],
  [0x100cca, 'GFP_HIGHUSER_MOVABLE'],
  [0x100cc2, 'GFP_HIGHUSER'],
  [0x100cc0, 'GFP_USER'],
  [0x400cc0, 'GFP_KERNEL_ACCOUNT'],
  [0xcc0, 'GFP_KERNEL'],
  [0xc40, 'GFP_NOFS'],
  [0xa20, 'GFP_ATOMIC'],
  [0xc00, 'GFP_NOIO'],
  [0x800, 'GFP_NOWAIT'],
  [0x1, 'GFP_DMA'],
  [0x2, '__GFP_HIGHMEM'],
  [0x4, 'GFP_DMA32'],
  [0x20, '__GFP_HIGH'],
  [0x200, '__GFP_ATOMIC'],
  [0x40, '__GFP_IO'],
  [0x80, '__GFP_FS'],
  [0x2000, '__GFP_NOWARN'],
  [0x4000, '__GFP_RETRY_MAYFAIL'],
  [0x8000, '__GFP_NOFAIL'],
  [0x10000, '__GFP_NORETRY'],
  [0x40000, '__GFP_COMP'],
  [0x100, '__GFP_ZERO'],
  [0x80000, '__GFP_NOMEMALLOC'],
  [0x20000, '__GFP_MEMALLOC'],
  [0x100000, '__GFP_HARDWALL'],
  [0x200000, '__GFP_THISNODE'],
  [0x10, '__GFP_RECLAIMABLE'],
  [0x8, '__GFP_MOVABLE'],
  [0x400000, '__GFP_ACCOUNT'],
  [0x1000, '__GFP_WRITE'],
  [0x400, '__GFP_DIRECT_RECLAIM'],
  [0x800000, '__GFP_ZEROTAGS'],
]

describe('formatGfp', () => {
  it.each(EXAMPLES)('0x%x', (mask, text) => {
    expect(formatGfp(mask)).toBe(text)
    expect(formatGfpTrace(mask)).toBe(text)
    expect(parseGfp(text)).toBe(mask)
  })

  it.each(NAMED)('0x%x has a name of its own', (mask, name) => {
    expect(formatGfp(mask)).toBe(name)
    expect(parseGfp(name)).toBe(mask)
  })

  it('prints the single bits and the rest in table order', () => {
    expect(formatGfp(0xffffffff)).toBe(
      'GFP_TRANSHUGE|GFP_ATOMIC|GFP_DMA|GFP_DMA32|__GFP_RETRY_MAYFAIL|__GFP_NOFAIL|' +
        '__GFP_NORETRY|__GFP_ZERO|__GFP_MEMALLOC|__GFP_THISNODE|__GFP_RECLAIMABLE|' +
        '__GFP_ACCOUNT|__GFP_WRITE|__GFP_ZEROTAGS|0xff000000',
    )
    expect(formatGfp(-1)).toBe(formatGfp(0xffffffff))
  })

  it('prints nothing for 0, or none in a trace', () => {
    expect(formatGfp(0)).toBe('')
    expect(formatGfpTrace(0)).toBe('none')
  })
})

describe('parseGfp', () => {
  it('undoes both formats for any mask', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffffffff }), (mask) => {
        expect(parseGfp(formatGfp(mask))).toBe(mask)
        expect(parseGfp(formatGfpTrace(mask))).toBe(mask)
      }),
    )
  })

  it.each([
    ['', 0],
    ['none', 0],
    ['0x0', 0],
    ['0xFFFFFFFF', 0xffffffff],
    ['0x40|__GFP_FS', 0xc0],
    ['__GFP_RECLAIM', 0xc00],
    ['__GFP_KSWAPD_RECLAIM', 0x800],
    ['__GFP_DMA', 0x1],
    ['__GFP_DMA32', 0x4],
    ['GFP_KERNEL|__GFP_NOLOCKDEP', 0xcc0],
    ['__GFP_SKIP_ZERO|__GFP_SKIP_KASAN_UNPOISON|__GFP_SKIP_KASAN_POISON', 0],
    ['GFP_KERNEL|GFP_KERNEL', 0xcc0],
  ])('reads %j', (text, mask) => {
    expect(parseGfp(text)).toBe(mask)
  })

  it.each([
    ['GFP_KERNEL|__GFP_TYPO', '__GFP_TYPO'],
    ['GFP_KERNEL|', '""'],
    ['|GFP_KERNEL', '""'],
    ['GFP_KERNEL |__GFP_ZERO', '"GFP_KERNEL "'],
    ['gfp_kernel', 'gfp_kernel'],
    ['GFP_KERNEL|none', 'none'],
    ['0x', '"0x"'],
    ['0x123456789', '0x123456789'],
    ['3264', '3264'],
    ['constructor', 'constructor'],
  ])('refuses %j and names the part at fault', (text, named) => {
    expect(() => parseGfp(text)).toThrow(InvalidArgument)
    expect(() => parseGfp(text)).toThrow(named)
  })
})
