/** Checks of what a translator is made of. Source: spec/vmalloc.md §13. */

import { InvalidArgument } from '../base/errors'
import { type AccessMode, checkMode } from './accessMode'
import { architectureOf } from './accessRights'
import type { PageTableFormat } from './format'
import { checkTlbSize } from './tlb'

/** The options, as they come. */
interface GivenOptions extends AccessMode {
  readonly tlb?: number
  readonly hardwareUpdates?: 'set' | 'fault'
}

/**
 * Throws for options that are wrong, so that nothing has to be undone later.
 * @throws InvalidArgument
 */
export function checkTranslatorOptions(format: PageTableFormat, options: GivenOptions): void {
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
