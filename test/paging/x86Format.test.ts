import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import {
  CACHE_UC_MINUS,
  CACHE_WC,
  CACHE_WP,
  CACHE_WT,
  PAGE_KERNEL,
  PAGE_KERNEL_EXEC,
  PAGE_KERNEL_IO,
  PAGE_KERNEL_NOCACHE,
  PAGE_KERNEL_RO,
  PAGE_KERNEL_ROX,
  PAGE_NONE,
  PAGE_READONLY,
  PAGE_READONLY_EXEC,
  PAGE_SHARED,
  PAGE_SHARED_EXEC,
  type PageTableFormat,
  PROT_CACHE_MASK,
  PROT_EXEC,
  PROT_GLOBAL,
  PROT_READ,
  PROT_WRITE,
} from '../../src/paging/format'
import {
  I386,
  I386_PAE,
  X86_64,
  X86_64_LA57,
  X86_64_PAT,
  x86Format,
} from '../../src/paging/x86Format'
import { expectRoundTrips, whole } from './entryBits'

const WIDE = [X86_64, X86_64_PAT, X86_64_LA57]

describe('protections of x86', () => {
  const leaf = (format: PageTableFormat, prot: number, level = format.levels.length - 1) =>
    whole(format.leafBits(prot, level))

  it('are those of the kernel on x86_64', () => {
    for (const format of [...WIDE, I386_PAE]) {
      expect(leaf(format, PAGE_KERNEL)).toBe(0x8000000000000163n)
      expect(leaf(format, PAGE_KERNEL_RO)).toBe(0x8000000000000161n)
      expect(leaf(format, PAGE_KERNEL_EXEC)).toBe(0x163n)
      expect(leaf(format, PAGE_KERNEL_ROX)).toBe(0x161n)
      expect(leaf(format, PAGE_KERNEL_NOCACHE)).toBe(0x800000000000017bn)
      expect(leaf(format, PAGE_KERNEL_IO)).toBe(0x8000000000000173n)
      expect(leaf(format, PAGE_NONE)).toBe(0x120n)
      expect(leaf(format, PAGE_SHARED)).toBe(0x8000000000000027n)
      expect(leaf(format, PAGE_SHARED_EXEC)).toBe(0x27n)
      expect(leaf(format, PAGE_READONLY)).toBe(0x8000000000000025n)
      expect(leaf(format, PAGE_READONLY_EXEC)).toBe(0x25n)
    }
  })

  it('have PS in a large leaf, and PAT in another place', () => {
    for (const level of [1, 2]) {
      expect(leaf(X86_64, PAGE_KERNEL, level)).toBe(0x80000000000001e3n)
      expect(leaf(X86_64, PAGE_KERNEL_EXEC, level)).toBe(0x1e3n)
      expect(leaf(X86_64_PAT, PAGE_KERNEL | CACHE_WT, level)).toBe(0x80000000000011fbn)
      expect(leaf(X86_64_PAT, PAGE_KERNEL | CACHE_WP, level)).toBe(0x80000000000011ebn)
    }
    expect(leaf(I386, PAGE_KERNEL, 0)).toBe(0x1e3n)
    expect(leaf(X86_64_PAT, PAGE_KERNEL | CACHE_WC)).toBe(0x800000000000016bn)
    expect(leaf(X86_64_PAT, PAGE_KERNEL | CACHE_WT)).toBe(0x80000000000001fbn)
    expect(leaf(X86_64_PAT, PAGE_KERNEL | CACHE_WP)).toBe(0x80000000000001ebn)
  })

  it('become UC- without PAT, executable without NX, and lose G with isolated tables', () => {
    for (const mode of [CACHE_WC, CACHE_WT, CACHE_WP]) {
      expect(leaf(X86_64, PAGE_KERNEL | mode)).toBe(0x8000000000000173n)
    }
    expect(leaf(I386, PAGE_KERNEL)).toBe(0x163n)
    expect(leaf(I386, PAGE_KERNEL_ROX)).toBe(0x161n)
    const isolated = x86Format({ levels: 4, global: false })
    expect(leaf(isolated, PAGE_KERNEL)).toBe(0x8000000000000063n)
  })

  it('of pointers: everything is allowed, but in PAE at the top nothing is said', () => {
    for (const user of [false, true]) {
      for (const level of [0, 1, 2]) expect(whole(X86_64.tableBits(level, user))).toBe(0x67n)
      expect(whole(I386.tableBits(0, user))).toBe(0x67n)
      expect(whole(I386_PAE.tableBits(0, user))).toBe(0x1n)
      expect(whole(I386_PAE.tableBits(1, user))).toBe(0x67n)
    }
  })

  it('come back as they were, where there is a bit for it', () => {
    const back = (pat: boolean, nx: boolean, global: boolean) => (prot: number) => {
      const read = (prot & PROT_READ) !== 0
      if (!read) return prot & (PROT_WRITE | PROT_EXEC) ? null : 'none'
      const mode = prot & PROT_CACHE_MASK
      const falls = !pat && (mode === CACHE_WC || mode === CACHE_WT || mode === CACHE_WP)
      const kept = (prot & ~PROT_CACHE_MASK) | (falls ? CACHE_UC_MINUS : mode)
      return (nx ? kept : kept | PROT_EXEC) & (global ? -1 : ~PROT_GLOBAL)
    }
    expectRoundTrips(X86_64, back(false, true, true))
    expectRoundTrips(X86_64_PAT, back(true, true, true))
    expectRoundTrips(X86_64_LA57, back(false, true, true))
    expectRoundTrips(I386, back(false, false, true))
    expectRoundTrips(I386_PAE, back(false, true, true))
    const bare = x86Format({ levels: 5, pat: true, nx: false, global: false })
    expectRoundTrips(bare, back(true, false, false))
  })

  it('refuses what is none, and leaves where there are none', () => {
    expect(() => X86_64.leafBits(PAGE_KERNEL, 0)).toThrow(InvalidArgument)
    expect(() => X86_64_LA57.leafBits(PAGE_KERNEL, 1)).toThrow(InvalidArgument)
    expect(() => I386_PAE.leafBits(PAGE_KERNEL, 0)).toThrow(InvalidArgument)
    const small = x86Format({ levels: 4, gbPages: false })
    expect(() => small.leafBits(PAGE_KERNEL, 1)).toThrow(InvalidArgument)
    expect(() => X86_64.tableBits(3, false)).toThrow(InvalidArgument)
    for (const bad of [-1, 0x600, 1.5, Number.NaN, Infinity, '3' as unknown as number]) {
      expect(() => X86_64.leafBits(bad, 3)).toThrow(InvalidArgument)
      expect(() => X86_64.leafBits(PAGE_KERNEL, bad)).toThrow(InvalidArgument)
      expect(() => x86Format({ levels: bad as 4 })).toThrow(InvalidArgument)
    }
    expect(() => X86_64.leafBits(PAGE_KERNEL, 4)).toThrow(InvalidArgument)
    for (const levels of [1, 6]) {
      expect(() => x86Format({ levels: levels as 4 })).toThrow(InvalidArgument)
    }
  })
})

