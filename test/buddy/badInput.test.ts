import { describe, expect, it } from 'vitest'
import {
  __GFP_MOVABLE,
  __GFP_RECLAIMABLE,
  adjustManagedPageCount,
  adoptBlock,
  allocContigPages,
  allocContigRange,
  allocPagesBulk,
  allocPagesExact,
  allocPagesNodemask,
  attachState,
  BuddyAllocator,
  type BuddyOptions,
  freeContigRange,
  freePagesAt,
  freePagesExact,
  freePagesList,
  freeSummary,
  GFP_KERNEL,
  getDmaPages,
  getFreePages,
  getPage,
  getZeroedPage,
  InvalidArgument,
  inContext,
  inInterrupt,
  kernelLog,
  loadZones,
  MiB,
  nodeState,
  onCpu,
  PAGE_SIZE,
  type Pfn,
  PhysicalMemory,
  pageCount,
  putPage,
  reservePages,
  type SysctlName,
  splitPage,
  stateHash,
  sysctl,
  toPfn,
  withPageListsHeld,
} from '../../src/index'
import { HEADER_BLOCKS, HEADER_RANGES } from '../../src/state/schema'
import { differences, faults, NODE_1, thrownBy, twoNodes } from './machines'

/** What no integer argument may be. */
const NO_INTEGERS: readonly unknown[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  0.5,
  -1.5,
  2 ** 53,
  -(2 ** 53),
  1e300,
  '1',
  '',
  'x',
  true,
  false,
  null,
  {},
  [],
  [1],
  new Date(0),
  () => 1,
]

/** A block of order 2 in use, and a single page. */
interface Used {
  readonly block: Pfn
  readonly single: Pfn
}

function machine(): { pages: BuddyAllocator; used: Used } {
  const pages = twoNodes()
  const block = pages.allocPages(GFP_KERNEL, 2)
  const single = pages.allocPages(GFP_KERNEL, 0)
  if (block === null || single === null) throw new Error('no memory')
  // From here on requests like these take the fast path.
  for (let i = 0; i < 3; i++) {
    const again = pages.allocPages(GFP_KERNEL)
    if (again !== null) pages.freePages(again)
  }
  return { pages, used: { block, single } }
}

