/**
 * The core of the emulator, one instruction at a time. Instruction words are an assembler's; results
 * were worked out by hand.
 */

import { describe, expect, it } from 'vitest'
import { Core, type Memory, Trap, type Width } from '../../examples/emulator/core'

const A0 = 10
const A1 = 11
const A2 = 12
const START = 0x1000n

/** Memory of 8 KiB from address 0 on, without any rules. */
class FlatMemory implements Memory {
  readonly bytes = new Uint8Array(0x2000)
  readonly view = new DataView(this.bytes.buffer)

  fetch(address: bigint): number {
    return this.view.getUint32(Number(address), true)
  }

  load(address: bigint, bytes: Width): bigint {
    let value = 0n
    for (let i = bytes - 1; i >= 0; i--) {
      value = (value << 8n) | BigInt(this.view.getUint8(Number(address) + i))
    }
    return value
  }

  store(address: bigint, bytes: Width, value: bigint): void {
    for (let i = 0; i < bytes; i++) {
      this.view.setUint8(Number(address) + i, Number((value >> BigInt(8 * i)) & 0xffn))
    }
  }
}

function coreAt(word: number, a1 = 0n, a2 = 0n): { core: Core; memory: FlatMemory } {
  const memory = new FlatMemory()
  memory.view.setUint32(Number(START), word, true)
  const core = new Core(memory)
  core.pc = START
  core.set(A1, a1)
  core.set(A2, a2)
  return { core, memory }
}

/** What an instruction leaves in a0. */
function result(word: number, a1 = 0n, a2 = 0n): bigint {
  const { core } = coreAt(word, a1, a2)
  core.set(A0, 0x5555n)
  expect(core.step()).toBeNull()
  expect(core.pc).toBe(START + 4n)
  expect(core.instructions).toBe(1)
  return core.get(A0)
}

function trapOf(core: Core): Trap {
  const trap = core.step()
  if (trap === null) throw new Error('no trap')
  return trap
}

const MIN = -(2n ** 63n)
const MAX = 2n ** 63n - 1n
const MIN32 = -(2n ** 31n)

