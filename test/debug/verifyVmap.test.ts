import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { verifyVmap } from '../../src/debug/verifyVmap'
import { VMAP_INVARIANTS, type VmapInvariantId } from '../../src/debug/vmapInvariants'
import { GFP_KERNEL } from '../../src/page/gfp'
import {
  AREA_BLOCK,
  AREA_END,
  AREA_FLAGS,
  AREA_LEFT,
  AREA_MAX,
  AREA_NEXT,
  AREA_OBJECT,
  AREA_PARENT,
  AREA_PREV,
  AREA_RIGHT,
  AREA_START,
  AREA_VM,
  BLOCK_AREA,
  CALLER_REFS,
  TREE_BUSY,
  TREE_FREE,
  TREE_PURGE,
  VM_AREA,
  VM_MARK,
  VMAP_CALLERS,
  VMAP_COUNTS,
  VMAP_CPU_SPARE,
  VMAP_DRAIN_PENDING,
  VMAP_END,
  VMAP_FREE_BYTES,
  VMAP_FREE_RECORDS,
  VMAP_GRANULE,
  VMAP_HEADER_WORDS,
  VMAP_LAZY_BYTES,
  VMAP_MAGIC,
  VMAP_NR_CPUS,
  VMAP_RECORDS,
  VMAP_ROOTS,
  VMAP_VERSION,
  VMAP_WORDS_USED,
} from '../../src/state/vmapSchema'
import { allocArea, findArea, freeAreaNow, releaseArea } from '../../src/vmalloc/vmapArea'
import {
  createVmap,
  noVmapOps,
  RECORD_AREA,
  RECORD_BLOCK,
  RECORD_CALLER,
  RECORD_VM,
  takeRecord,
  type VmapContext,
} from '../../src/vmalloc/vmapContext'

const PAGE = 4096
const END = 2 ** 24

/** A space with areas of every kind, and a few free records. */
function machine(): VmapContext {
  let next = 0
  const c = createVmap(
    { start: 1, end: END - 1, nrCpus: 2, maxRecords: 200 },
    { ...noVmapOps, takeObject: () => ++next * 64 },
  )
  const areas: number[] = []
  for (let i = 0; i < 40; i++) {
    areas.push(allocArea(c, PAGE * (1 + (i % 3)), PAGE * 2 ** (i % 4), PAGE, END, GFP_KERNEL, -1))
  }
  for (const [i, area] of areas.entries()) {
    if (i % 3 === 0) releaseArea(c, area)
    if (i % 3 === 1) freeAreaNow(c, area)
  }
  const vm = takeRecord(c, RECORD_VM)
  c.words[vm + VM_AREA] = areas[2] ?? 0
  c.words[vm + VM_MARK] = 1
  c.words[(areas[2] ?? 0) + AREA_VM] = vm
  const block = takeRecord(c, RECORD_BLOCK)
  c.words[block + BLOCK_AREA] = areas[5] ?? 0
  c.words[(areas[5] ?? 0) + AREA_BLOCK] = block
  const caller = takeRecord(c, RECORD_CALLER)
  c.words[caller + CALLER_REFS] = 1
  c.words[VMAP_CALLERS] = caller
  return c
}

const root = (c: VmapContext, tree: number) => c.words[VMAP_ROOTS + tree] ?? 0
const word = (c: VmapContext, at: number) => c.words[at] ?? 0
const number = (c: VmapContext, at: number) => c.numbers[at >> 1] ?? 0

/** A leaf of a tree. */
function leaf(c: VmapContext, tree: number): number {
  let node = root(c, tree)
  for (let below = node; below !== 0; ) {
    node = below
    below = word(c, node + AREA_LEFT) || word(c, node + AREA_RIGHT)
  }
  return node
}

/** The busy area with a vm_struct, or a block. */
function mapped(c: VmapContext, column: number): number {
  for (let at = PAGE; at < END; at += PAGE) {
    const area = findArea(c, at)
    if (area !== 0 && word(c, area + column) !== 0) return area
  }
  return 0
}

type Corruption = (c: VmapContext) => void

const set =
  (column: number, value: number): Corruption =>
  (c) => {
    c.words[column] = value
  }
const add =
  (column: number, change: number): Corruption =>
  (c) => {
    c.numbers[column >> 1] = number(c, column) + change
  }
