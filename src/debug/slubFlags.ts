/** The boot parameter `slub_debug`: which caches are checked, and how. Source: spec/slab.md §4.4. */

import type { Log } from '../base/log'
import {
  SLAB_CONSISTENCY_CHECKS,
  SLAB_DEBUG_DEFAULT,
  SLAB_FAILSLAB,
  SLAB_NO_USER_FLAGS,
  SLAB_NOLEAKTRACE,
  SLAB_POISON,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  SLAB_TRACE,
} from '../slab/flags'

/** Flags for the caches that a block of the parameter names. */
interface NamedFlags {
  readonly flags: number
  /** Names, some with a `*`. */
  readonly names: readonly string[]
}

/** What the parameter says. */
export interface SlubBoot {
  /** SLAB_ flags of all caches that no block names. */
  readonly globalFlags: number
  /** The blocks with names, in order. */
  readonly named: readonly NamedFlags[]
  /** The letter O: slabs may not become larger for debugging. */
  readonly noHigherOrder: boolean
}

const LETTERS: ReadonlyMap<string, number> = /* @__PURE__ */ new Map([
  ['f', SLAB_CONSISTENCY_CHECKS],
  ['z', SLAB_RED_ZONE],
  ['p', SLAB_POISON],
  ['u', SLAB_STORE_USER],
  ['t', SLAB_TRACE],
  ['a', SLAB_FAILSLAB],
])

/**
 * Reads the value of `slub_debug`.
 * @param value what stands behind `=`; '' for the word alone, undefined when it was not given.
 */
export function parseSlubDebug(value: string | undefined, log: Log): SlubBoot {
  if (value === undefined) return { globalFlags: 0, named: [], noHigherOrder: false }
  if (value === '') return { globalFlags: SLAB_DEBUG_DEFAULT, named: [], noHigherOrder: false }
  let globalFlags = 0
  let noHigherOrder = false
  const named: NamedFlags[] = []
  for (const block of value.split(';')) {
    if (block === '') continue
    const comma = block.indexOf(',')
    const letters = comma < 0 ? block : block.slice(0, comma)
    const flags = letters === '' ? SLAB_DEBUG_DEFAULT : parseLetters(letters, log)
    noHigherOrder ||= /o/i.test(letters)
    // A comma without a name behind it still makes it a block of names.
    if (comma < 0) globalFlags = flags
    else named.push({ flags, names: block.slice(comma + 1).split(',') })
  }
  return { globalFlags, named, noHigherOrder }
}

/** The flags of a new cache: those asked for and those of the parameter. */
export function slubCacheFlags(boot: SlubBoot, name: string, flags: number): number {
  if ((flags & SLAB_NO_USER_FLAGS) !== 0) return flags
  for (const block of boot.named) {
    if (block.names.some((pattern) => matches(pattern, name))) return (flags | block.flags) >>> 0
  }
  const dropped = (flags & SLAB_NOLEAKTRACE) !== 0 ? SLAB_STORE_USER : 0
  return (flags | (boot.globalFlags & ~dropped)) >>> 0
}

function parseLetters(letters: string, log: Log): number {
  let flags = 0
  for (const letter of letters) {
    const flag = LETTERS.get(letter.toLowerCase())
    if (letter === '-') flags = 0
    else if (flag !== undefined) flags |= flag
    else if (!/o/i.test(letter)) log(`slub_debug option '${letter}' unknown. skipped`)
  }
  return flags
}

/** True when a name is the pattern's, or begins with what stands before its `*`. */
function matches(pattern: string, name: string): boolean {
  const star = pattern.indexOf('*')
  return star < 0 ? pattern === name : name.startsWith(pattern.slice(0, star))
}
