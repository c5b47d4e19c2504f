/**
 * A test runner for Stryker that runs the tests in its own process, each mutant in freshly evaluated scripts.
 * Stryker's runner for vitest starts vitest anew for each mutant, which takes half a second; most mutants are
 * noticed by a test of a millisecond.
 */

import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { StrykerOptions } from '@stryker-mutator/api/core'
import { commonTokens, tokens } from '@stryker-mutator/api/plugin'
import {
  type DryRunResult,
  DryRunStatus,
  type MutantRunOptions,
  type MutantRunResult,
  MutantRunStatus,
  type TestResult,
  type TestRunner,
  TestStatus,
} from '@stryker-mutator/api/test-runner'
import { Bundles } from './bundle'
import {
  evaluate,
  guarded,
  type LoadedTest,
  preload,
  runTest,
  type Switch,
  setLimit,
} from './harness'
import { TestOrder } from './testOrder'

/** What `mutation.ts` tells the runner. */
export interface RunnerOptions {
  readonly root: string
  readonly tests: readonly string[]
  /** A pattern of tests that do not run; '' for none. */
  readonly without: string
  /** A pattern of tests that notice much. */
  readonly strong: string
  /** The file that gets a line for each mutant that was tried. */
  readonly journal: string
  /** Whether the lines that are there already count. */
  readonly resume: boolean
  /** Milliseconds of tests after which a mutant counts as survived. */
  readonly most: number
}

type Outcome = 'passed' | 'failed' | 'endless'
/** The evaluation of a file that the tests of one mutant share. */
interface Loaded {
  readonly tests: readonly LoadedTest[]
  readonly state: Switch
}

const MAX_MUTANTS = 100_000
const TIMES = '.times.json'
const WASM_TOOLS = 'assemblyscript/binaryen'
const REACH = '.reach.json'

export class InProcessRunner implements TestRunner {
  private readonly order: TestOrder
  private readonly bundles: Bundles
  private readonly reached = new Uint32Array(MAX_MUTANTS)
  /** Where each test is in its file: a mutant may change names. */
  private readonly places = new Map<string, { file: string; index: number }>()
  /** Results of a run that was cut off. */
  private journal: Map<string, MutantRunResult> | null = null
  private readonly versions = new Map<string, string>()
  /** Tests that were seen to pass without a mutant. */
  private readonly sound = new Set<string>()
  /** What the last test that failed threw. */
  private why = ''
  private reach: Record<string, string[]> | null = null
  private hits = 0
  private hitLimit = Number.POSITIVE_INFINITY

  constructor(private readonly options: RunnerOptions) {
    this.order = new TestOrder(new RegExp(options.strong))
    this.bundles = new Bundles(process.cwd(), options.root, options.tests)
  }

  capabilities() {
    return { reloadEnvironment: true }
  }

  async init(): Promise<void> {
    await this.bundles.make('run')
    const texts = this.options.tests.map((file) =>
      readFileSync(join(this.options.root, file), 'utf8'),
    )
    if (texts.some((text) => text.includes(`'${WASM_TOOLS}'`))) await preload(WASM_TOOLS)
  }

  /** Runs each test, and counts what it reaches. */
  async dryRun(): Promise<DryRunResult> {
    await this.bundles.make('count')
    const tests: TestResult[] = []
    const times: [string, number][] = []
    const fixed: Record<string, number> = {}
    const whileLoading = new Map<string, Record<string, number>>()
    const perTest: Record<string, Record<string, number>> = {}
    for (const file of this.options.tests) {
      const script = this.bundles.script(file, 'count')
      const fileName = join(this.options.root, file)
      const text = readFileSync(fileName, 'utf8')
      if (this.isLeftOut(`${file}#`)) continue
      this.reached.fill(0)
      const loading = cpuTime()
      const list = evaluate(script, this.newSwitch(-1))
      times.push([file, cpuTime() - loading])
      add(fixed, this.reached)
      whileLoading.set(file, add({}, this.reached))
      for (const test of list) {
        const { name, title } = test
        const id = `${file}#${name}`
        if (this.isLeftOut(id)) continue
        this.reached.fill(0)
        const began = cpuTime()
        const error = await attempt(test)
        const timeSpentMs = cpuTime() - began
        perTest[id] = add({}, this.reached)
        times.push([id, timeSpentMs])
        const common = { id, name, timeSpentMs, fileName, ...startOf(title, text) }
        tests.push(
          error === null
            ? { ...common, status: TestStatus.Success }
            : { ...common, status: TestStatus.Failed, failureMessage: error },
        )
      }
    }
    writeFileSync(TIMES, JSON.stringify(times))
    // Stryker asks for all tests where loading reaches a mutant: those that do not reach it cannot notice it.
    const reach: Record<string, string[]> = {}
    for (const mutant of Object.keys(fixed)) {
      reach[mutant] = Object.keys(perTest).filter((id) => {
        const loading = whileLoading.get(id.slice(0, id.indexOf('#')))
        return loading?.[mutant] !== undefined || perTest[id]?.[mutant] !== undefined
      })
    }
    writeFileSync(REACH, JSON.stringify(reach))
    return { status: DryRunStatus.Complete, tests, mutantCoverage: { static: fixed, perTest } }
  }

