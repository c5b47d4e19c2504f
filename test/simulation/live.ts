/** What is in use, by the numbers of the calls that allocated it. */

import type { Pfn, PhysAddr, VirtAddr } from '../../src/index'

/** A block of pages. */
export interface LiveBlock {
  readonly kind: 'block'
  readonly id: number
  readonly pfn: Pfn
  readonly order: number
  readonly compound: boolean
  refs: number
}

/** Pages, each a page of its own. */
export interface LivePages {
  readonly kind: 'pages'
  readonly id: number
  readonly pfns: readonly Pfn[]
  /** Whether they follow each other. */
  readonly run: boolean
}

/** A fragment of a block. */
export interface LiveFrag {
  readonly kind: 'frag'
  readonly id: number
  readonly address: PhysAddr
  readonly bytes: number
}

/** Objects of a cache. */
export interface LiveObjects {
  readonly kind: 'objects'
  readonly id: number
  /** Id of the cache. */
  readonly cache: number
  readonly addresses: readonly VirtAddr[]
  readonly bytes: number
}

/** Memory of kmalloc or kvmalloc. */
export interface LiveMemory {
  readonly kind: 'memory'
  readonly id: number
  readonly address: VirtAddr
  readonly bytes: number
}

/** Something in the kernel's address space. */
export interface LiveArea {
  readonly kind: 'area'
  readonly id: number
  /** 'memory' of vmalloc; 'vmap' and 'ram' of pages that stay the owner's, 'put' of pages that do not. */
  readonly how: 'memory' | 'vmap' | 'put' | 'ram' | 'io' | 'empty'
  readonly address: VirtAddr
  readonly bytes: number
  /** Pages that the owner has to free. */
  readonly pfns: readonly Pfn[]
}

/** An element of a mempool: a block of kmalloc, or pages. */
export interface LiveElement {
  readonly kind: 'element'
  readonly id: number
  readonly pool: number
  readonly holds: LiveMemory | LiveBlock
}

export type Live =
  | LiveBlock
  | LivePages
  | LiveFrag
  | LiveObjects
  | LiveMemory
  | LiveArea
  | LiveElement

export type LiveKind = Live['kind']

/** Everything in use, in the order of its numbers. */
export class LiveTable {
  /** Ascending by id. */
  readonly items: Live[]
  private readonly byId: Map<number, Live>

  constructor(items: readonly Live[] = []) {
    this.items = [...items]
    this.byId = new Map(items.map((item) => [item.id, item]))
  }

  /** A copy that shares nothing that changes. */
  copy(): LiveTable {
    return new LiveTable(this.items.map(copyOf))
  }

  get size(): number {
    return this.items.length
  }

  get(id: number): Live | undefined {
    return this.byId.get(id)
  }

  /** Adds something newer than all others. */
  add(item: Live): void {
    this.items.push(item)
    this.byId.set(item.id, item)
  }

  remove(id: number): void {
    const at = this.place(id)
    if (this.items[at]?.id !== id) throw new RangeError(`nothing in use has the number ${id}`)
    this.items.splice(at, 1)
    this.byId.delete(id)
  }

  /** Puts something in the place of what has the same number. */
  replace(item: Live): void {
    const at = this.place(item.id)
    if (this.items[at]?.id !== item.id) throw new RangeError(`nothing has the number ${item.id}`)
    this.items[at] = item
    this.byId.set(item.id, item)
  }

  /**
   * What a draw means: the first thing of the kind from number `draw` modulo `at` on, or from the start. So a draw
   * means the same when calls that have nothing to do with it are left out.
   */
  pick(draw: number, at: number, kind: LiveKind | null = null): Live | undefined {
    const { items } = this
    const first = this.place(draw % (at + 1))
    for (let i = 0; i < items.length; i++) {
      const item = items[(first + i) % items.length]!
      if (kind === null || item.kind === kind) return item
    }
    return undefined
  }

  /** Place of the first number that is not below `id`. */
  private place(id: number): number {
    let low = 0
    let high = this.items.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.items[middle]!.id < id) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Only blocks change. */
function copyOf(item: Live): Live {
  if (item.kind === 'block') return { ...item }
  if (item.kind === 'element') return { ...item, holds: copyOf(item.holds) as LiveElement['holds'] }
  return item
}

/** Something in use, in words. */
export function describe(item: Live): string {
  const hex = (value: number) => `0x${value.toString(16)}`
  switch (item.kind) {
    case 'block':
      return `pfn ${hex(item.pfn)} of order ${item.order}`
    case 'pages':
      return `${item.pfns.length} pages from pfn ${hex(item.pfns[0] ?? 0)}`
    case 'frag':
      return `a fragment of ${item.bytes} bytes at ${hex(item.address)}`
    case 'objects':
      return `${item.addresses.length} objects of cache ${item.cache} from ${hex(item.addresses[0] ?? 0)}`
    case 'memory':
      return `${item.bytes} bytes at ${hex(item.address)}`
    case 'area':
      return `area (${item.how}) of ${item.bytes} bytes at ${hex(item.address)}`
    case 'element':
      return `element of pool ${item.pool}, ${describe(item.holds)}`
  }
}
