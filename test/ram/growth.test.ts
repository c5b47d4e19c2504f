import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { PhysicalMemory } from '../../src/ram/physicalMemory'

const WASM_PAGE = 65536
const BASE = 0x100000

function machine(shared = false, dirtyTracking = false) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 10, shared })
  const ram = new PhysicalMemory({ memory, base: BASE, dirtyTracking })
  const told: [number, number][] = []
  ram.onGrow((base, size) => told.push([base, size]))
  return { memory, ram, told }
}

describe.each([
  ['unshared', false],
  ['shared', true],
])('growth of an %s WebAssembly memory', (_, shared) => {
  it('covers the memory from its base on', () => {
    const { memory, ram } = machine(shared)
    ram.writeU32(BASE + 4, 0xcafe)
    expect(new DataView(memory.buffer).getUint32(4, true)).toBe(0xcafe)
    expect([ram.size, ram.base, ram.shared]).toEqual([WASM_PAGE, BASE, shared])
    expect(() => ram.readU8(BASE + WASM_PAGE)).toThrow(InvalidArgument)
  })

  const uses: [string, (ram: PhysicalMemory) => unknown, unknown][] = [
    ['readU32 of old bytes', (ram) => ram.readU32(BASE + 4), 0x01020304],
    ['readF64 of new bytes', (ram) => ram.readF64(BASE + WASM_PAGE), 0],
    ['a read across the old end', (ram) => ram.readU64Hi(BASE + WASM_PAGE - 4), 0],
    ['bytes', (ram) => ram.bytes(BASE + 4, 2)[0], 4],
    ['no bytes', (ram) => ram.bytes(BASE, 0).length, 0],
    ['compare', (ram) => ram.compare(BASE + 4, BASE + WASM_PAGE, 4), 1],
    ['buffer', (ram) => ram.buffer?.byteLength, 2 * WASM_PAGE],
    ['size', (ram) => ram.size, 2 * WASM_PAGE],
    ['end', (ram) => ram.end, BASE + 2 * WASM_PAGE],
    ['ranges', (ram) => ram.ranges[0]?.size, 2 * WASM_PAGE],
    ['contains', (ram) => ram.contains(BASE, 2 * WASM_PAGE), true],
    ['rangeOf', (ram) => ram.rangeOf(BASE + WASM_PAGE)?.base, BASE],
  ]
  it.each(uses)('is noticed by %s, which tells nobody', (_name, use, expected) => {
    const { memory, ram, told } = machine(shared)
    ram.writeU32(BASE + 4, 0x01020304)
    memory.grow(1)
    expect(use(ram)).toBe(expected)
    expect(told).toEqual([])
    ram.refresh()
    ram.refresh()
    expect(told).toEqual([[BASE + WASM_PAGE, WASM_PAGE]])
  })

  it('is noticed by writes, which reach the new buffer', () => {
    const { memory, ram } = machine(shared)
    ram.writeU32(BASE, 1)
    memory.grow(1)
    ram.writeU32(BASE, 2)
    ram.writeU16(BASE + 2 * WASM_PAGE - 2, 0xabcd)
    memory.grow(1)
    ram.fill(BASE + 8, 2, 7)
    ram.copy(BASE + 2 * WASM_PAGE, BASE, 16)
    const view = new DataView(memory.buffer)
    expect(view.getUint32(0, true)).toBe(2)
    expect(view.getUint16(2 * WASM_PAGE - 2, true)).toBe(0xabcd)
    expect(view.getUint16(8, true)).toBe(0x0707)
    expect(view.getUint16(2 * WASM_PAGE + 8, true)).toBe(0x0707)
  })

  it('copies overlapping bytes across the old end', () => {
    const { memory, ram } = machine(shared)
    for (let i = 0; i < 64; i++) ram.writeU8(BASE + WASM_PAGE - 64 + i, i)
    memory.grow(1)
    ram.copy(BASE + WASM_PAGE - 16, BASE + WASM_PAGE - 64, 64)
    const copied = ram.bytes(BASE + WASM_PAGE - 16, 64)
    expect([...copied]).toEqual(Array.from({ length: 64 }, (_v, i) => i))
  })

  it('leaves views of before stale, or short when shared', () => {
    const { ram } = machine(shared)
    const old = ram.bytes(BASE, WASM_PAGE)
    expect(ram.grow(WASM_PAGE)).toBe(true)
    expect(old.length).toBe(shared ? WASM_PAGE : 0)
    expect(ram.bytes(BASE, 2 * WASM_PAGE).length).toBe(2 * WASM_PAGE)
  })

  it('by grow tells every listener once, in order', () => {
    const { memory, ram, told } = machine(shared)
    expect(ram.grow(WASM_PAGE)).toBe(true)
    const late: [number, number][] = []
    const stop = ram.onGrow((base, size) => late.push([base, size]))
    memory.grow(1)
    expect(ram.grow(2 * WASM_PAGE)).toBe(true)
    expect(told).toEqual([
      [BASE + WASM_PAGE, WASM_PAGE],
      [BASE + 2 * WASM_PAGE, 3 * WASM_PAGE],
    ])
    expect(late).toEqual([[BASE + 2 * WASM_PAGE, 3 * WASM_PAGE]])
    stop()
    stop()
    ram.grow(WASM_PAGE)
    expect(late.length).toBe(1)
    expect(told.length).toBe(3)
  })

  it('returns false when refused, and tells nobody', () => {
    const { ram, told } = machine(shared)
    ram.writeU8(BASE, 5)
    expect(ram.grow(10 * WASM_PAGE)).toBe(false)
    expect(ram.grow(2 ** 40)).toBe(false)
    expect([ram.size, ram.readU8(BASE), told.length]).toEqual([WASM_PAGE, 5, 0])
    expect(ram.grow(9 * WASM_PAGE)).toBe(true)
    expect(ram.grow(WASM_PAGE)).toBe(false)
  })

  it('keeps dirty pages and adds clean ones', () => {
    const { ram } = machine(shared, true)
    ram.writeU8(BASE + WASM_PAGE - 1, 1)
    ram.grow(4 * WASM_PAGE)
    const lastOld = (BASE + WASM_PAGE) / 4096 - 1
    expect(ram.dirtyPages()).toEqual([lastOld])
    ram.writeU16(BASE + WASM_PAGE - 1, 1)
    ram.writeU8(BASE + 5 * WASM_PAGE - 1, 1)
    expect(ram.dirtyPages()).toEqual([lastOld, lastOld + 1, (BASE + 5 * WASM_PAGE) / 4096 - 1])
  })
})