/** Every argument that is an integer: how to pass it, with all others right. */
const INTEGERS: readonly (readonly [
  name: string,
  call: (pages: BuddyAllocator, value: number, used: Used) => unknown,
])[] = [
  ['allocPages gfp', (p, v) => p.allocPages(v)],
  ['allocPages order', (p, v) => p.allocPages(GFP_KERNEL, v)],
  ['allocPagesNode node', (p, v) => p.allocPagesNode(v, GFP_KERNEL)],
  ['allocPagesNode gfp', (p, v) => p.allocPagesNode(0, v)],
  ['allocPagesNode order', (p, v) => p.allocPagesNode(0, GFP_KERNEL, v)],
  ['allocPagesNodemask nodes', (p, v) => allocPagesNodemask(p, 0, GFP_KERNEL, 0, [v])],
  ['getFreePages gfp', (p, v) => getFreePages(p, v)],
  ['getFreePages order', (p, v) => getFreePages(p, GFP_KERNEL, v)],
  ['getZeroedPage gfp', (p, v) => getZeroedPage(p, v)],
  ['getDmaPages gfp', (p, v) => getDmaPages(p, v)],
  ['getDmaPages order', (p, v) => getDmaPages(p, GFP_KERNEL, v)],
  ['freePages pfn', (p, v) => p.freePages(v as Pfn)],
  ['freePages pfn of a block', (p, v) => p.freePages(v as Pfn, 2)],
  ['freePages order', (p, v, used) => p.freePages(used.single, v)],
  ['freePages order of a block', (p, v, used) => p.freePages(used.block, v)],
  ['freePagesAt address', (p, v) => freePagesAt(p, v)],
  ['freePagesAt order', (p, v, used) => freePagesAt(p, used.single * PAGE_SIZE, v)],
  ['addMemory base', (p, v) => p.addMemory(v, MiB, 0)],
  ['addMemory size', (p, v) => p.addMemory(64 * MiB, v, 0)],
  ['addMemory node', (p, v) => p.addMemory(64 * MiB, MiB, v)],
  ['onCpu cpu', (p, v) => onCpu(p, v, () => p.allocPages(GFP_KERNEL))],
  ['inContext bits', (p, v) => inContext(p, v, () => p.allocPages(GFP_KERNEL))],
  ['allocPagesBulk gfp', (p, v) => allocPagesBulk(p, v, 2)],
  ['allocPagesBulk count', (p, v) => allocPagesBulk(p, GFP_KERNEL, v)],
  ['allocPagesBulk node', (p, v) => allocPagesBulk(p, GFP_KERNEL, 2, v)],
  ['allocPagesExact bytes', (p, v) => allocPagesExact(p, v, GFP_KERNEL)],
  ['allocPagesExact gfp', (p, v) => allocPagesExact(p, 5000, v)],
  ['allocPagesExact node', (p, v) => allocPagesExact(p, 5000, GFP_KERNEL, v)],
  ['freePagesExact pfn', (p, v) => freePagesExact(p, v as Pfn, PAGE_SIZE)],
  ['freePagesExact bytes', (p, v, used) => freePagesExact(p, used.single, v)],
  ['splitPage pfn', (p, v) => splitPage(p, v as Pfn, 2)],
  ['splitPage order', (p, v, used) => splitPage(p, used.block, v)],
  ['freePagesList', (p, v, used) => freePagesList(p, [used.single, v as Pfn])],
  ['getPage pfn', (p, v) => getPage(p, v as Pfn)],
  ['putPage pfn', (p, v) => putPage(p, v as Pfn)],
  ['pageCount pfn', (p, v) => pageCount(p, v as Pfn)],
  ['reservePages pfn', (p, v) => reservePages(p, v as Pfn)],
  ['reservePages count', (p, v) => reservePages(p, toPfn(6000), v)],
  ['allocContigRange start', (p, v) => allocContigRange(p, v as Pfn, toPfn(7000))],
  ['allocContigRange end', (p, v) => allocContigRange(p, toPfn(6000), v as Pfn)],
  ['allocContigRange type', (p, v) => allocContigRange(p, toPfn(6000), toPfn(6010), v)],
  ['allocContigPages count', (p, v) => allocContigPages(p, v, GFP_KERNEL)],
  ['allocContigPages gfp', (p, v) => allocContigPages(p, 3, v)],
  ['allocContigPages node', (p, v) => allocContigPages(p, 3, GFP_KERNEL, v)],
  ['freeContigRange pfn', (p, v) => freeContigRange(p, v as Pfn, 1)],
  ['freeContigRange count', (p, v, used) => freeContigRange(p, used.single, v)],
  ['adoptBlock pfn', (p, v) => adoptBlock(p, v as Pfn)],
  ['adoptBlock order', (p, v) => adoptBlock(p, toPfn(6000), v)],
  ['adjustManagedPageCount pfn', (p, v) => adjustManagedPageCount(p, v as Pfn, -1)],
  ['adjustManagedPageCount count', (p, v) => adjustManagedPageCount(p, toPfn(6000), v)],
  ['nodeState node', (p, v) => nodeState(p, v)],
  ['freeSummary order', (p, v) => freeSummary(p, v)],
  ['freeSummary node', (p, v) => freeSummary(p, 0, v)],
  ['sysctl min_free_kbytes', (p, v) => sysctl(p, 'min_free_kbytes', v)],
  ['sysctl watermark_scale_factor', (p, v) => sysctl(p, 'watermark_scale_factor', v)],
  ['sysctl watermark_boost_factor', (p, v) => sysctl(p, 'watermark_boost_factor', v)],
  ['sysctl percpu_pagelist_high_fraction', (p, v) => sysctl(p, 'percpu_pagelist_high_fraction', v)],
  ['sysctl lowmem_reserve_ratio', (p, v) => sysctl(p, 'lowmem_reserve_ratio', [v])],
]