describe('two registers', () => {
  it.each<[string, number, bigint, bigint, bigint]>([
    ['add wraps', 0x00c58533, MAX, 1n, MIN],
    ['sub wraps', 0x40c58533, MIN, 1n, MAX],
    ['sll', 0x00c59533, 3n, 62n, -(2n ** 62n)],
    ['sll takes 6 bits of the amount', 0x00c59533, 1n, 65n, 2n],
    ['slt', 0x00c5a533, -1n, 0n, 1n],
    ['slt of equals', 0x00c5a533, 7n, 7n, 0n],
    ['sltu', 0x00c5b533, -1n, 0n, 0n],
    ['sltu below', 0x00c5b533, 1n, -1n, 1n],
    ['xor', 0x00c5c533, 0b1100n, 0b1010n, 0b0110n],
    ['srl', 0x00c5d533, -1n, 60n, 15n],
    ['sra', 0x40c5d533, -256n, 4n, -16n],
    ['sra takes 6 bits of the amount', 0x40c5d533, -256n, 68n, -16n],
    ['or', 0x00c5e533, 0b1100n, 0b1010n, 0b1110n],
    ['and', 0x00c5f533, 0b1100n, 0b1010n, 0b1000n],
    ['addw', 0x00c5853b, 0x7fffffffn, 1n, MIN32],
    ['addw of low words', 0x00c5853b, 0x5_0000_0001n, 0x7_0000_0002n, 3n],
    ['subw', 0x40c5853b, MIN32, 1n, 0x7fffffffn],
    ['sllw', 0x00c5953b, 1n, 31n, MIN32],
    ['sllw takes 5 bits of the amount', 0x00c5953b, 1n, 33n, 2n],
    ['srlw', 0x00c5d53b, 0xf_8000_0000n, 4n, 0x0800_0000n],
    ['srlw by 0 extends the sign', 0x00c5d53b, 0x8000_0000n, 0n, MIN32],
    ['sraw', 0x40c5d53b, 0x0_8000_0000n, 4n, -0x0800_0000n],
    ['mul', 0x02c58533, 0x1_0000_0001n, 0x1_0000_0001n, 0x2_0000_0001n],
    ['mul of signs', 0x02c58533, -3n, 5n, -15n],
    ['mulh', 0x02c59533, MIN, MIN, 2n ** 62n],
    ['mulh of signs', 0x02c59533, -1n, 1n, -1n],
    ['mulhsu', 0x02c5a533, -1n, -1n, -1n],
    ['mulhsu of a signed by an unsigned', 0x02c5a533, 2n, MIN, 1n],
    ['mulhsu of an unsigned is not mulhu', 0x02c5a533, MIN, 2n, -1n],
    ['mulhu', 0x02c5b533, -1n, -1n, -2n],
    ['div towards zero', 0x02c5c533, -7n, 2n, -3n],
    ['div by zero', 0x02c5c533, 7n, 0n, -1n],
    ['div overflow', 0x02c5c533, MIN, -1n, MIN],
    ['divu', 0x02c5d533, -1n, 16n, 0x0fff_ffff_ffff_ffffn],
    ['divu by zero', 0x02c5d533, 7n, 0n, -1n],
    ['rem has the sign of the dividend', 0x02c5e533, -7n, 2n, -1n],
    ['rem by zero', 0x02c5e533, -7n, 0n, -7n],
    ['rem overflow', 0x02c5e533, MIN, -1n, 0n],
    ['remu', 0x02c5f533, -1n, 10n, 5n],
    ['remu by zero', 0x02c5f533, -7n, 0n, -7n],
    ['mulw', 0x02c5853b, 0x1_0001_0000n, 0x7fffn, 0x7fff_0000n],
    ['mulw extends the sign', 0x02c5853b, 0x1_0000n, 0x8000n, MIN32],
    ['divw', 0x02c5c53b, 0x9_ffff_fff9n, 2n, -3n],
    ['divw by zero', 0x02c5c53b, 7n, 0x1_0000_0000n, -1n],
    ['divw overflow', 0x02c5c53b, MIN32, -1n, MIN32],
    ['divuw', 0x02c5d53b, -1n, 1n, -1n],
    ['divuw of low words', 0x02c5d53b, 0x3_ffff_fffen, 2n, 0x7fff_ffffn],
    ['divuw by zero', 0x02c5d53b, 7n, 0n, -1n],
    ['remw', 0x02c5e53b, -7n, 2n, -1n],
    ['remw by zero', 0x02c5e53b, 0x1_8000_0000n, 0n, MIN32],
    ['remw overflow', 0x02c5e53b, MIN32, -1n, 0n],
    ['remuw', 0x02c5f53b, -1n, 0x10n, 15n],
    ['remuw by zero', 0x02c5f53b, 0xffff_ffffn, 0n, -1n],
  ])('%s', (_name, word, a1, a2, expected) => {
    expect(result(word, a1, a2)).toBe(expected)
  })
})

describe('a register and a constant', () => {
  it.each<[string, number, bigint, bigint]>([
    ['addi -2048', 0x80058513, 2048n, 0n],
    ['addi 2047', 0x7ff58513, MAX, MIN + 2046n],
    ['slti -1', 0xfff5a513, -2n, 1n],
    ['slti -1, not below', 0xfff5a513, -1n, 0n],
    ['sltiu -1: the constant is extended, then unsigned', 0xfff5b513, 5n, 1n],
    ['xori -1 inverts', 0xfff5c513, 5n, -6n],
    ['ori 0x55', 0x0555e513, 0xaan, 0xffn],
    ['andi -16', 0xff05f513, 0x7fn, 0x70n],
    ['slli 63', 0x03f59513, 3n, MIN],
    ['slli 33', 0x02159513, 1n, 0x2_0000_0000n],
    ['srli 63', 0x03f5d513, -1n, 1n],
    ['srai 63', 0x43f5d513, MIN, -1n],
    ['srai 33', 0x4215d513, MIN, MIN32 / 2n],
    ['addiw -1', 0xfff5851b, 0x1_8000_0000n, 0x7fff_ffffn],
    ['addiw 1', 0x0015851b, 0x7fff_ffffn, MIN32],
    ['slliw 31', 0x01f5951b, 3n, MIN32],
    ['srliw 31', 0x01f5d51b, 0xf_8000_0000n, 1n],
    ['sraiw 31', 0x41f5d51b, 0x8000_0000n, -1n],
    ['lui extends the sign', 0x80000537, 0n, MIN32],
    ['lui', 0x12345537, 0n, 0x12345000n],
    ['auipc, wrapped below 0', 0x80000517, 0n, MIN32 + START],
    ['auipc', 0x00001517, 0n, START + 0x1000n],
  ])('%s', (_name, word, a1, expected) => {
    expect(result(word, a1)).toBe(expected)
  })

  it('leaves register 0 alone', () => {
    for (const word of [0x00c58033, 0x00158013, 0x0080006f]) {
      const { core } = coreAt(word, 1n, 2n)
      core.step()
      expect(core.get(0)).toBe(0n)
    }
  })
})

