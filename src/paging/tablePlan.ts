/**
 * A page-table format as a walk needs it: plain numbers by level, so that loops make no calls.
 *
 * PLAN-1: the test of the masks for a pointer to a table gives the same answer as the format's `kindOf`.
 *
 * Source: spec/vmalloc.md §13.1 to §13.5.
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../base/units'
import { type PageTableFormat, PROT_ACCESSED, PROT_DIRTY, PROT_READ, PROT_WRITE } from './format'

/** From this bit on, parts of an address no longer fit the low 32 bits of its page number. */
const HIGH_SHIFT = 39
/** 2 to the power of {@link HIGH_SHIFT}. */
export const HIGH_UNIT = 549755813888

/** Bits of the two halves of an entry that an event sets and clears. */
export interface EntryChange {
  readonly setLow: number
  readonly setHigh: number
  readonly clearLow: number
  readonly clearHigh: number
}

/** Numbers of a format. Arrays have an element for each level, the top one first. */
export interface TablePlan {
  /** The last level. */
  readonly last: number
  /** The level named PMD; -1 for none. */
  readonly pmd: number
  /** Words of an entry. */
  readonly stride: 1 | 2
  /** One more than the highest address. */
  readonly end: number
  /** The lowest address that the second top table translates. */
  readonly half: number
  /** One more than the highest frame number. */
  readonly frames: number
  readonly pfnShift: number
  /** What a frame number is divided by to get its part in the high half. */
  readonly frameUnit: number
  readonly lowMask: number
  readonly highMask: number
  readonly shifts: Int32Array
  /** Highest index in a table. */
  readonly masks: Int32Array
  /** Bytes that an entry covers. */
  readonly spans: Float64Array
  /** An entry points at a table when these bits of it are `tableLowIs` and `tableHighIs`. */
  readonly tableLow: Int32Array
  readonly tableLowIs: Int32Array
  readonly tableHigh: Int32Array
  readonly tableHighIs: Int32Array
  /**
   * Whether tables of all levels have 512 entries of 8 bytes, or the top one fewer, and all pointers to tables are
   * told by the same bits: those of the arrays' first element.
   */
  readonly even: boolean
  /** Bits of a page number that the top table's index is made of, and all above it: a shift. */
  readonly topShift: number
  /** Where a leaf has its frame number: large leaves have other bits where small ones have its lowest. */
  readonly leafLow: Int32Array
  readonly leafHigh: Int32Array
  /** The processor uses a page. */
  readonly accessed: EntryChange
  /** The kernel notes that a writable page was written. */
  readonly dirty: EntryChange
  /** The processor notes it: where it clears a bit, what is set besides is the kernel's own note. */
  readonly written: EntryChange
}

const plans = /* @__PURE__ */ new WeakMap<PageTableFormat, TablePlan>()

/** The plan of a format, always the same. */
export function tablePlan(format: PageTableFormat): TablePlan {
  let plan = plans.get(format)
  if (plan === undefined) {
    plan = makePlan(format)
    plans.set(format, plan)
  }
  return plan
}

/** Index of an address in a table of a level. */
export function entryIndex(plan: TablePlan, address: number, level: number): number {
  const shift = plan.shifts[level]!
  const above = shift < HIGH_SHIFT ? (address / 4096) >>> (shift - 12) : highIndex(address, shift)
  return above & plan.masks[level]!
}

/** High half of the entry at a place in the words of memory: 0 where entries are 4 bytes. */
export function highHalf(plan: TablePlan, words: Int32Array, at: number): number {
  return plan.stride === 2 ? words[at + 1]! : 0
}

/** Whether an entry above the last level points at a table. */
export function isTable(plan: TablePlan, lo: number, hi: number, level: number): boolean {
  return (
    (lo & plan.tableLow[level]!) === plan.tableLowIs[level]! &&
    (hi & plan.tableHigh[level]!) === plan.tableHighIs[level]!
  )
}

/** Frame number of a pointer to a table, or of a leaf of the last level. */
export function frameOf(plan: TablePlan, lo: number, hi: number): number {
  const low = (lo & plan.lowMask) >>> plan.pfnShift
  const high = hi & plan.highMask
  return high === 0 ? low : low + high * plan.frameUnit
}

/** Frame number of a leaf of any level. */
export function leafFrame(plan: TablePlan, lo: number, hi: number, level: number): number {
  const low = (lo & plan.leafLow[level]!) >>> plan.pfnShift
  return low + (hi & plan.leafHigh[level]!) * plan.frameUnit
}

/** Frame of the page that an address has in a leaf of any level. */
export function pageOfLeaf(
  plan: TablePlan,
  lo: number,
  hi: number,
  level: number,
  address: number,
): number {
  if (level === plan.last) return frameOf(plan, lo, hi)
  return leafFrame(plan, lo, hi, level) + Math.floor((address % plan.spans[level]!) / PAGE_SIZE)
}

