/**
 * Every sequence of a few calls on a cache with two objects in a slab, on a machine of a few pages. Sequences
 * that lead to the same state go on the same way, so each state is looked at once.
 */

import { describe, expect, it } from 'vitest'
import { verifySlabs } from '../../src/debug/verifySlabs'
import {
  GFP_KERNEL,
  type KernelBug,
  SlabAllocator,
  SlabCache,
  type VirtAddr,
} from '../../src/index'
import { setCpuPartial } from '../../src/slab/caches'
import {
  CACHE_MIN_PARTIAL,
  CACHE_OFFSET,
  SLAB_CACHE,
  SLAB_FRAMES,
} from '../../src/state/slabSchema'
import { thrownBy } from '../buddy/machines'
import { TinyPages } from './tinyPages'

/** Where an object of 2048 bytes holds its free pointer. */
const POINTER = 1024

/** How small the machine is. */
interface Setup {
  readonly cpus: number
  readonly nodes: number
  /** Pages of a node. */
  readonly pages: number
  /** Slabs that a CPU may hold as partial. */
  readonly cpuSlabs: number
  /** Partial slabs that a node keeps. */
  readonly minPartial: number
  /** Calls in a sequence. */
  readonly depth: number
}

/** A call, by name. */
type Call = readonly [name: string, call: (machine: Machine) => void]

/** The machine, with what a user knows of it. */
class Machine {
  readonly pages: TinyPages
  readonly slabs: SlabAllocator
  readonly cache: SlabCache
  private readonly record: number
  /** Objects in use, the oldest first. */
  live: VirtAddr[] = []

  constructor(readonly setup: Setup) {
    this.pages = new TinyPages(setup.pages, setup.cpus, setup.nodes)
    this.slabs = new SlabAllocator(this.pages, { maxOrder: 0, merge: false })
    this.cache = new SlabCache(this.slabs, { name: 'pairs', size: 2048 })
    this.record = this.cache.record
    expect(this.slabs.words[this.record + CACHE_OFFSET]).toBe(POINTER)
    setCpuPartial(this.slabs.words, this.record, setup.cpuSlabs)
    this.slabs.words[this.record + CACHE_MIN_PARTIAL] = setup.minPartial
  }

  /** All that decides what comes next: the state, the free pointers, and the order of objects in use. */
  key(): string {
    const { words, wordsUsed } = this.slabs
    const ram = this.pages.ram.words
    const pointers: (number | undefined)[] = []
    for (let at = POINTER / 4; at < ram.length; at += 512) pointers.push(ram[at])
    const state = Buffer.from(words.buffer, words.byteOffset, wordsUsed * 4).toString('latin1')
    return `${state} ${pointers.join()} ${this.live.join()}`
  }

  save(): () => void {
    const words = this.slabs.words.slice(0, this.slabs.wordsUsed)
    const used = this.pages.used.slice()
    const ram = this.pages.ram.words.slice()
    const live = [...this.live]
    return () => {
      this.slabs.words.fill(0, words.length, this.slabs.wordsUsed)
      this.slabs.words.set(words)
      this.pages.used.set(used)
      this.pages.ram.words.set(ram)
      this.live = [...live]
    }
  }

  alloc(cpu: number, node: number): void {
    this.pages.running.cpu = cpu
    const object = this.cache.allocNode(GFP_KERNEL, node)
    this.pages.running.cpu = 0
    if (object === null) {
      const free = this.pages.used.some((used) => used === 0)
      if (free) expect.fail('no object although there are pages')
      if (this.setup.cpus === 1 && this.setup.nodes === 1) {
        const slabs = this.slabPages().length
        expect(this.live.length, 'objects in use when there is none left').toBe(2 * slabs)
      }
      return
    }
    expect(object % 2048).toBe(0)
    // What was there does not matter any more: states that differ in nothing else are the same.
    this.pages.ram.fill(object, 2048, 0)
    if (this.live.includes(object)) expect.fail(`${object} is in use already`)
    this.live.push(object)
  }

  free(cpu: number, which: number): void {
    const [object] = this.live.splice(which, 1)
    if (object === undefined) return
    this.pages.running.cpu = cpu
    this.cache.free(object)
    this.pages.running.cpu = 0
  }

