/** A machine from a snapshot file alone: its shape is in the file's header. */

import { InvalidArgument } from '../base/errors'
import { LAYOUT_FLAT, LAYOUT_X86_64, type Layout } from '../base/layout'
import { LAYOUT_SV39, LAYOUT_SV48 } from '../base/layouts'
import type { PageTableFormat } from '../paging/format'
import { SV39, SV48 } from '../paging/riscvFormat'
import { X86_64, X86_64_PAT } from '../paging/x86Format'
import { parseSnapshot } from '../snapshot/parseSnapshot'
import { restoreSnapshot } from '../snapshot/restoreSnapshot'
import type { Shape } from '../snapshot/shape'
import { Machine, refuseBroken } from './machine'
import type { MachineOptions } from './machineOptions'

/** What a file does not tell: hooks, and layouts and formats that depend on a machine's options. */
export interface FromSnapshotOptions
  extends Pick<
    MachineOptions,
    'layout' | 'format' | 'log' | 'clock' | 'debug' | 'hardening' | 'pressure' | 'flush' | 'zones'
  > {
  /**
   * Words of the command line that the file does not tell: `slub_debug=`, `page_owner=`; and `kernelcore=` or
   * `movablecore=`, where they leave a node without ordinary memory: caches have no descriptor there.
   */
  readonly cmdline?: string
  /** False to take a state that breaks an invariant, to look at it. */
  readonly verify?: boolean
}

/**
 * Makes a machine that goes on from a snapshot of one that `Machine.boot` made. All checkers have looked at it.
 * @throws InvalidArgument for a file that is damaged or of another version, for one whose layout or page tables
 * have to be given as options, and for a state that breaks an invariant.
 */
export function machineFromSnapshot(bytes: Uint8Array, options: FromSnapshotOptions = {}): Machine {
  const { shape } = parseSnapshot(bytes).header
  const layouts: readonly Layout[] = [LAYOUT_FLAT, LAYOUT_X86_64, LAYOUT_SV39, LAYOUT_SV48]
  const formats: readonly PageTableFormat[] = [X86_64, X86_64_PAT, SV39, SV48]
  const { verify = true, ...given } = Object(options) as FromSnapshotOptions
  const machine = Machine.boot({
    ...given,
    ram: shape.memory.map(([base, size, type, node]) => ({
      base,
      size,
      type: type === 'reserved' ? 'reserved' : 'usable',
      node,
    })),
    cpus: shape.cpus,
    layout: given.layout ?? named('layout', layouts, shape.layout),
    format: given.format ?? named('format', formats, shape.pageTables),
    cmdline: `${wordsOf(shape)} ${given.cmdline ?? ''}`,
  })
  restoreSnapshot(machine, bytes, verify ? { check: refuseBroken } : {})
  return machine
}

/** The words of a command line that give a machine these options. */
function wordsOf({ slabs, mapper }: Shape): string {
  const values = new Map<string, number | boolean>([...slabs, ...mapper])
  const words = [
    `slub_min_order=${values.get('minOrder')}`,
    `slub_max_order=${values.get('maxOrder')}`,
    `slub_min_objects=${values.get('minObjects')}`,
    `init_on_alloc=${values.get('initOnAlloc') === true ? 1 : 0}`,
    `init_on_free=${values.get('initOnFree') === true ? 1 : 0}`,
  ]
  if (values.get('merge') === false) words.push('slab_nomerge')
  if (values.get('hugeVmalloc') === false) words.push('nohugevmalloc')
  if (values.get('hugeIomap') === false) words.push('nohugeiomap')
  return words.join(' ')
}

function named<T extends { readonly name: string }>(
  what: string,
  known: readonly T[],
  name: string,
): T {
  const found = known.find((one) => one.name === name)
  if (found === undefined) throw new InvalidArgument(what, name, 'given as an option')
  return found
}
