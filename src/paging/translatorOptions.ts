/** What a translator is made of. Source: spec/vmalloc.md §13. */

import { InvalidArgument } from '../base/errors'
import { type AccessMode, checkMode } from './accessMode'
import { architectureOf } from './accessRights'
import type { PageTableFormat } from './format'
import { checkTlbSize } from './tlb'

/** How a translation works. All bits of the mode are off by default. */
export interface TranslatorOptions extends AccessMode {
  /** Translations that a TLB remembers: 0, the default, or a power of two up to 2^20. */
  readonly tlb?: number
  /**
   * Who marks entries as accessed and dirty: 'set', the default, the processor; 'fault', software, which
   * is told by a fault. x86 has 'set' only.
   */
  readonly hardwareUpdates?: 'set' | 'fault'
}

/**
 * Throws for options that are wrong, so that nothing has to be undone later.
 * @throws InvalidArgument
 */
export function checkTranslatorOptions(format: PageTableFormat, options: TranslatorOptions): void {
  const { hardwareUpdates = 'set', tlb = 0 } = options
  if (hardwareUpdates !== 'set' && hardwareUpdates !== 'fault') {
    throw new InvalidArgument('hardwareUpdates', hardwareUpdates, "'set' or 'fault'")
  }
  if (hardwareUpdates === 'fault' && architectureOf(format) === 'x86') {
    throw new InvalidArgument('hardwareUpdates', hardwareUpdates, "'set' on x86")
  }
  checkTlbSize(tlb)
  checkMode(options)
}
