/** The checker of the virtual mapper finds what it should: a corruption of each kind, and nothing in what is well. */

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { PAGE_SIZE, type VirtAddr } from '../../src/base/units'
import { verifyVmalloc } from '../../src/debug/verifyVmalloc'
import { VMALLOC_INVARIANTS, type VmallocInvariantId } from '../../src/debug/vmallocInvariants'
import { VMAP_INVARIANTS } from '../../src/debug/vmapInvariants'
import { PAGE_KERNEL } from '../../src/paging/format'
import {
  AREA_BLOCK,
  AREA_NEXT,
  AREA_OBJECT,
  AREA_VM,
  BLOCK_AREA,
  BLOCK_CPU,
  BLOCK_DIRTY,
  BLOCK_DIRTY_MAX,
  BLOCK_DIRTY_MIN,
  BLOCK_LISTED,
  BLOCK_NEXT,
  BLOCK_OBJECT,
  CALLER_NAME,
  CALLER_REFS,
  TREE_BUSY,
  VM_CALLER,
  VM_DEFERRED,
  VM_FLAGS,
  VM_NR_PAGES,
  VM_OBJECT,
  VM_PAGE_ORDER,
  VM_PAGES,
  VM_SIZE,
  VMAP_BLOCK_SHIFT,
  VMAP_CALLERS,
  VMAP_CPU_BLOCKS,
  VMAP_CPU_DEFERRED,
  VMAP_CPU_LAST_BLOCK,
  VMAP_CPU_SPARE,
  VMAP_CPU_WORDS,
  VMAP_HEADER_WORDS,
  VMAP_LAZY_BYTES,
  VMAP_NR_PAGES,
  VMAP_ROOT_PFN,
  VMAP_WARNED,
  VMAP_WORDS_USED,
} from '../../src/state/vmapSchema'
import { vfreeAtomic } from '../../src/vmalloc/drainWork'
import { ioremap } from '../../src/vmalloc/ioremap'
import { getVmAreaNode, setVmallocCaller, vmAreaPages } from '../../src/vmalloc/vmAreas'
import { vmap } from '../../src/vmalloc/vmap'
import { vmMapRam, vmUnmapRam } from '../../src/vmalloc/vmapRam'
import { firstArea } from '../../src/vmalloc/vmapTree'
import { stream } from '../buddy/random'
import { must } from '../slab/machines'
import { expectVmSound, pa, takeFrames, type VmMachine, vmMachine } from '../vmalloc/machines'

const PAGE = PAGE_SIZE

/** A machine with something of everything; areas and blocks by the names of what made them. */
interface Used extends VmMachine {
  readonly words: Int32Array
  readonly numbers: Float64Array
  /** vm_structs: three pages; two pages; 600 pages; its array; vmap; put aside first; second. */
  readonly structs: readonly number[]
  /** A block that is in use; a block of another CPU. */
  readonly blocks: readonly number[]
  readonly addresses: readonly VirtAddr[]
}

function usedMachine(): Used {
  const m = vmMachine({ cpus: 2 })
  const { vm, pages } = m
  setVmallocCaller(vm, 'first+0x1/0x2')
  const three = must(vm.vmalloc(3 * PAGE))
  const two = must(vm.vmalloc(2 * PAGE))
  const gone = must(vm.vmalloc(PAGE))
  setVmallocCaller(vm, 'second+0x1/0x2')
  const large = must(vm.vmalloc(600 * PAGE))
  const frames = takeFrames(m, 2)
  const mapped = must(vmap(vm, frames))
  must(ioremap(vm, pa(0xfed00000), PAGE))
  const late = must(vm.vmalloc(PAGE))
  const later = must(vm.vmalloc(PAGE))
  const ram = [1, 2, 1].map(() => must(vmMapRam(vm, frames)))
  vmUnmapRam(vm, must(ram[1]), 2)
  pages.context.cpu = 1
  must(vmMapRam(vm, frames))
  pages.context.cpu = 0
  vm.vfree(gone)
  vfreeAtomic(vm, late)
  vfreeAtomic(vm, later)
  const { words, numbers } = vm.context.space
  const structs: number[] = []
  const blocks: number[] = []
  let at = firstArea(vm.context.space, TREE_BUSY)
  for (; at !== 0; at = words[at + AREA_NEXT]!) {
    if (words[at + AREA_VM] !== 0) structs.push(words[at + AREA_VM]!)
    if (words[at + AREA_BLOCK] !== 0) blocks.push(words[at + AREA_BLOCK]!)
  }
  return { ...m, words, numbers, structs, blocks, addresses: [three, two, large, mapped] }
}

