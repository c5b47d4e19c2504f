/** What there is to be said about an address or a page frame: plain data, that `JSON.stringify` takes. */

/** In which part of the address space an address lies. */
export type AddressPlace =
  | 'direct map'
  | 'kernel image'
  | 'vmalloc'
  | 'modules'
  | 'pkmap'
  | 'fixmap'
  /** Of the address space, but of none of these windows. */
  | 'other'
  /** A page frame that the direct map does not reach: it has no address of its own. */
  | 'high memory'
  /** No address at all, or no page frame. */
  | 'none'

/** How addresses are written: those fields of a layout that decide it. */
export interface AddressDigits {
  /** Bits of an address without its sign extension. */
  readonly vaBits: number
  /** The sign extension of addresses whose highest bit is set. Unsigned, 32 bits. */
  readonly signHigh: number
  /** Bytes of a pointer. */
  readonly pointerBytes: 4 | 8
}

/** What is known of an address, or of a page frame. */
export interface Inspection {
  /** What was asked about: an address, or the number of a frame. */
  readonly asked: 'address' | 'pfn'
  /** The number as it was given. */
  readonly value: number
  /** Where it lies. */
  readonly where: AddressPlace
  /** The area of address space that holds the address; null in the direct map, and for what is no address. */
  readonly area: InspectedArea | null
  /** The page frame behind it; null when nothing is mapped there. */
  readonly page: InspectedPage | null
  /** How its addresses are written. */
  readonly digits: AddressDigits
}

/** An area of address space. */
export interface InspectedArea {
  /**
   * 'area' is in use, and has a vm_struct; 'vm_map_ram' is in use without one; 'unpurged' was freed and
   * waits for a purge; 'free' can be had.
   */
  readonly kind: 'area' | 'vm_map_ram' | 'unpurged' | 'free'
  /** First address. */
  readonly start: number
  /** Bytes, guard page included. */
  readonly size: number
  /** Bytes from its start to the address. */
  readonly offset: number
  /** VM_ flags; 0 without a vm_struct. */
  readonly flags: number
  /** Their names. */
  readonly flagNames: readonly string[]
  /** Who asked for it; '' when nobody is named. */
  readonly caller: string
  /** Physical address of I/O memory; 0 for none. */
  readonly phys: number
  /** Pages that belong to it. */
  readonly nrPages: number
  /** Order of the blocks that they came in. */
  readonly pageOrder: number
  /** Whether the address lies in its guard page. */
  readonly guard: boolean
  /** Whether it was put aside, to be freed later. */
  readonly deferred: boolean
  /** The block of small mappings that it is; null for none. Pages. */
  readonly block: InspectedBlock | null
  /** What it is for when it is not its caller's: `page array of …`; '' otherwise. */
  readonly use: string
}

/** A block of address space that small mappings of `vmMapRam` share. */
export interface InspectedBlock {
  /** All of its pages. */
  readonly pages: number
  /** Those never handed out. */
  readonly free: number
  /** Those handed out and returned. */
  readonly dirty: number
}

/** A page frame. */
export interface InspectedPage {
  /** Its number. */
  readonly pfn: number
  /** Bytes from its start to what was asked about. */
  readonly offset: number
  /**
   * 'used'; 'free' on a free list; 'cpu list' free, on a list of a CPU; 'reserved' never handed to the allocator;
   * 'unknown' memory in no block that is known; 'no memory'.
   */
  readonly state: 'used' | 'free' | 'cpu list' | 'reserved' | 'unknown' | 'no memory'
  /** Name of its zone; '' for none. */
  readonly zone: string
  /** Its node; -1 for none. */
  readonly node: number
  /** Migratetype of its pageblock; '' for none. */
  readonly blockType: string
  /** First frame of its block; -1 when it is in none. */
  readonly head: number
  /** Order of its block. */
  readonly order: number
  /** References to the block. */
  readonly references: number
  /** Page flags of the block's first page. */
  readonly flags: number
  /** Their names, as in `slab|head`; '' for none. */
  readonly flagNames: string
  /** Whether it came from the reserves that ignore the watermarks. */
  readonly pfmemalloc: boolean
  /** The CPU on whose list it is; -1 for none. */
  readonly cpu: number
  /** Migratetype of the list that it is on, which may be another than that of the pageblock; '' for none. */
  readonly listType: string
  /** What it is used for, if that is known. */
  readonly use: PageUse | null
  /** Who allocated it, as the option `owner` tells; '' when nobody knows. */
  readonly owner: string
}

