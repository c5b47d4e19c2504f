/** The checks of `slub_debug=`, an option of a slab allocator. Source: spec/slab.md §4.4, §16. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { type Log, noLog } from '../base/log'
import type { SlabDebugOps } from '../slab/context'
import { __OBJECT_POISON, SLAB_RED_ZONE, SLAB_STORE_USER } from '../slab/flags'
import { isPlace } from '../slab/freePointer'
import { offsetIn } from '../slab/objects'
import { SLAB_CACHE } from '../state/slabSchema'
import { allocChecked } from './slubAlloc'
import { parseSlubDebug, slubCacheFlags } from './slubFlags'
import { checkFree, freeChecked } from './slubFree'
import { SlubReports } from './slubReport'
import { hasFlags, markObject, poisonSlab, RED_INACTIVE } from './slubSlot'
import { trackLines } from './slubText'
import { clearTracks, SlubTracks } from './slubTrack'
import { checkDiscarded, validateSlabs } from './slubValidate'
import { untilItThrows } from './untilItThrows'

/** Options of {@link slubDebug}. */
export interface SlubDebugOptions {
  /**
   * The value of `slub_debug=` on a kernel's command line: letters F (consistency checks), Z (red
   * zones), P (poison), U (who allocated and freed), T (trace), A (may be made to fail), O (no
   * larger slabs for it), then names of caches; '' for F, Z, P and U in all caches. Without it only
   * caches whose flags ask for it are checked.
   */
  readonly boot?: string
  /**
   * What happens after a report: `throw`, when not given, ends the call with a KernelBug and
   * nothing allocated or freed; `continue` goes on as a kernel does.
   */
  readonly onBug?: 'throw' | 'continue'
  /** Receives reports and traces; nothing is logged without it. */
  readonly log?: Log
  /** The time in jiffies, 0 to 2^53, for tracks; always 0 when not given. */
  readonly time?: () => number
  /** The number of the running task, for tracks; always 0 when not given. */
  readonly pid?: () => number
  /**
   * The stack of the caller, innermost frame first, such as `['f+0x10/0x20']`, for tracks and
   * reports; none when not given.
   */
  readonly stack?: () => readonly string[]
  /** Taint bits that reports show besides those that they set; 0 when not given. */
  readonly taint?: number
}

/** What {@link slubDebug} makes: an option of a slab allocator, for one allocator only. */
export interface SlubDebug extends SlabDebugOps {
  /**
   * Errors and repairs that the checks have counted, as the kernel's own unit test counts them. May
   * be set.
   */
  errors: number
  /**
   * What the program's own functions threw: the log, the time, the task and the stack. Such a function is not asked
   * again: a check has to come to its end.
   */
  readonly failures: readonly unknown[]
}

/**
 * The kernel's checks of caches: red zones, poison, tracks, consistency checks at each allocation
 * and free. Each fault is reported in the kernel's words, and repaired or put out of use as a
 * kernel does it.
 * After a report the call throws, unless told to go on (DIFF-40).
 *
 * ```ts
 * const debug = slubDebug({ boot: 'FZP,inode_cache', log: console.log })
 * const slabs = new SlabAllocator(pages, { debug })
 * ```
 * @throws InvalidArgument for wrong options.
 */
export function slubDebug(options: SlubDebugOptions = {}): SlubDebug {
  const { onBug = 'throw', log = noLog, taint = 0 } = options
  if (onBug !== 'throw' && onBug !== 'continue') {
    throw new InvalidArgument('onBug', onBug, "'throw' or 'continue'")
  }
  checkInteger('taint', taint, 0, 0x7ffff)
  const boot = parseSlubDebug(options.boot, log)
  const failures: unknown[] = []
  const tracks = new SlubTracks({
    time: untilItThrows(options.time, () => 0, failures),
    pid: untilItThrows(options.pid, () => 0, failures),
    stack: untilItThrows(options.stack, () => [], failures),
  })
  const write = untilItThrows(log, noLog, failures)
  const r = new SlubReports({ throwing: onBug === 'throw', log: write, taint }, tracks)
  return {
    failures,
    get errors() {
      return r.count
    },
    set errors(count) {
      r.count = count
    },
    noHigherOrder: boot.noHigherOrder,
    onAtBoot: boot.globalFlags !== 0 || boot.named.length > 0,
    cacheFlags: (_c, name, flags) => slubCacheFlags(boot, name, flags),
    setUpSlab: poisonSlab,
    setUpObject(c, slab, offset) {
      const cache = c.words[slab + SLAB_CACHE]!
      if (!hasFlags(c.words, cache, SLAB_STORE_USER | SLAB_RED_ZONE | __OBJECT_POISON)) return
      markObject(c, cache, slab, offset, RED_INACTIVE)
      if (hasFlags(c.words, cache, SLAB_STORE_USER)) clearTracks(c, cache, slab, offset)
    },
    alloc: (c, cache, gfp, node, size) => allocChecked(c, r, tracks, cache, gfp, node, size),
    check: (c, cache, slab, offset) => checkFree(c, r, cache, slab, [offset]),
    free: (c, cache, slab, offsets) => freeChecked(c, r, tracks, cache, slab, offsets),
    discard: (c, slab) => r.discard(() => checkDiscarded(c, r, slab)),
    settle: () => r.settle(),
    validate: (c, cache) => validateSlabs(c, r, cache),
    stop: (_c, code, message, report) => r.stop(code, message, report),
    printTracks(c, slab, address) {
      if (slab === 0) return
      const cache = c.words[slab + SLAB_CACHE]!
      const offset = offsetIn(c, slab, address)
      if (isPlace(c.words, cache, slab, offset)) r.write(trackLines(c, cache, slab, offset))
    },
    track: (c, cache, slab, offset, kind) => tracks.read(c, cache, slab, offset, kind),
  }
}
