/**
 * When a fault injection point fails, whatever it guards: the decision that all points share, the
 * counter of a task, and the report.
 *
 * Source: spec/slab.md §17.1, spec/pressure.md §13.1.
 */

import { checkInteger } from '../base/errors'
import { type Log, noLog } from '../base/log'
import { randomBelow, seedRandom } from '../base/prng'
import { type AttributeSpec, COMMON_ATTRIBUTES, FaultAttributes } from './faultAttributes'

/** The task that allocates, for the part it has in fault injection. Points may share one. */
export class FaultTask {
  /** Whether the task's calls may fail where `task-filter` is on: `/proc/<pid>/make-it-fail`. */
  makeItFail = false
  private left = 0

  /**
   * Makes the `n`-th call from now fail, whatever the attributes say, and those before it succeed;
   * 0 for none. Calls that a point spares, by their mask or cache, do not count.
   */
  setFailNth(n: number): void {
    checkInteger('n', n, 0, 0x7fffffff)
    this.left = n
  }

  /** Calls up to the one that fails, it included; 0 once it has: `/proc/<pid>/fail-nth`. */
  get failNth(): number {
    return this.left
  }

  /**
   * Counts a call: true for the one that fails. To be called while {@link failNth} is not 0.
   * @internal
   */
  countCall(): boolean {
    this.left -= 1
    return this.left === 0
  }
}

/** What every point is made of. Numbers and flags are those of its files, see `FaultAttributes`. */
export interface FaultOptions {
  /**
   * Percent of the calls that fail, of those that are not spared; 0 when not given, 100 for all.
   */
  readonly probability?: number
  /** Of the calls that are not spared, each so many'th may fail; 1 when not given. */
  readonly interval?: number
  /** Failures in all, -1 for no limit; 1 when not given. */
  readonly times?: number
  /**
   * What may be allocated before the first failure: bytes of objects, or pages; 0 when not given.
   */
  readonly space?: number
  /** 0 for no report, 1 for two lines, 2 for a stack dump as well; 2 when not given. */
  readonly verbose?: number
  /** Fail only while the task has {@link FaultTask.makeItFail}; false when not given. */
  readonly taskFilter?: boolean
  /** Spare requests that may wait, such as `GFP_KERNEL`; true when not given. */
  readonly ignoreGfpWait?: boolean
  /** Seed of the random numbers, 0 to 2^32 - 1; 0 when not given. */
  readonly seed?: number
  /** The task that allocates; a new one when not given. */
  readonly task?: FaultTask
  /** Receives the reports; nothing is logged without it. */
  readonly log?: Log
  /** Lines of a stack dump, for reports; none when not given. */
  readonly stack?: () => readonly string[]
  /** Asked last, in place of the kernel's filter of callers: false spares the call. */
  readonly filter?: () => boolean
  /** Milliseconds, for the rate limit of reports; without a clock there is no limit. */
  readonly clock?: () => number
}

/** One fault injection point. */
export class FaultPoint {
  /** Its name: that of its folder of files. */
  readonly name: string
  /** Its files. */
  readonly attributes: FaultAttributes
  /** The task that allocates. */
  readonly task: FaultTask
  private readonly options: FaultOptions
  private readonly random = new Int32Array(1)
  private count = 0
  private windowStart = Number.NEGATIVE_INFINITY
  private reports = 0

  constructor(name: string, specs: readonly AttributeSpec[], options: FaultOptions) {
    const { seed = 0 } = options
    checkInteger('seed', seed, 0, 0xffffffff)
    this.name = name
    this.attributes = new FaultAttributes([...COMMON_ATTRIBUTES, ...specs])
    for (const file of ['probability', 'interval', 'times', 'space', 'verbose'] as const) {
      this.attributes.set(file, options[file] ?? this.attributes.get(file))
    }
    this.setFlag('task-filter', options.taskFilter)
    this.task = options.task ?? new FaultTask()
    this.options = options
    seedRandom(this.random, 0, seed)
  }

  /** Sets a flag of the attributes, if a value is given. */
  setFlag(file: string, value: boolean | undefined): void {
    if (value !== undefined) this.attributes.set(file, value ? 1 : 0)
  }

  /** Decides on a call that allocates `size`; a failure is reported unless it is `quiet`. */
  shouldFail(size: number, quiet: boolean): boolean {
    const fails = this.task.failNth !== 0 ? this.task.countCall() : this.drawn(size)
    if (!fails) return false
    if (!quiet && this.mayReport()) this.report()
    const times = this.attributes.get('times')
    if (times !== -1 && times !== 0) this.attributes.set('times', times - 1)
    return true
  }

  private drawn(size: number): boolean {
    const { attributes } = this
    const probability = attributes.get('probability')
    if (probability === 0) return false
    if (attributes.get('task-filter') === 1 && !this.task.makeItFail) return false
    if (attributes.get('times') === 0) return false
    const space = attributes.get('space')
    if (space > size) {
      attributes.set('space', space - size)
      return false
    }
    const interval = attributes.get('interval')
    if (interval > 1) {
      this.count += 1
      if (this.count % interval !== 0) return false
    }
    if (probability <= randomBelow(this.random, 0, 100)) return false
    return this.options.filter?.() !== false
  }

  private mayReport(): boolean {
    const { attributes, options } = this
    if (attributes.get('verbose') === 0) return false
    const interval = attributes.get('verbose_ratelimit_interval_ms')
    if (interval === 0 || options.clock === undefined) return true
    const now = options.clock()
    if (now - this.windowStart >= interval) {
      this.windowStart = now
      this.reports = 0
    }
    this.reports += 1
    return this.reports <= attributes.get('verbose_ratelimit_burst')
  }

  private report(): void {
    const { attributes, options } = this
    const { log = noLog } = options
    const show = (file: string) => `${file} ${attributes.get(file)}`
    log('FAULT_INJECTION: forcing a failure.')
    log(`name ${this.name}, ${['interval', 'probability', 'space', 'times'].map(show).join(', ')}`)
    if (attributes.get('verbose') > 1) for (const line of options.stack?.() ?? []) log(line)
  }
}
