/** The bits of the mode, and the rights that each access needs by them. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { type AccessMode, checkMode, ModeBits } from '../../src/paging/accessMode'
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE } from '../../src/paging/pageFault'

type Architecture = ConstructorParameters<typeof ModeBits>[0]

/** What reads, writes and fetches need: `k` of the kernel's pages, `u` as the user, `s` the kernel of the user's pages. */
function needs(architecture: Architecture, mode: AccessMode): string {
  const bits = new ModeBits(architecture)
  bits.set(mode)
  const { need } = bits
  expect(need[ACCESS_READ | ACCESS_WRITE]).toBe(need[ACCESS_WRITE])
  expect([need[0], need[5], need[6], need[7]]).toEqual([0, 0, 0, 0])
  const letters = ['kr', 'kw', 'kx', 'ur', 'uw', 'ux', 'sr', 'sw', 'sx']
  return [ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE]
    .map((access) => letters.filter((_, i) => (need[access]! & (1 << i)) !== 0).join('+'))
    .join(' ')
}

describe('what an access needs', () => {
  it.each<[Architecture, AccessMode, string]>([
    ['x86', {}, 'kr+sr kw+sw kx+sx'],
    ['x86', { smap: true }, 'kr kw kx+sx'],
    ['x86', { smep: true }, 'kr+sr kw+sw kx'],
    ['x86', { smap: true, smep: true }, 'kr kw kx'],
    ['x86', { sum: true, mxr: true, pan: true }, 'kr+sr kw+sw kx+sx'],
    ['x86', { user: true }, 'ur uw ux'],
    ['x86', { user: true, smep: true, smap: true, mxr: true }, 'ur uw ux'],
    ['riscv', {}, 'kr kw kx'],
    ['riscv', { sum: true }, 'kr+sr kw+sw kx'],
    ['riscv', { mxr: true }, 'kr+kx kw kx'],
    ['riscv', { sum: true, mxr: true }, 'kr+kx+sr+sx kw+sw kx'],
    ['riscv', { smap: true, smep: true, pan: true }, 'kr kw kx'],
    ['riscv', { user: true, sum: true }, 'ur uw ux'],
    ['riscv', { user: true, mxr: true }, 'ur+ux uw ux'],
    ['arm64', {}, 'kr+sr kw+sw kx+sx'],
    ['arm64', { pan: true }, 'kr kw kx+sx'],
    ['arm64', { smap: true, smep: true, sum: true, mxr: true }, 'kr+sr kw+sw kx+sx'],
    ['arm64', { user: true, pan: true }, 'ur uw ux'],
  ])('on %s with %o', (architecture, mode, expected) => {
    expect(needs(architecture, mode)).toBe(expected)
  })

  it('is there from the start, and changes by the bits that are given', () => {
    const bits = new ModeBits('riscv')
    expect(Array.from(bits.need)).toEqual([0, 1, 2, 2, 4, 0, 0, 0])
    bits.set({ sum: true })
    bits.set({ mxr: true })
    expect(bits.need[ACCESS_READ]).toBe(0b101000101)
    bits.set({ sum: false })
    expect(bits.need[ACCESS_READ]).toBe(0b101)
    bits.set({})
    expect(bits.need[ACCESS_READ]).toBe(0b101)
  })
})

describe('a bit that is no boolean', () => {
  const names = ['user', 'smep', 'smap', 'sum', 'mxr', 'pan'] as const
  it.each(names)('is refused, and changes nothing: %s', (name) => {
    const bits = new ModeBits('x86')
    const before = Array.from(bits.need)
    for (const value of [0, 1, null, 'true', {}]) {
      const mode = { user: true, [name]: value } as AccessMode
      expect(() => checkMode(mode)).toThrow(InvalidArgument)
      expect(() => bits.set(mode)).toThrow(expect.objectContaining({ argument: name }))
    }
    expect([Array.from(bits.need), bits.user, bits.smep]).toEqual([before, false, false])
    for (const value of [true, false, undefined]) {
      expect(() => checkMode({ [name]: value } as AccessMode)).not.toThrow()
    }
  })
})
