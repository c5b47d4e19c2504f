import { beforeAll, describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_FLAT, LAYOUT_X86_64 } from '../../src/base/layout'
import { MiB } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { Kmalloc } from '../../src/slab/kmalloc'
import { SlabAllocator } from '../../src/slab/slabAllocator'
import { SlabCache } from '../../src/slab/slabCache'
import { crc32, hex8 } from '../../src/snapshot/checksum'
import { compareSnapshots } from '../../src/snapshot/compareSnapshots'
import { machineHash } from '../../src/snapshot/machineHash'
import { restoreSnapshot } from '../../src/snapshot/restoreSnapshot'
import { saveSnapshot } from '../../src/snapshot/saveSnapshot'
import { snapshotInfo } from '../../src/snapshot/snapshotInfo'
import { placeTables } from '../../src/state/layout'
import { ZONE_LISTS } from '../../src/state/schema'
import {
  SLAB_CACHE_CACHE,
  SLAB_CACHES,
  SLAB_NR_CACHES,
  SLAB_WORDS_USED,
} from '../../src/state/slabSchema'
import { VMAP_ROOT_PFN, VMAP_ROOTS, VMAP_WORDS_USED } from '../../src/state/vmapSchema'
import { stream } from '../buddy/random'
import { mapperOn, type VmMachine, type VmMachineOptions, vmMachine } from '../vmalloc/machines'
import { VmScript } from '../vmalloc/model'

let machine: VmMachine
let file: Uint8Array
let hash: string

beforeAll(() => {
  machine = vmMachine({ mib: 4 })
  file = saveSnapshot(machine)
  new VmScript(machine, 2).run(20, 0)
  hash = machineHash(machine)
})

