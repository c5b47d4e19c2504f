/**
 * kmem: kernel-style memory allocators that behave as Linux 6.1's do.
 * @packageDocumentation
 */

export { InvalidArgument, KernelBug, OutOfMemory } from './base/errors'
export type { Log } from './base/log'
export {
  getOrder,
  GiB,
  KiB,
  MAX_ORDER,
  MiB,
  PAGE_SHIFT,
  PAGE_SIZE,
  type Pfn,
  type PhysAddr,
  pfnToPhys,
  physToPfn,
  toPfn,
  toPhysAddr,
  type VirtAddr,
} from './base/units'
export * from './page/gfp'
export { formatGfp, parseGfp } from './page/gfpText'
export { PhysicalMemory } from './ram/physicalMemory'
export { BuddyAllocator, NUMA_NO_NODE } from './buddy/buddyAllocator'
export type { BuddyOptions, LoadOptions } from './buddy/options'
export type { ZoneState } from './buddy/nodeState'
export { noPageTrace, type PageTrace } from './state/trace'