const CPU = VMAP_HEADER_WORDS
const CPU_1 = CPU + VMAP_CPU_WORDS

/** Places of the areas in `structs`. */
const THREE = 0
const TWO = 1
const LARGE = 2
const ARRAY = 3
const LATE = 6
const LATER = 7

const at = (list: readonly number[], i: number): number => must(list[i])

type Corruption = readonly [id: VmallocInvariantId, what: string, corrupt: (m: Used) => void]

/** Writes a word of a vm_struct. */
const struct =
  (i: number, column: number, value: (old: number) => number) =>
  (m: Used): void => {
    const word = at(m.structs, i) + column
    m.words[word] = value(must(m.words[word]))
  }
/** Writes a word of a block. */
const block =
  (column: number, value: (old: number) => number, i = 0) =>
  (m: Used): void => {
    const word = at(m.blocks, i) + column
    m.words[word] = value(must(m.words[word]))
  }
/** Writes an address. */
const number =
  (record: (m: Used) => number, column: number, value: (old: number, m: Used) => number) =>
  (m: Used): void => {
    const place = (record(m) + column) >> 1
    m.numbers[place] = value(must(m.numbers[place]), m)
  }
const structAt = (i: number) => (m: Used) => at(m.structs, i)
const areaOf = (i: number) => (m: Used) => must(m.words[at(m.structs, i)])
const header =
  (column: number, value: (old: number) => number) =>
  (m: Used): void => {
    m.words[column] = value(must(m.words[column]))
  }
/** Maps a frame, past all bookkeeping. */
const map = (address: (m: Used) => number) => (m: Used) => {
  const [pfn] = takeFrames(m, 1)
  expect(m.vm.context.tables.mapPages(address(m), [must(pfn)], 0, 1, PAGE_KERNEL)).toBe(0)
}

