/**
 * Page tables as text, in the manner of `/sys/kernel/debug/page_tables/kernel`: a line for each run
 * of entries of one level that allow the same.
 *
 *     ---[ vmalloc() Area ]---
 *     0xffffc90000000000-0xffffc90000001000           4K     RW                 GLB NX pte
 *     0xffffc90000001000-0xffffc90000200000        2044K                               pte
 *
 *     first address  - one more than the last       size   what it allows              level
 *
 * On x86 a run that maps nothing has a line too, without flags, of the level whose entries are
 * empty. Addresses count as 64 bits there: a run that reaches the end of the lower half ends where
 * the upper one begins, and the last one at 0. On RISC-V and AArch64 there are lines of what is
 * mapped alone:
 *
 *     RISC-V    range   physical address   size level   NC or IO, RSW, D A G U X W R V
 *     AArch64   range   size level   USR, RW or ro, NX or x, SHD, AF, NG, CON, BLK, UXN, GP, type
 *
 * Flags are those of the leaf itself. A run on RISC-V is one of consecutive frames, since the line
 * has the first one's address. Entries that the processor refuses have the flags `bad`. A header
 * comes in front of the first entry that begins at or behind the start of its part.
 *
 * The text is like that of a kernel, and was not compared with one (DIFF-56).
 *
 * Source: spec/vmalloc.md §13.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { fullAddress, type Layout } from '../base/layout'
import { PAGE_SIZE } from '../base/units'
import { type Architecture, architectureOf } from '../paging/accessRights'
import type { PageTables } from '../paging/pageTables'
import type { PageWalkEntry } from '../paging/tableWalk'
import { arm64Flags, riscvFlags, x86Flags } from './pageTableFlags'
import { type NamedRegion, namedRegions } from './pageTableRegions'

const BLANK = ''
const BAD = 'bad'
/** Characters of the flags of x86. */
const X86_WIDTH = 30

/** Which part is shown. */
export interface PageTableDumpOptions {
  /** First address, without sign extension, a multiple of 4096; 0 when not given. */
  readonly start?: number
  /** One more than the last address, likewise; the end of the address space when not given. */
  readonly end?: number
}

/**
 * The text. Costs a walk for each entry in reach of the range, about a microsecond.
 * @throws InvalidArgument for a layout of another format than the tables have, and for a wrong
 * range.
 */
export function formatPageTables(
  tables: Pick<PageTables, 'format' | 'walk'>,
  layout: Layout,
  options: PageTableDumpOptions = {},
): string {
  const { vaBits } = tables.format
  if (layout.vaBits !== vaBits) {
    throw new InvalidArgument('layout.vaBits', layout.vaBits, `${vaBits}, as of the page tables`)
  }
  const limit = 2 ** vaBits
  const { start = 0, end = limit } = options
  checkInteger('start', start, 0, limit)
  checkInteger('end', end, start, limit)
  for (const [name, address] of Object.entries({ start, end })) {
    if (address % PAGE_SIZE !== 0) throw new InvalidArgument(name, address, 'a multiple of 4096')
  }
  const dump = new Dump(tables, layout, start)
  let address = start
  while (address < end) {
    const { entries, bytes } = tables.walk(address)
    const entry = entries[entries.length - 1]
    if (entry !== undefined) dump.note(address, entry, address % bytes)
    address += bytes - (address % bytes)
  }
  return dump.finish(end)
}

/** The text as far as it is made, and the run that has not ended. */
class Dump {
  private text = ''
  private readonly tables: Pick<PageTables, 'format' | 'walk'>
  private readonly layout: Layout
  private readonly architecture: Architecture
  /** Headers that have not been passed; the next one first. */
  private readonly regions: NamedRegion[]
  /** The run: its first address, level (-1 for none yet), flags, first physical address. */
  private start = 0
  private level = -1
  private flags = BLANK
  private phys = 0

  constructor(tables: Pick<PageTables, 'format' | 'walk'>, layout: Layout, start: number) {
    this.tables = tables
    this.layout = layout
    this.architecture = architectureOf(tables.format)
    const regions = namedRegions(layout, this.architecture)
    // What `start` lies in: the last part that begins there or before; all that begin right there.
    const inside = regions.filter((region) => region.start <= start).pop()
    this.regions = regions.filter((region) => region.start >= (inside?.start ?? 0))
  }

  /**
   * Takes notice of an entry: that of `address`, which is `offset` bytes into what the entry
   * covers.
   */
  note(address: number, entry: PageWalkEntry, offset: number): void {
    const { kind, level } = entry
    const flags = kind === 'leaf' ? this.flagsOf(entry) : kind === 'none' ? BLANK : BAD
    const phys = (entry.pfn ?? 0) * PAGE_SIZE + offset
    const next = this.regions[0]
    const header = next !== undefined && address >= next.start
    if (!header && level === this.level && flags === this.flags && this.follows(address, phys)) {
      return
    }
    this.endRun(address)
    this.passHeaders(address)
    this.start = address
    this.level = level
    this.flags = flags
    this.phys = phys
  }

  finish(end: number): string {
    this.endRun(end)
    return this.text
  }

  private follows(address: number, phys: number): boolean {
    if (this.architecture !== 'riscv' || this.flags === BLANK || this.flags === BAD) return true
    return phys - this.phys === address - this.start
  }

  private flagsOf(entry: PageWalkEntry): string {
    switch (this.architecture) {
      case 'riscv':
        return riscvFlags(entry)
      case 'arm64':
        return arm64Flags(entry)
      case 'x86':
        return x86Flags(entry, this.tables.format)
    }
  }

  private passHeaders(address: number): void {
    while (this.regions[0] !== undefined && address >= this.regions[0].start) {
      this.text += `---[ ${this.regions[0].name} ]---\n`
      this.regions.shift()
    }
  }

  private endRun(end: number): void {
    const { flags, level } = this
    if (level < 0 || (flags === BLANK && this.architecture !== 'x86')) return
    const [from, to, size] = this.range(this.start, end)
    const name = this.tables.format.levels[level]?.name ?? ''
    this.text += `${from}-${to}   `
    if (this.architecture === 'riscv') this.text += `${this.hex(BigInt(this.phys))} `
    this.text += `${size.padStart(10)} `
    if (this.architecture === 'x86') {
      this.text += `${flags.padEnd(X86_WIDTH)}${name.toLowerCase()}\n`
    } else {
      this.text += `${name} ${this.architecture === 'arm64' ? '  ' : ''}${flags}\n`
    }
  }

  private range(start: number, end: number): [from: string, to: string, size: string] {
    const { layout } = this
    const from = fullAddress(layout, start)
    // The end of the address space is no address, and one more than the last.
    const behind = end === 2 ** layout.vaBits ? PAGE_SIZE : 0
    const to = fullAddress(layout, end - behind) + BigInt(behind)
    return [this.hex(from), this.hex(to), sizeText(to - from)]
  }

  private hex(value: bigint): string {
    const bits = 8 * this.layout.pointerBytes
    return `0x${BigInt.asUintN(bits, value)
      .toString(16)
      .padStart(bits / 4, '0')}`
  }
}

/** In the largest unit that leaves no fraction. */
function sizeText(bytes: bigint): string {
  let count = bytes >> 10n
  let unit = 0
  while (count % 1024n === 0n && unit < 5) {
    count >>= 10n
    unit++
  }
  return `${count}${'KMGTPE'[unit]}`
}
