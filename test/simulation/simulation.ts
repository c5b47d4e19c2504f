/**
 * A machine and what should be in use on it. Operations, a file for each layer, draw on this: they call the machine,
 * say here what they got, and give back what is here.
 *
 * What finds a fault, besides the errors that calls throw:
 *  - the marks in memory (`content.ts`): nobody else writes there, and nothing is handed out twice;
 *  - all checkers of the library (`verify`);
 *  - a second machine, made from a snapshot, that has to answer as this one does (`twin.ts`);
 *  - at the end nothing may be left (`finish.ts`).
 */

import {
  inContext,
  isVmallocAddr,
  type Machine,
  type Mempool,
  OutOfMemory,
  onCpu,
  PAGE_SIZE,
  type PageFragCache,
  type Pfn,
  type SlabCache,
  setPageFaults,
  type VirtAddr,
  withPageListsHeld,
} from '../../src/index'
import { Content, MAX_ID } from './content'
import { describe, type Live, LiveTable } from './live'
import type { Booted, MachineSpec } from './machines'
import { eachPiece, type PieceVisitor } from './pieces'
import type { Reclaimer } from './reclaimer'
import { release } from './release'
import { type Call, CONTEXTS } from './script'
import type { Twin } from './twin'
import { Violation } from './violation'

/** Context bits by place in {@link CONTEXTS}; those of interrupts include that they may not sleep. */
const CONTEXT_BITS = [0, 128 | 1, 1, 8, 4, 2, 16, 0]
const INTERRUPT = CONTEXTS.indexOf('irq')
const HELD = CONTEXTS.indexOf('held')

/** An operation: what a call does. */
export interface Operation {
  /** How often it is drawn, beside the others; each run multiplies this by a number of its own. */
  readonly weight: number
  /** What takes long has no weight, but comes so often in a run, however long that is. */
  readonly perRun?: number
  /** Whether an interrupt may do it. */
  readonly inInterrupt?: boolean
  /** Whether it is about the machine as a whole, which is on no particular CPU then. */
  readonly ofMachine?: boolean
  run(s: Simulation, call: Call): void
}

/** A cache, and how it was asked for. */
export interface CacheEntry {
  readonly id: number
  readonly cache: SlabCache
  /** Offset of its record. */
  readonly record: number
  readonly name: string
  readonly size: number
  readonly align: number
  readonly flags: number
  /** Whether its objects are set up by {@link Simulation.construct}. */
  readonly ctor: boolean
  /** Its destruction failed, as there were objects. */
  readonly gone: boolean
}

/** A mempool. */
export interface PoolEntry {
  readonly id: number
  readonly pool: Mempool<number>
  /** Bytes of an element; of pages a power of two of them. */
  readonly bytes: number
  /** Order of its blocks of pages; -1 for blocks of kmalloc. */
  readonly order: number
}

/** Something that was freed a short time ago. */
export interface Grave {
  readonly kind: 'block' | 'object' | 'memory' | 'area'
  readonly at: number
  readonly order: number
  /** Id of the cache of an object. */
  readonly cache: number
}

/** What a constructor writes. */
export const CONSTRUCTED = 0xc7

/** A machine and what is in use on it. */
export class Simulation {
  readonly spec: MachineSpec
  machine: Machine
  reclaimer: Reclaimer
  content: Content
  live = new LiveTable()
  caches = new Map<number, CacheEntry>()
  pools = new Map<number, PoolEntry>()
  /** Fragment caches by CPU. */
  frags = new Map<number, PageFragCache>()
  graves: Grave[] = []
  /** Everything that calls have returned, folded into one number. */
  answer = 0
  /** Caches that could not be destroyed: they keep their descriptors for good. */
  goneCaches = 0
  /** What the running call has come to; null while nobody wants to know. */
  notes: string[] | null = null
  /** A machine that has to do the same, for a while. */
  twin: Twin | null = null
  /** Whether this is the twin of another. */
  isTwin = false
  /** A state to go back to. */
  checkpoint: {
    readonly file: Uint8Array
    readonly hash: string
    readonly state: Simulation
  } | null = null

  constructor(spec: MachineSpec, { machine, reclaimer }: Booted) {
    this.spec = spec
    this.machine = machine
    this.reclaimer = reclaimer
    this.content = new Content(machine)
  }

  /** Goes on with another machine. */
  moveTo({ machine, reclaimer }: Booted): void {
    this.machine = machine
    this.reclaimer = reclaimer
    this.content = new Content(machine)
  }

  /** Makes a call. */
  play(call: Call, operation: Operation): void {
    if (call.at >= MAX_ID) throw new RangeError(`a run has fewer than ${MAX_ID} calls`)
    if (operation.ofMachine === true) {
      operation.run(this, call)
      return
    }
    const { pages } = this.machine
    const calm = call.context === INTERRUPT && operation.inInterrupt !== true
    const context = calm ? 0 : call.context
    onCpu(pages, call.cpu % this.spec.cpus, () => {
      if (context === 0) operation.run(this, call)
      else if (context === HELD) withPageListsHeld(pages, () => operation.run(this, call))
      else inContext(pages, CONTEXT_BITS[context] ?? 0, () => operation.run(this, call))
    })
  }