/** Expects a file to be refused, by whatever reads it. */
function expectRefused(bytes: Uint8Array, message?: RegExp): void {
  let error: unknown = null
  try {
    restoreSnapshot(machine, bytes)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toBeInstanceOf(InvalidArgument)
  if (message !== undefined) expect(String(error)).toMatch(message)
}

describe('a damaged file', () => {
  it('is refused at every one of 1500 lengths', () => {
    const random = stream(11)
    const lengths = Array.from({ length: 1500 }, (_, i) =>
      i < 500 ? i : random.below(file.length),
    )
    for (const length of lengths) {
      expectRefused(file.slice(0, length), /^InvalidArgument: (length|start) of the snapshot is/)
    }
    expect(machineHash(machine)).toBe(hash)
  })

  it('is refused with any bit or bits flipped, 1500 times', () => {
    const random = stream(12)
    for (let i = 0; i < 1500; i++) {
      const bytes = file.slice()
      // The header is small: half of the flips go there.
      const limit = i % 2 === 0 ? 2000 : bytes.length
      for (let n = 1 + random.below(3); n > 0; n--) {
        const at = random.below(limit)
        bytes[at] = bytes[at]! ^ (1 << random.below(8))
      }
      if (Buffer.compare(bytes, file) === 0) continue
      expectRefused(bytes, /of the snapshot is/)
    }
    expect(machineHash(machine)).toBe(hash)
  })

  it('is refused with more behind it, empty, or cut together', () => {
    expectRefused(Uint8Array.from([...file, 0]), /it must be \d+ bytes: something follows/)
    expectRefused(new Uint8Array(0), /length of the snapshot is 0/)
    expectRefused(new Uint8Array(100), /start of the snapshot/)
    const half = Math.floor(file.length / 2)
    expectRefused(Uint8Array.from([...file.slice(half), ...file.slice(0, half)]), /start of/)
    for (const wrong of [null, undefined, 3, 'x', [], {}, new ArrayBuffer(8), new Int32Array(9)]) {
      expectRefused(wrong as never, /snapshot is .*; it must be a Uint8Array/)
      expect(() => snapshotInfo(wrong as never)).toThrow(InvalidArgument)
      expect(() => compareSnapshots(file, wrong as never)).toThrow(InvalidArgument)
      expect(() => saveSnapshot(wrong as never)).toThrow(InvalidArgument)
      expect(() => machineHash(wrong as never)).toThrow(InvalidArgument)
      expect(() => restoreSnapshot(wrong as never, file)).toThrow(InvalidArgument)
    }
    expect(machineHash(machine)).toBe(hash)
  })

  it('says what is wrong and where', () => {
    const flipped = file.slice()
    flipped[flipped.length - 1] = flipped[flipped.length - 1]! ^ 1
    expectRefused(
      flipped,
      /checksum of the section ram, bytes \d+ to \d+, of the snapshot is "[0-9a-f]{8}"/,
    )
    const version = file.slice()
    version[8] = 2
    expectRefused(version, /format version of the snapshot is 2; it must be an integer from 1 to 1/)
  })
})

// ---- Files whose checksums are right ----

interface Header {
  shape: object
  running: object
  sections: { crc: string; bytes: number }[]
}

interface Parts {
  header: Header
  payloads: Uint8Array[]
}

/** Takes a file apart. */
function partsOf(bytes: Uint8Array): Parts {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const end = 16 + view.getUint32(12, true)
  const header: Header = JSON.parse(new TextDecoder().decode(bytes.subarray(16, end)))
  let at = end + 4
  const payloads = header.sections.map(({ bytes: n }) => {
    at += n
    return bytes.slice(at - n, at)
  })
  return { header, payloads }
}

/** Puts one together, with right checksums unless the header says otherwise. */
function joined({ header, payloads }: Parts, sealed = true): Uint8Array {
  if (sealed) {
    const { sections } = header
    payloads.forEach((payload, i) => {
      const section = sections[i]
      if (section === undefined) return
      section.crc = hex8(crc32(payload, 0, payload.length))
      section.bytes = payload.length
    })
  }
  const text = new TextEncoder().encode(JSON.stringify(header))
  const head = new Uint8Array(16 + text.length + 4)
  head.set(file.subarray(0, 12))
  const view = new DataView(head.buffer)
  view.setUint32(12, text.length, true)
  head.set(text, 16)
  view.setUint32(16 + text.length, crc32(head, 0, 16 + text.length), true)
  return Buffer.concat([head, ...payloads])
}

/** The file with something changed in its header. */
function withHeader(change: (header: Header) => void): Uint8Array {
  const parts = partsOf(file)
  change(parts.header)
  return joined(parts, false)
}

/** A list head of the first zone: behind its header, records and pageblocks. */
const { zones } = placeTables({ maxPfn: 32768, nodes: 1, cpus: 1, maxRanges: 65 })
const FREE_LIST = zones + ZONE_LISTS

/** The file with a word of a section changed. */
function withWord(section: number, word: number, value: number): Uint8Array {
  const parts = partsOf(file)
  const payload = parts.payloads[section] ?? expect.fail('no section')
  const view = new DataView(payload.buffer)
  for (let at = 0; at < payload.length; at += 8 + 4 * view.getUint32(at + 4, true)) {
    const start = view.getUint32(at, true)
    if (word < start || word >= start + view.getUint32(at + 4, true)) continue
    view.setInt32(at + 8 + 4 * (word - start), value, true)
    return joined(parts)
  }
  return expect.fail(`word ${word} is in no run`)
}

describe('a file with right checksums', () => {
  it('is read back as it was', () => {
    const twin = vmMachine({ mib: 4 })
    restoreSnapshot(twin, joined(partsOf(file)))
    expect(Buffer.compare(saveSnapshot(twin), file)).toBe(0)
  })

  it.each<[string, RegExp, (header: Header) => void]>([
    ['schemas', /schemas of the snapshot/, (h) => Object.assign(h, { schemas: [1, 2, 1] })],
    ['byte order', /littleEndian of the snapshot/, (h) => Object.assign(h, { littleEndian: 0 })],
    ['no shape', /shape of the snapshot/, (h) => Object.assign(h, { shape: [] })],
    ['frames', /frames of the snapshot/, (h) => Object.assign(h.shape, { frames: 1e9 })],
    ['odd frames', /frames/, (h) => Object.assign(h.shape, { frames: 1025 })],
    ['no memory', /map/, (h) => Object.assign(h.shape, { memory: [] })],
    ['memory', /memory/, (h) => Object.assign(h.shape, { memory: [7] })],
    ['base', /base/, (h) => Object.assign(h.shape, { memory: [[1, 4096, 'usable', 0]] })],
    ['cpus', /cpus/, (h) => Object.assign(h.shape, { cpus: 2 })],
    ['layout', /layout of the snapshot/, (h) => Object.assign(h.shape, { layout: 'me' })],
    ['held', /held/, (h) => Object.assign(h.running, { held: 1 })],
    ['no sections', /number of sections/, (h) => Object.assign(h, { sections: [] })],
    ['sections', /section/, (h) => h.sections.reverse()],
    ['units', /size of section/, (h) => Object.assign(h.sections[3] ?? {}, { units: 1 })],
    [
      'huge units',
      /in use of section/,
      (h) => Object.assign(h.sections[1] ?? {}, { units: 2 ** 30 }),
    ],
    ['few units', /run at byte/, (h) => Object.assign(h.sections[2] ?? {}, { units: 2 })],
    [
      'bytes',
      /length of the snapshot/,
      (h) => Object.assign(h.sections[2] ?? {}, { bytes: 2 ** 40 }),
    ],
    ['checksum', /checksum/, (h) => Object.assign(h.sections[2] ?? {}, { crc: 'x' })],
  ])('is refused for its header: %s', (_name, message, change) => {
    expectRefused(withHeader(change), message)
    expect(machineHash(machine)).toBe(hash)
  })

  it.each<[string, RegExp, number, number, number]>([
    ['magic of the pages', /state/, 0, 0, 1],
    ['words of the pages', /word/, 0, 2, 99],
    ['CPUs', /word|words/, 0, 5, 9],
    ['a link of a free list', /link of the snapshot/, 0, FREE_LIST, -5],
    ['magic of the slabs', /word 0 of section slabs/, 1, 0, 1],
    ['words of the slabs', /in use of section slabs/, 1, SLAB_WORDS_USED, 2 ** 30],
    ['list of caches', /place of a cache/, 1, SLAB_CACHES, 3],
    ['number of caches', /number of caches/, 1, SLAB_NR_CACHES, 2 ** 28],
    ['fewer caches', /list of caches/, 1, SLAB_NR_CACHES, 2],
    ['first cache', /word 11 of section slabs/, 1, SLAB_CACHE_CACHE, 0],
    ['magic of the space', /word 0 of section space/, 2, 0, 1],
    ['words of the space', /in use of section space/, 2, VMAP_WORDS_USED, 16],
    ['root of areas', /root of areas/, 2, VMAP_ROOTS, 7],
    ['top page table', /top page table/, 2, VMAP_ROOT_PFN, 2 ** 20],
  ])('is refused for a word: %s', (_name, message, section, word, value) => {
    expectRefused(withWord(section, word, value), message)
    expect(machineHash(machine)).toBe(hash)
  })

  it('is refused for runs that overlap, are empty or end outside', () => {
    const heads = [
      [0, 0],
      [2 ** 32 - 1, 2 ** 32 - 1],
      [0, 2 ** 31],
      [5, 2 ** 30],
    ] as const
    for (const [start, count] of heads) {
      const parts = partsOf(file)
      for (const payload of parts.payloads) {
        const view = new DataView(payload.buffer)
        const old = [view.getUint32(0, true), view.getUint32(4, true)] as const
        view.setUint32(0, start, true)
        view.setUint32(4, count, true)
        expectRefused(joined(parts), /run at byte \d+, in section \w+, of the snapshot/)
        view.setUint32(0, old[0], true)
        view.setUint32(4, old[1], true)
      }
    }
  })

  it('ends whatever it says: 60 times garbage in its words', () => {
    const random = stream(13)
    const twin = vmMachine({ mib: 4 })
    let read = 0
    for (let i = 0; i < 60; i++) {
      const parts = partsOf(file)
      const payload = parts.payloads[i % 3] ?? file
      const value = random.pick([0, 1, -1, 2 ** 31 - 1, random.below(100_000)])
      new DataView(payload.buffer).setInt32(
        8 + 4 * random.below(payload.length / 4 - 3),
        value,
        true,
      )
      const bytes = joined(parts)
      try {
        compareSnapshots(file, bytes)
        snapshotInfo(bytes)
        restoreSnapshot(twin, bytes)
        read += 1
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidArgument)
      }
    }
    expect(read).toBeGreaterThan(0)
    restoreSnapshot(twin, file)
    expect(Buffer.compare(saveSnapshot(twin), file)).toBe(0)
  })
})

