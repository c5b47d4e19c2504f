/** What an address space is made of, and its first table. Source: spec/vmalloc.md §13. */

import { InvalidArgument } from '../base/errors'
import { given } from '../base/given'
import { type Frames, frameSource } from '../buddy/frameSource'
import type { FlushOps } from './flushOps'
import type { PageTableFormat } from './format'
import { KernelHalf } from './kernelHalf'
import { PageTables } from './pageTables'
import { checkTranslatorOptions } from './translatorOptions'
import type { VirtualMemoryOptions } from './virtualMemory'

/** What an address space is made of. */
export interface AddressSpaceOptions extends VirtualMemoryOptions {
  /** The format of its tables. */
  readonly format: PageTableFormat
  /** Tables of a kernel, whose upper part the space shares. They must live longer. */
  readonly kernel?: PageTables
  /**
   * First address of that part, a multiple of what an entry of the top table covers: the upper half by
   * default, the last 1 GiB with 32 bits. Formats with two top tables have the upper half only.
   */
  readonly kernelStart?: number
  /**
   * True to mark the tables as a kernel's. AArch64 says there who may execute: the kernel nothing below tables
   * of the user, the default, and the user nothing below tables of the kernel.
   */
  readonly kernelTables?: boolean
  /** Told of flushes. */
  readonly flush?: FlushOps
  /** How pages for tables are asked for: GFP_KERNEL by default. */
  readonly gfp?: number
}

/**
 * Makes the top table of a space. Every option has been checked by then.
 * @throws InvalidArgument for a wrong one; OutOfMemory without a page.
 */
export function makeTables(pages: Frames, options: AddressSpaceOptions): PageTables {
  const {
    format,
    kernel,
    kernelStart,
    kernelTables = false,
    flush,
    gfp,
  } = Object(options) as AddressSpaceOptions
  if (typeof Object(format).kindOf !== 'function') {
    throw new InvalidArgument('format', format, 'a format of page tables')
  }
  if (typeof kernelTables !== 'boolean') {
    throw new InvalidArgument('kernelTables', kernelTables, 'true or false')
  }
  checkTranslatorOptions(format, options)
  const frames = frameSource(pages)
  if (kernel !== undefined) KernelHalf.check(frames, format, kernel, kernelStart)
  const shared = kernel !== undefined && format.twoRoots ? { highRoot: kernel.highRoot } : {}
  return new PageTables(frames, format, {
    user: !kernelTables,
    ...shared,
    ...given({ flush, gfp }),
  })
}
