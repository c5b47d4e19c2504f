/** What a browser tells, line by line, and what comes of it in all. */

import { readFileSync } from 'node:fs'
import type { Report } from '../browser/report'
import { differenceOf, EXPECTED, type Expected } from '../determinism/table'

/** Collects reports; prints each. */
export class Results {
  /** Resolves when the page is done. */
  readonly ended: Promise<void>
  private readonly end: () => void
  private readonly recordings = new Set<string>()
  private readonly print: (line: string) => void
  private checks = 0
  private files = 0
  private calls = 0
  private identical = 0
  private different = 0
  private seeds = 0
  private failures = 0
  private agent: string | null = null
  private heard = 0

  constructor(print: (line: string) => void) {
    this.print = print
    let end = (): void => {}
    this.ended = new Promise((resolve) => {
      end = resolve
    })
    this.end = end
  }

  /** Recordings that have to come. */
  expectRecordings(paths: readonly string[]): void {
    for (const path of paths) this.recordings.add(path)
  }

  /** Takes a report. */
  take(report: Report): void {
    this.heard += 1
    switch (report.kind) {
      case 'check':
        this.checks += 1
        if (report.problem === null) this.print(`holds: ${report.name}`)
        else this.fail(`${report.name}: ${report.problem}`)
        break
      case 'recording':
        this.takeRecording(report)
        break
      case 'determinism':
        this.takeHashes(report)
        break
      case 'end':
        this.agent = report.agent
        this.end()
    }
  }

  /** Counts something that is wrong. */
  fail(text: string): void {
    this.failures += 1
    this.print(`FAILED: ${text}`)
  }

  /** Waits for the end. @throws Error when nothing is heard for so many seconds. */
  async within(seconds: number): Promise<void> {
    let heard = -1
    let timer: NodeJS.Timeout | undefined
    const silence = new Promise<void>((_, reject) => {
      timer = setInterval(() => {
        if (heard === this.heard) reject(new Error(`nothing was heard for ${seconds} s`))
        heard = this.heard
      }, seconds * 1000)
    })
    try {
      await Promise.race([this.ended, silence])
    } finally {
      clearInterval(timer)
    }
  }

  /** Prints the totals; the exit status. */
  conclude(): number {
    if (this.agent === null) this.fail('the page did not come to its end')
    if (this.seeds === 0) this.fail('no hashes came')
    for (const path of this.recordings) this.fail(`${path} was not played`)
    this.print(
      `total: checks ${this.checks}  files ${this.files}  calls ${this.calls}  ` +
        `identical ${this.identical}  different ${this.different}  seeds ${this.seeds}  ` +
        `failed ${this.failures}`,
    )
    if (this.agent !== null) this.print(this.agent)
    return this.failures === 0 ? 0 : 1
  }

  private takeRecording(report: Extract<Report, { kind: 'recording' }>): void {
    const { path, calls, identical, different, problem } = report
    this.files += 1
    this.calls += calls
    this.identical += identical
    this.different += different
    this.print(`${path}  calls ${calls}  identical ${identical}  different ${different}`)
    if (!this.recordings.delete(path)) this.fail(`${path} was played twice, or is none`)
    if (problem !== null) this.fail(`${path}: ${problem}`)
    else if (calls === 0 || identical !== calls) this.fail(`${path}: not all calls were played`)
  }

  private takeHashes({ rows }: Extract<Report, { kind: 'determinism' }>): void {
    const expected = JSON.parse(readFileSync(EXPECTED, 'utf8')) as Expected
    const difference = differenceOf(rows, expected)
    this.seeds = rows.length
    if (difference === null) this.print(`holds: ${rows.length} seeds have the hashes of the table`)
    else this.fail(`determinism: ${difference}`)
  }
}
