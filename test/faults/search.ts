/**
 * The search through all failures of the operations of a table.
 *
 * For each machine and each way to fail, the first request of the operation fails, then the second, and so on, until
 * it is left alone. After each failure every invariant holds, the words that differ are of columns that the row
 * names a reason for, everything in use is what was in use before, and the operation succeeds when it is made again.
 */

import { afterAll, expect, it } from 'vitest'
import {
  __GFP_MEMALLOC,
  __GFP_NOWARN,
  CONTEXT_MEMALLOC,
  freeSummary,
  type Machine,
  OutOfMemory,
  PAGE_SIZE,
  type Pfn,
  reservePages,
} from '../../src/index'
import { differences } from './columns'
import { DIFFERENCES, OF_PRESSURE } from './differences'
import { type Bench, benches, type Mode, type Moment, momentOf, nowOf, Thrown } from './machines'
import type { Attempt, Row } from './rows'
import { counted, type Survey, survey } from './survey'

/** How often what was tried, in a file. */
const tally = { operations: 0, attempts: 0, failures: 0, unchanged: 0 }

/** What came of a call. */
interface Outcome {
  readonly failed: boolean
  readonly result: unknown
  readonly thrown: boolean
}

function outcomeOf(attempt: Attempt): Outcome {
  try {
    const result = attempt.call()
    return { failed: (attempt.failed ?? isNothing)(result), result, thrown: false }
  } catch (error) {
    if (error instanceof Thrown) return { failed: true, result: null, thrown: true }
    if (error instanceof OutOfMemory) return { failed: true, result: null, thrown: false }
    throw error
  }
}

function isNothing(result: unknown): boolean {
  if (Array.isArray(result)) return result.length === 0
  return result === null || result === false || result === -1 || result === 0
}

/** A test for each row. With `KMEM_TALLY` set, what was tried is printed at the end of each file. */
export function failEach(rows: readonly Row[]): void {
  afterAll(() => {
    if (process.env.KMEM_TALLY !== undefined) console.log(JSON.stringify(tally))
    Object.assign(tally, { operations: 0, attempts: 0, failures: 0, unchanged: 0 })
  })
  it.each(rows.map((one) => [one.name, one] as const))('%s', (_name, one) => {
    const seen = new Set<string>()
    tally.operations += 1
    const machines = benches().filter(({ m }) => one.on?.(m) ?? true)
    let failures = 0
    for (const [i, bench] of machines.entries()) failures += new Search(bench, one, seen).run(i)
    expect(failures, 'failures').toBeGreaterThan(0)
    for (const name of one.leaves ?? []) {
      const left = DIFFERENCES[name].columns.some((column) => seen.has(column))
      expect(left, `a failure leaves "${name}"`).toBe(true)
    }
  })
}

/** All failures of an operation on one machine. */
class Search {
  private readonly bench: Bench
  private readonly row: Row
  /** Columns that failures were seen to change. */
  private readonly seen: Set<string>
  private readonly allowed: ReadonlySet<string>
  private readonly allowedPressed: ReadonlySet<string>
  private expected!: Survey
  private failures = 0

  constructor(bench: Bench, one: Row, seen: Set<string>) {
    this.bench = bench
    this.row = one
    this.seen = seen
    const columns = (one.leaves ?? []).flatMap(
      (name): readonly string[] => DIFFERENCES[name].columns,
    )
    this.allowed = new Set(columns)
    this.allowedPressed = new Set([...columns, ...OF_PRESSURE.columns])
  }

  /** The first machine meets all ways to fail; the others share them, and fail the first request and the last. */
  run(machine: number): number {
    const { most = 5, requests = true } = this.row
    const { tables } = this.prepare()
    this.expected = survey(this.bench.m, tables)
    const total = this.countRequests()
    expect(total > 0, `requests on ${this.bench.name}`).toBe(requests)
    if (requests && machine === 0) {
      for (const n of picks(1, total, most)) this.fail('each', n, total)
      // From the last request on is the same as that request alone.
      for (const n of picks(1, total - 1, most)) this.fail('from', n, total)
      for (const n of picks(1, total, most)) this.fail('throw', n, total)
    } else if (requests) {
      const mode = (['each', 'from', 'throw'] as const)[machine % 3] ?? 'each'
      for (const n of picks(1, total, 1)) this.fail(mode, n, total)
    }
    if (machine === 0) this.exhaust(3)
    else if (machine === 2) this.exhaust(1)
    return this.failures
  }

  private prepare(): Attempt {
    return this.row.prepare(this.bench.reset())
  }

  private countRequests(): number {
    const { injector, name } = this.bench
    const attempt = this.prepare()
    injector.arm('each', 1e9)
    const { failed, result } = outcomeOf(attempt)
    const { calls } = injector
    injector.disarm()
    expect(failed, `failed without a reason on ${name}`).toBe(false)
    this.settle(attempt, { failed, result, thrown: false }, name)
    return calls
  }

