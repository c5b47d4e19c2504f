/** The header of a snapshot: its text, taken apart and checked, member by member. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { MAX_ORDER_PAGES, PAGE_SIZE } from '../base/units'
import { type RamRange, resolveMap } from '../ram/memoryMap'
import {
  isLittleEndian,
  type RunningState,
  SECTION_NAMES,
  type SectionHeader,
  type SnapshotHeader,
} from './format'
import { schemaVersions } from './schemas'
import type { Shape, ShapeRange } from './shape'

type Members = Readonly<Record<string, unknown>>

const FLAG_OF_SHAPE = ['highmem'] as const
const NAMES_OF_SHAPE = ['layout', 'pageTables'] as const
const NUMBERS_OF_SHAPE = ['directMap', 'slabWords', 'spaceWords', 'areaCache', 'ranges'] as const
const LISTS_OF_SHAPE = ['vmalloc', 'slabs', 'mapper'] as const

/**
 * The header that a text says.
 * @throws InvalidArgument for a text that is none, and for one of another schema or byte order.
 */
export function parseHeader(text: string): SnapshotHeader {
  const all = members('header', parseJson(text))
  const schemas = schemaVersions()
  if (JSON.stringify(all.schemas) !== JSON.stringify(schemas)) {
    const given = JSON.stringify(all.schemas) ?? 'missing'
    throw new InvalidArgument('schemas of the snapshot', given, `${JSON.stringify(schemas)}`)
  }
  const littleEndian = isLittleEndian()
  if (all.littleEndian !== littleEndian) {
    const limit = `${littleEndian}, the byte order of this machine`
    throw new InvalidArgument('littleEndian of the snapshot', all.littleEndian, limit)
  }
  const shape = parseShape(members('shape', all.shape))
  return {
    schemas,
    littleEndian,
    shape,
    running: parseRunning(members('running', all.running)),
    sections: parseSections(all.sections, shape),
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new InvalidArgument('header of the snapshot', text.slice(0, 40), 'JSON')
  }
}

function parseShape(given: Members): Shape {
  for (const key of FLAG_OF_SHAPE) expectType(key, given[key], 'boolean')
  for (const key of NAMES_OF_SHAPE) expectType(key, given[key], 'string')
  for (const key of NUMBERS_OF_SHAPE) {
    integer(key, given[key], 0, Number.MAX_SAFE_INTEGER)
  }
  for (const key of LISTS_OF_SHAPE) list(key, given[key])
  const frames = integer('frames', given.frames, MAX_ORDER_PAGES, 2 ** 28)
  integer('frames / 1024', frames / MAX_ORDER_PAGES, 1, 2 ** 18)
  integer('cpus', given.cpus, 1, 1024)
  integer('nodes', given.nodes, 1, 64)
  integer('addressBits', given.addressBits, 32, 57)
  integer('signHigh', given.signHigh, 0, 0xffffffff)
  return { ...(given as unknown as Shape), memory: parseMemory(given.memory) }
}

function parseMemory(given: unknown): ShapeRange[] {
  const map = list('memory', given).map((entry): RamRange => {
    const [base, size, type, node] = list('memory', entry)
    if (type === 'device') throw wrong('memory', type, 'RAM')
    return { base, size, type, node } as RamRange
  })
  return resolveMap(map).map(({ base, size, type, node }) => [base, size, type, node] as const)
}

function parseRunning(given: Members): RunningState {
  expectType('held', given.held, 'boolean')
  expectType('mapperCaller', given.mapperCaller, 'string')
  expectType('slabCaller', given.slabCaller, 'string')
  return given as unknown as RunningState
}

function parseSections(given: unknown, { memory, slabWords }: Shape): SectionHeader[] {
  const entries = list('sections', given)
  const alone = slabWords === 0
  const names = SECTION_NAMES.filter((name) => !alone || name === 'pages' || name === 'ram')
  integer('number of sections', entries.length, names.length - 1, names.length)
  const ramPages = memory.reduce((sum, [, size]) => sum + size / PAGE_SIZE, 0)
  return entries.map((entry, i) => {
    const { name, bytes, units, crc } = members('section', entry)
    const expected = names[i]
    if (expected === undefined || name !== expected) throw wrong('section', name, `${expected}`)
    const isRam = expected === 'ram'
    if (typeof crc !== 'string' || !/^[0-9a-f]{8}$/.test(crc)) {
      throw wrong(`checksum of section ${expected}`, crc, 'eight hexadecimal digits')
    }
    return {
      name: expected,
      bytes: integer(`bytes of section ${expected}`, bytes, 0, Number.MAX_SAFE_INTEGER),
      units: integer(
        `size of section ${expected}`,
        units,
        isRam ? ramPages : 1,
        isRam ? ramPages : 2 ** 31 - 1,
      ),
      crc,
    }
  })
}

function members(name: string, value: unknown): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(name, value, 'an object')
  }
  return value as Members
}

function list(name: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(name, value, 'a list')
  return value
}

function expectType(name: string, value: unknown, type: 'boolean' | 'string'): void {
  if (typeof value !== type) throw wrong(name, value, `a ${type}`)
}

function integer(name: string, value: unknown, min: number, max: number): number {
  checkInteger(`${name} of the snapshot`, value as number, min, max)
  return value as number
}

function wrong(name: string, value: unknown, limit: string): InvalidArgument {
  return new InvalidArgument(`${name} of the snapshot`, value, limit)
}
