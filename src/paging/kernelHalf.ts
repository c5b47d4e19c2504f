/**
 * The part of an address space that is a kernel's: the top table has copies of the kernel's entries, so all
 * tables below are the same ones.
 *
 * Source: spec/vmalloc.md §13.1.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import type { FrameSource } from '../page/frameSource'
import type { PageTableFormat } from './format'
import { FramePlaces } from './framePlaces'
import { PageTables } from './pageTables'
import { tablePlan } from './tablePlan'

const LAST_GIB_OF_32_BITS = 0xc0000000

/** Shares the kernel's part of some tables. */
export class KernelHalf {
  /** First address of the part. */
  readonly start: number
  private readonly tables: PageTables
  private readonly kernel: PageTables
  private readonly places: FramePlaces

  constructor(tables: PageTables, kernel: PageTables, start: number | undefined) {
    this.start = start ?? defaultStart(tables.format)
    this.tables = tables
    this.kernel = kernel
    this.places = new FramePlaces(tables.frames)
  }

  /**
   * @throws InvalidArgument for tables that cannot be shared, or not from there on.
   * @throws KernelBug for tables that were destroyed.
   */
  static check(
    frames: FrameSource,
    format: PageTableFormat,
    kernel: PageTables,
    start: number | undefined,
  ): void {
    if (!(kernel instanceof PageTables) || kernel.frames !== frames || kernel.format !== format) {
      throw new InvalidArgument('kernel', kernel, 'page tables of the same pages and format')
    }
    const span = tablePlan(format).spans[0]!
    const first = start ?? defaultStart(format)
    checkInteger('kernelStart', first, span, 2 ** format.vaBits - span)
    if (first % span !== 0) {
      throw new InvalidArgument('kernelStart', first, `a multiple of ${span}`)
    }
    if (format.twoRoots && first !== defaultStart(format)) {
      throw new InvalidArgument('kernelStart', first, 'left out: the format has two top tables')
    }
    checkAlive(kernel, first)
  }

  /** Copies the kernel's entries of the top table. Flushes the part when one that was there has changed. */
  sync(): void {
    const { tables, kernel, places, start } = this
    checkAlive(kernel, start)
    const { format } = tables
    if (format.twoRoots) return
    const words = places.allWords()
    const { stride, spans, masks } = tablePlan(format)
    const first = Math.floor(start / spans[0]!) * stride
    const behind = (masks[0]! + 1) * stride
    const from = places.of(kernel.root)
    const to = places.of(tables.root)
    let stale = false
    for (let i = first; i < behind; i++) {
      const old = words[to + i]!
      const entry = words[from + i]!
      stale = stale || (old !== 0 && old !== entry)
      words[to + i] = entry
    }
    const { ram } = tables.frames
    if (ram.tracksDirty) ram.markDirty(tables.root * PAGE_SIZE + first * 4, (behind - first) * 4)
    if (stale) tables.flush.flushTlb(start, 2 ** format.vaBits)
  }
}

/** @throws KernelBug when the tables were destroyed: any look-up tells. */
function checkAlive(kernel: PageTables, address: number): void {
  kernel.pfnAt(address)
}

function defaultStart(format: PageTableFormat): number {
  return format.vaBits === 32 ? LAST_GIB_OF_32_BITS : 2 ** (format.vaBits - 1)
}