/** True when the call throws InvalidArgument. */
function refused(call: () => unknown): boolean {
  try {
    call()
  } catch (error) {
    return error instanceof InvalidArgument
  }
  return false
}

describe('integer arguments', () => {
  it.each(INTEGERS)('%s: nothing but an integer', (name, call) => {
    const { pages, used } = machine()
    const before = stateHash(pages)
    for (const value of NO_INTEGERS) {
      // The address that a failed allocation returned: nothing to free.
      if (name === 'freePagesAt address' && value === null) continue
      const error = thrownBy(() => call(pages, value as number, used))
      expect(error, String(value)).toBeInstanceOf(InvalidArgument)
      // The message names the value, objects by their kind.
      const isObject = typeof value === 'object' && value !== null
      if (!isObject && typeof value !== 'function') expect(error.message).toContain(String(value))
      expect(stateHash(pages), String(value)).toBe(before)
    }
    expect(faults(pages)).toEqual([])
  })

  it.each(INTEGERS)('%s: bigints and symbols throw, whatever it is', (_name, call) => {
    const { pages, used } = machine()
    const before = stateHash(pages)
    for (const value of [1n, Symbol('1')]) {
      expect(thrownBy(() => call(pages, value as never, used))).toBeInstanceOf(Error)
      expect(stateHash(pages)).toBe(before)
    }
  })
})

/** Integers out of range, argument by argument. */
const RANGES: readonly (readonly [
  name: string,
  call: (pages: BuddyAllocator, value: number, used: Used) => unknown,
  values: readonly number[],
])[] = [
  ['allocPages gfp', (p, v) => p.allocPages(v), [-1, -(2 ** 31), 2 ** 32, GFP_KERNEL - 2 ** 32]],
  ['allocPages order', (p, v) => p.allocPages(GFP_KERNEL, v), [-1, -11, 2 ** 32]],
  ['allocPagesNode node', (p, v) => p.allocPagesNode(v, GFP_KERNEL), [-2, 2, 64, 2 ** 31]],
  ['allocPagesNodemask nodes', (p, v) => allocPagesNodemask(p, 0, GFP_KERNEL, 0, [0, v]), [-1, 2]],
  ['freePages pfn', (p, v) => p.freePages(v as Pfn), [-1, -5, -(2 ** 31)]],
  ['freePages order', (p, v, used) => p.freePages(used.single, v), [-1, 11, 32, 2 ** 32]],
  ['freePages order of a block', (p, v, used) => p.freePages(used.block, v), [-1, 11, 34]],
  ['freePagesAt address', (p, v) => freePagesAt(p, v), [-PAGE_SIZE, 2 ** 40, 1, 4097, 2 ** 52]],
  ['addMemory base', (p, v) => p.addMemory(v, MiB), [-1, -MiB, 2 ** 40]],
  ['addMemory size', (p, v) => p.addMemory(64 * MiB, v), [-1, 2 ** 40]],
  ['addMemory node', (p, v) => p.addMemory(64 * MiB, MiB, v), [-2, 2, 64]],
  ['onCpu cpu', (p, v) => onCpu(p, v, () => 0), [-1, 2, 1024]],
  ['inContext bits', (p, v) => inContext(p, v, () => 0), [-1, 256, 2 ** 32]],
  ['allocPagesBulk count', (p, v) => allocPagesBulk(p, GFP_KERNEL, v), [-1, 2 ** 20 + 1]],
  ['allocPagesExact bytes', (p, v) => allocPagesExact(p, v, GFP_KERNEL), [0, -1]],
  ['freePagesExact bytes', (p, v, used) => freePagesExact(p, used.single, v), [0, -1, 5 * MiB]],
  ['splitPage order', (p, v, used) => splitPage(p, used.block, v), [-1, 11]],
  ['reservePages count', (p, v) => reservePages(p, toPfn(6000), v), [0, -1, 2 ** 20]],
  [
    'allocContigRange type',
    (p, v) => allocContigRange(p, toPfn(6000), toPfn(6010), v),
    [0, 2, 3, 5],
  ],
  ['allocContigPages count', (p, v) => allocContigPages(p, v, GFP_KERNEL), [0, -1, 2 ** 20]],
  ['freeContigRange count', (p, v, used) => freeContigRange(p, used.single, v), [0, -1, 2 ** 20]],
  ['adoptBlock order', (p, v) => adoptBlock(p, toPfn(6000), v), [-1, 11]],
  ['adoptBlock pfn', (p, v) => adoptBlock(p, v as Pfn, 2), [6001, 6002, 6003]],
  [
    'adjustManagedPageCount',
    (p, v) => adjustManagedPageCount(p, toPfn(6000), v),
    [2 ** 20, -(2 ** 20)],
  ],
  ['nodeState node', (p, v) => nodeState(p, v), [-1, 2]],
  ['freeSummary order', (p, v) => freeSummary(p, v), [-1, 11]],
  ['sysctl min_free_kbytes', (p, v) => sysctl(p, 'min_free_kbytes', v), [-1, 2 ** 31]],
  ['sysctl watermark_scale_factor', (p, v) => sysctl(p, 'watermark_scale_factor', v), [0, 3001]],
  ['sysctl high_fraction', (p, v) => sysctl(p, 'percpu_pagelist_high_fraction', v), [-1, 1, 7]],
]