const CORRUPTIONS: readonly Corruption[] = [
  [
    'VMALLOC-1',
    'a word of an array in kmalloc memory',
    (m) => {
      const array = must(m.numbers[(at(m.structs, THREE) + VM_PAGES) >> 1])
      m.ram.words[(array - 0x888000000000) / 4 + 2]! ^= 0x40
    },
  ],
  [
    'VMALLOC-1',
    'a word of an array in vmalloc memory',
    (m) => {
      const [, second] = vmAreaPages(m.vm, must(m.addresses[2]) as never)
      const array = must(m.numbers[(at(m.structs, LARGE) + VM_PAGES) >> 1])
      const phys = m.vm.context.tables.translate(array + 8 * 599)
      expect(second).toBeGreaterThan(0)
      m.ram.words[phys / 4]! ^= 0x1000
    },
  ],
  [
    'VMALLOC-1',
    'a page that is not mapped any more',
    (m) => m.vm.context.tables.unmapRange(must(m.addresses[1]), PAGE),
  ],
  [
    'VMALLOC-1',
    'an array that is not mapped any more',
    (m) => {
      const array = must(m.numbers[(at(m.structs, LARGE) + VM_PAGES) >> 1])
      m.vm.context.tables.unmapRange(array + PAGE, PAGE)
    },
  ],
  ['VMALLOC-2', 'the count of pages', header(VMAP_NR_PAGES, (n) => n + 1)],
  ['VMALLOC-3', 'a size', number(structAt(THREE), VM_SIZE, (n) => n + PAGE)],
  ['VMALLOC-3', 'a flag that there is none', struct(TWO, VM_FLAGS, (n) => n | 0x800)],
  ['VMALLOC-3', 'a flag of what is being made', struct(TWO, VM_FLAGS, (n) => n | 0x20)],
  ['VMALLOC-3', 'fewer pages', struct(THREE, VM_NR_PAGES, () => 2)],
  ['VMALLOC-3', 'no pages', struct(THREE, VM_NR_PAGES, () => 0)],
  ['VMALLOC-3', 'no array', number(structAt(TWO), VM_PAGES, () => 0)],
  ['VMALLOC-3', 'an order', struct(THREE, VM_PAGE_ORDER, () => 9)],
  [
    'VMALLOC-4',
    'a page that was freed',
    (m) => m.pages.freePages(must(vmAreaPages(m.vm, must(m.addresses[0]))[1]) as never),
  ],
  [
    'VMALLOC-4',
    'a page of two areas',
    (m) => {
      const { tables } = m.vm.context
      const [shared] = vmAreaPages(m.vm, must(m.addresses[1]))
      tables.unmapRange(must(m.addresses[0]), PAGE)
      tables.mapPages(must(m.addresses[0]), [must(shared)], 0, 1, PAGE_KERNEL)
      const array = must(m.numbers[(at(m.structs, THREE) + VM_PAGES) >> 1])
      m.ram.words[(array - 0x888000000000) / 4] = ((must(shared) << 6) | 0) as number
    },
  ],
  ['VMALLOC-5', 'a page in free space', map((m) => m.vm.context.layout.vmallocStart + 2 ** 40)],
  ['VMALLOC-5', 'a page that waits for a purge', map((m) => must(m.addresses[1]) + 3 * PAGE)],
  ['VMALLOC-5', 'a page of the modules', map((m) => m.vm.context.layout.modules?.start ?? 0)],
  [
    'VMALLOC-5',
    'a leaf that is too large',
    (m) => {
      const { tables } = m.vm.context
      const start = must(getVmAreaNode(m.vm, 4096, { align: 2 ** 21 }))
      tables.mapRange(start, 2 ** 32, 2 ** 21, PAGE_KERNEL, 21)
    },
  ],
  ['VMALLOC-6', 'a guard page', map((m) => must(m.addresses[0]) + 3 * PAGE)],
  ['VMALLOC-6', 'a guard page of vmap', map((m) => must(m.addresses[3]) + 2 * PAGE)],
  ['VMALLOC-7', 'the object of a vm_struct', number(structAt(TWO), VM_OBJECT, (n) => n + 8)],
  [
    'VMALLOC-7',
    'an object that was freed',
    (m) => m.heap.kfree(must(m.numbers[(at(m.structs, TWO) + VM_OBJECT) >> 1]) as never),
  ],
  [
    'VMALLOC-7',
    'an array that was freed',
    (m) => m.heap.kfree(must(m.numbers[(at(m.structs, TWO) + VM_PAGES) >> 1]) as never),
  ],
  ['VMALLOC-7', 'the object of an area', number(areaOf(TWO), AREA_OBJECT, (n) => n + 4)],
  [
    'VMALLOC-7',
    'the same object for two',
    number(structAt(TWO), VM_OBJECT, (_, m) =>
      must(m.numbers[(at(m.structs, 0) + VM_OBJECT) >> 1]),
    ),
  ],
  [
    'VMALLOC-7',
    'a spare object',
    number(
      () => CPU,
      VMAP_CPU_SPARE,
      () => 2 ** 40,
    ),
  ],
  [
    'VMALLOC-7',
    'the object of a block',
    number(
      (m) => at(m.blocks, 0),
      BLOCK_OBJECT,
      () => 64,
    ),
  ],
  [
    'VMALLOC-8',
    'the count of a caller',
    (m) => header(at([must(m.words[VMAP_CALLERS])], 0) + CALLER_REFS, (n) => n + 1)(m),
  ],
  ['VMALLOC-8', 'a caller that is none', struct(THREE, VM_CALLER, () => VMAP_HEADER_WORDS)],
  [
    'VMALLOC-8',
    'a name that comes twice',
    (m) => {
      const first = must(m.words[VMAP_CALLERS])
      const second = must(m.words[first])
      m.words.copyWithin(second + CALLER_NAME, first + CALLER_NAME, first + CALLER_NAME + 14)
    },
  ],
  ['VMALLOC-9', 'one put aside on no list', struct(TWO, VM_DEFERRED, () => -1)],
  ['VMALLOC-9', 'one on the list that was not put aside', struct(LATE, VM_DEFERRED, () => 0)],
  [
    'VMALLOC-9',
    'a list that goes round',
    (m) => struct(LATE, VM_DEFERRED, () => at(m.structs, LATER))(m),
  ],
  ['VMALLOC-9', 'a list of no vm_structs', header(CPU_1 + VMAP_CPU_DEFERRED, () => 12345)],
  [
    'VMALLOC-9',
    'two lists',
    (m) => header(CPU_1 + VMAP_CPU_DEFERRED, () => at(m.structs, LATER))(m),
  ],
  ['VMALLOC-10', 'a top page table', header(VMAP_ROOT_PFN + 1, (n) => n + 1)],
  ['VMALLOC-10', 'large blocks', header(VMAP_BLOCK_SHIFT, () => 11)],
  ['VMALLOC-10', 'a warning', header(VMAP_WARNED, () => 1 << 20)],
  ['VMALLOC-11', 'dirty pages that are free too', block(BLOCK_DIRTY, () => 1023)],
  ['VMALLOC-11', 'fewer dirty pages than none', block(BLOCK_DIRTY, () => -1)],
  ['VMALLOC-12', 'a block that is on no list', header(CPU_1 + VMAP_CPU_BLOCKS, () => 0)],
  ['VMALLOC-12', 'a block with the list of another', block(BLOCK_CPU, () => 1)],
  ['VMALLOC-12', 'a mark of no list', block(BLOCK_LISTED, () => 0, 1)],
  ['VMALLOC-12', 'a list that goes round', (m) => block(BLOCK_NEXT, () => at(m.blocks, 0))(m)],
  ['VMALLOC-12', 'an end of the list', header(CPU + VMAP_CPU_LAST_BLOCK, () => 0)],
  ['VMALLOC-13', 'a dirty range of nothing', block(BLOCK_DIRTY_MIN, (n) => n + 2)],
  ['VMALLOC-13', 'a dirty range beyond', block(BLOCK_DIRTY_MAX, () => 100)],
  ['VMALLOC-13', 'dirty pages where there are none', block(BLOCK_DIRTY_MIN, () => 0, 1)],
  [
    'VMALLOC-13',
    'a page beyond',
    map((m) => must(m.numbers[(must(m.words[at(m.blocks, 1) + BLOCK_AREA]) + 6) >> 1]) + 40 * PAGE),
  ],
]