/** Changes a column of the root of a tree. */
const atRoot =
  (tree: number, column: number, change: (c: VmapContext, value: number) => number): Corruption =>
  (c) => {
    c.words[root(c, tree) + column] = change(c, word(c, root(c, tree) + column))
  }

const CORRUPTIONS: Record<VmapInvariantId, readonly Corruption[]> = {
  'VMAP-1': [
    set(VMAP_MAGIC, 7),
    set(VMAP_VERSION, 3),
    set(VMAP_GRANULE, 8192),
    set(VMAP_NR_CPUS, 0),
    set(VMAP_WORDS_USED, 17),
    set(VMAP_WORDS_USED, 2 ** 30),
    add(VMAP_END, Number.NaN),
    add(VMAP_END, -END),
  ],
  'VMAP-2': [
    (c) => add(root(c, TREE_BUSY) + AREA_START, 8)(c),
    (c) => add(root(c, TREE_BUSY) + AREA_END, -1048576)(c),
    (c) => add(leaf(c, TREE_PURGE) + AREA_START, Number.NaN)(c),
    (c) => add(word(c, root(c, TREE_FREE) + AREA_PREV) + AREA_END, 64 * PAGE)(c),
  ],
  'VMAP-3': [
    atRoot(TREE_FREE, AREA_PARENT, (c) => leaf(c, TREE_FREE)),
    atRoot(TREE_BUSY, AREA_LEFT, (c) => root(c, TREE_BUSY)),
    atRoot(TREE_BUSY, AREA_RIGHT, () => 12345),
    atRoot(TREE_PURGE, AREA_FLAGS, (_, flags) => flags ^ 4),
    atRoot(TREE_PURGE, AREA_FLAGS, (_, flags) => flags ^ 2),
    (c) => set(VMAP_ROOTS + TREE_BUSY, root(c, TREE_FREE))(c),
  ],
  'VMAP-4': [
    atRoot(TREE_FREE, AREA_FLAGS, (_, flags) => flags ^ 1),
    (c) => {
      const above = word(c, leaf(c, TREE_BUSY) + AREA_PARENT)
      c.words[leaf(c, TREE_BUSY) + AREA_FLAGS]! |= 1
      c.words[above + AREA_FLAGS]! |= 1
    },
  ],
  'VMAP-5': [(c) => atRoot(TREE_BUSY, AREA_LEFT, () => 0)(c), flip(TREE_FREE), flip(TREE_PURGE)],
  'VMAP-6': [
    (c) => add(root(c, TREE_FREE) + AREA_MAX, PAGE)(c),
    (c) => add(leaf(c, TREE_FREE) + AREA_MAX, -1)(c),
    (c) => add(leaf(c, TREE_BUSY) + AREA_MAX, 1)(c),
  ],
  'VMAP-7': [
    atRoot(TREE_FREE, AREA_NEXT, (_, next) => next + 16),
    atRoot(TREE_BUSY, AREA_PREV, () => 0),
    atRoot(TREE_PURGE, AREA_NEXT, (c) => root(c, TREE_PURGE)),
  ],
  'VMAP-8': [
    (c) => {
      const area = root(c, TREE_FREE)
      const gap = number(c, area + AREA_START) - number(c, word(c, area + AREA_PREV) + AREA_END)
      add(area + AREA_START, -gap)(c)
    },
  ],
  'VMAP-9': [
    (c) => add(leaf(c, TREE_FREE) + AREA_END, -PAGE)(c),
    (c) => add(root(c, TREE_BUSY) + AREA_END, PAGE)(c),
    (c) => add(VMAP_END, PAGE)(c),
  ],
  'VMAP-10': [set(VMAP_COUNTS + TREE_FREE, 1), set(VMAP_COUNTS + TREE_PURGE, -1)],
  'VMAP-11': [add(VMAP_LAZY_BYTES, PAGE), add(VMAP_LAZY_BYTES, Number.NaN)],
  'VMAP-12': [add(VMAP_FREE_BYTES, -1)],
  'VMAP-13': [
    (c) => add(root(c, TREE_BUSY) + AREA_OBJECT, 0.5)(c),
    (c) => {
      c.numbers[(root(c, TREE_BUSY) + AREA_OBJECT) >> 1] = 0
    },
    (c) => {
      const object = number(c, root(c, TREE_BUSY) + AREA_OBJECT)
      c.numbers[(VMAP_HEADER_WORDS + VMAP_CPU_SPARE) >> 1] = object
    },
    (c) => {
      c.numbers[(VMAP_HEADER_WORDS + 16 + VMAP_CPU_SPARE) >> 1] = -2
    },
  ],
  'VMAP-14': [
    (c) => set(mapped(c, AREA_VM) + AREA_VM, mapped(c, AREA_VM))(c),
    (c) => set(word(c, mapped(c, AREA_VM) + AREA_VM) + VM_AREA, root(c, TREE_FREE))(c),
    (c) => set(word(c, mapped(c, AREA_VM) + AREA_VM) + VM_MARK, 0)(c),
    (c) => set(word(c, mapped(c, AREA_BLOCK) + AREA_BLOCK) + BLOCK_AREA, 0)(c),
    (c) => set(root(c, TREE_FREE) + AREA_VM, word(c, mapped(c, AREA_VM) + AREA_VM))(c),
    (c) => set(root(c, TREE_FREE) + AREA_BLOCK, takeRecord(c, RECORD_BLOCK))(c),
    (c) => set(mapped(c, AREA_VM) + AREA_BLOCK, takeRecord(c, RECORD_BLOCK))(c),
  ],
  'VMAP-15': [
    (c) => {
      takeRecord(c, RECORD_AREA)
    },
    (c) => set(word(c, VMAP_FREE_RECORDS) + 5, 1)(c),
    (c) => set(word(c, VMAP_FREE_RECORDS), word(c, VMAP_FREE_RECORDS))(c),
    set(VMAP_FREE_RECORDS, 0),
    set(VMAP_FREE_RECORDS, 17),
    (c) => set(word(c, VMAP_WORDS_USED) + 3, 1)(c),
    set(VMAP_RECORDS + RECORD_VM, 2),
    set(VMAP_CALLERS, 0),
    (c) => set(VMAP_CALLERS, root(c, TREE_FREE))(c),
  ],
  'VMAP-16': [set(VMAP_DRAIN_PENDING, 2)],
}

