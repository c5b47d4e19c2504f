/**
 * The words of a kernel's command line that concern vmalloc, as options.
 *
 * Source: spec/vmalloc.md §6.2, §13.6, §14.2.
 */

import { InvalidArgument } from '../base/errors'
import { parseMemSize } from '../base/memSize'

/**
 * What the words mean: for those that were given only. The first two may be spread into the options of a
 * `Vmalloc`.
 */
export interface VmallocBootOptions {
  /** False after `nohugevmalloc`. */
  hugeVmalloc?: boolean
  /** False after `nohugeiomap`. */
  hugeIomap?: boolean
  /** `vmalloc=`: bytes of the window of a 32-bit machine, for `layoutI386`; others ignore it. */
  vmalloc?: number
  /** The other words, as they were, in their order. */
  unknown: readonly string[]
}

/**
 * Reads a command line: words with blanks between them.
 *
 * ```ts
 * const { hugeVmalloc, vmalloc } = vmallocOptions('nohugevmalloc vmalloc=256M quiet')
 * ```
 * @throws InvalidArgument for a size that is none, and for a value where there is none.
 */
export function vmallocOptions(commandLine: string): VmallocBootOptions {
  if (typeof commandLine !== 'string') {
    throw new InvalidArgument('commandLine', commandLine, 'a string')
  }
  const unknown: string[] = []
  const options: VmallocBootOptions = { unknown }
  for (const word of commandLine.split(/\s+/)) {
    if (word === '') continue
    const [name, value] = word.split(/=(.*)/s)
    if (name === 'vmalloc') options.vmalloc = parseMemSize(value ?? '')
    else if (name !== 'nohugevmalloc' && name !== 'nohugeiomap') unknown.push(word)
    else if (value !== undefined) throw new InvalidArgument(name, value, 'a word without a value')
    else if (name === 'nohugevmalloc') options.hugeVmalloc = false
    else options.hugeIomap = false
  }
  return options
}