  /** Makes the `n`th request fail. */
  private fail(mode: Mode, n: number, total: number): void {
    const { injector, name } = this.bench
    const where = `${name}, ${mode} ${n} of ${total}`
    const attempt = this.prepare()
    const before = this.remember()
    injector.arm(mode, n)
    const outcome = outcomeOf(attempt)
    const struck = injector.disarm()
    if (mode === 'throw') expect(outcome.thrown, `${where}: the error comes out`).toBe(struck)
    if (outcome.failed) expect(struck, `${where}: failed with everything there`).toBe(true)
    this.look(attempt, outcome, before, this.allowed, where)
    this.settle(attempt, outcome, where)
    if (!outcome.failed) return
    const again = outcomeOf(attempt)
    expect(again.failed, `${where}: fails once more`).toBe(false)
    attempt.release(again.result)
  }

  /**
   * No hooks, but memory that is used up to its last pages, which the call may all use: first none are left, then one,
   * and so on, until it succeeds.
   */
  private exhaust(most: number): void {
    const { bench } = this
    const { m } = bench
    const needs = this.pagesNeeded()
    for (const left of picks(0, needs + 2, most)) {
      const where = `${bench.name}, ${left} pages left`
      const attempt = this.prepare()
      bench.unhook()
      const hoard = hoardPages(m, left, attempt.near)
      const before = this.remember()
      const call = () => m.inContext(CONTEXT_MEMALLOC, attempt.call)
      const outcome = outcomeOf({ ...attempt, call })
      this.look(attempt, outcome, before, this.allowedPressed, where)
      for (const { pfn, order } of hoard) m.freePages(pfn, order)
      this.settle(attempt, outcome, where)
      if (!outcome.failed && left >= needs) break
    }
  }

  /** What has to hold right after a call, whatever came of it. */
  private look(
    attempt: Attempt,
    outcome: Outcome,
    before: Moment,
    allowed: ReadonlySet<string>,
    where: string,
  ): void {
    const { m } = this.bench
    tally.attempts += 1
    expect(m.verify(), where).toEqual([])
    if (!outcome.failed) return
    tally.failures += 1
    this.failures += 1
    const found = differences(m, before, nowOf(m), attempt.tables)
    if (found.size === 0) tally.unchanged += 1
    for (const column of found) this.seen.add(column)
    const strange = [...found].filter((column) => !allowed.has(column))
    expect(strange, where).toEqual([])
    attempt.check?.()
  }

  /** What is in use is what was before; after a success, once that was given back, as much as there was. */
  private settle(attempt: Attempt, { failed, result }: Outcome, where: string): void {
    const { m } = this.bench
    if (failed && attempt.undo === undefined) {
      expect(survey(m, attempt.tables), where).toEqual(this.expected)
      return
    }
    if (failed) attempt.undo?.()
    else attempt.release(result)
    expect(m.verify(), `${where}, released`).toEqual([])
    const found = counted(survey(m, attempt.tables))
    expect(found, `${where}, released`).toEqual(counted(this.expected))
  }

  private remember(): Moment {
    scratch = momentOf(
      this.bench.m,
      scratch?.ram.length === this.bench.m.ram.size &&
        scratch.pages.length === this.bench.m.pages.words.length
        ? scratch
        : null,
    )
    return scratch
  }

  /** Pages that the call takes from a machine with enough of them. */
  private pagesNeeded(): number {
    const attempt = this.prepare()
    const { m } = this.bench
    const before = freePages(m)
    const { result } = outcomeOf(attempt)
    const taken = before - freePages(m)
    attempt.release(result)
    return Math.max(taken, 0)
  }
}

let scratch: Moment | null = null

/** The numbers from `first` to `last`; only the `most` first and the `most` last ones where there are more. */
function picks(first: number, last: number, most: number): number[] {
  const all = Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => first + i)
  return all.length <= 2 * most ? all : [...all.slice(0, most), ...all.slice(-most)]
}

/** A block of pages. */
interface Block {
  readonly pfn: Pfn
  readonly order: number
}

/** Takes all pages but `left`: those from frame `near` on, or the last free ones when that is not given. */
function hoardPages(m: Machine, left: number, near: number | undefined): Block[] {
  const spared: Pfn[] = []
  const step = near === undefined ? -1 : 1
  for (let pfn = near ?? m.ram.end / PAGE_SIZE - 1; spared.length < left; pfn += step) {
    if (reservePages(m.pages, pfn as Pfn)) spared.push(pfn as Pfn)
  }
  const taken: Block[] = []
  const gfp = __GFP_MEMALLOC | __GFP_NOWARN
  for (let order = 10; order >= 0; order--) {
    for (let pfn = m.allocPages(gfp, order); pfn !== null; pfn = m.allocPages(gfp, order)) {
      taken.push({ pfn, order })
    }
  }
  for (const pfn of spared) m.freePages(pfn)
  m.pages.drainAllPages()
  return taken
}

/** Free pages, with those on page lists. */
function freePages(m: Machine): number {
  m.pages.drainAllPages()
  return freeSummary(m.pages).freePages
}
