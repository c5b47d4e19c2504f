/**
 * The arithmetic of RV64IM. Operands and results are signed 64-bit integers; the caller cuts results
 * to 64 bits. `f3` and `f7` are the fields of those names in an instruction.
 */

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value)
const i32 = (value: bigint): bigint => BigInt.asIntN(32, value)
const u32 = (value: bigint): bigint => BigInt.asUintN(32, value)

/** Operations of a whole register. Null: there is no such instruction. */
export function operate(f3: number, f7: number, a: bigint, b: bigint): bigint | null {
  if (f7 === 0x01) return multiply(f3, a, b)
  if (f7 === 0x20) {
    if (f3 === 0) return a - b
    return f3 === 5 ? a >> (b & 63n) : null
  }
  if (f7 !== 0) return null
  switch (f3) {
    case 0:
      return a + b
    case 1:
      return a << (b & 63n)
    case 2:
      return a < b ? 1n : 0n
    case 3:
      return u64(a) < u64(b) ? 1n : 0n
    case 4:
      return a ^ b
    case 5:
      return u64(a) >> (b & 63n)
    case 6:
      return a | b
    default:
      return a & b
  }
}

/** Operations of the low words; the result is a signed word. Null: there is no such instruction. */
export function operateWord(f3: number, f7: number, a: bigint, b: bigint): bigint | null {
  if (f7 === 0x01) return multiplyWord(f3, i32(a), i32(b))
  if (f7 === 0x20) {
    if (f3 === 0) return i32(a - b)
    return f3 === 5 ? i32(a) >> (b & 31n) : null
  }
  if (f7 !== 0) return null
  if (f3 === 0) return i32(a + b)
  if (f3 === 1) return i32(a << (b & 31n))
  return f3 === 5 ? i32(u32(a) >> (b & 31n)) : null
}

/** Whether a branch is taken. Null: there is no such instruction. */
export function compare(f3: number, a: bigint, b: bigint): boolean | null {
  switch (f3) {
    case 0:
      return a === b
    case 1:
      return a !== b
    case 4:
      return a < b
    case 5:
      return a >= b
    case 6:
      return u64(a) < u64(b)
    case 7:
      return u64(a) >= u64(b)
    default:
      return null
  }
}

// Division never traps: by zero it gives all ones, and the dividend as the remainder. The smallest
// number divided by -1 overflows to itself when the result is cut, with no remainder.

function multiply(f3: number, a: bigint, b: bigint): bigint {
  switch (f3) {
    case 0:
      return a * b
    case 1:
      return (a * b) >> 64n
    case 2:
      return (a * u64(b)) >> 64n
    case 3:
      return (u64(a) * u64(b)) >> 64n
    case 4:
      return b === 0n ? -1n : a / b
    case 5:
      return b === 0n ? -1n : u64(a) / u64(b)
    case 6:
      return b === 0n ? a : a % b
    default:
      return b === 0n ? a : u64(a) % u64(b)
  }
}

function multiplyWord(f3: number, a: bigint, b: bigint): bigint | null {
  switch (f3) {
    case 0:
      return i32(a * b)
    case 4:
      return i32(b === 0n ? -1n : a / b)
    case 5:
      return i32(b === 0n ? -1n : u32(a) / u32(b))
    case 6:
      return i32(b === 0n ? a : a % b)
    case 7:
      return i32(b === 0n ? a : u32(a) % u32(b))
    default:
      return null
  }
}