describe('a machine of another shape', () => {
  it.each<[string, RegExp, VmMachineOptions]>([
    ['memory', /memory of the snapshot is/, { mib: 8 }],
    ['CPUs', /cpus of the snapshot is "2"; it must be 1, as in this machine/, { cpus: 2 }],
    ['base', /memory of the snapshot/, { base: 2 ** 24 }],
    ['slab options', /slabs of the snapshot/, { slabs: { initOnAlloc: true } }],
    ['merging', /slabs of the snapshot/, { slabs: { merge: false } }],
    ['layout', /layout of the snapshot is "flat"; it must be x86_64/, { layout: LAYOUT_FLAT }],
    ['mapper options', /mapper of the snapshot/, { vm: { hugeVmalloc: false } }],
    ['records', /spaceWords of the snapshot/, { vm: { maxRecords: 999 } }],
    ['mapper geometry', /word 12 of section space/, { vm: { maxCpus: 4096 } }],
  ])('is refused: %s', (_name, message, options) => {
    const other = vmMachine({ mib: 4, ...options })
    expectRefused(saveSnapshot(other), message)
    expect(machineHash(machine)).toBe(hash)
  })

  it('is refused when its first caches were made in another order', () => {
    const ram = new PhysicalMemory({ size: 4 * MiB })
    const pages = new BuddyAllocator({ ram })
    const slabs = new SlabAllocator(pages, { layout: LAYOUT_X86_64 })
    new SlabCache(slabs, { name: 'early', size: 3000 })
    const heap = new Kmalloc(slabs)
    const other = mapperOn({ ram, pages, slabs }, heap, { layout: LAYOUT_X86_64 })
    expectRefused(saveSnapshot(other), /areaCache of the snapshot is "\d+"; it must be \d+, as in/)
    expect(machineHash(machine)).toBe(hash)
  })
})

describe('a snapshot without content', () => {
  it('can be looked at and compared, but not restored', () => {
    const bare = saveSnapshot(machine, { content: false })
    expect(bare.length).toBeLessThan(saveSnapshot(machine).length)
    expect(snapshotInfo(bare).content).toBe(false)
    expect(snapshotInfo(bare).sections.map(({ name }) => name)).toEqual(['pages', 'slabs', 'space'])
    const changes = compareSnapshots(bare, machine)
    expect([changes.same, changes.memory]).toEqual([true, null])
    expectRefused(bare, /without the bytes of RAM/)
    expect(machineHash(machine)).toBe(hash)
    expect(() => saveSnapshot(machine, { content: 1 as never })).toThrow(InvalidArgument)
  })
})