describe('branches and jumps', () => {
  const BEQ = 0x00c58463 // +8
  const BNE = 0xfec59ce3 // -8
  const BLT = 0x7ec5cee3 // +4092
  const BGE = 0x80c5d063 // -4096
  const BLTU = 0x00c5e463 // +8
  const BGEU = 0x00c5f463 // +8
  it.each<[string, number, bigint, bigint, bigint]>([
    ['beq', BEQ, 5n, 5n, 8n],
    ['beq not', BEQ, 5n, -5n, 4n],
    ['bne', BNE, 5n, 4n, -8n],
    ['bne not', BNE, 5n, 5n, 4n],
    ['blt', BLT, -1n, 0n, 4092n],
    ['blt not', BLT, 0n, 0n, 4n],
    ['bge', BGE, 0n, 0n, -4096n],
    ['bge not', BGE, -1n, 0n, 4n],
    ['bltu', BLTU, 0n, -1n, 8n],
    ['bltu not', BLTU, -1n, 0n, 4n],
    ['bgeu', BGEU, -1n, 0n, 8n],
    ['bgeu not', BGEU, 0n, -1n, 4n],
  ])('%s', (_name, word, a1, a2, offset) => {
    const { core } = coreAt(word, a1, a2)
    core.step()
    expect(core.pc).toBe(START + offset)
  })

  it('jal links, forwards and backwards', () => {
    for (const [word, offset] of [
      [0x0080056f, 8n],
      [0x8000056f, -1048576n],
      [0x7fdff56f, 1048572n],
    ] as const) {
      const { core } = coreAt(word)
      core.step()
      expect(core.pc).toBe(BigInt.asUintN(64, START + offset))
      expect(core.get(A0)).toBe(START + 4n)
    }
  })

  it('jalr clears bit 0, and may link to the register it jumps by', () => {
    const odd = coreAt(0xfff58567, 0x2002n).core // jalr a0, -1(a1)
    odd.step()
    expect([odd.pc, odd.get(A0)]).toEqual([0x2000n, START + 4n])
    const same = coreAt(0x000585e7, 0x2000n).core // jalr a1, 0(a1)
    same.step()
    expect([same.pc, same.get(A1)]).toEqual([0x2000n, START + 4n])
  })

  it('a target that is not a multiple of 4 traps, when the branch is taken', () => {
    for (const [word, target] of [
      [0x00c58363, 0x1006n], // beq a1, a2, +6
      [0x0020056f, 0x1002n], // jal a0, +2
    ] as const) {
      const { core } = coreAt(word)
      expect(trapOf(core)).toMatchObject({ cause: 0, value: target })
      expect([core.pc, core.get(A0)]).toEqual([START, 0n])
    }
    const not = coreAt(0x00c58363, 1n).core
    not.step()
    expect(not.pc).toBe(START + 4n)
  })
})

