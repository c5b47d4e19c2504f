/** Boot recordings of a real kernel, and state buffers made from them. */

import { readdirSync, readFileSync } from 'node:fs'
import { formatState, stateWords } from '../../src/state/layout'
import { HEADER_TOTAL_RAM, ZONE_MANAGED } from '../../src/state/schema'
import { movableMemory } from '../../src/zone/movableCore'
import { setupZones, type Topology } from '../../src/zone/setup'
import {
  computeSpans,
  type PfnRange,
  type SpanInput,
  type Spans,
  ZONES_X86_64,
} from '../../src/zone/spans'
import { nrZones, zoneRecord } from '../../src/zone/zones'

interface Region {
  readonly base: string
  readonly size: string
}

interface HandoverZone {
  readonly node: number
  readonly name: string
  readonly startPfn: number
  readonly spanned: number
  readonly present: number
  readonly managed: number
  readonly free: number
  readonly pageblocks: string
}

export interface BootFixture {
  readonly cmdline: string
  readonly memblock: {
    readonly memory: readonly (Region & { readonly node: number })[]
    readonly reserved: readonly Region[]
  }
  readonly log: readonly string[]
  readonly handover: readonly HandoverZone[]
  readonly minFreeKbytes: number
  readonly zoneinfo: string
}

const FOLDER = new URL('../fixtures/boot/', import.meta.url)

/** Every recording, with its file name. */
export function bootFixtures(): [string, BootFixture][] {
  return readdirSync(FOLDER).map((name) => [
    name,
    JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as BootFixture,
  ])
}

/** Memory in PFNs, rounded inwards. */
export function fixtureRanges(fixture: BootFixture): PfnRange[] {
  return fixture.memblock.memory.map(({ base, size, node }) => ({
    start: Math.ceil(Number(base) / 4096),
    end: Math.floor((Number(base) + Number(size)) / 4096),
    node,
  }))
}

/** The value of a `name=` word of the command line. */
function cmdlineWord(fixture: BootFixture, name: string): string | undefined {
  const word = fixture.cmdline.split(' ').find((text) => text.startsWith(`${name}=`))
  return word?.slice(name.length + 1)
}

export function fixtureSpans(fixture: BootFixture): Spans {
  const ranges = fixtureRanges(fixture)
  const kernelcore = cmdlineWord(fixture, 'kernelcore')
  const movablecore = cmdlineWord(fixture, 'movablecore')
  return computeSpans({
    ranges,
    nodes: Math.max(...ranges.map((range) => range.node)) + 1,
    limits: ZONES_X86_64,
    movable: movableMemory({
      ...(kernelcore === undefined ? {} : { kernelcore }),
      ...(movablecore === undefined ? {} : { movablecore }),
    }),
  })
}

/** A state buffer with the zones of `spans` set up. */
export function stateOf(spans: Spans, topology: Topology = { cpuNodes: [0] }): Int32Array {
  const end = spans.ranges[spans.ranges.length - 1]?.end ?? 0
  const geometry = {
    maxPfn: Math.max(1024, Math.ceil(end / 32768) * 32768),
    nodes: spans.nodes.length,
    cpus: topology.cpuNodes.length,
    maxRanges: spans.ranges.length,
  }
  const words = new Int32Array(stateWords(geometry))
  formatState(words, geometry)
  setupZones(words, spans, topology)
  return words
}

/** A state buffer of a small machine, memory and all by hand. */
export function stateFor(input: SpanInput, topology?: Topology): Int32Array {
  return stateOf(computeSpans(input), topology)
}

/** True when two buffers hold the same words; far faster than comparing them element by element. */
export function sameWords(a: Int32Array, b: Int32Array): boolean {
  return Buffer.compare(Buffer.from(a.buffer), Buffer.from(b.buffer)) === 0
}

/** Sets the managed pages of every zone, by zone number, and the total. */
export function setManaged(words: Int32Array, managed: readonly number[]): void {
  let total = 0
  for (let number = 0; number < nrZones(words); number++) {
    words[zoneRecord(words, 0, number) + ZONE_MANAGED] = managed[number] ?? 0
    total += managed[number] ?? 0
  }
  words[HEADER_TOTAL_RAM] = total
}

/** Pages of memory below 16 MiB that are not wholly free. */
export function reservedLow(fixture: BootFixture): number {
  let ram = 0
  let free = 0
  const reserved = fixture.memblock.reserved.map(({ base, size }) => ({
    start: Number(base),
    end: Number(base) + Number(size),
  }))
  for (const range of fixtureRanges(fixture)) {
    for (let pfn = range.start; pfn < Math.min(range.end, 4096); pfn++) {
      const start = pfn * 4096
      ram++
      if (!reserved.some((hole) => hole.start < start + 4096 && hole.end > start)) free++
    }
  }
  return ram - free
}

export interface ZoneInfo {
  readonly node: number
  readonly name: string
  readonly values: ReadonlyMap<string, number>
  readonly protection: readonly number[]
  readonly pagesets: readonly { high: number; batch: number; threshold: number }[]
}

/** Parses the text of /proc/zoneinfo. */
export function parseZoneinfo(text: string): ZoneInfo[] {
  return text
    .split(/^(?=Node )/m)
    .filter((part) => part.startsWith('Node'))
    .map((part) => {
      const [, node, name] = /^Node (\d+), zone +(\w+)/.exec(part) ?? []
      const values = new Map<string, number>()
      for (const [, key, value] of part.matchAll(
        /^ +(boost|min|low|high|spanned|present|managed|start_pfn:) +(\d+)$/gm,
      )) {
        if (key !== undefined) values.set(key, Number(value))
      }
      const protection = /protection: \((.*)\)/.exec(part)?.[1]?.split(', ').map(Number) ?? []
      const sets = /high: +(\d+)\n +batch: +(\d+)\n +vm stats threshold: +(\d+)/g
      const pagesets = [...part.matchAll(sets)].map(([, high, batch, threshold]) => ({
        high: Number(high),
        batch: Number(batch),
        threshold: Number(threshold),
      }))
      return { node: Number(node), name: name ?? '', values, protection, pagesets }
    })
}