/**
 * Whether an entry maps frames: a leaf, or one that the format writes for pages that nobody may use. Other
 * entries that are not valid may hold anything.
 */
export function mapsFrames(
  format: PageTableFormat,
  plan: TablePlan,
  lo: number,
  hi: number,
  level: number,
): boolean {
  const kind = format.kindOf(lo, hi, level)
  if (kind !== 'none') return kind === 'leaf'
  if ((lo === 0 && hi === 0) || format.levels[level]?.leaf !== true) return false
  const bits = format.leafBits(format.protOf(lo, hi, level), level)
  return (lo & ~plan.leafLow[level]!) === bits.lo && (hi & ~plan.leafHigh[level]!) === bits.hi
}

function makePlan(format: PageTableFormat): TablePlan {
  const { levels, pfnShift, vaBits } = format
  const last = levels.length - 1
  const shifts = Int32Array.from(levels, ({ shift }) => shift)
  const dirty = changeOf(format, PROT_READ | PROT_WRITE, PROT_DIRTY)
  const clears = (dirty.clearLow | dirty.clearHigh) !== 0
  const plan: TablePlan = {
    last,
    pmd: levels.findIndex(({ name }) => name === 'PMD'),
    stride: format.entryBytes === 8 ? 2 : 1,
    end: 2 ** vaBits,
    half: 2 ** (vaBits - 1),
    frames: 2 ** (format.physBits - PAGE_SHIFT),
    pfnShift,
    // An integer to the engine too, which powers are not: frame numbers become indices.
    frameUnit: (2 ** (32 - pfnShift)) | 0,
    lowMask: format.pfnLowMask | 0,
    highMask: format.pfnHighMask | 0,
    shifts,
    masks: Int32Array.from(levels, ({ bits }) => 2 ** bits - 1),
    spans: Float64Array.from(levels, ({ shift }) => 2 ** shift),
    tableLow: new Int32Array(last),
    tableLowIs: new Int32Array(last),
    tableHigh: new Int32Array(last),
    tableHighIs: new Int32Array(last),
    even: false,
    topShift: shifts[0]! - PAGE_SHIFT,
    leafLow: new Int32Array(last + 1),
    leafHigh: new Int32Array(last + 1),
    accessed: changeOf(format, PROT_READ, PROT_ACCESSED),
    dirty,
    written: clears ? { ...dirty, setLow: 0, setHigh: 0 } : dirty,
  }
  for (let level = 0; level < last; level++) findTableBits(format, plan, level)
  levels.forEach(({ shift }, level) => {
    const lowest = shift - PAGE_SHIFT + pfnShift
    // A power above the 32 bits of a half is 0 to `&`.
    plan.leafLow[level] = plan.lowMask & -(2 ** lowest)
    plan.leafHigh[level] = plan.highMask & (lowest < 32 ? -1 : -(2 ** (lowest - 32)))
  })
  return { ...plan, even: isEven(format, plan) }
}

/** See {@link TablePlan.even}. */
function isEven(format: PageTableFormat, plan: TablePlan): boolean {
  const same = (bits: Int32Array) => bits.every((value) => value === bits[0])
  const small = format.levels.every(({ bits }, level) => bits === 9 || (level === 0 && bits < 9))
  const masks = [plan.tableLow, plan.tableLowIs, plan.tableHigh, plan.tableHighIs]
  return small && plan.stride === 2 && masks.every(same)
}

/** Asks the format bit by bit which ones tell a pointer to a table from anything else. */
function findTableBits(format: PageTableFormat, plan: TablePlan, level: number): void {
  const { lo, hi } = format.tableBits(level, false)
  for (let i = 0; i < 32; i++) {
    const bit = 1 << i
    if (format.kindOf(lo ^ bit, hi, level) !== 'table') plan.tableLow[level]! |= bit
    if (plan.stride === 2 && format.kindOf(lo, hi ^ bit, level) !== 'table') {
      plan.tableHigh[level]! |= bit
    }
  }
  plan.tableLowIs[level] = lo & plan.tableLow[level]!
  plan.tableHighIs[level] = hi & plan.tableHigh[level]!
}

/** What a bit of the protection changes in a leaf. */
function changeOf(format: PageTableFormat, prot: number, bit: number): EntryChange {
  const last = format.levels.length - 1
  const before = format.leafBits(prot, last)
  const after = format.leafBits(prot | bit, last)
  return {
    setLow: after.lo & ~before.lo,
    setHigh: after.hi & ~before.hi,
    clearLow: before.lo & ~after.lo,
    clearHigh: before.hi & ~after.hi,
  }
}

function highIndex(address: number, shift: number): number {
  return (address / HIGH_UNIT) >>> (shift - HIGH_SHIFT)
}
