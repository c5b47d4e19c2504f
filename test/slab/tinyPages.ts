/**
 * A page allocator of a few pages for exhaustive tests: the lowest free block, and a state of one array. Free
 * pages are all zero.
 */

import {
  __GFP_THISNODE,
  PAGE_SIZE,
  type PageSource,
  PhysicalMemory,
  type Running,
} from '../../src/index'

/** Pages of each node, one node behind the other. */
export class TinyPages implements PageSource {
  readonly ram: PhysicalMemory
  readonly maxPfn: number
  readonly nrCpus: number
  readonly nrNodes: number
  /** Whether each page is in use. */
  readonly used: Uint8Array
  readonly running: Running & { cpu: number } = { cpu: 0, contextBits: 0 }

  constructor(
    private readonly perNode: number,
    cpus: number,
    nodes: number,
  ) {
    this.maxPfn = perNode * nodes
    this.ram = new PhysicalMemory({ size: this.maxPfn * PAGE_SIZE })
    this.nrCpus = cpus
    this.nrNodes = nodes
    this.used = new Uint8Array(this.maxPfn)
    // Address 0 means "none" to the slab layer.
    this.used[0] = 1
  }

  /** Pages in use. */
  get count(): number {
    return this.used.reduce((sum, each) => sum + each, 0)
  }

  cpuNode(cpu: number): number {
    return cpu % this.nrNodes
  }

  hasMemory(): boolean {
    return true
  }

  isOnline(): boolean {
    return true
  }

  allocBlock(gfp: number, order: number, node: number): number {
    const near = node < 0 ? this.cpuNode(this.running.cpu) : node
    const found = this.find(near, 1 << order)
    if (found >= 0 || (gfp & __GFP_THISNODE) !== 0) return found
    for (let other = 0; other < this.nrNodes; other++) {
      const far = other === near ? -1 : this.find(other, 1 << order)
      if (far >= 0) return far
    }
    return -1
  }

  private find(node: number, pages: number): number {
    const end = (node + 1) * this.perNode
    for (let pfn = node * this.perNode; pfn + pages <= end; pfn += pages) {
      if (this.used.subarray(pfn, pfn + pages).some((used) => used !== 0)) continue
      this.used.fill(1, pfn, pfn + pages)
      return pfn
    }
    return -1
  }

  freeBlock(pfn: number, order: number): void {
    this.ram.fill(pfn * PAGE_SIZE, PAGE_SIZE << order, 0)
    for (let page = pfn; page < pfn + (1 << order); page++) {
      if (this.used[page] !== 1) throw new Error(`page ${page} is free already`)
      this.used[page] = 0
    }
  }

  nodeOf(pfn: number): number {
    return Math.floor(pfn / this.perNode)
  }

  zoneIndexOf(): number {
    return 0
  }

  isReserve(): boolean {
    return false
  }

  mayUseReserve(): boolean {
    return false
  }

  zonelistNodes(_gfp: number, node: number): readonly number[] {
    const near = node < 0 ? this.cpuNode(this.running.cpu) : node
    return Array.from({ length: this.nrNodes }, (_, i) => (near + i) % this.nrNodes)
  }
}
