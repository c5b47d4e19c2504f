/**
 * What a machine has to have in common with another one to go on from its snapshot: all that is not in the words
 * of its states, and decides what they mean.
 */

import { InvalidArgument } from '../base/errors'
import { isRam } from '../ram/memoryMap'
import { HEADER_HIGHMEM, HEADER_MAX_RANGES } from '../state/schema'
import type { MachineParts } from '../vmalloc/machineParts'
import type { SnapshotParts } from './parts'

/** A range of RAM: first byte, bytes, type, node. */
export type ShapeRange = readonly [base: number, size: number, type: string, node: number]

/** The shape of a machine. */
export interface Shape {
  /** RAM, in address order; devices are no part of it. */
  readonly memory: readonly ShapeRange[]
  /** One more than the highest frame that there can be. */
  readonly frames: number
  readonly cpus: number
  readonly nodes: number
  /** Memory ranges that the page allocator has room for. */
  readonly ranges: number
  /** Whether zones are those of i386. */
  readonly highmem: boolean
  /** Name of the address layout. */
  readonly layout: string
  readonly addressBits: number
  readonly signHigh: number
  readonly directMap: number
  /** First and last bound of the vmalloc window. */
  readonly vmalloc: readonly [start: number, end: number]
  /** Name of the format of the page tables. */
  readonly pageTables: string
  /** Words that the slab layer and the mapper have room for. */
  readonly slabWords: number
  readonly spaceWords: number
  /** Options of the slab layer that decide what it does. */
  readonly slabs: readonly (readonly [name: string, value: number | boolean])[]
  /** Options of the mapper. */
  readonly mapper: readonly (readonly [name: string, value: boolean])[]
  /** Place of the record of the cache of areas. */
  readonly areaCache: number
}

/** What has to be equal for states to be compared: what their words mean. */
export const COMPARED: readonly (keyof Shape)[] = [
  'memory',
  'frames',
  'cpus',
  'nodes',
  'layout',
  'addressBits',
  'signHigh',
]

/** What is not the page level's. */
type ShapeAbove = Omit<Shape, 'memory' | 'frames' | 'cpus' | 'nodes' | 'ranges' | 'highmem'>

/** Of a machine that is its page level alone. */
const NOTHING_ABOVE: ShapeAbove = {
  layout: '',
  addressBits: 32,
  signHigh: 0,
  directMap: 0,
  vmalloc: [0, 0],
  pageTables: '',
  slabWords: 0,
  spaceWords: 0,
  slabs: [],
  mapper: [],
  areaCache: 0,
}

/** The shape of a machine. */
export function machineShape(m: SnapshotParts): Shape {
  const { ram, pages } = m
  const c = pages.context
  return {
    memory: ram.ranges.filter(isRam).map((r) => [r.base, r.size, r.type, r.node] as const),
    frames: c.maxPfn,
    cpus: c.nrCpus,
    nodes: c.nrNodes,
    ranges: c.words[HEADER_MAX_RANGES]!,
    highmem: c.words[HEADER_HIGHMEM] === 1,
    ...(m.vm === undefined ? NOTHING_ABOVE : shapeAbove(m)),
  }
}

/**
 * Checks that a snapshot is of a machine of this shape.
 * @throws InvalidArgument naming the first difference.
 */
export function checkShape(
  own: Shape,
  other: Shape,
  keys = Object.keys(own) as readonly (keyof Shape)[],
): void {
  for (const key of keys) {
    const [ours, theirs] = [own[key], other[key]]
    if (JSON.stringify(ours) === JSON.stringify(theirs)) continue
    const limit = `${show(ours)}, as in this machine`
    throw new InvalidArgument(`${key} of the snapshot`, show(theirs), limit)
  }
}

function shapeAbove(m: MachineParts): ShapeAbove {
  const slabs = m.slabs.context
  const { layout } = slabs
  const mapper = m.vm.context
  return {
    layout: layout.name,
    addressBits: layout.vaBits,
    signHigh: layout.signHigh,
    directMap: layout.directMap,
    vmalloc: [layout.vmallocStart, layout.vmallocEnd],
    pageTables: mapper.tables.format.name,
    slabWords: slabs.words.length,
    spaceWords: mapper.space.words.length,
    slabs: [
      ['merge', slabs.merging],
      ['minOrder', slabs.minOrder],
      ['maxOrder', slabs.maxOrder],
      ['minObjects', slabs.minObjects],
      ['initOnAlloc', slabs.initOnAlloc],
      ['initOnFree', slabs.initOnFree],
      ['hardening', slabs.hardening !== null],
      ['debug', slabs.debug !== null],
    ],
    mapper: [
      ['hugeVmalloc', mapper.hugeVmalloc],
      ['hugeIomap', mapper.hugeIomap],
    ],
    areaCache: mapper.areaCache?.record ?? 0,
  }
}

function show(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
