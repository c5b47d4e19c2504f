/**
 * The words of a kernel's command line that concern slabs, as options.
 *
 * Source: spec/slab.md §2.3, §17.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { type FaultAttr, parseFaultAttr } from '../base/faultAttr'

/**
 * What the words mean: for those that were given only. May be spread into the options of a
 * `SlabAllocator`.
 */
export interface SlabBootOptions {
  /** `slab_merge` and `slab_nomerge`, the last one; `slub_` as well. */
  merge?: boolean
  /** `slub_min_order=` */
  minOrder?: number
  /** `slub_max_order=`, 10 at most; 0 with `debug_guardpage_minorder=` above 0. */
  maxOrder?: number
  /** `slub_min_objects=` */
  minObjects?: number
  /** `init_on_alloc=` */
  initOnAlloc?: boolean
  /** `init_on_free=` */
  initOnFree?: boolean
  /** The value of `slub_debug`, for `slubDebug`: '' without one. */
  slubDebug?: string
  /** `failslab=`, for `failslab`. */
  failslab?: FaultAttr
  /** The other words, as they were, in their order. */
  unknown: readonly string[]
}

/** The largest order, to which larger ones are reduced. */
const MAX = 10

/** What each word does, by its name; the value is null without `=`. */
const WORDS: Readonly<Record<string, (options: SlabBootOptions, value: string | null) => void>> = {
  slub_min_order(options, value) {
    options.minOrder = numberOf('slub_min_order', value, MAX)
  },
  slub_max_order(options, value) {
    options.maxOrder = Math.min(numberOf('slub_max_order', value, 0x7fffffff), MAX)
  },
  slub_min_objects(options, value) {
    options.minObjects = numberOf('slub_min_objects', value, 32767)
  },
  slub_merge: /* @__PURE__ */ setMerge('slub_merge', true),
  slab_merge: /* @__PURE__ */ setMerge('slab_merge', true),
  slub_nomerge: /* @__PURE__ */ setMerge('slub_nomerge', false),
  slab_nomerge: /* @__PURE__ */ setMerge('slab_nomerge', false),
  init_on_alloc(options, value) {
    options.initOnAlloc = flagOf('init_on_alloc', value)
  },
  init_on_free(options, value) {
    options.initOnFree = flagOf('init_on_free', value)
  },
  slub_debug(options, value) {
    options.slubDebug = value ?? ''
  },
  failslab(options, value) {
    options.failslab = parseFaultAttr(value ?? '')
  },
}

/**
 * Reads a command line: words with blanks between them. Of words that come twice the last one
 * counts; in names, `-` is the same as `_`.
 *
 * ```ts
 * const words = slabOptions('slab_nomerge slub_max_order=1 quiet')
 * const slabs = new SlabAllocator(pages, { ...words })
 * ```
 * @throws InvalidArgument for a value that is wrong; a kernel would ignore most of them.
 */
export function slabOptions(commandLine: string): SlabBootOptions {
  const unknown: string[] = []
  const options: SlabBootOptions = { unknown }
  let guardOrder = 0
  for (const word of commandLine.split(/\s+/)) {
    if (word === '') continue
    const equals = word.indexOf('=')
    const name = (equals < 0 ? word : word.slice(0, equals)).replaceAll('-', '_')
    const value = equals < 0 ? null : word.slice(equals + 1)
    if (name === 'debug_guardpage_minorder') guardOrder = numberOf(name, value, MAX)
    else if (Object.hasOwn(WORDS, name)) WORDS[name]?.(options, value)
    else unknown.push(word)
  }
  if (guardOrder > 0) options.maxOrder = 0
  return options
}

function setMerge(name: string, merge: boolean) {
  return (options: SlabBootOptions, value: string | null) => {
    if (value !== null) throw new InvalidArgument(name, value, 'a word without a value')
    options.merge = merge
  }
}

function numberOf(name: string, value: string | null, max: number): number {
  const text = value ?? ''
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isNaN(number)) throw new InvalidArgument(name, text, `an integer from 0 to ${max}`)
  checkInteger(name, number, 0, max)
  return number
}

function flagOf(name: string, value: string | null): boolean {
  if (/^(1|y|Y|on)$/.test(value ?? '')) return true
  if (/^(0|n|N|off)$/.test(value ?? '')) return false
  throw new InvalidArgument(name, value, '1 or 0, y or n, on or off')
}
