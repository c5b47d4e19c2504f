import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import type { MemoryRange } from '../../src/ram/memoryMap'
import { PhysicalMemory } from '../../src/ram/physicalMemory'

/**
 * RAM at [0x1000, 0x4000) in three touching ranges and at [0x6000, 0x7000); a device at [0x4000, 0x5000), another at
 * [0x9000, 0xa000); holes elsewhere. The devices are plain bytes too, so one map of bytes is the model of all.
 */
class Model {
  readonly bytes = new Map<number, number>()
  readonly dirty = new Set<number>()

  kindOf(address: number): 'ram low' | 'ram high' | 'device 1' | 'device 2' | 'hole' {
    if (address >= 0x1000 && address < 0x4000) return 'ram low'
    if (address >= 0x4000 && address < 0x5000) return 'device 1'
    if (address >= 0x6000 && address < 0x7000) return 'ram high'
    if (address >= 0x9000 && address < 0xa000) return 'device 2'
    return 'hole'
  }

  /** Whether one access may cover the bytes. */
  allows(address: number, bytes: number, devices: boolean): boolean {
    const kind = this.kindOf(address)
    for (let i = 0; i < bytes; i++) if (this.kindOf(address + i) !== kind) return false
    return kind !== 'hole' && (devices || kind.startsWith('ram'))
  }

  read(address: number): number {
    return this.bytes.get(address) ?? 0
  }

  write(address: number, byte: number): void {
    this.bytes.set(address, byte & 0xff)
    if (this.kindOf(address).startsWith('ram')) this.dirty.add(Math.floor(address / 4096))
  }

  word(address: number, bytes: number): bigint {
    let word = 0n
    for (let i = bytes - 1; i >= 0; i--) word = (word << 8n) | BigInt(this.read(address + i))
    return word
  }

  writeWord(address: number, bytes: number, word: bigint): void {
    for (let i = 0; i < bytes; i++) this.write(address + i, Number((word >> BigInt(8 * i)) & 0xffn))
  }
}

function byteDevice(base: number): MemoryRange {
  const bytes = new Uint8Array(0x1000)
  return {
    base,
    size: 0x1000,
    type: 'device',
    read(offset, width) {
      let value = 0
      for (let i = width - 1; i >= 0; i--) value = value * 256 + (bytes[offset + i] ?? 0)
      return value
    },
    write(offset, width, value) {
      for (let i = 0; i < width; i++) bytes[offset + i] = Math.floor(value / 256 ** i)
    },
  }
}

function makeRam(shared: boolean): PhysicalMemory {
  return new PhysicalMemory({
    shared,
    dirtyTracking: true,
    map: [
      byteDevice(0x9000),
      { base: 0x1000, size: 0x1000, type: 'usable' },
      { base: 0x2000, size: 0x1000, type: 'reserved' },
      { base: 0x3000, size: 0x1000, type: 'usable', node: 1 },
      byteDevice(0x4000),
      { base: 0x6000, size: 0x1000, type: 'usable', node: 1 },
    ],
  })
}

interface Real {
  ram: PhysicalMemory
}

class Step implements fc.Command<Model, Real> {
  constructor(
    private readonly text: string,
    private readonly allowed: (model: Model) => boolean,
    private readonly act: (model: Model, ram: PhysicalMemory) => void,
    private readonly call: (ram: PhysicalMemory) => unknown,
  ) {}

  check(): boolean {
    return true
  }

  run(model: Model, { ram }: Real): void {
    if (this.allowed(model)) this.act(model, ram)
    else expect(() => this.call(ram), this.text).toThrow(InvalidArgument)
    expect(ram.dirtyCount).toBe(model.dirty.size)
  }

  toString(): string {
    return this.text
  }
}

const WIDTHS = [1, 2, 4, 8] as const
type Width = (typeof WIDTHS)[number]

function readWord(ram: PhysicalMemory, a: number, width: Width): bigint {
  if (width === 1) return BigInt(ram.readU8(a))
  if (width === 2) return BigInt(ram.readU16(a))
  return width === 4 ? BigInt(ram.readU32(a)) : ram.readBigU64(a)
}

function writeWord(ram: PhysicalMemory, a: number, width: Width, word: bigint): void {
  if (width === 1) ram.writeU8(a, Number(word))
  else if (width === 2) ram.writeU16(a, Number(word))
  else if (width === 4) ram.writeU32(a, Number(word))
  else ram.writeU64(a, Number(word >> 32n), Number(word & 0xffffffffn))
}

function memcmp(model: Model, a: number, b: number, length: number): number {
  for (let i = 0; i < length; i++) {
    const difference = model.read(a + i) - model.read(b + i)
    if (difference !== 0) return Math.sign(difference)
  }
  return 0
}