describe('loads and stores', () => {
  const bytes = [0x81, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8, 0x01]
  it.each<[string, number, bigint, bigint]>([
    ['lb -1', 0xfff58503, 0x101n, -0x7fn],
    ['lh -2', 0xffe59503, 0x102n, -0x6d7fn],
    ['lw 4', 0x0045a503, 0xfcn, -0x4b5c6d7fn],
    ['ld 8', 0x0085b503, 0xf8n, -0x0718293a4b5c6d7fn],
    ['lbu -1', 0xfff5c503, 0x101n, 0x81n],
    ['lhu -2', 0xffe5d503, 0x102n, 0x9281n],
    ['lwu 4', 0x0045e503, 0xfcn, 0xb4a39281n],
    ['lb of a positive byte', 0xfff58503, 0x109n, 1n],
  ])('%s', (_name, word, base, expected) => {
    const { core, memory } = coreAt(word, base)
    memory.bytes.set(bytes, 0x100)
    core.step()
    expect(core.get(A0)).toBe(expected)
  })

  const value = 0x8877_6655_4433_2211n
  it.each<[string, number, bigint, number, number[]]>([
    ['sb -1', 0xfec58fa3, 0x101n, 0x100, [0x11]],
    ['sh -2', 0xfec59f23, 0x102n, 0x100, [0x11, 0x22]],
    ['sw 4', 0x00c5a223, 0xfcn, 0x100, [0x11, 0x22, 0x33, 0x44]],
    ['sd 2040', 0x7ec5bc23, 8n, 0x800, [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]],
    ['sd -2048', 0x80c5b023, 0x900n, 0x100, [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]],
  ])('%s', (_name, word, base, at, stored) => {
    const { core, memory } = coreAt(word, base, value)
    const before = memory.bytes.slice()
    before.set(stored, at)
    core.step()
    expect(memory.bytes).toEqual(before)
  })

  it('ask for an unsigned address, also when nobody wants the value', () => {
    const { core, memory } = coreAt(0x0005b003, -8n) // ld zero, 0(a1)
    const asked: [bigint, number][] = []
    memory.load = (address, width) => {
      asked.push([address, width])
      return 1n
    }
    core.step()
    expect(asked).toEqual([[2n ** 64n - 8n, 8]])
    expect(core.get(0)).toBe(0n)
  })

  it('change nothing when memory traps', () => {
    for (const word of [0x0085b503, 0x7ec5bc23, 0x000585e7]) {
      const { core, memory } = coreAt(word, 0x4000n, 7n)
      const refuse = (): never => {
        throw new Trap(13, 0x4000n)
      }
      if (word === 0x000585e7) memory.fetch = refuse
      memory.load = refuse
      memory.store = refuse
      expect(trapOf(core)).toMatchObject({ cause: 13, value: 0x4000n })
      expect([core.pc, core.instructions, core.get(A0), core.get(A1)]).toEqual([
        START,
        0,
        0n,
        0x4000n,
      ])
    }
  })
})

describe('system instructions', () => {
  it('ecall and ebreak trap where they are', () => {
    const call = coreAt(0x00000073).core
    expect(trapOf(call)).toMatchObject({ cause: 8, value: 0n })
    expect([call.pc, call.instructions]).toEqual([START, 0])
    expect(trapOf(coreAt(0x00100073).core)).toMatchObject({ cause: 3, value: START })
  })

  it('counters are read in every way that does not write', () => {
    for (const word of [0xc0002573, 0xc0102573, 0xc0202573, 0xc0006573, 0xc0107573]) {
      const { core } = coreAt(word)
      core.instructions = 123
      core.step()
      expect(core.get(A0)).toBe(123n)
    }
  })

  it('fences do nothing', () => {
    expect(result(0x0ff0000f)).toBe(0x5555n)
    expect(result(0x0000100f)).toBe(0x5555n)
  })

  it.each<[string, number]>([
    ['zeros', 0x00000000],
    ['ones', 0xffffffff],
    ['csrrw a0, instret, a1', 0xc0259573],
    ['csrrwi a0, instret, 3', 0xc021d573],
    ['csrrs a0, instret, a1', 0xc025a573],
    ['csrrs a0, sstatus, zero', 0x10002573],
    ['mret', 0x30200073],
    ['wfi', 0x10500073],
    ['lr.d a0, (a1)', 0x1005b52f],
    ['fld fa0, 0(a1)', 0x0005b507],
    ['a load of width 7', 0x0005f503],
    ['a store of width 4', 0x00c5c023],
    ['a branch of kind 2', 0x00c5a463],
    ['jalr of kind 1', 0x000595e7],
    ['sub with f3 1', 0x40c59533],
    ['add with f7 2', 0x04c58533],
    ['mulhw', 0x02c5953b],
    ['sltw', 0x00c5a53b],
    ['subw with f3 1', 0x40c5953b],
    ['slli with bit 30', 0x43f59513],
    ['srli with bit 26', 0x07f5d513],
    ['slliw by 32', 0x0205951b],
    ['sltiw', 0x0005a51b],
    ['fence of kind 2', 0x0000200f],
  ])('%s is illegal', (_name, word) => {
    const { core } = coreAt(word, 0x100n, 1n)
    expect(trapOf(core)).toMatchObject({ cause: 2, value: BigInt(word) })
    expect([core.pc, core.get(A0)]).toEqual([START, 0n])
  })
})
