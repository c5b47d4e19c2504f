/** Machines with checks for tests, and what tests do with them. */

import { createHash } from 'node:crypto'
import { PRISTINE_NODE, type SlabMachine, slabMachine } from '../../conformance/machine'
import { type SlubDebug, type SlubDebugOptions, slubDebug } from '../../src/debug/slubDebug'
import { remainingObjects } from '../../src/debug/slubObjects'
import { TAINT_BAD_PAGE } from '../../src/debug/slubText'
import {
  BuddyAllocator,
  KernelBug,
  MiB,
  PhysicalMemory,
  SlabAllocator,
  SlabCache,
  type SlabOptions,
  slabLog,
  type VirtAddr,
} from '../../src/index'
import { SLAB_TAINT } from '../../src/state/slabSchema'

/** A machine like that of the recordings. */
export function slubMachine(debug: SlubDebugOptions = {}, slabs: SlabOptions = {}): SlabMachine {
  const machine = slabMachine(PRISTINE_NODE, 1, { debug: { onBug: 'throw', ...debug }, slabs })
  machine.slabs.context.caller = ''
  return machine
}

/** The bug that a call throws. */
export function thrown(call: () => unknown): KernelBug {
  try {
    call()
  } catch (error) {
    if (error instanceof KernelBug) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** A machine of one node and 4 MiB at address 0, for what needs no kernel's addresses. */
export interface SmallMachine {
  readonly ram: PhysicalMemory
  readonly pages: BuddyAllocator
  readonly slabs: SlabAllocator
  readonly debug: SlubDebug
  log(): string[]
  /** Everything that the pages, the slabs and the RAM hold, as one number in hex. */
  state(): string
}

/** Its reports have been made before, so that the next one does not change the taint. */
export function smallMachine(
  options: SlubDebugOptions = {},
  slabOptions: SlabOptions = {},
): SmallMachine {
  const ram = new PhysicalMemory({ size: 4 * MiB })
  const pages = new BuddyAllocator({ ram })
  let lines: string[] = []
  const write = (line: string) => {
    lines.push(line)
  }
  const debug = slubDebug({ log: write, ...options })
  const log = slabLog(write, { remaining: remainingObjects })
  const slabs = new SlabAllocator(pages, { merge: false, debug, log, ...slabOptions })
  slabs.words[SLAB_TAINT]! |= TAINT_BAD_PAGE
  return {
    ram,
    pages,
    slabs,
    debug,
    log() {
      const taken = lines
      lines = []
      return taken
    },
    state() {
      const hash = createHash('sha1')
      const used = slabs.words.subarray(0, slabs.wordsUsed)
      for (const part of [pages.words, used, ram.bytes(0, 4 * MiB)]) {
        hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
      }
      return hash.digest('hex')
    },
  }
}

/** A cache for tests. */
export function makeCache(
  machine: { readonly slabs: SlabAllocator },
  name: string,
  size: number,
  flags: number,
  ctor?: (object: VirtAddr) => void,
): SlabCache {
  const options = { name, size, flags }
  return new SlabCache(machine.slabs, ctor === undefined ? options : { ...options, ctor })
}

/** An object; the test fails without memory. */
export function take(cache: SlabCache): VirtAddr {
  const object = cache.alloc()
  if (object === null) throw new Error('no memory')
  return object
}

/** An address at a distance from an object. */
export function past(object: VirtAddr, offset: number): VirtAddr {
  return (object + offset) as VirtAddr
}