/** What a page is used for. */
export type PageUse = UsedBySlab | UsedByKmalloc | UsedAsTable | SetAside | UsedByArea

/** A page of a slab. */
export interface UsedBySlab {
  /** Which use it is. */
  readonly kind: 'slab'
  /** The slab. */
  readonly slab: InspectedSlab
}

/** A page of a kmalloc request of more than 8192 bytes. */
export interface UsedByKmalloc {
  /** Which use it is. */
  readonly kind: 'large'
  /** First address of the block. */
  readonly address: number
  /** Its size. Bytes. */
  readonly size: number
  /** As in {@link InspectedObject}. */
  readonly use: string
}

/** A page table of the mapper. */
export interface UsedAsTable {
  /** Which use it is. */
  readonly kind: 'table'
  /** Its level; 0 is the top one. */
  readonly level: number
  /** Name of the level. */
  readonly name: string
}

/** Frame 0 where address 0 means none: the slab layer was given it, and never uses it. */
export interface SetAside {
  /** Which use it is. */
  readonly kind: 'set aside'
}

/** A page that belongs to an area of vmalloc space. */
export interface UsedByArea {
  /** Which use it is. */
  readonly kind: 'area'
  /** First address of the area. */
  readonly start: number
  /** Who asked for it; '' when nobody is named. */
  readonly caller: string
}

/** A slab. */
export interface InspectedSlab {
  /** Name of its cache. */
  readonly cache: string
  /** First address. */
  readonly start: number
  /** Bytes of an object that its owner may use. */
  readonly objectSize: number
  /** Objects that it has room for. */
  readonly objects: number
  /** Those in use. */
  readonly inUse: number
  /** Where it is: `slab of CPU 0`, `partial list of CPU 0`, `partial list of node 0`, `full, on no list` and so on. */
  readonly list: string
  /** Whether it was found corrupted. */
  readonly quarantined: boolean
  /** The object that the address lies in; null behind the last one. */
  readonly object: InspectedObject | null
}

/** An object of a slab, with the bytes around it. */
export interface InspectedObject {
  /** Its place in the slab, from 0 on. */
  readonly index: number
  /** Its address. */
  readonly start: number
  /** From there to the address; negative in the red zone in front, and the object's size or more behind it. Bytes. */
  readonly offset: number
  /** 'unknown' in a slab of a debug cache that was found corrupted. */
  readonly state: 'in use' | 'free' | 'unknown'
  /** Who allocated it, in caches that remember. */
  readonly allocated: InspectedTrack | null
  /** Who freed it last. */
  readonly freed: InspectedTrack | null
  /** What it is when it is an allocator's own, such as `vm_struct of …`; '' otherwise. */
  readonly use: string
}

/** Who allocated or freed an object. */
export interface InspectedTrack {
  /** Name of the caller. */
  readonly by: string
  /** The CPU. */
  readonly cpu: number
  /** The task. */
  readonly pid: number
  /** When it was. jiffies */
  readonly when: number
  /** How long ago that is. jiffies */
  readonly age: number
  /** The stack, innermost frame first. */
  readonly stack: readonly string[]
}

const TWO_32 = 4294967296

/** An address in full, as a kernel prints it. For whole numbers below 2^vaBits. */
export function digitsOf(
  { vaBits, signHigh, pointerBytes }: AddressDigits,
  address: number,
): string {
  const low = (address % TWO_32).toString(16).padStart(8, '0')
  if (pointerBytes === 4) return low
  const high = Math.floor(address / TWO_32)
  const sign = address >= 2 ** (vaBits - 1) ? signHigh : 0
  return ((high | sign) >>> 0).toString(16).padStart(8, '0') + low
}
