/** Names that need no row: those that are given no machine, and those whose failures are looked at elsewhere. */

/** They are given no machine: texts, numbers, options and formats, and the ends of errors and listeners. */
export const WITHOUT_MACHINE: readonly string[] = `
  InvalidArgument KernelBug OutOfMemory PageFault FaultTask FaultTask#setFailNth FaultTask#countCall
  FaultAttributes FaultAttributes#read FaultAttributes#write FaultAttributes#get FaultAttributes#set
  failPageAlloc failslab parseFaultAttr slubDebug slabHardening slabLog kernelLog vmallocLog withPressure
  teePageTrace teeSlabTrace describeInspection snapshotInfo parseCommandLine movableMemory parseMemSize
  arm64Format riscvFormat x86Format satp gfpMigratetype gfpZone gfpZoneHighmem entryPfn formatGfp parseGfp
  layoutArm64 layoutI386 layoutRiscv isI386Layout highmemZones shiftLayout fullAddress formatAddress parseAddress
  fixToVirt virtToFix vmallocTotalKib isVmallocAddr isVmallocOrModuleAddr offsetInPage pageAlign pageAlignDown
  pageStructAddress pfnToVirt physToVirt virtToPfn virtToPhys getOrder pfnToPhys physToPfn toPfn toPhysAddr
  dmaBitMask kmallocSizeRoundup slabOptions vmallocOptions
  genPoolBestFit genPoolFirstFit genPoolFirstFitAlign genPoolFirstFitOrderAlign genPoolFixedAlloc
  formatFtraceEvent formatFtraceSlabEvent formatOwnedBlock formatSlabWorkload formatTrace formatTraceEvent
  formatVmallocRows ftraceEventAt ftraceSlabEventAt parseBuddyinfo parseFtrace parseFtraceSlab parseIomem
  parseMeminfo parsePagetypeinfo parseSlabinfo parseTrace parseVmallocInfo parseVmstat parseZoneinfo tracedSlabs
`
  .trim()
  .split(/\s+/)

/** Their failures are looked at one by one: what makes machines, grows them, or keeps ranges without memory. */
export const ELSEWHERE: Readonly<Record<string, readonly string[]>> = {
  'boot.test.ts': `
    Machine Machine.boot Machine.attach machineFromSnapshot BuddyAllocator SlabAllocator Kmalloc Vmalloc
    BuddyAllocator#addMemory PhysicalMemory PhysicalMemory#grow attachState attachSlabs loadZones loadVmallocState
    loadCache adoptBlock adjustManagedPageCount freeReservedPages replay replaySlabEvents`
    .trim()
    .split(/\s+/),
  'ranges.test.ts': ['VmapSpace', 'VmapSpace.attach', 'Memblock'],
  'the hooks of every machine here': ['setPageFaults', 'SlabAllocator#setFaults'],
  'constructors that no program calls': ['DmaPool', 'Mempool', 'TraceRing', 'PageOwner'],
  'debug caches, in test/debug': ['formatAllocTraces', 'formatFreeTraces'],
  'dirty tracking, in test/ram': [
    'PhysicalMemory#isDirty',
    'PhysicalMemory#dirtyPages',
    'PhysicalMemory#clearDirty',
  ],
}
