/** Plays the calls of a recording that concern areas alone through the functions over an address space. */

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { verifyVmap } from '../../src/debug/verifyVmap'
import { GFP_KERNEL } from '../../src/page/gfp'
import {
  AREA_END,
  AREA_NEXT,
  AREA_OBJECT,
  AREA_START,
  TREE_BUSY,
  TREE_FREE,
  TREE_PURGE,
  VMAP_CPU_SPARE,
  VMAP_HEADER_WORDS,
} from '../../src/state/vmapSchema'
import { allocArea, releaseArea } from '../../src/vmalloc/vmapArea'
import { createVmap, type VmapContext } from '../../src/vmalloc/vmapContext'
import { loadVmapState } from '../../src/vmalloc/vmapLoad'
import { purge } from '../../src/vmalloc/vmapPurge'
import { type VmapState, vmapState } from '../../src/vmalloc/vmapState'
import { firstArea } from '../../src/vmalloc/vmapTree'

/** First address of the vmalloc window of x86_64, without its sign extension. */
export const S = 0xc90000000000
/** Its last address, which is where requests end. */
export const E = 0xe8ffffffffff

/** The address space of a kernel on x86_64. */
export function kernelSpace(): VmapContext {
  return createVmap({ start: 1, end: 2 ** 48 - 1 })
}

/** An area of the vmalloc window, or of another: its record; 0 for none. */
export function area(c: VmapContext, size: number, align = 1, low = S, high = E): number {
  return allocArea(c, size, align, low, high, GFP_KERNEL, -1)
}

/** Where an area starts; -1 for none. */
export function startOf(c: VmapContext, record: number): number {
  return record === 0 ? -1 : (c.numbers[(record + AREA_START) >> 1] ?? -1)
}

/** One more than its last address. */
export function endOf(c: VmapContext, record: number): number {
  return c.numbers[(record + AREA_END) >> 1] ?? -1
}

/** The records of a tree, ascending. */
export function areasOf(c: VmapContext, tree: number): number[] {
  const found: number[] = []
  for (let at = firstArea(c, tree); at !== 0; at = c.words[at + AREA_NEXT] ?? 0) found.push(at)
  return found
}

/** The objects that areas have, and the CPU to spare; without those that have no memory. */
export function objectsOf(c: VmapContext): Set<number> {
  const all = [TREE_FREE, TREE_BUSY, TREE_PURGE].flatMap((tree) => areasOf(c, tree))
  const objects = all.map((record) => c.numbers[(record + AREA_OBJECT) >> 1] ?? 0)
  objects.push(c.numbers[(VMAP_HEADER_WORDS + VMAP_CPU_SPARE) >> 1] ?? 0)
  return new Set(objects.filter((object) => object > 0))
}

/** A row of a recording. */
export interface AreaRow {
  readonly call?: string
  readonly slot?: number
  readonly size?: number
  readonly align?: number
  readonly vmFlags?: string
  readonly start?: string
  readonly end?: string
  readonly address?: string | null
  readonly areaSize?: number
  readonly state?: VmapState
}

/** The rows of a recording of calls, without its header. */
export function rowsOf(path: string): AreaRow[] {
  const file = readFileSync(new URL(`../fixtures/${path}`, import.meta.url))
  const lines = gunzipSync(file).toString('utf8').trimEnd().split('\n')
  return lines.slice(1).map((line) => JSON.parse(line) as AreaRow)
}

/** Plays rows, the first of which gives the state to start from, and compares each with what was recorded. */
export function play(rows: readonly AreaRow[]): { calls: number; differences: string[] } {
  const c = kernelSpace()
  const slots = new Map<number, number>()
  const differences: string[] = []
  const expectSame = (i: number, found: unknown, recorded: unknown) => {
    const [a, b] = [JSON.stringify(found), JSON.stringify(recorded)]
    if (a !== b) differences.push(`row ${i + 1}: ${a} instead of ${b}`)
  }
  for (const [i, row] of rows.entries()) {
    const slot = row.slot ?? -1
    switch (row.call) {
      case 'vmap_state':
        if (i === 0) loadVmapState(c, row.state as VmapState, LAYOUT_X86_64)
        expectSame(i, vmapState(c, LAYOUT_X86_64), row.state)
        break
      case 'get_vm_area': {
        const record = requestOf(c, row)
        slots.set(slot, record)
        const start = startOf(c, record)
        expectSame(i, start, row.address == null ? -1 : withoutSign(row.address))
        if (record !== 0) expectSame(i, endOf(c, record) - start, row.areaSize)
        break
      }
      case 'free_vm_area': {
        const record = slots.get(slot) ?? 0
        if (record !== 0) releaseArea(c, record)
        slots.delete(slot)
        break
      }
      case 'purge_vmap_areas':
        purge(c, false)
        break
      default:
        throw new Error(`row ${i + 1}: no call ${row.call}`)
    }
    if (i % 64 === 0) for (const found of verifyVmap(c)) differences.push(found.message)
    if (differences.length > 0) break
  }
  return { calls: rows.length, differences }
}

function requestOf(c: VmapContext, row: AreaRow): number {
  const flags = Number(row.vmFlags)
  const size = Math.ceil((row.size ?? 0) / 4096) * 4096
  let align = row.align ?? 1
  if ((flags & 1) !== 0) {
    align = 4096
    while (align < size && align < 2 ** 30) align *= 2
  }
  const bytes = (flags & 0x40) !== 0 ? size : size + 4096
  const [low, high] = [withoutSign(row.start ?? ''), withoutSign(row.end ?? '')]
  // Two zeros stand for the vmalloc window.
  return high === 0 ? area(c, bytes, align) : area(c, bytes, align, low, high)
}

function withoutSign(address: string): number {
  return Number(BigInt.asUintN(48, BigInt(address)))
}
