/**
 * The machines that allocations fail on: one for each set of options, booted once and put back to its first state
 * before every attempt. And the hooks that make their allocations fail.
 */

import { switchCpu } from '../../src/buddy/context'
import {
  __GFP_NOFAIL,
  freeVmArea,
  getVmAreaNode,
  LAYOUT_X86_64,
  Machine,
  type MachineOptions,
  MiB,
  PAGE_SIZE,
  setPageFaults,
  Tracepoints,
} from '../../src/index'
import type { Ctor } from '../../src/slab/context'
import { VMAP_WORDS_USED } from '../../src/state/vmapSchema'

/** Where the zone DMA ends: in the middle of the first node's memory. */
const DMA_END = 16 * MiB

/** Thrown by a hook in place of an answer. */
export class Thrown extends Error {}

/**
 * How allocations fail:
 * each  one of them, and those after it succeed    from    one and all after it
 * throw the hook throws, as a reclaimer or a log may
 */
export type Mode = 'each' | 'from' | 'throw'

/** Counts a machine's requests for pages and for objects, and makes some of them fail. */
export class Injector {
  /** Requests since the last {@link arm}. */
  calls = 0
  private nth = 0
  private mode: Mode | null = null

  /** The `n`th request from now on is the first to fail. */
  arm(mode: Mode, n: number): void {
    this.calls = 0
    this.nth = n
    this.mode = mode
  }

  /** Ends the failures; whether there was one. */
  disarm(): boolean {
    const struck = this.mode !== null && this.calls >= this.nth
    this.mode = null
    return struck
  }

  /** Decides on a request. Those that may not fail are spared, as by a kernel. */
  readonly decide = (gfp: number): boolean => {
    if (this.mode === null || (gfp & __GFP_NOFAIL) !== 0) return false
    this.calls += 1
    if (this.mode === 'from') return this.calls >= this.nth
    if (this.calls !== this.nth) return false
    if (this.mode === 'throw') throw new Thrown(`request ${this.nth}`)
    return true
  }
}

/** The words of a machine at a moment, and its bytes. */
export interface Moment {
  readonly pages: Int32Array
  readonly slabs: Int32Array
  readonly space: Int32Array
  readonly ram: Uint8Array
}

/** What a machine is in now: views, that change with it. */
export function nowOf(m: Machine): Moment {
  const space = m.vm.context.space.words
  return {
    pages: m.pages.words,
    slabs: m.slabs.words.subarray(0, m.slabs.wordsUsed),
    space: space.subarray(0, space[VMAP_WORDS_USED]!),
    ram: ramOf(m),
  }
}

/** Copies all that a machine is in; into a copy that is not needed any more where there is one. */
export function momentOf(m: Machine, old: Moment | null = null): Moment {
  const { pages, slabs, space, ram } = nowOf(m)
  if (old === null) {
    return { pages: pages.slice(), slabs: slabs.slice(), space: space.slice(), ram: ram.slice() }
  }
  old.pages.set(pages)
  old.ram.set(ram)
  return { ...old, slabs: slabs.slice(), space: space.slice() }
}

/** All bytes of RAM. */
function ramOf(m: Machine): Uint8Array {
  const { words } = m.ram
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
}

/** A set of options that the operations run with. */
interface Setting {
  readonly name: string
  readonly options: Partial<MachineOptions>
  readonly nodes?: number
  /** Memory of a node; 2 MiB when not given. */
  readonly size?: number
  /** Whether a ring keeps all events. */
  readonly ring?: boolean
}

const SETTINGS: readonly Setting[] = [
  { name: '1 CPU', options: {}, size: 4 * MiB },
  { name: '4 CPUs, 2 nodes', options: { cpus: 4, layout: LAYOUT_X86_64 }, nodes: 2 },
  { name: 'slub_debug', options: { cmdline: 'slub_debug=FZPU' } },
  {
    name: 'zeroed memory, dirty pages',
    options: { cmdline: 'init_on_alloc=1 init_on_free=1', dirtyTracking: true },
  },
  { name: 'ring, page owner', options: { cmdline: 'page_owner=on', cpus: 4 }, ring: true },
]

/** A machine, its hooks, and its first state. */
export class Bench {
  readonly name: string
  readonly m: Machine
  readonly injector = new Injector()
  private readonly first: Moment
  private readonly ctors: readonly (readonly [number, Ctor])[]

  constructor({ name, options, nodes = 1, size = 2 * MiB, ring = false }: Setting) {
    this.name = name
    const m = Machine.boot({
      ram: Array.from({ length: nodes }, (_, node) => ({
        base: DMA_END - size / 2 + node * size,
        size,
        type: 'usable' as const,
        node,
      })),
      ...options,
    })
    this.m = m
    if (ring) new Tracepoints(m).ring(64)
    // The first area makes the slabs of descriptors, and leaves each CPU's spare object.
    for (let cpu = 0; cpu < (options.cpus ?? 1); cpu++) {
      m.onCpu(cpu, () => {
        const area = getVmAreaNode(m.vm, PAGE_SIZE)
        if (area !== null) freeVmArea(m.vm, area)
      })
    }
    this.hook()
    this.first = momentOf(m)
    this.ctors = [...m.slabs.context.ctors]
  }

  /** Lets requests fail when the injector says so. */
  hook(): void {
    const { decide } = this.injector
    setPageFaults(this.m.pages, { failPage: decide })
    this.m.slabs.setFaults({ failSlab: (_c, _cache, gfp) => decide(gfp) })
  }

  /** Lets no request fail, and the fast ways be gone. */
  unhook(): void {
    setPageFaults(this.m.pages, null)
    this.m.slabs.setFaults(null)
  }

  /** Puts the machine back to its first state. */
  reset(): Machine {
    const { m, first } = this
    const { space, tables } = m.vm.context
    const slabs = m.slabs.context
    this.injector.disarm()
    this.hook()
    m.pages.words.set(first.pages)
    replace(m.slabs.words, first.slabs, m.slabs.wordsUsed)
    replace(space.words, first.space, space.words[VMAP_WORDS_USED]!)
    ramOf(m).set(first.ram)
    switchCpu(m.pages.context, 0)
    slabs.ctors.clear()
    for (const [id, ctor] of this.ctors) slabs.ctors.set(id, ctor)
    m.vm.context.notifiers.length = 0
    tables.readopt(tables.root, tables.highRoot)
    return m
  }
}

function replace(words: Int32Array, by: Int32Array, used: number): void {
  words.set(by)
  if (used > by.length) words.fill(0, by.length, used)
}

let made: readonly Bench[] | null = null

/** The machines, the same for all files of a worker. */
export function benches(): readonly Bench[] {
  made ??= SETTINGS.map((setting) => new Bench(setting))
  return made
}