  // ---- What calls return ----

  /** Folds a number that a call returned into the answer. */
  fold(value: number | null): void {
    const number = value ?? -1
    const high = Math.floor(number / 4294967296) | 0
    this.answer = Math.imul(Math.imul(this.answer, 31) + (number | 0), 31) + high
  }

  /** Adds to what the running call has come to. */
  note(text: string): void {
    this.notes?.push(text)
  }

  /** What an allocation returns; null also when one that may not fail throws that there is no memory. */
  attempt<T>(call: () => T | null): T | null {
    try {
      return call()
    } catch (error) {
      if (error instanceof OutOfMemory) return null
      throw error
    }
  }

  // ---- What is in use ----

  /** Whether as much is in use as should be: calls that allocate free something then. */
  get full(): boolean {
    return this.live.size >= this.spec.maxLive
  }

  /** Whether caches are debugged. */
  get debugging(): boolean {
    return this.spec.cmdline.includes('slub_debug')
  }

  /** Takes note of something that was handed out: nobody else may have it; and marks it. */
  enter(item: Live, zeroed = false): void {
    this.checkNew(item, zeroed)
    this.live.add(item)
    this.mark(item)
    if (this.notes !== null) this.note(describe(item))
  }

  /** Expects an owner's marks, and forgets the thing: it is to be freed next. */
  leave(item: Live): void {
    this.expectMarks(item)
    this.live.remove(item.id)
    if (this.notes !== null) this.note(`frees ${item.id}: ${describe(item)}`)
  }

  /** Frees what a draw means, in one of the ways that there are. */
  free(draw: number, at: number, way: number): void {
    const item = this.live.pick(draw, at)
    if (item !== undefined) release(this, item, way)
  }

  mark(item: Live): void {
    this.pieces(item, (phys, bytes, place) => this.content.mark(phys, bytes, item.id, place))
  }

  expectMarks(item: Live): void {
    this.pieces(item, (phys, bytes, place) => {
      const lost = this.content.lost(phys, bytes, item.id, place)
      if (lost < 0) return
      const where = `byte ${lost} of ${bytes} at 0x${phys.toString(16)}`
      const other = this.ownerOf(phys + lost - (lost % 4))
      const now = other === undefined ? '' : `; ${describe(other)}, number ${other.id}, lies there`
      throw new Violation('content', `${describe(item)}, number ${item.id}, lost ${where}${now}`)
    })
  }

  /** Expects the marks of everything in use. */
  expectAllMarks(): void {
    for (const item of this.live.items) this.expectMarks(item)
  }

  buried(grave: Grave): void {
    this.graves.push(grave)
    if (this.graves.length > 32) this.graves.shift()
  }

  // ---- Addresses ----

  /** Physical address of one of the direct map. */
  physical(address: number): number {
    return address - this.machine.vm.context.layout.directMap
  }

  isVmalloc(address: number): boolean {
    return isVmallocAddr(this.machine.vm.context.layout, address)
  }

  /** A frame of memory, or near it. */
  frame(draw: number): Pfn {
    const { ram } = this.machine
    const first = ram.base / PAGE_SIZE
    return (first + (draw % (ram.end / PAGE_SIZE - first))) as Pfn
  }

  /** Sets an object up, as its cache's constructor does. */
  construct(address: VirtAddr, size: number): void {
    this.content.fill(this.physical(address), size, CONSTRUCTED)
  }

  /** Visits the pieces of memory that something has, with the place of the first mark in each. */
  pieces(item: Live, visit: PieceVisitor): void {
    eachPiece(this.machine, item, visit)
  }

  private checkNew(item: Live, zeroed: boolean): void {
    this.pieces(item, (phys, bytes, _place) => {
      if (zeroed && !this.content.allBytesAre(phys, bytes, 0)) {
        throw new Violation('not zero', `${describe(item)} is not filled with zero`)
      }
      // All memory that is handed out starts at a multiple of 8, but for fragments.
      if (zeroed || phys % 4 !== 0 || bytes < 4) return
      const other = this.ownerOf(phys)
      if (other === undefined) return
      const text = `${describe(item)} was handed out, but ${describe(other)}, number ${other.id}, `
      throw new Violation('overlap', `${text}is in use there`)
    })
  }

  /** What is in use at a physical address, going by the mark there. */
  private ownerOf(phys: number): Live | undefined {
    const owner = this.live.get(this.content.idAt(phys))
    if (owner === undefined) return undefined
    let covers = false
    this.pieces(owner, (start, bytes) => {
      if (phys >= start && phys < start + bytes) covers = true
    })
    return covers ? owner : undefined
  }

  /** Ends faults on purpose. */
  stopFaults(): void {
    this.machine.slabs.setFaults(null)
    setPageFaults(this.machine.pages, null)
  }

  /** Runs every checker. */
  verify(): void {
    const [first] = this.machine.verify()
    if (first !== undefined) throw new Violation(`${first.part} ${first.id}`, first.message)
    this.expectAllMarks()
  }
}
