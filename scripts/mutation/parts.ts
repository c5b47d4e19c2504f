/** The folders that are mutated, and the tests that run for each. */

export interface Part {
  /** Folders and files below `test/`. A folder stands for its test files. */
  readonly tests: readonly string[]
  /** Tests of these that are left out, by a pattern of `file#name`: too slow for what they notice besides. */
  readonly without?: string
}

/** Whole traces, what only looks at the players of recordings, and what compares the source with itself. */
const SLOW = 'conformance.*(traces/|npm run|a difference is noticed|are all found)|determinism.test'

export const PARTS: Readonly<Record<string, Part>> = {
  base: { tests: ['base'] },
  state: {
    tests: [
      'state',
      'page',
      'zone',
      'buddy',
      'slab/bootWords.test.ts',
      'slab/kmallocSizes.test.ts',
    ],
    without: '(model|exhaustive|determinism).test',
  },
  page: { tests: ['page', 'zone', 'buddy'], without: '(model|exhaustive|determinism).test' },
  zone: {
    tests: ['zone', 'buddy', 'proc/fragmentation.test.ts', 'proc/zoneinfo.test.ts', 'machine'],
    without: '(model|exhaustive|determinism|attach|fromSnapshot).test',
  },
  buddy: {
    tests: [
      'buddy',
      'zone',
      'conformance.test.ts',
      'debug/faultInjection.test.ts',
      'debug/inspect.test.ts',
      'debug/pageOwner.test.ts',
      'machine/machine.test.ts',
      'proc/procText.test.ts',
      'proc/vmstat.test.ts',
      'proc/zoneinfo.test.ts',
      'proc/meminfo.test.ts',
      'proc/buddyinfo.test.ts',
      'proc/pagetypeinfo.test.ts',
      'proc/replaySmall.test.ts',
      'proc/fragmentation.test.ts',
    ],
    without: `${SLOW}|conformance.*(slab|kmalloc|vm|text/|boot/)|a trace that is not what`,
  },
  slab: {
    tests: [
      'slab',
      'conformance.test.ts',
      'debug/faultInjection.test.ts',
      'debug/slubChecks.test.ts',
      'proc/slabinfo.test.ts',
      'proc/slabAttributes.test.ts',
    ],
    without: `${SLOW}|conformance.*(calls.*/(pages|exhaust|vm|random-(two|three|four|eight|mov|cont|areas|vm))|text/|boot/)`,
  },
  paging: { tests: ['paging', 'proc/pageTableDump.test.ts'] },
  vmalloc: {
    tests: [
      'vmalloc',
      'conformance.test.ts',
      'proc/vmallocinfo.test.ts',
      'debug/verifyVmap.test.ts',
    ],
    without: `${SLOW}|conformance.*(calls.*/(pages|exhaust|slab|kmalloc|random-(two|three|four|eight|mov|cont|slab|kmalloc|debug))|text/|boot/)`,
  },
}