describe('integers out of range', () => {
  it.each(RANGES)('%s', (_name, call, values) => {
    const { pages, used } = machine()
    const before = stateHash(pages)
    for (const value of values) {
      const error = thrownBy(() => call(pages, value, used))
      expect(error, String(value)).toBeInstanceOf(InvalidArgument)
      expect(error.message).toContain(String(value))
      expect(stateHash(pages), String(value)).toBe(before)
    }
  })

  it('takes every bit of a mask, and drops the unknown ones', () => {
    const { pages } = machine()
    for (const bit of [0x8000000, 0x40000000, 0x80000000]) {
      const gfp = (GFP_KERNEL | bit) >>> 0
      expect(pages.allocPages(gfp), 'allocPages').not.toBeNull()
      expect(pages.allocPagesNode(0, gfp), 'allocPagesNode').not.toBeNull()
      expect(getFreePages(pages, gfp), 'getFreePages').not.toBeNull()
      expect(getZeroedPage(pages, gfp), 'getZeroedPage').not.toBeNull()
      expect(getDmaPages(pages, gfp), 'getDmaPages').not.toBeNull()
      expect(allocPagesExact(pages, 5000, gfp), 'allocPagesExact').not.toBeNull()
    }
  })

  it('refuses a negative mask even when the fast path knows its bits', () => {
    const { pages } = machine()
    const gfp = (GFP_KERNEL | 0x80000000) >>> 0
    for (let i = 0; i < 3; i++) pages.freePages(pages.allocPages(gfp) as Pfn)
    const before = stateHash(pages)
    expect(() => pages.allocPages(gfp | 0)).toThrow(InvalidArgument)
    expect(stateHash(pages)).toBe(before)
  })

  it('refuses memory where there is some, in part or in whole', () => {
    const { pages } = machine()
    const before = stateHash(pages)
    for (const [base, size] of [
      [0, MiB],
      [2 * MiB, MiB],
      [20 * MiB, 2 * MiB],
      [NODE_1, MiB],
      [16 * MiB, 64 * MiB],
    ] as const) {
      expect(() => pages.addMemory(base, size)).toThrow(InvalidArgument)
      expect(stateHash(pages)).toBe(before)
    }
  })

  it('refuses both mobility bits', () => {
    const { pages } = machine()
    const gfp = GFP_KERNEL | __GFP_MOVABLE | __GFP_RECLAIMABLE
    const before = stateHash(pages)
    for (const call of [
      () => pages.allocPages(gfp),
      () => pages.allocPagesNode(0, gfp),
      () => getFreePages(pages, gfp),
      () => getZeroedPage(pages, gfp),
      () => getDmaPages(pages, gfp),
      () => allocPagesBulk(pages, gfp, 2),
      () => allocPagesExact(pages, 5000, gfp),
      () => allocContigPages(pages, 2, gfp),
    ]) {
      expect(call).toThrow(InvalidArgument)
    }
    expect(stateHash(pages)).toBe(before)
  })

  it('gives null, and warns once, for an order above 10', () => {
    const lines: string[] = []
    const pages = twoNodes({ log: kernelLog((line) => lines.push(line)) })
    expect(pages.allocPages(GFP_KERNEL, 11)).toBeNull()
    expect(pages.allocPages(GFP_KERNEL, 2 ** 31)).toBeNull()
    expect(allocPagesExact(pages, 4 * MiB + 1, GFP_KERNEL)).toBeNull()
    expect(lines.filter((line) => line.startsWith('WARNING')).length).toBe(1)
    expect(faults(pages)).toEqual([])
  })
})

