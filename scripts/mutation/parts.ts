/** The folders that are mutated, and the tests that run for each. */

export interface Part {
  /** Folders and files below `test/`. A folder stands for its test files. */
  readonly tests: readonly string[]
  /** Tests of these that are left out, by a pattern of `file#name`: too slow for what they notice besides. */
  readonly without?: string
}

/** Whole traces, and what only looks at the players of recordings. */
const SLOW = 'conformance.*(traces/|npm run|a difference is noticed|are all found)'

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
    without: '(model|exhaustive).test',
  },
  page: { tests: ['page', 'zone', 'buddy'], without: '(model|exhaustive).test' },
  zone: {
    tests: ['zone', 'buddy', 'proc/fragmentation.test.ts', 'proc/zoneinfo.test.ts', 'machine'],
    without: '(model|exhaustive|attach|fromSnapshot).test',
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
  slab: { tests: ['slab'] },
  paging: { tests: ['paging'] },
  vmalloc: { tests: ['vmalloc'] },
}
