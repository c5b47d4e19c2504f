/**
 * kmem: kernel-style memory allocators that behave as those of Linux 6.1 do.
 * @packageDocumentation
 */

export { InvalidArgument, KernelBug, OutOfMemory } from './base/errors'
export { type FaultAttr, parseFaultAttr } from './base/faultAttr'
export {
  type AddressWindow,
  type FixmapWindow,
  fullAddress,
  LAYOUT_FLAT,
  LAYOUT_X86_64,
  type Layout,
  vmallocTotalKib,
} from './base/layout'
export {
  type I386Layout,
  type I386LayoutOptions,
  isI386Layout,
  layoutI386,
} from './base/layoutI386'
export {
  type Arm64LayoutOptions,
  LAYOUT_ARM64,
  LAYOUT_SV39,
  LAYOUT_SV48,
  type LayoutShift,
  layoutArm64,
  layoutRiscv,
  type RiscvLayoutOptions,
  shiftLayout,
} from './base/layouts'
export type { Log } from './base/log'
export { parseMemSize } from './base/memSize'
export {
  GiB,
  getOrder,
  KiB,
  MAX_ORDER,
  MiB,
  NUMA_NO_NODE,
  PAGE_SHIFT,
  PAGE_SIZE,
  PAGEBLOCK_PAGES,
  type Pfn,
  type PhysAddr,
  pfnToPhys,
  physToPfn,
  toPfn,
  toPhysAddr,
  type VirtAddr,
} from './base/units'
export type { BootMemory, BootRange } from './boot/bootMemory'
export { Memblock } from './boot/memblock'
export type { FreeRange } from './boot/memblockFind'
export type { AddressRange, MemblockRegion } from './boot/memblockRegions'
export type {
  FreeRangeOptions,
  MemblockOptions,
  PfnRange as MemblockPfnRange,
} from './boot/memblockView'
export { attachState, stateHash } from './buddy/attach'
export { BuddyAllocator } from './buddy/buddyAllocator'
export type {
  BuddyContext,
  LogOps,
  LowMemory,
  Nodemask,
  PageFaults,
  PageZeroer,
  SlowRequest,
} from './buddy/context'
export {
  CONTEXT_ATOMIC,
  CONTEXT_INTERRUPT,
  CONTEXT_MEMALLOC,
  CONTEXT_NOFS,
  CONTEXT_NOIO,
  CONTEXT_OOM_VICTIM,
  CONTEXT_PIN,
  CONTEXT_REALTIME,
} from './buddy/contextBits'
export { allocContigPages, allocContigRange, EBUSY, EINVAL, freeContigRange } from './buddy/contig'
export { freePagesAt, getDmaPages, getFreePages, getZeroedPage } from './buddy/directMap'
export {
  allocPagesBulk,
  allocPagesExact,
  freePagesExact,
  splitPage,
} from './buddy/exactPages'
export { type Frames, frameSource } from './buddy/frameSource'
export { freePagesList } from './buddy/freeList'
export { type KernelLogOptions, kernelLog } from './buddy/kernelLog'
export { runKswapd } from './buddy/kswapd'
export {
  adjustManagedPageCount,
  adoptBlock,
  type LoadOptions,
  loadZones,
} from './buddy/loadZones'
export type { NodeCounters } from './buddy/memInfo'
export { allocPagesNodemask } from './buddy/nodemask'
export { nodeState, type ZoneState } from './buddy/nodeState'
export type { BuddyOptions, CommonOptions, RamSource } from './buddy/options'
export { setPageFaults } from './buddy/pageFaults'
export { freePageFrag, PageFragCache } from './buddy/pageFrag'
export { type Pages, pageSource } from './buddy/pageSource'
export {
  type CompactResult,
  type PressureOps,
  withPressure,
} from './buddy/pressureOps'
export { getPage, pageCount, putPage } from './buddy/references'
export { reservePages } from './buddy/reserve'
export { freeReservedPages } from './buddy/reservedPages'
export { inContext, inInterrupt, onCpu, withPageListsHeld } from './buddy/running'
export { type FreeSummary, freeSummary } from './buddy/summary'
export { type SysctlName, sysctl } from './buddy/sysctl'
export { foldCounters, refreshVmstat } from './buddy/vmstatRefresh'
export type { InspectOptions } from './debug/backing'
export type { FaultAttributes } from './debug/faultAttributes'
export {
  type FailPageAllocOptions,
  type FailslabOptions,
  type FaultInjection,
  failPageAlloc,
  failslab,
} from './debug/faultInjection'
export { type FaultOptions, FaultTask } from './debug/faultPoint'
export { inspect, inspectPfn } from './debug/inspect'
export type {
  AddressDigits,
  AddressPlace,
  InspectedArea,
  InspectedBlock,
  InspectedObject,
  InspectedPage,
  InspectedSlab,
  InspectedTrack,
  Inspection,
  PageUse,
  SetAside,
  UsedAsTable,
  UsedByArea,
  UsedByKmalloc,
  UsedBySlab,
} from './debug/inspection'
export { describeInspection } from './debug/inspectText'
export { formatLeaks, type LeakMark, type LeakOptions, leakMark, leaks } from './debug/leaks'
export { type LiveAllocation, liveAllocations } from './debug/liveAllocations'
export {
  type PageOwner,
  type PageOwnerOptions,
  type PageOwnerRecord,
  pageOwner,
} from './debug/pageOwner'
export {
  formatOwnedBlock,
  formatPageOwner,
  formatPageOwnerTotals,
  type OwnedBlock,
  type OwnedPages,
  type PageOwnerTotal,
  pageOwnerTotals,
} from './debug/pageOwnerText'
export { type SlubDebug, type SlubDebugOptions, slubDebug } from './debug/slubDebug'
export { kmemDumpObj, remainingObjects } from './debug/slubObjects'
export { formatAllocTraces, formatFreeTraces } from './debug/slubTraces'
export { validateCache } from './debug/slubValidate'
export { type MachineViolation, verifyMachine } from './debug/verifyMachine'
export { type CommandLine, parseCommandLine } from './machine/commandLine'
export { type FromSnapshotOptions, machineFromSnapshot } from './machine/fromSnapshot'
export { Machine } from './machine/machine'
export type { MachineBuffers } from './machine/machineBuffers'
export type { MachineMemory, MemoryKeeping } from './machine/machineMemory'
export type { AttachOptions, MachineOptions } from './machine/machineOptions'
export type { FrameSource } from './page/frameSource'
export * from './page/gfp'
export { formatGfp, parseGfp } from './page/gfpText'
export {
  MIGRATE_CMA,
  MIGRATE_HIGHATOMIC,
  MIGRATE_ISOLATE,
  MIGRATE_MOVABLE,
  MIGRATE_RECLAIMABLE,
  MIGRATE_UNMOVABLE,
  MIGRATETYPE_NAMES,
} from './page/migratetype'
export type { ByteRam, PageSource, Running } from './page/pageSource'
export type { AccessMode } from './paging/accessMode'
export { AddressSpace, type UsedPages } from './paging/addressSpace'
export { ARM64, ARM64_39, type Arm64FormatOptions, arm64Format } from './paging/arm64Format'
export { type FlushOps, noFlush } from './paging/flushOps'
export * from './paging/format'
export {
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  type FaultDetails,
  PageFault,
} from './paging/pageFault'
export {
  type LeafVisitor,
  MAP_BUSY,
  MAP_NO_MEMORY,
  MAP_OK,
  PageTables,
  type PageTablesOptions,
  type PageWalk,
  type PageWalkEntry,
} from './paging/pageTables'
export {
  type RiscvFormat,
  type RiscvFormatOptions,
  riscvFormat,
  SV39,
  SV48,
  SV57,
  satp,
} from './paging/riscvFormat'
export type { AddressSpaceOptions } from './paging/spaceOptions'
export type { SpaceMapping } from './paging/spaceScan'
export type { TranslatorOptions } from './paging/translator'
export { VirtualMemory, type VirtualMemoryOptions } from './paging/virtualMemory'
export {
  I386,
  I386_PAE,
  X86_64,
  X86_64_LA57,
  X86_64_PAT,
  type X86FormatOptions,
  x86Format,
} from './paging/x86Format'
export { type BuddyinfoZone, formatBuddyinfo, parseBuddyinfo } from './proc/buddyinfo'
export { type FragmentationPictureOptions, fragmentationPicture } from './proc/fragmentationPicture'
export {
  type FragmentationSample,
  type FragmentationZone,
  fragmentationSample,
} from './proc/fragmentationSample'
export { freeListPicture } from './proc/freeListPicture'
export { parseFtrace } from './proc/ftrace'
export {
  type FtraceEvents,
  type FtraceLines,
  type FtraceSkipped,
  formatFtraceEvent,
} from './proc/ftraceEvents'
export { parseFtraceSlab } from './proc/ftraceSlab'
export { formatFtraceSlabEvent, type SlabEvents } from './proc/ftraceSlabEvents'
export {
  formatIomem,
  type HasRam,
  type IomemOptions,
  type IomemRange,
  parseIomem,
  readIomem,
} from './proc/iomem'
export { formatMeminfo, type Meminfo, parseMeminfo, readMeminfo } from './proc/meminfo'
export {
  type MemoryPictureOptions,
  type MemoryPicturePairOptions,
  memoryPicture,
  memoryPicturePair,
} from './proc/memoryPicture'
export { formatPageTables, type PageTableDumpOptions } from './proc/pageTableDump'
export {
  formatPagetypeinfo,
  type PagetypeBlocks,
  type PagetypeFree,
  type Pagetypeinfo,
  parsePagetypeinfo,
} from './proc/pagetypeinfo'
export { type ParsedTrace, parseTrace } from './proc/parseTrace'
export type { PictureOptions } from './proc/pictureParts'
export { PROC_TEXTS, procText } from './proc/procText'
export { type ReplayOptions, replay } from './proc/replay'
export { slabAttribute, slabAttributes, writeSlabAttribute } from './proc/slabAttributes'
export { slabDirectory } from './proc/slabDirectory'
export { formatSlabinfo, parseSlabinfo, readSlabinfo, type SlabinfoCache } from './proc/slabinfo'
export { type SlabLogOptions, slabBootMessage, slabLog } from './proc/slabLog'
export { formatSlabMeminfo, slabNodeCounters } from './proc/slabMemory'
export { type SlabPictureOptions, slabPicture } from './proc/slabPicture'
export { formatSlabReport, formatSlabTool, type SlabToolOptions } from './proc/slabTool'
export { formatSlabtop, type SlabtopOptions, type SlabtopSort } from './proc/slabtop'
export { replaySlabEvents, type SlabWorkloadOptions } from './proc/slabWorkload'
export type {
  SlabWorkload,
  SlabWorkloadCache,
  SlabWorkloadCounts,
} from './proc/slabWorkloadResult'
export { formatSlabWorkload, type SlabWorkloadKernel } from './proc/slabWorkloadText'
export type { Difference, Inferred, ReplayResult } from './proc/traceCompare'
export { type TracedSlabs, tracedSlabs } from './proc/tracedSlabs'
export {
  type CacheFreeEvent,
  type ExtfragEvent,
  type KfreeEvent,
  type PageAllocEvent,
  type PageFreeEvent,
  type PageTraceEvent,
  type PcpuDrainEvent,
  type SlabAllocEvent,
  type SlabTraceEvent,
  TRACE_EVENTS,
  type TraceEvent,
  type TraceEventName,
  type TracePlace,
  type ZoneLockedEvent,
} from './proc/traceEvents'
export type { TraceListener } from './proc/traceHub'
export { ftraceEventAt, ftraceSlabEventAt } from './proc/traceObjects'
export { type TracedParts, type TracepointOptions, Tracepoints } from './proc/tracepoints'
export { TraceRing } from './proc/traceRing'
export { teePageTrace, teeSlabTrace } from './proc/traceTee'
export {
  formatTrace,
  formatTraceEvent,
  type TraceFormat,
  type TraceTextOptions,
} from './proc/traceText'
export { formatUnreclaimableSlabs } from './proc/unreclaimableSlabs'
export {
  formatVmallocInfo,
  formatVmallocMeminfo,
  formatVmallocRows,
  parseVmallocInfo,
  type VmallocInfoOptions,
  type VmallocInfoRow,
} from './proc/vmallocinfo'
export { type VmallocLogOptions, vmallocLog } from './proc/vmallocLog'
export { type VmallocPictureOptions, vmallocPicture } from './proc/vmallocPicture'
export { formatVmstat, parseVmstat, readVmstat } from './proc/vmstat'
export {
  formatZoneinfo,
  parseZoneinfo,
  type ZoneinfoPageset,
  type ZoneinfoZone,
} from './proc/zoneinfo'
export type {
  BufferOptions,
  MapOptions,
  PhysicalMemoryOptions,
  RamBuffer,
  SizeOptions,
  WasmOptions,
} from './ram/backing'
export type {
  DeviceBytes,
  DeviceRange,
  MappedRange,
  MemoryRange,
  RamRange,
} from './ram/memoryMap'
export { type GrowListener, PhysicalMemory } from './ram/physicalMemory'
export type { RamAccess } from './ram/ramAccess'
export { attachSlabs, findCache, slabStateHash } from './slab/attach'
export { type SlabBootOptions, slabOptions } from './slab/bootWords'
export { kmemCacheAllocBulk, kmemCacheFreeBulk } from './slab/cacheBulk'
export {
  type CacheNodeState,
  type CacheState,
  cacheState,
  loadCache,
  type SlabState,
} from './slab/cacheState'
export type {
  Ctor,
  ObjectTrack,
  SlabContext,
  SlabDebugOps,
  SlabFaults,
  SlabHardening,
  SlabLogOps,
  SlabTrace,
  TrackKind,
} from './slab/context'
export {
  devmAddAction,
  devmAddActionOrReset,
  devmFreePages,
  devmGetFreePages,
  devmKcalloc,
  devmKfree,
  devmKmalloc,
  devmKmallocArray,
  devmKmemdup,
  devmKrealloc,
  devmKstrdup,
  devmKzalloc,
  devmReleaseAction,
  devmRemoveAction,
} from './slab/devm'
export { devmGenPool, devmGenPoolCreate, dmamPoolCreate, dmamPoolDestroy } from './slab/devmPools'
export { Devres, type DevresGroupId } from './slab/devres'
export type { DevresMatch, DevresRelease } from './slab/devresList'
export { type Device, dmaBitMask } from './slab/dmaCoherent'
export { type DmaBlock, DmaPool, type DmaPoolOptions } from './slab/dmaPool'
export { formatPools } from './slab/dmaPoolText'
export * from './slab/flags'
export { GenPool, type GenPoolDma, type GenPoolOptions } from './slab/genalloc'
export {
  type GenPoolAlgo,
  type GenPoolArea,
  genPoolBestFit,
  genPoolFirstFit,
  genPoolFirstFitAlign,
  genPoolFirstFitOrderAlign,
  genPoolFixedAlloc,
} from './slab/genallocSearch'
export { endGracePeriod } from './slab/gracePeriod'
export { type HardeningOptions, slabHardening } from './slab/hardening'
export { shrinkAllCaches, slabNodeOnline } from './slab/hotplug'
export { Kmalloc, ZERO_SIZE_PTR } from './slab/kmalloc'
export { kmallocCacheOf } from './slab/kmallocCaches'
export {
  kfreeBulk,
  kfreeSensitive,
  kmallocSizeRoundup,
  kreallocArray,
} from './slab/kmallocMore'
export { kmemdup, kmemdupNul, kstrdup, kstrndup, readString } from './slab/kmemdup'
export { type WasmMalloc, type WasmMallocOptions, wasmMalloc } from './slab/malloc'
export {
  kmallocElements,
  Mempool,
  type MempoolElements,
  type MempoolOptions,
  pageElements,
  slabElements,
} from './slab/mempool'
export type { SlabOptions } from './slab/options'
export { SlabAllocator } from './slab/slabAllocator'
export { SlabCache, type SlabCacheOptions } from './slab/slabCache'
export type { AreaChanges, ChangedArea, UsedArea } from './snapshot/compareAreas'
export type {
  ChangedBlock,
  ChangedPage,
  MemoryChanges,
  PageChanges,
  UsedBlock,
} from './snapshot/comparePages'
export type { CacheChange, CacheUse, SlabChanges } from './snapshot/compareSlabs'
export {
  type CompareOptions,
  compareSnapshots,
  type SnapshotChanges,
} from './snapshot/compareSnapshots'
export type { SectionName } from './snapshot/format'
export type { Listing } from './snapshot/listing'
export { machineHash } from './snapshot/machineHash'
export type { PageParts, SnapshotParts } from './snapshot/parts'
export { type RestoreOptions, restoreSnapshot } from './snapshot/restoreSnapshot'
export { type SnapshotOptions, saveSnapshot } from './snapshot/saveSnapshot'
export type { ShapeRange } from './snapshot/shape'
export { type SectionInfo, type SnapshotInfo, snapshotInfo } from './snapshot/snapshotInfo'
export type { PageTrace } from './state/trace'
export { noPageTrace } from './state/trace'
export {
  formatAddress,
  isVmallocAddr,
  isVmallocOrModuleAddr,
  offsetInPage,
  pageAlign,
  pageAlignDown,
  pageStructAddress,
  parseAddress,
  pfnToVirt,
  physToVirt,
  virtAddrValid,
  virtToPfn,
  virtToPhys,
} from './vmalloc/addresses'
export { type VmallocBootOptions, vmallocOptions } from './vmalloc/bootWords'
export {
  type DirectMapCounts,
  type DirectMapRange,
  directMapCounts,
  mapDirectMap,
} from './vmalloc/directMapping'
export {
  holdDrainWork,
  purgeVmapAreas,
  registerVmapPurgeNotifier,
  runDeferredFrees,
  runDrainWork,
  unregisterVmapPurgeNotifier,
  vfreeAtomic,
  vmapLazyPages,
} from './vmalloc/drainWork'
export { clearFixmap, FIX_VSYSCALL, fixToVirt, setFixmap, virtToFix } from './vmalloc/fixmap'
export * from './vmalloc/flags'
export { type IoCache, ioremap, iounmap } from './vmalloc/ioremap'
export { readKernelMemory, writeKernelMemory } from './vmalloc/kernelBytes'
export { highmemZones, Kmap, type KmapOptions } from './vmalloc/kmap'
export { kvcalloc, kvfree, kvmalloc, kvmallocArray, kvrealloc, kvzalloc } from './vmalloc/kvmalloc'
export type { MachineParts } from './vmalloc/machineParts'
export { moduleAlloc } from './vmalloc/moduleAlloc'
export { type PcpuVmAreas, pcpuFreeVmAreas, pcpuGetVmAreas } from './vmalloc/pcpuAreas'
export { remapVmallocRange, type UserRange } from './vmalloc/remap'
export {
  findVmAreaAt,
  freeVmArea,
  getVmAreaNode,
  isVmAreaHugepages,
  setVmallocCaller,
  setVmFlushResetPerms,
  type VmArea,
  type VmAreaOptions,
  vmAreaPages,
  vmAreas,
  vmallocDumpObj,
  vmallocNrPages,
} from './vmalloc/vmAreas'
export { Vmalloc, type VmallocRange } from './vmalloc/vmalloc'
export type { PurgeNotifier } from './vmalloc/vmallocContext'
export type { VmallocLogOps } from './vmalloc/vmallocLogOps'
export type { VmallocOptions } from './vmalloc/vmallocOptions'
export { loadVmallocState, vmallocState } from './vmalloc/vmallocState'
export { vmap, vmapPfn } from './vmalloc/vmap'
export { vmMapRam, vmUnmapAliases, vmUnmapRam } from './vmalloc/vmapRam'
export {
  type VmapRange,
  VmapSpace,
  type VmapSpaceArea,
  type VmapSpaceOptions,
} from './vmalloc/vmapSpace'
export type { AreaBounds, FreeAreaNode, VmapState } from './vmalloc/vmapState'
export { vread, vwrite } from './vmalloc/vread'
export type { KernelImage } from './zone/bootLog'
export { type MovableMemory, movableMemory } from './zone/movableCore'
export {
  type MovablePolicy,
  type NodeSpan,
  type PfnRange,
  type PfnSpan,
  type Spans,
  ZONES_FLAT,
  ZONES_I386,
  ZONES_X86_64,
  type ZoneProfile,
  type ZoneSpan,
} from './zone/spans'
export type { MinFreeLog } from './zone/watermark'
export type { ZoneName } from './zone/zones'
