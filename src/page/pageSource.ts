/**
 * What a layer above needs of a page allocator: blocks of pages, where they are, and their bytes. The slab
 * layer and the page tables know no other way to pages, so any page allocator can sit beneath them.
 */

/** Memory whose bytes can be reached. `PhysicalMemory` is one. */
export interface ByteRam {
  /** Whether there are bytes at all. */
  readonly hasContent: boolean
  /** True when more memory may come. */
  readonly growable?: boolean
  /** All bytes as 32-bit words in the machine's byte order; another array after a growth. */
  readonly words: Int32Array
  /** Place of the word at `address`, a multiple of 4, in {@link words}. */
  wordIndex(address: number): number
  /** Whether writes through {@link words} have to be told by {@link markDirty}. */
  readonly tracksDirty: boolean
  /** Marks the pages of a range as written. */
  markDirty(address: number, length: number): void
  /** A view of a range. */
  bytes(address: number, length: number): Uint8Array
  /** Fills a range. */
  fill(address: number, length: number, byte: number): void
  /** Copies a range; the two may overlap. */
  copy(to: number, from: number, length: number): void
}

/** The CPU that runs. */
export interface Running {
  /** Its number. */
  readonly cpu: number
  /** CONTEXT_ bits: what the running code is and may do. */
  readonly contextBits: number
}

/** A page allocator, seen from above. PFNs are below `maxPfn`; -1 stands for no block. */
export interface PageSource {
  /** One more than the highest frame that the machine can have. */
  readonly maxPfn: number
  /** CPUs, 1 or more. */
  readonly nrCpus: number
  /** Node ids, 1 or more. */
  readonly nrNodes: number
  /** Which CPU runs: always the same object, whose fields change. */
  readonly running: Running
  /** The bytes of the pages. */
  readonly ram: ByteRam
  /** Node of a CPU. */
  cpuNode(cpu: number): number
  /** Whether a node has memory that caches can use. */
  hasMemory(node: number): boolean
  /** Whether a node exists and is online. */
  isOnline(node: number): boolean
  /**
   * Allocates a block of 2^order pages near `node` (-1: near the current CPU) and marks it as a slab's.
   * Returns its first frame or -1. An order above 10 fails.
   */
  allocBlock(gfp: number, order: number, node: number): number
  /** Gives a block of {@link allocBlock} back: it is free once nobody holds a reference to it. */
  freeBlock(pfn: number, order: number): void
  /** Node of a frame. */
  nodeOf(pfn: number): number
  /** Index of a frame's zone: 0 for DMA, 1 for DMA32, 2 for Normal, 3 for Movable. */
  zoneIndexOf(pfn: number): number
  /** Whether a block came from the emergency reserve. */
  isReserve(pfn: number): boolean
  /** Whether a request may use blocks from the emergency reserve. */
  mayUseReserve(gfp: number): boolean
  /**
   * Nodes of the zones that a request near `node` may use, in the order in which they are tried; a node
   * comes once for each of its zones.
   */
  zonelistNodes(gfp: number, node: number): readonly number[]
}