/** Makes a leaf of a tree black that is red, or the other way round. */
function flip(tree: number): Corruption {
  return (c) => {
    c.words[leaf(c, tree) + AREA_FLAGS]! ^= 1
  }
}

describe('verifyVmap', () => {
  it('finds nothing in a state that is whole', () => {
    expect(verifyVmap(machine())).toEqual([])
    expect(verifyVmap(createVmap({ start: 0, end: 1, granule: 1, maxRecords: 1 }))).toEqual([])
  })

  it.each(Object.keys(VMAP_INVARIANTS) as VmapInvariantId[])('%s', (id) => {
    for (const [i, corrupt] of CORRUPTIONS[id].entries()) {
      const c = machine()
      corrupt(c)
      const ids = verifyVmap(c).map((violation) => violation.id)
      expect(ids, `corruption ${i}`).toContain(id)
    }
  })

  it('ends, whatever the words say', () => {
    const change = fc.tuple(fc.nat(900), fc.oneof(fc.integer(), fc.nat(2000), fc.constant(0)))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
        const c = machine()
        for (const [at, value] of changes) c.words[at] = value
        for (const violation of verifyVmap(c)) {
          expect(Object.keys(VMAP_INVARIANTS)).toContain(violation.id)
          expect(violation.message).not.toContain('undefined')
        }
      }),
      { numRuns: 300 },
    )
  })

  it('finds every word of an area, or of the header, that is wrong', () => {
    const clean = machine()
    const first = VMAP_HEADER_WORDS + 2 * 16
    const unseen = new Set<number>()
    for (let at = 0; at < word(clean, VMAP_WORDS_USED); at++) {
      const c = machine()
      c.words[at]! ^= 0x40000000
      if (verifyVmap(c).length === 0) unseen.add(at)
    }
    // Of the vm_struct, the block and the caller only the links are checked here.
    const vm = word(clean, mapped(clean, AREA_VM) + AREA_VM)
    const block = word(clean, mapped(clean, AREA_BLOCK) + AREA_BLOCK)
    const others = new Set([vm, block, word(clean, VMAP_CALLERS)])
    const records = [...unseen].filter((at) => at >= first).map((at) => at - ((at - first) % 16))
    expect(records.filter((record) => !others.has(record))).toEqual([])
    for (const at of [vm + VM_AREA, vm + VM_MARK, block + BLOCK_AREA, VMAP_CALLERS]) {
      expect(unseen.has(at)).toBe(false)
    }
  })
})