describe('other arguments', () => {
  const values: readonly unknown[] = [null, 5, 'x', {}, true]

  it.each(values.map((value) => [value]))('refuses %s where an array belongs', (value) => {
    const { pages } = machine()
    const before = stateHash(pages)
    const list = value as never
    expect(thrownBy(() => freePagesList(pages, list))).toBeInstanceOf(InvalidArgument)
    expect(thrownBy(() => allocPagesNodemask(pages, 0, GFP_KERNEL, 0, list))).toBeInstanceOf(
      InvalidArgument,
    )
    expect(stateHash(pages)).toBe(before)
  })

  it.each(values.map((value) => [value]))('refuses %s as a state', (value) => {
    expect(thrownBy(() => attachState(value as never))).toBeInstanceOf(InvalidArgument)
  })

  it('refuses buffers that hold no state', () => {
    const { pages } = machine()
    const cut = pages.state.slice(0, pages.state.byteLength - PAGE_SIZE)
    for (const buffer of [new ArrayBuffer(0), new ArrayBuffer(5), new ArrayBuffer(1 << 20), cut]) {
      expect(thrownBy(() => attachState(buffer))).toBeInstanceOf(InvalidArgument)
    }
  })

  it('refuses a state whose tables are displaced', () => {
    const { pages } = machine()
    for (let column = HEADER_BLOCKS; column <= HEADER_RANGES; column++) {
      const copy = pages.words.slice()
      copy[column]! += 4
      expect(
        refused(() => attachState(copy.buffer)),
        `header ${column}`,
      ).toBe(true)
    }
  })

  it('refuses options that make no machine', () => {
    const ram = new PhysicalMemory({ size: MiB, content: false })
    const wrong: readonly unknown[] = [
      {},
      { ram: null },
      { ram, cpus: 0 },
      { ram, cpus: 1025 },
      { ram, cpus: 1.5 },
      { ram, cpus: '2' },
      { ram, cpuNodes: [0, 64] },
      { ram, cpuNodes: [-1] },
      { ram, cpus: 2, cpuNodes: [0] },
      { ram, cpuNodes: [] },
      { ram, earlyPages: -1 },
      { ram, maxAddress: 2 ** 41 },
      { ram, maxAddress: Number.NaN },
      { ram, maxAddress: -1 },
      { ram, distances: [[20]] },
      { ram, zones: { highmem: false, limits: [4096] } },
      { ram, zones: { highmem: false, limits: [5, 10, 20] } },
      { memory: { memory: [{ base: 0, size: MiB, node: 64 }], reserved: [] } },
      { memory: { memory: [{ base: 0.5, size: MiB }], reserved: [] } },
      { memory: { memory: [{ base: -MiB, size: 2 * MiB }], reserved: [] } },
      {
        memory: {
          memory: [
            { base: MiB, size: MiB },
            { base: 0, size: MiB },
          ],
          reserved: [],
        },
      },
      {
        memory: {
          memory: [
            { base: 0, size: MiB },
            { base: 0, size: MiB },
          ],
          reserved: [],
        },
      },
      { memory: { memory: [{ base: 0, size: Number.NaN }], reserved: [] } },
    ]
    const accepted = wrong.flatMap((options, i) =>
      refused(() => new BuddyAllocator(options as BuddyOptions)) ? [] : [i],
    )
    expect(accepted).toEqual([])
  })

  it('refuses unknown tunables', () => {
    const { pages } = machine()
    const before = stateHash(pages)
    for (const name of ['', 'vm.min_free_kbytes', 'toString', null, 5]) {
      expect(thrownBy(() => sysctl(pages, name as SysctlName))).toBeInstanceOf(InvalidArgument)
      expect(thrownBy(() => sysctl(pages, name as SysctlName, 1))).toBeInstanceOf(InvalidArgument)
    }
    for (const ratios of [[], [1, 2, 3, 4, 5], ['1'], 5]) {
      const error = thrownBy(() => sysctl(pages, 'lowmem_reserve_ratio', ratios as number[]))
      expect(error).toBeInstanceOf(InvalidArgument)
    }
    expect(stateHash(pages)).toBe(before)
  })

  it('refuses recorded zones that contradict themselves', () => {
    const { pages } = machine()
    const [dma, dma32] = nodeState(pages, 0)
    if (dma === undefined || dma32 === undefined) throw new Error('no zones')
    const block = dma32.freeLists['10']?.['1']?.[0] ?? 0
    const wrong = [
      [],
      [{ ...dma, name: 'Nonsense' as 'DMA' }],
      [{ ...dma, node: 64 }],
      [{ ...dma, startPfn: -1 }],
      [{ ...dma, spanned: 0.5 }],
      [{ ...dma32, freeLists: { '10': { '1': [block, block] } } }],
      [{ ...dma32, freeLists: { '10': { '1': [block + 1] } } }],
      [{ ...dma32, freeLists: { '10': { '1': [1 << 20] } } }],
      [{ ...dma32, freeLists: { '10': { '1': [block] }, '0': { '1': [block + 1] } } }],
      [{ ...dma32, freeLists: { '11': { '1': [block] } } }],
      [{ ...dma32, freeLists: { '10': { '6': [block] } } }],
      [{ ...dma32, pcp: { ...dma32.pcp, lists: { '14': [block] } } }],
      [dma32, dma32],
    ]
    const accepted = wrong.flatMap((zones, i) => (refused(() => loadZones(zones)) ? [] : [i]))
    expect(accepted).toEqual([])
  })

  it('puts CPU, context and page lists back when a body throws', () => {
    const { pages } = machine()
    const fail = () => {
      throw new Error('from the body')
    }
    const calls = [
      () => onCpu(pages, 1, fail),
      () => inContext(pages, 255, fail),
      () => inInterrupt(pages, fail),
      () => withPageListsHeld(pages, fail),
      () => onCpu(pages, 1, () => inInterrupt(pages, () => withPageListsHeld(pages, fail))),
    ]
    for (const call of calls) {
      const before = attachState(pages.state.slice(0))
      expect(call).toThrow('from the body')
      expect(differences(pages, before)).toEqual([])
    }
    const other = machine().pages
    for (const each of [pages, other]) for (let i = 0; i < 50; i++) each.allocPages(GFP_KERNEL)
    expect(differences(other, pages)).toEqual([])
  })
})