  async mutantRun(options: MutantRunOptions): Promise<MutantRunResult> {
    this.journal ??= this.readJournal()
    const known = this.journal.get(this.key(options))
    return known ?? this.note(options, await this.tryMutant(options))
  }

  private async tryMutant(options: MutantRunOptions): Promise<MutantRunResult> {
    this.findTests()
    const mutant = Number(options.activeMutant.id)
    const initial = options.mutantActivation === 'static' ? mutant : -1
    this.hitLimit = options.hitLimit ?? Number.POSITIVE_INFINITY
    const source = relative(process.cwd(), options.sandboxFileName)
    const reach = this.reach?.[mutant] ?? [...this.places.keys()]
    const wanted = options.testFilter ?? reach
    const loaded = new Map<string, Loaded>()
    let nrOfTests = 0
    let spent = 0
    for (const id of this.order.sort(wanted, source)) {
      if (spent > this.options.most) break
      const began = cpuTime()
      let outcome = await this.runOne(id, loaded, mutant, initial)
      nrOfTests += 1
      if (outcome === 'failed' && nrOfTests > 1) {
        // Again on its own, so that nothing that earlier tests left behind counts as noticed.
        loaded.clear()
        outcome = await this.runOne(id, loaded, mutant, initial)
      }
      const took = cpuTime() - began
      spent += took
      this.order.ran(id, source, took, outcome !== 'passed')
      if (outcome !== 'passed') await this.checkSound(id)
      if (outcome === 'endless') return { status: MutantRunStatus.Timeout, reason: id }
      if (outcome === 'failed') {
        return {
          status: MutantRunStatus.Killed,
          killedBy: [id],
          failureMessage: this.why,
          nrOfTests,
        }
      }
    }
    return { status: MutantRunStatus.Survived, nrOfTests }
  }

  /** A test that notices a mutant must pass without one, in the same way of running it. */
  private async checkSound(id: string): Promise<void> {
    if (this.sound.has(id)) return
    if ((await this.runOne(id, new Map(), -1, -1)) !== 'passed') {
      throw new Error(`${id} fails without a mutant: ${this.why}`)
    }
    this.sound.add(id)
  }

  /** Runs a test in the evaluation of its file that `loaded` has, or in a new one. */
  private async runOne(
    id: string,
    loaded: Map<string, Loaded>,
    mutant: number,
    initial: number,
  ): Promise<Outcome> {
    const place = this.places.get(id)
    if (place === undefined) throw new Error(`no test ${id}`)
    const { file, index } = place
    for (let wait = this.order.limit(id); ; wait *= 3) {
      const began = cpuTime()
      setLimit(wait)
      this.hits = 0
      try {
        let part = loaded.get(file)
        if (part === undefined) {
          const state = this.newSwitch(initial)
          const tests = guarded(() => evaluate(this.bundles.script(file, 'run'), state))
          part = { tests, state }
          loaded.set(file, part)
        }
        part.state.set(mutant)
        const test = part.tests[index]
        if (test !== undefined) await runTest(test)
        return this.hits > this.hitLimit ? 'endless' : 'passed'
      } catch (error) {
        if (this.hits > this.hitLimit) return 'endless'
        const { code } = (error ?? {}) as { code?: string }
        if (code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') {
          this.why = String((error as Error)?.stack).slice(0, 400)
          return 'failed'
        }
        // Others use the processors too: what counts is the time that this process had.
        if (cpuTime() - began > this.order.limit(id) * 0.7) return 'endless'
        loaded.delete(file)
      }
    }
  }