describe('verifyVmalloc', () => {
  it('finds nothing where all is well', () => {
    const m = usedMachine()
    expect(m.structs).toHaveLength(8)
    expect(m.blocks).toHaveLength(2)
    expect(must(m.words[at(m.structs, ARRAY) + VM_NR_PAGES])).toBe(2)
    expectVmSound(m)
  })

  it.each(CORRUPTIONS)('%s: finds %s', (id, _what, corrupt) => {
    const m = usedMachine()
    corrupt(m)
    const found = verifyVmalloc(m.vm)
    expect(found.map((each) => each.id)).toContain(id)
  })

  it('knows each invariant, and has a corruption for it', () => {
    const ids = CORRUPTIONS.map(([id]) => id)
    expect([...new Set(ids)].sort()).toEqual(Object.keys(VMALLOC_INVARIANTS).sort())
  })

  it('has every invariant stated in the head of one file of src/', () => {
    const files = ['debug/verifyVmalloc.ts', 'vmalloc/vmalloc.ts', 'vmalloc/vmapBlock.ts']
    const stated = files.flatMap((file) => {
      const text = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8')
      return [...text.matchAll(/^ \* (VMALLOC-[0-9]+): /gm)].map(([, id]) => id)
    })
    expect(stated.sort()).toEqual(Object.keys(VMALLOC_INVARIANTS).sort())
  })

  it('looks at the address space first', () => {
    const m = usedMachine()
    m.numbers[VMAP_LAZY_BYTES >> 1] = 4096 * 7
    m.words[VMAP_NR_PAGES] = 0
    expect(verifyVmalloc(m.vm).map(({ id }) => id)).toEqual(['VMAP-11'])
  })

  it('takes lost pages into account that it is told of', () => {
    const m = usedMachine()
    m.vm.vunmap(must(m.addresses[0]))
    expect(verifyVmalloc(m.vm).map(({ id }) => id)).toEqual(['VMALLOC-2'])
    expectVmSound(m, { leakedPages: 3 })
  })

  it('comes to an end whatever a word says', () => {
    const m = usedMachine()
    const random = stream(11)
    const saved = m.words.slice(0, must(m.words[VMAP_WORDS_USED]))
    const known = { ...VMALLOC_INVARIANTS, ...VMAP_INVARIANTS }
    let unseen = 0
    for (let i = 0; i < 400; i++) {
      const word = random.below(saved.length)
      const old = must(m.words[word])
      m.words[word] = random.pick([
        0,
        1,
        -1,
        old ^ (1 << random.below(32)),
        random.below(saved.length),
      ])
      const found = verifyVmalloc(m.vm)
      for (const { id } of found) expect(known).toHaveProperty([id])
      if (found.length === 0 && m.words[word] !== old) unseen += 1
      m.words.set(saved)
    }
    // Names, physical addresses and words that are not used may be anything.
    expect(unseen).toBeLessThan(120)
  })
})
