/** Who makes the calls of the workload, and what it holds. */

import {
  type AddressSpace,
  type Layout,
  type Machine,
  PAGE_SIZE,
  type PageTableFormat,
  type Pfn,
  type VirtAddr,
} from 'kmem'
import { Mixer, Numbers } from './mixer'

/** Of pages, objects and areas no more are held. */
const MOST = 300

/** A block of pages; of `bytes` bytes, or of an order. */
export interface Block {
  readonly pfn: Pfn
  readonly order: number
  readonly bytes: number
}

/** An object. */
export interface HeldObject {
  readonly address: VirtAddr
  /** Name of its cache; '' for kmalloc. */
  readonly cache: string
}

/** What an area maps when it has no pages of its own. */
export type MappedKind = 'vmap' | 'ram' | 'io'

/** An area of kernel address space. */
export interface Area {
  readonly address: VirtAddr
  readonly kind: 'pages' | MappedKind
  readonly count: number
}

/** Who makes the calls, and what it holds. */
export interface Player extends Holdings {
  machine: Machine
  readonly format: PageTableFormat
  readonly layout: Layout
  readonly cpus: number
}

interface Holdings {
  readonly answers: Mixer
  readonly blocks: Block[]
  readonly objects: HeldObject[]
  readonly areas: Area[]
  space: AddressSpace | null
  /** The next number in [0, limit). */
  below(limit: number): number
  /** Takes one out at random. */
  take<T>(held: T[]): T | undefined
  /** Ends the address space and frees its pages: it does not go along when a machine is saved. */
  closeSpace(machine: Machine): void
}

/** What somebody holds who has made no call yet. */
export function newHoldings(seed: number): Holdings {
  const numbers = new Numbers(seed)
  return {
    answers: new Mixer(),
    blocks: [],
    objects: [],
    areas: [],
    space: null,
    below: (limit) => numbers.below(limit),
    take<T>(held: T[]): T | undefined {
      return held.length === 0 ? undefined : held.splice(numbers.below(held.length), 1)[0]
    },
    closeSpace(machine) {
      const pages = this.space?.mappings() ?? []
      this.space?.destroy()
      for (const { pfn, bytes } of pages) {
        for (let i = 0; i < bytes / PAGE_SIZE; i++) machine.freePages((pfn + i) as Pfn)
      }
      this.space = null
    },
  }
}

/** One of several, at random. */
export function pick<const T>(p: Player, choices: readonly T[]): T {
  return choices[p.below(choices.length)]!
}

/** Holds one more, and lets an old one go when there are too many. */
export function hold<T>(
  p: Player,
  held: T[],
  one: T,
  free: (p: Player, old: T | undefined) => void,
): void {
  held.push(one)
  if (held.length > MOST) free(p, p.take(held))
}