  shrink(): void {
    expect(this.cache.shrink()).toBe(this.live.length > 0)
    const held = new Set(this.live.map((object) => Math.floor(object / 4096)))
    expect(this.slabPages()).toEqual([...held].sort((a, b) => a - b))
  }

  /** Destroys the cache, which works out when no object is in use, and puts everything back. */
  destroyOnTrial(): void {
    const restore = this.save()
    if (this.live.length > 0) {
      const error = thrownBy(() => this.cache.destroy())
      expect((error as KernelBug).code).toBe('CACHE_BUSY')
    } else {
      this.cache.destroy()
      expect(this.slabPages()).toEqual([])
    }
    this.check()
    restore()
  }

  /** Frames of the cache's slabs. */
  private slabPages(): number[] {
    const { words } = this.slabs
    const frames = Array.from({ length: this.pages.maxPfn }, (_, pfn) => pfn)
    return frames.filter((pfn) => {
      const slab = words[SLAB_FRAMES + pfn]!
      return slab > 0 && words[slab + SLAB_CACHE] === this.record
    })
  }

  check(): void {
    const found = verifySlabs(this.slabs)
    if (found.length > 0) expect.fail(found.map(({ message }) => message).join('\n'))
    const held = this.slabs.words.subarray(SLAB_FRAMES, SLAB_FRAMES + this.pages.maxPfn)
    held.forEach((word, pfn) => {
      if (pfn > 0 && (word !== 0) !== (this.pages.used[pfn] === 1)) expect.fail(`page ${pfn}`)
    })
  }
}

/** Calls that can be made in any state: each kind from each CPU. */
function callsOf({ cpus, nodes }: Setup): Call[] {
  const calls: Call[] = [['shrink', (m) => m.shrink()]]
  for (let cpu = 0; cpu < cpus; cpu++) {
    for (let node = nodes === 1 ? -1 : 0; node < (nodes === 1 ? 0 : nodes); node++) {
      calls.push([`alloc on CPU ${cpu} for node ${node}`, (m) => m.alloc(cpu, node)])
    }
    calls.push([`free oldest on CPU ${cpu}`, (m) => m.free(cpu, 0)])
    calls.push([`free second on CPU ${cpu}`, (m) => m.free(cpu, 1)])
    calls.push([`free newest on CPU ${cpu}`, (m) => m.free(cpu, -1)])
  }
  return calls
}

/** Plays all sequences; returns the number of states that were seen. */
function explore(setup: Setup): number {
  const machine = new Machine(setup)
  const calls = callsOf(setup)
  const seen = new Set([machine.key()])
  let states: { restore: () => void; path: string }[] = [{ restore: machine.save(), path: '' }]
  for (let depth = 0; depth < setup.depth; depth++) {
    const next: typeof states = []
    for (const { restore, path } of states) {
      for (const [name, call] of calls) {
        restore()
        try {
          call(machine)
          const key = machine.key()
          if (seen.has(key)) continue
          seen.add(key)
          machine.check()
          machine.destroyOnTrial()
        } catch (error) {
          throw new Error(`${path}${name}`, { cause: error })
        }
        next.push({ restore: machine.save(), path: `${path}${name}, ` })
      }
    }
    states = next
  }
  return seen.size
}

describe('every sequence of calls on a cache with two objects in a slab', () => {
  /** The number of states shows that the small machine gets anywhere at all. */
  const setups: readonly (readonly [name: string, setup: Setup, least: number])[] = [
    ['one CPU', { cpus: 1, nodes: 1, pages: 7, cpuSlabs: 1, minPartial: 0, depth: 10 }, 1000],
    [
      'one CPU that keeps more',
      { cpus: 1, nodes: 1, pages: 8, cpuSlabs: 2, minPartial: 1, depth: 9 },
      500,
    ],
    ['two CPUs', { cpus: 2, nodes: 1, pages: 7, cpuSlabs: 1, minPartial: 0, depth: 7 }, 2000],
    [
      'two CPUs that keep more',
      { cpus: 2, nodes: 1, pages: 8, cpuSlabs: 1, minPartial: 1, depth: 7 },
      2000,
    ],
    ['two nodes', { cpus: 2, nodes: 2, pages: 4, cpuSlabs: 1, minPartial: 0, depth: 5 }, 2000],
  ]

  it.each(setups)('%s', (_name, setup, least) => {
    expect(explore(setup)).toBeGreaterThan(least)
  })
})
