/** A CPU in the middle of its work, for tests of the fast paths. */

import { expect } from 'vitest'
import { GFP_KERNEL, LAYOUT_FLAT, LAYOUT_X86_64, type Layout, PAGE_SIZE } from '../../src/index'
import type { SlabContext } from '../../src/slab/context'
import { freeFast, takeFast } from '../../src/slab/fastPath'
import { cpuOf } from '../../src/slab/partial'
import { SLAB_FRAMES } from '../../src/state/slabSchema'
import { must } from './machines'
import { TinyMachine, type TinyOptions } from './tinyMachine'

/** Bytes of an object: 64 of them fill a slab of one page, whose free pointers lie in their middle. */
export const SIZE = 64
export const IN_SLAB = PAGE_SIZE / SIZE

/** A machine whose second CPU runs, and a cache of which it has taken `count` objects, the long way. */
export function withObjects(count: number, options: TinyOptions = {}) {
  const machine = new TinyMachine(options)
  const { c, words, pages } = machine
  pages.running.cpu = 1
  const cache = machine.cache()
  const long = { cacheAlloc() {}, cacheFree() {}, kmalloc() {}, kfree() {} }
  machine.slabs.setTrace(long)
  const objects: number[] = Array.from({ length: count }, () => must(cache.alloc()))
  machine.slabs.setTrace(null)
  const cpu = cpuOf(c, cache.record)
  return { machine, c, words, pages, cache, record: cache.record, cpu, objects }
}

/** The slab of an object of a machine that begins at address 0. */
export function slabOf(c: SlabContext, object: number): number {
  return c.words[SLAB_FRAMES + Math.floor((object - c.directMap) / PAGE_SIZE)]!
}

/** Place of the free pointer of an object in RAM. */
export function pointerOf(c: SlabContext, object: number): number {
  return (object - c.directMap + SIZE / 2) / 4
}

/** Expects the next allocation to be refused with nothing changed. */
export function expectNoTake(
  { machine, c, record }: ReturnType<typeof withObjects>,
  gfp = GFP_KERNEL,
) {
  expect(machine.unchanged(() => takeFast(c, record, gfp))).toBe(0)
}

/** Expects a free to be refused with nothing changed. */
export function expectNoFree(
  { machine, c, record }: ReturnType<typeof withObjects>,
  address: unknown,
  cache: number = record,
) {
  expect(machine.unchanged(() => freeFast(c, cache, address as number))).toBe(false)
}

export const LAYOUTS: readonly (readonly [name: string, layout: Layout])[] = [
  ['flat', LAYOUT_FLAT],
  ["a kernel's", LAYOUT_X86_64],
]