// Addresses gather at the edges of ranges, where the mistakes are.
const edge = fc.constantFrom(0, 0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000, 0x9000)
const address = fc.oneof(
  fc.tuple(edge, fc.integer({ min: -9, max: 9 })).map(([at, delta]) => Math.max(0, at + delta)),
  fc.nat(0xafff),
)
const length = fc.oneof(fc.nat(20), fc.nat(0x1800))
const width = fc.constantFrom(...WIDTHS)

const read = fc.tuple(address, width).map(
  ([a, bytes]) =>
    new Step(
      `read ${bytes} at ${a}`,
      (model) => model.allows(a, bytes, true),
      (model, ram) => expect(readWord(ram, a, bytes)).toBe(model.word(a, bytes)),
      (ram) => readWord(ram, a, bytes),
    ),
)

const write = fc
  .tuple(address, width, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
  .map(([a, bytes, any]) => {
    const word = BigInt.asUintN(8 * bytes, any)
    return new Step(
      `write ${bytes} at ${a}: ${word}`,
      (model) => model.allows(a, bytes, true),
      (model, ram) => {
        writeWord(ram, a, bytes, word)
        model.writeWord(a, bytes, word)
      },
      (ram) => writeWord(ram, a, bytes, word),
    )
  })

const fill = fc.tuple(address, length, fc.nat(255)).map(
  ([a, bytes, value]) =>
    new Step(
      `fill ${bytes} at ${a} with ${value}`,
      (model) => bytes > 0 && model.allows(a, bytes, false),
      (model, ram) => {
        ram.fill(a, bytes, value)
        for (let i = 0; i < bytes; i++) model.write(a + i, value)
      },
      // A fill of nothing is allowed or not, and changes nothing either way.
      (ram) => {
        ram.fill(a, bytes, value)
        if (bytes === 0) throw new InvalidArgument('length', 0, 'more')
      },
    ),
)

const copy = fc.tuple(address, address, length).map(
  ([to, from, bytes]) =>
    new Step(
      `copy ${bytes} from ${from} to ${to}`,
      (model) => bytes > 0 && model.allows(to, bytes, false) && model.allows(from, bytes, false),
      (model, ram) => {
        ram.copy(to, from, bytes)
        const copied = Array.from({ length: bytes }, (_, i) => model.read(from + i))
        for (let i = 0; i < bytes; i++) model.write(to + i, copied[i] ?? 0)
        expect(ram.compare(to, from, bytes)).toBe(memcmp(model, to, from, bytes))
      },
      (ram) => {
        ram.copy(to, from, bytes)
        if (bytes === 0) throw new InvalidArgument('length', 0, 'more')
      },
    ),
)

const compare = fc.tuple(address, address, length).map(
  ([a, b, bytes]) =>
    new Step(
      `compare ${bytes} at ${a} and ${b}`,
      (model) => bytes > 0 && model.allows(a, bytes, false) && model.allows(b, bytes, false),
      (model, ram) => expect(ram.compare(a, b, bytes)).toBe(memcmp(model, a, b, bytes)),
      (ram) => {
        ram.compare(a, b, bytes)
        if (bytes === 0) throw new InvalidArgument('length', 0, 'more')
      },
    ),
)

const clear = fc.tuple(address, length).map(
  ([a, bytes]) =>
    new Step(
      `clearDirty ${bytes} at ${a}`,
      () => true,
      (model, ram) => {
        const inside = (pfn: number) =>
          bytes > 0 && pfn * 4096 < a + bytes && (pfn + 1) * 4096 > a && model.dirty.has(pfn)
        const expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].filter(inside)
        expect(ram.dirtyPages(a, bytes)).toEqual(expected)
        ram.clearDirty(a, bytes)
        for (const pfn of expected) model.dirty.delete(pfn)
      },
      () => {},
    ),
)

function checkAll(model: Model, ram: PhysicalMemory): void {
  const wrong: number[] = []
  for (let a = 0; a < 0xb000; a++) {
    const hole = model.kindOf(a) === 'hole'
    if (hole ? ram.rangeOf(a) !== null : ram.readU8(a) !== model.read(a)) wrong.push(a)
  }
  expect(wrong).toEqual([])
  expect(ram.dirtyPages()).toEqual([...model.dirty].sort((x, y) => x - y))
}

describe('PhysicalMemory against a map of bytes', () => {
  it.each([
    ['an ArrayBuffer', false],
    ['a SharedArrayBuffer', true],
  ])('holds what the model holds, over %s', (_, shared) => {
    const commands = fc.commands([read, write, fill, copy, compare, clear], { maxCommands: 60 })
    const property = fc.property(commands, (steps) => {
      const model = new Model()
      const ram = makeRam(shared)
      fc.modelRun(() => ({ model, real: { ram } }), steps)
      checkAll(model, ram)
    })
    fc.assert(property, { numRuns: 60 })
  })
})
