/**
 * The part of vitest's interface that the tests use, run inside this process: a test file is a script that can be
 * evaluated afresh in a few milliseconds, and each of its tests run alone.
 */

import { createRequire } from 'node:module'
import { format } from 'node:util'
import { Script } from 'node:vm'
import {
  ASYMMETRIC_MATCHERS_OBJECT,
  addCustomEqualityTesters,
  chai,
  customMatchers,
  GLOBAL_EXPECT,
  getState,
  JestAsymmetricMatchers,
  JestChaiExpect,
  JestExtend,
  setState,
} from '@vitest/expect'
import fastCheck from 'fast-check'

type Body = (...parts: unknown[]) => unknown

interface Suite {
  readonly name: string
  readonly parent: Suite | null
  readonly beforeAll: Body[]
  readonly beforeEach: Body[]
  readonly afterEach: Body[]
  begun: boolean
}

/** One test of an evaluated file. */
export interface LoadedTest {
  /** Names of the suites and of the test; unique in the file. */
  readonly name: string
  /** The test's own name as it is written in the file. */
  readonly title: string
  readonly body: Body
  readonly suite: Suite
}

/** What a bundle gets from outside: which mutant is active, and what counts how often its code is reached. */
export interface Switch {
  /** The mutant that is active while modules are loaded; -1 for none. */
  readonly initial: number
  /** Activates another; the bundle provides it. */
  set: (mutant: number) => void
  /** Called each time the active mutant's code is reached. */
  readonly hit: () => boolean
  /** How often the code of each mutant was reached. */
  readonly reached: Uint32Array
}

/** Property tests stop at the first failure and try fewer inputs, the same ones each time. No check is left out. */
const MOST_RUNS = 15
const SEED = 1

const expect = makeExpect()
const require = createRequire(import.meta.url)
let suite: Suite = newSuite('', null)
let tests: LoadedTest[] = []
let names = new Map<string, number>()

/** The tests of a script made by `bundle.ts`, evaluated afresh: nothing is left of earlier evaluations. */
export function evaluate(script: Script, state: Switch): LoadedTest[] {
  suite = newSuite('', null)
  tests = []
  names = new Map()
  const body = script.runInThisContext() as (r: unknown, s: Switch) => void
  body(provide, state)
  return tests
}

/**
 * Runs one test. A body that returns a promise is waited for.
 * @throws what the test throws.
 */
export async function runTest(test: LoadedTest): Promise<void> {
  const chain: Suite[] = []
  for (let s: Suite | null = test.suite; s !== null; s = s.parent) chain.unshift(s)
  for (const s of chain) {
    if (!s.begun) for (const hook of s.beforeAll) await guarded(hook)
    s.begun = true
  }
  for (const s of chain) for (const hook of s.beforeEach) await guarded(hook)
  try {
    await guarded(test.body)
  } finally {
    for (const s of chain) for (const hook of s.afterEach) await guarded(hook)
  }
}

/** Milliseconds that a synchronous stretch of a test may take before it is stopped. */
let limit = 10_000
export function setLimit(milliseconds: number): void {
  limit = milliseconds
}

const CALL = new Script('__kmemCall()')
const global = globalThis as unknown as { __kmemCall: () => unknown }

/** A script with a time limit can be stopped in the middle of an endless loop, without losing the process. */
export function guarded<T>(body: () => T): T {
  let result: T | undefined
  global.__kmemCall = () => {
    result = body()
  }
  CALL.runInThisContext({ timeout: limit })
  return result as T
}

function newSuite(name: string, parent: Suite | null): Suite {
  return { name, parent, beforeAll: [], beforeEach: [], afterEach: [], begun: false }
}

function describe(name: string, body: Body): void {
  const outer = suite
  suite = newSuite(name, outer)
  body()
  suite = outer
}

function it(given: string, body: Body, title = given): void {
  let name = given
  for (let s: Suite | null = suite; s !== null; s = s.parent) {
    if (s.name !== '') name = `${s.name} ${name}`
  }
  name = name.slice(0, 200)
  const count = names.get(name) ?? 0
  names.set(name, count + 1)
  tests.push({ name: count === 0 ? name : `${name} (${count + 1})`, title, body, suite })
}

function each(rows: readonly unknown[], one: (name: string, body: Body, title: string) => void) {
  return (title: string, body: Body) => {
    for (const row of rows) {
      const parts = Array.isArray(row) ? row : [row]
      const used = (title.match(/%[sdifjoO]/g) ?? []).length
      const name = used > 0 ? format(title, ...parts.slice(0, used)) : title
      one(name, () => body(...parts), title)
    }
  }
}
describe.each = (rows: readonly unknown[]) => each(rows, describe)
it.each = (rows: readonly unknown[]) => each(rows, it)

const vitest = {
  describe,
  it,
  test: it,
  expect,
  beforeAll: (hook: Body) => suite.beforeAll.push(hook),
  beforeEach: (hook: Body) => suite.beforeEach.push(hook),
  afterEach: (hook: Body) => suite.afterEach.push(hook),
  // Nothing is used after the tests of a file: each evaluation has its own.
  afterAll: () => {},
}

const property = {
  ...fastCheck,
  assert: (p: never, parameters: { numRuns?: number } = {}) =>
    fastCheck.assert(p, {
      seed: SEED,
      ...parameters,
      numRuns: Math.min(parameters.numRuns ?? 100, MOST_RUNS),
      endOnFailure: true,
    }),
}

/** Modules that only `import` can load; scripts want them at once. */
const loaded = new Map<string, unknown>()

export async function preload(name: string): Promise<void> {
  const module = (await import(name)) as { default: unknown }
  loaded.set(name, module.default)
}

function provide(name: string): unknown {
  if (loaded.has(name)) return loaded.get(name)
  if (name === 'vitest') return vitest
  if (name === 'fast-check') return { __esModule: true, ...property, default: property }
  return require(name)
}

/** As vitest itself puts it together. */
function makeExpect(): unknown {
  chai.use(JestExtend)
  chai.use(JestChaiExpect)
  chai.use(JestAsymmetricMatchers)
  const made = Object.assign((value: unknown, message?: string) => {
    const { assertionCalls } = getState(made as never)
    setState({ assertionCalls: assertionCalls + 1 }, made as never)
    return chai.expect(value, message)
  }, chai.expect)
  const scope = globalThis as unknown as Record<symbol, object>
  Object.assign(made, scope[ASYMMETRIC_MATCHERS_OBJECT])
  setState({ assertionCalls: 0 }, made as never)
  Object.assign(made, { addEqualityTesters: addCustomEqualityTesters })
  scope[GLOBAL_EXPECT] = made
  ;(chai.expect as unknown as { extend: (e: unknown, m: unknown) => void }).extend(
    made,
    customMatchers,
  )
  return made
}
