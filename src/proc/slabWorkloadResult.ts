/** What comes of a slab workload, and the counts while they grow. */

/** What one cache, or all of them, did in the workload. */
export interface SlabWorkloadCounts {
  /** Objects allocated. */
  readonly allocs: number
  /** Those of them that have the address that the trace has. */
  readonly sameAddress: number
  /** Allocations that the trace has and that could not be made. */
  readonly failed: number
  /** Objects freed. */
  readonly frees: number
  /** Frees that were left out, as no event tells of the object's allocation. */
  readonly unknownFrees: number
  /** Objects of the workload at the end: allocs - frees. */
  readonly live: number
  /** Most of them at any time. */
  readonly peakLive: number
  /** Slabs before the workload. */
  readonly slabsBefore: number
  /** Slabs taken from the pages during it. */
  readonly slabsMade: number
  /** Slabs given back. */
  readonly slabsReturned: number
  /** Slabs at the end: slabsBefore + slabsMade - slabsReturned. */
  readonly slabs: number
  /** Most slabs at any time. */
  readonly peakSlabs: number
  /** Pages before the workload: of slabs, and of large kmalloc blocks, which are no slabs. */
  readonly pagesBefore: number
  /** Pages at the end. */
  readonly pages: number
  /** Most pages at any time. */
  readonly peakPages: number
}

/** One cache of the workload. */
export interface SlabWorkloadCache extends SlabWorkloadCounts {
  /** Its name; `kmalloc-large` for blocks straight from the pages; `unnamed-96-104` for sizes alone. */
  readonly name: string
  /** Bytes of an object; 0 when the trace has only frees. */
  readonly objectSize: number
  /** Bytes of a slot of the traced kernel; 0 when the trace has only frees, and for large blocks. */
  readonly slotSize: number
  /** Bytes of a slot here; 0 without a cache here. */
  readonly ownSlotSize: number
  /** Order of slabs here; 0 without a cache here. */
  readonly order: number
  /** Objects in a slab here; 0 without a cache here. */
  readonly objectsPerSlab: number
}

/** What came of a workload. */
export interface SlabWorkload {
  /** Events in the trace. */
  readonly events: number
  /** The caches, each with its own events. */
  readonly caches: readonly SlabWorkloadCache[]
  /** Sums over all caches; peaks are those of the sums. */
  readonly total: SlabWorkloadCounts
  /** Frees of null, and of the address that stands for 0 bytes, which do nothing. */
  readonly nullFrees: number
  /** Allocations that failed in the trace; they are not made. */
  readonly failedInTrace: number
  /** Objects freed because their address was allocated again: their own free had no event. */
  readonly impliedFrees: number
}

/** Counts that grow. */
export type Counts = { -readonly [key in keyof SlabWorkloadCounts]: SlabWorkloadCounts[key] }

/** Adds to a count; peaks follow. */
export function addCount(counts: Counts, what: keyof Counts, step: number): void {
  counts[what] += step
  if (what === 'live') counts.peakLive = Math.max(counts.peakLive, counts.live)
  else if (what === 'slabs') counts.peakSlabs = Math.max(counts.peakSlabs, counts.slabs)
  else if (what === 'pages') counts.peakPages = Math.max(counts.peakPages, counts.pages)
}

/** Counts of nothing so far. */
export function noCounts(): Counts {
  return {
    allocs: 0,
    sameAddress: 0,
    failed: 0,
    frees: 0,
    unknownFrees: 0,
    live: 0,
    peakLive: 0,
    slabsBefore: 0,
    slabsMade: 0,
    slabsReturned: 0,
    slabs: 0,
    peakSlabs: 0,
    pagesBefore: 0,
    pages: 0,
    peakPages: 0,
  }
}
