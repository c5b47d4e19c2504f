/**
 * A core that runs RV64IM programs in user mode: it decodes and executes, and knows memory as three
 * calls. An instruction that traps has changed nothing, so it can be repeated once the kernel has
 * seen to it.
 *
 * Registers are BigInts, because that reads best; a fast core would keep two words for each.
 */

import { compare, operate, operateWord } from './alu'

/** Bytes of a load or a store. */
export type Width = 1 | 2 | 4 | 8

/** What the core asks of memory. Addresses are unsigned; each call may throw a {@link Trap}. */
export interface Memory {
  /** The instruction at an address, a multiple of 4. */
  fetch(address: bigint): number
  /** Unsigned. */
  load(address: bigint, bytes: Width): bigint
  /** Stores the low bytes of a value. */
  store(address: bigint, bytes: Width, value: bigint): void
}

/** Numbers of causes. */
export const CAUSE = {
  misalignedFetch: 0,
  illegalInstruction: 2,
  breakpoint: 3,
  misalignedLoad: 4,
  misalignedStore: 6,
  call: 8,
  fetchPageFault: 12,
  loadPageFault: 13,
  storePageFault: 15,
} as const

/** An instruction that needs the kernel. */
export class Trap extends Error {
  /**
   * @param cause one of {@link CAUSE}.
   * @param value the address that it is about, or the instruction that is illegal; else 0.
   */
  constructor(
    override readonly cause: number,
    readonly value: bigint,
  ) {
    super(`trap ${cause}, value 0x${value.toString(16)}`)
  }
}

/** One hart, always in user mode. */
export class Core {
  /** x0 to x31. The array cuts what it is given to 64 bits. */
  private readonly x = new BigInt64Array(32)
  /** Address of the next instruction. */
  pc = 0n
  /** Instructions completed. */
  instructions = 0

  constructor(private readonly memory: Memory) {}

  /** A register, signed. */
  get(register: number): bigint {
    return this.x[register] ?? 0n
  }

  /** Sets a register, cut to 64 bits. Register 0 stays 0. */
  set(register: number, value: bigint): void {
    if (register !== 0) this.x[register] = value
  }

  /** Executes an instruction. Returns what kept it from completing, null for nothing. */
  step(): Trap | null {
    try {
      const word = this.memory.fetch(this.pc)
      this.pc = this.execute(word)
      this.instructions++
      return null
    } catch (error) {
      if (error instanceof Trap) return error
      throw error
    }
  }

  /** Executes `word`, and returns the address of the next instruction. */
  private execute(word: number): bigint {
    const rd = (word >>> 7) & 31
    const f3 = (word >>> 12) & 7
    const f7 = word >>> 25
    const a = this.get((word >>> 15) & 31)
    const b = this.get((word >>> 20) & 31)
    const next = this.pc + 4n
    switch (word & 0x7f) {
      case 0x37: // lui
        this.set(rd, BigInt(word & -4096))
        return next
      case 0x17: // auipc
        this.set(rd, this.pc + BigInt(word & -4096))
        return next
      case 0x6f: // jal
        return this.jump(rd, this.pc + jumpOffset(word))
      case 0x67: // jalr
        if (f3 !== 0) return illegal(word)
        return this.jump(rd, (a + BigInt(word >> 20)) & ~1n)
      case 0x63: {
        const taken = compare(f3, a, b) ?? illegal(word)
        return taken ? aligned(this.pc + branchOffset(word)) : next
      }
      case 0x03:
        this.load(word, rd, f3, a)
        return next
      case 0x23: {
        if (f3 > 3) illegal(word)
        const offset = ((word >> 25) << 5) | rd
        this.memory.store(unsigned(a + BigInt(offset)), (1 << f3) as Width, b)
        return next
      }
      case 0x13:
        this.set(rd, immediate(word, f3, a, 6) ?? illegal(word))
        return next
      case 0x1b:
        this.set(rd, immediate(word, f3, a, 5) ?? illegal(word))
        return next
      case 0x33:
        this.set(rd, operate(f3, f7, a, b) ?? illegal(word))
        return next
      case 0x3b:
        this.set(rd, operateWord(f3, f7, a, b) ?? illegal(word))
        return next
      case 0x0f: // fence, fence.i: one hart, without caches
        return f3 > 1 ? illegal(word) : next
      case 0x73:
        this.system(word, rd, f3)
        return next
      default:
        return illegal(word)
    }
  }

  private jump(rd: number, to: bigint): bigint {
    const target = aligned(to)
    this.set(rd, this.pc + 4n)
    return target
  }

  private load(word: number, rd: number, f3: number, base: bigint): void {
    if (f3 === 7) illegal(word)
    const bytes = (1 << (f3 & 3)) as Width
    const value = this.memory.load(unsigned(base + BigInt(word >> 20)), bytes)
    const signed = f3 < 4
    this.set(rd, signed ? BigInt.asIntN(bytes * 8, value) : value)
  }

  /** Calls, and the counters, which can only be read. */
  private system(word: number, rd: number, f3: number): void {
    if (word === 0x73) throw new Trap(CAUSE.call, 0n)
    if (word === 0x100073) throw new Trap(CAUSE.breakpoint, this.pc)
    const reads = (f3 & 3) >= 2 && ((word >>> 15) & 31) === 0
    const register = word >>> 20
    // cycle, time, instret: one instruction takes one cycle, and time is counted in cycles.
    if (!reads || register < 0xc00 || register > 0xc02) illegal(word)
    this.set(rd, BigInt(this.instructions))
  }
}

/** An operation with a constant; of 2^shiftBits bits, 64 or 32. */
function immediate(word: number, f3: number, a: bigint, shiftBits: 5 | 6): bigint | null {
  const operation = shiftBits === 6 ? operate : operateWord
  const constant = BigInt(word >> 20)
  if (f3 !== 1 && f3 !== 5) return operation(f3, 0, a, constant)
  // A shift: the bits above its amount say which, as f7 does elsewhere; there is no f7 of 1 here.
  const kind = (word >>> (20 + shiftBits)) << (shiftBits - 5)
  return kind === 0 || kind === 0x20 ? operation(f3, kind, a, constant) : null
}

/** imm[20|10:1|11|19:12] */
function jumpOffset(word: number): bigint {
  const high = (word >> 31) << 20
  return BigInt(high | (word & 0xff000) | ((word >>> 9) & 0x800) | ((word >>> 20) & 0x7fe))
}

/** imm[12|10:5] … imm[4:1|11] */
function branchOffset(word: number): bigint {
  const high = (word >> 31) << 12
  return BigInt(high | ((word << 4) & 0x800) | ((word >>> 20) & 0x7e0) | ((word >>> 7) & 0x1e))
}

function unsigned(address: bigint): bigint {
  return BigInt.asUintN(64, address)
}

function aligned(address: bigint): bigint {
  const target = unsigned(address)
  if ((target & 3n) !== 0n) throw new Trap(CAUSE.misalignedFetch, target)
  return target
}

function illegal(word: number): never {
  throw new Trap(CAUSE.illegalInstruction, BigInt(word >>> 0))
}