  /** Looks through the test files once, without a mutant, and for the times that the dry run took. */
  private findTests(): void {
    if (this.places.size > 0) return
    for (const file of this.options.tests) {
      if (this.isLeftOut(`${file}#`)) continue
      const tests = evaluate(this.bundles.script(file, 'run'), this.newSwitch(-1))
      for (const [index, { name }] of tests.entries()) {
        const id = `${file}#${name}`
        if (!this.isLeftOut(id)) this.places.set(id, { file, index })
      }
    }
    if (!existsSync(TIMES)) return
    const times = JSON.parse(readFileSync(TIMES, 'utf8')) as [string, number][]
    for (const [id, time] of times) this.order.learn(id, time)
    this.reach = JSON.parse(readFileSync(REACH, 'utf8')) as Record<string, string[]>
  }

  private isLeftOut(id: string): boolean {
    return this.options.without !== '' && new RegExp(this.options.without).test(id)
  }

  /** Keeps a line for each mutant: a run of hours can be looked at before its end. */
  private note(options: MutantRunOptions, result: MutantRunResult): MutantRunResult {
    const row = { key: this.key(options), ...result }
    appendFileSync(this.options.journal, `${JSON.stringify(row)}\n`)
    return result
  }

  /** What tells a mutant from all others, in this state of its source. */
  private key({ activeMutant, sandboxFileName }: MutantRunOptions): string {
    const { mutatorName, location, replacement } = activeMutant
    const source = relative(process.cwd(), sandboxFileName)
    let version = this.versions.get(source)
    if (version === undefined) {
      const text = readFileSync(join(this.options.root, source))
      version = createHash('sha256').update(text).digest('hex').slice(0, 8)
      this.versions.set(source, version)
    }
    const { start, end } = location
    const place = `${start.line}:${start.column}-${end.line}:${end.column}`
    return `${source}@${version} ${place} ${mutatorName} ${replacement}`
  }

  private readJournal(): Map<string, MutantRunResult> {
    const found = new Map<string, MutantRunResult>()
    if (!this.options.resume || !existsSync(this.options.journal)) return found
    for (const line of readFileSync(this.options.journal, 'utf8').split('\n')) {
      if (!line.endsWith('}')) continue
      const { key, ...result } = JSON.parse(line) as MutantRunResult & { key: string }
      if (result.status !== MutantRunStatus.Survived) found.set(key, result)
    }
    return found
  }

  private newSwitch(initial: number): Switch {
    return { initial, set: () => {}, hit: () => this.hit(), reached: this.reached }
  }

  private hit(): boolean {
    this.hits += 1
    if (this.hits > this.hitLimit) throw new Error('reached too often')
    return true
  }
}

/** Stryker makes the runner through this. */
export function createRunner(options: StrykerOptions): InProcessRunner {
  return new InProcessRunner(options.kmem as RunnerOptions)
}
createRunner.inject = tokens(commonTokens.options)

async function attempt(test: LoadedTest): Promise<string | null> {
  try {
    setLimit(600_000)
    await runTest(test)
    return null
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
}

/** Adds the counts that are not 0. */
function add(to: Record<string, number>, counts: Uint32Array): Record<string, number> {
  counts.forEach((count, id) => {
    if (count > 0) to[id] = (to[id] ?? 0) + count
  })
  return to
}

/** The place of a test in its file, by its name: Stryker asks whether the text from there on has changed. */
function startOf(
  title: string,
  text: string,
): { startPosition?: { line: number; column: number } } {
  const at = ["'", '`', '"'].map((q) => text.indexOf(q + title)).find((found) => found >= 0)
  if (at === undefined) return {}
  const lines = text.slice(0, at).split('\n')
  return { startPosition: { line: lines.length - 1, column: lines.at(-1)?.length ?? 0 } }
}

/** Milliseconds that this process has used. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
