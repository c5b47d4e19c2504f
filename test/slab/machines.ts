/** Machines for tests of the slab layer, and ways to look into them. */

import { expect } from 'vitest'
import { verifySlabs } from '../../src/debug/verifySlabs'
import {
  BuddyAllocator,
  type BuddyOptions,
  MiB,
  PAGE_SIZE,
  type PageSource,
  PhysicalMemory,
  pageSource,
  SlabAllocator,
  type SlabOptions,
  stateHash,
  type VirtAddr,
} from '../../src/index'
import { hashWords } from '../../src/state/checkState'
import { SLAB_FRAMES } from '../../src/state/slabSchema'
import { faults, freePagesOf, zonesOf } from '../buddy/machines'

/** A machine with a slab allocator. */
export interface SlabMachine {
  readonly ram: PhysicalMemory
  readonly pages: BuddyAllocator
  readonly slabs: SlabAllocator
}

/** What a machine is made of. */
export interface SlabMachineOptions {
  /** Memory of each node; 8 MiB when not given. */
  readonly mib?: number
  /** CPUs, one node after the other and round again; 1 when not given. */
  readonly cpus?: number
  /** Nodes; 1 when not given. */
  readonly nodes?: number
  readonly pages?: Omit<BuddyOptions, 'ram' | 'memory' | 'cpus' | 'cpuNodes'>
  readonly slabs?: SlabOptions
  /** Puts something between the pages and the slabs. */
  readonly between?: (source: PageSource) => PageSource
}

/** A machine of nodes that lie one behind the other, the first from address 0 on. */
export function slabMachine(options: SlabMachineOptions = {}): SlabMachine {
  const { mib = 8, cpus = 1, nodes = 1, between } = options
  const size = mib * MiB
  const ram = new PhysicalMemory({
    map: Array.from({ length: nodes }, (_, node) => ({
      base: node * size,
      size,
      type: 'usable' as const,
      node,
    })),
  })
  const cpuNodes = Array.from({ length: cpus }, (_, cpu) => cpu % nodes)
  const pages = new BuddyAllocator({ ram, cpuNodes, ...options.pages })
  const source = pageSource(pages)
  const slabs = new SlabAllocator(between === undefined ? pages : between(source), options.slabs)
  return { ram, pages, slabs }
}

/** Breaches of invariants of the pages and of the slabs, as text; empty when all is well. */
export function slabFaults({ pages, slabs }: SlabMachine): string[] {
  const found = verifySlabs(slabs, { pages }).map(({ id, message }) => `${id}: ${message}`)
  return [...found, ...faults(pages)]
}

/** Expects every invariant to hold. */
export function expectSound(machine: SlabMachine): void {
  const found = slabFaults(machine)
  if (found.length > 0) expect.fail(found.join('\n'))
}

/** Hashes of the slab words, of the page words, and of RAM. */
export function machineHash({ ram, pages, slabs }: SlabMachine): string {
  const { words } = ram
  const hashes = [hashWords(slabs.words, slabs.wordsUsed), stateHash(pages)]
  return [...hashes, hashWords(words, words.length)].join()
}

/** Free pages of all nodes, those on page lists included. */
export function freePages({ pages }: Pick<SlabMachine, 'pages'>): number {
  pages.drainAllPages()
  return zonesOf(pages).reduce((sum, zone) => sum + freePagesOf(pages, zone), 0)
}

/** The value, which must be there. */
export function must<T>(value: T | null | undefined): T {
  return value ?? expect.fail('no memory')
}

/** The slab that holds an address of a flat machine. */
export function slabOf({ slabs }: SlabMachine, object: VirtAddr): number {
  return slabs.words[SLAB_FRAMES + Math.floor(object / PAGE_SIZE)]!
}