describe('geometry and faults of x86', () => {
  const shape = (format: PageTableFormat) =>
    format.levels.map(({ name, shift, bits, leaf }) => `${name} ${shift}/${bits}${leaf ? '*' : ''}`)

  it('levels, addresses, entries', () => {
    expect(shape(X86_64)).toEqual(['PGD 39/9', 'PUD 30/9*', 'PMD 21/9*', 'PTE 12/9*'])
    expect(shape(X86_64_LA57)).toEqual(['PGD 48/9', 'P4D 39/9', ...shape(X86_64).slice(1)])
    expect(shape(I386)).toEqual(['PGD 22/10*', 'PTE 12/10*'])
    expect(shape(I386_PAE)).toEqual(['PGD 30/2', 'PMD 21/9*', 'PTE 12/9*'])
    const all = [X86_64, X86_64_LA57, I386, I386_PAE]
    expect(all.map((format) => format.vaBits)).toEqual([48, 57, 32, 32])
    const names = ['x86_64', 'x86_64 LA57', 'i386', 'i386 PAE']
    expect(all.map((format) => format.name)).toEqual(names)
    expect(all.map((format) => format.physBits)).toEqual([52, 52, 32, 52])
    expect(all.map((format) => format.entryBytes)).toEqual([8, 8, 4, 8])
    const high = 0xfffff
    expect(all.map((format) => format.pfnHighMask)).toEqual([high, high, 0, high])
    for (const format of all) expect([format.twoRoots, format.hugeLeaves]).toEqual([false, true])
  })

  it('addresses end where the format does', () => {
    for (const [format, end] of [
      [X86_64, 0x1000000000000],
      [X86_64_LA57, 0x200000000000000],
      [I386, 0x100000000],
      [I386_PAE, 0x100000000],
    ] as const) {
      expect(format.isCanonical(0)).toBe(true)
      expect(format.isCanonical(end / 2)).toBe(true)
      expect(format.isCanonical(end - 16)).toBe(true)
      for (const bad of [end, -1, 0.5, Number.NaN, Infinity]) {
        expect(format.isCanonical(bad)).toBe(false)
      }
    }
  })

  it('error codes', () => {
    const code = X86_64.faultCode.bind(X86_64)
    expect(code('unmapped', { kind: 'read', user: false }, 3)).toBe(0)
    expect(code('unmapped', { kind: 'write', user: false }, 0)).toBe(2)
    expect(code('unmapped', { kind: 'read', user: true }, 1)).toBe(4)
    expect(code('unmapped', { kind: 'execute', user: true }, 3)).toBe(0x14)
    expect(code('protection', { kind: 'read', user: true }, 3)).toBe(5)
    expect(code('protection', { kind: 'write', user: false }, 3)).toBe(3)
    expect(code('protection', { kind: 'write', user: true }, 3)).toBe(7)
    expect(code('protection', { kind: 'execute', user: false }, 3)).toBe(0x11)
    expect(code('reserved', { kind: 'read', user: false }, 2)).toBe(9)
    expect(code('reserved', { kind: 'execute', user: true }, 2)).toBe(0x1d)
    expect(code('non-canonical', { kind: 'write', user: true }, 0)).toBe(0)
    expect(I386.faultCode('unmapped', { kind: 'execute', user: true }, 1)).toBe(4)
    expect(I386_PAE.faultCode('protection', { kind: 'execute', user: true }, 2)).toBe(0x15)
  })
})