describe('listeners', () => {
  it('know what there was when they registered, noticed or not', () => {
    const { memory, ram } = machine()
    memory.grow(1)
    const told: [number, number][] = []
    ram.onGrow((base, size) => told.push([base, size]))
    ram.refresh()
    expect(told).toEqual([])
  })

  it('may grow the memory again and use the new bytes', () => {
    const { ram } = machine()
    const first: [number, number][] = []
    const second: [number, number][] = []
    ram.onGrow((base, size) => {
      first.push([base, size])
      ram.writeU8(base + size - 1, 1)
      if (first.length === 1) ram.grow(WASM_PAGE)
    })
    ram.onGrow((base, size) => second.push([base, size]))
    ram.grow(WASM_PAGE)
    expect(first).toEqual([
      [BASE + WASM_PAGE, WASM_PAGE],
      [BASE + 2 * WASM_PAGE, WASM_PAGE],
    ])
    expect(second).toEqual([[BASE + WASM_PAGE, 2 * WASM_PAGE]])
  })

  it('after one that throws are told by the next call', () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 10 })
    const ram = new PhysicalMemory({ memory })
    const told: [number, number][] = []
    ram.onGrow(() => {
      throw new Error('no room')
    })
    ram.onGrow((base, size) => told.push([base, size]))
    expect(() => ram.grow(WASM_PAGE)).toThrow('no room')
    ram.refresh()
    expect(told).toEqual([[WASM_PAGE, WASM_PAGE]])
  })

  it('must be functions', () => {
    const { ram } = machine()
    expect(() => ram.onGrow(1 as unknown as () => void)).toThrow(InvalidArgument)
  })
})

describe('grow', () => {
  const sizes = [0, -WASM_PAGE, 4096, 0.5, Number.NaN, 2 ** 53, '65536'] as unknown as number[]
  it.each(sizes.map((bytes) => [bytes]))('rejects %s bytes', (bytes) => {
    const { ram, memory } = machine()
    expect(() => ram.grow(bytes)).toThrow(InvalidArgument)
    expect(memory.buffer.byteLength).toBe(WASM_PAGE)
  })

  it('is for WebAssembly memories only', () => {
    const ram = new PhysicalMemory({ size: WASM_PAGE })
    expect(() => ram.grow(WASM_PAGE)).toThrow(InvalidArgument)
    expect(() => ram.refresh()).not.toThrow()
  })
})
