/**
 * kmem beside the C library's malloc: the same choices in the same order, in samples that take turns, so that what
 * else happens on the machine meets both.
 */

import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Kmem } from './kmem'
import { type Case, type Effort, warmCopies } from './measure'
import { kmallocCases, MIXED } from './objectCases'
import { kmemObjects } from './objectPeers'
import { pageCases } from './pageCases'
import { kmemPages, type PeerKind } from './peers'
import { always, type Draw } from './random'
import { choose } from './workloads'

/** Pairs of one sample. */
const PAIRS = 20_000
/** Both work so many pairs a live block before anything counts. */
const SETTLE = 4
const COMPILERS = ['cc', 'gcc', 'clang']

/** One workload, as ours and as the C library is asked for it. */
interface NativeCase {
  readonly name: string
  readonly live: number
  readonly kind: (kmem: Kmem) => PeerKind
  /** Small cases that warm our code up. */
  readonly warm: readonly Case[]
  /** What our heap is asked for. */
  readonly ours: Draw
  /** Bytes that malloc is asked for. */
  readonly theirs: Draw
  /** The call that gives memory: `malloc`, or `aligned_alloc(4096, bytes)`. */
  readonly call: 'malloc' | 'aligned'
  /** What the time is to be at most, in times the C library's. */
  readonly most?: number
}

/** One row of the table: nanoseconds per pair. */
export interface NativeRow {
  readonly name: string
  readonly kmem: number
  readonly native: number
  readonly most: number | undefined
}

const pages = {
  live: 16_000,
  kind: kmemPages,
  warm: pageCases(1024),
  ours: always(0),
  theirs: always(4096),
}
const mixed = {
  kind: (kmem: Kmem) => kmemObjects(kmem, false),
  warm: kmallocCases(10),
  ours: MIXED.draw,
  theirs: MIXED.draw,
  call: 'malloc',
} as const

const CASES: readonly NativeCase[] = [
  { ...mixed, name: 'mixed, 1 B to 8 KiB: replaced among 10,000', live: 10_000 },
  { ...mixed, name: 'mixed, 1 B to 8 KiB: replaced among 100,000', live: 100_000, most: 1 },
  { ...pages, name: '4 KiB pages: replaced among 16,000; malloc(4096)', call: 'malloc', most: 1 },
  { ...pages, name: '4 KiB pages: replaced among 16,000; aligned_alloc', call: 'aligned', most: 1 },
]

/** The rows, or null where there is no C compiler. */
export async function measureNative(
  kmem: Kmem,
  effort: Effort,
): Promise<readonly NativeRow[] | null> {
  const out = new URL('./out/', import.meta.url)
  mkdirSync(out, { recursive: true })
  const program = fileURLToPath(new URL('native', out))
  const file = fileURLToPath(new URL('choices', out))
  if (!compile(program)) return null
  const rows: NativeRow[] = []
  for (const one of CASES) {
    writeChoices(file, one)
    const child = spawn(program, [file, one.call])
    try {
      rows.push(await measureCase(kmem, one, new Native(child), effort))
    } finally {
      child.kill()
    }
  }
  rmSync(file)
  return rows
}

/** What the C library is, as its own loader tells it. */
export function nativeName(): string {
  try {
    const [line = ''] = execFileSync('ldd', ['--version'], { encoding: 'utf8' }).split('\n')
    return line.replace(/^ldd\s*/, '')
  } catch {
    return "the system's C library"
  }
}

function compile(program: string): boolean {
  const source = fileURLToPath(new URL('./native.c', import.meta.url))
  for (const compiler of COMPILERS) {
    try {
      execFileSync(compiler, ['-O2', '-o', program, source], { stdio: 'ignore' })
      return true
    } catch {
      // Not there: the next one.
    }
  }
  return false
}

/** `native.c` says what the file holds. */
function writeChoices(file: string, { live, theirs }: NativeCase): void {
  const { requests, slots, nextRequests, shuffled } = choose(live, theirs)
  const parts = [Int32Array.of(live, slots.length), requests, slots, nextRequests, shuffled]
  writeFileSync(file, Buffer.concat(parts.map((part) => Buffer.from(part.buffer))))
}

/** The compiled program at work: lines with numbers of pairs go in, lines with nanoseconds come out. */
class Native {
  private readonly lines: AsyncIterator<string>

  constructor(private readonly child: ChildProcessWithoutNullStreams) {
    child.stderr.pipe(process.stderr)
    this.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  /** Nanoseconds of `pairs` pairs. */
  async run(pairs: number): Promise<number> {
    this.child.stdin.write(`${pairs}\n`)
    const { value, done } = await this.lines.next()
    if (done === true) throw new Error('the native program has ended')
    return Number(value)
  }
}

async function measureCase(
  kmem: Kmem,
  { name, live, kind: kindOf, warm, ours, most }: NativeCase,
  native: Native,
  { budgetNs }: Effort,
): Promise<NativeRow> {
  const kind = kindOf(kmem)
  const workloads = (await warmCopies([kind], warm)).get(kind)!
  const population = workloads.populate(kind.create(live), live, ours)
  workloads.replaceUnsized(population, SETTLE * live)
  await native.run(SETTLE * live)
  const mine: number[] = []
  const theirs: number[] = []
  const end = performance.now() + (4 * budgetNs) / 1e6
  do {
    const start = process.hrtime.bigint()
    workloads.replaceUnsized(population, PAIRS)
    mine.push(Number(process.hrtime.bigint() - start) / PAIRS)
    theirs.push((await native.run(PAIRS)) / PAIRS)
  } while (performance.now() < end)
  const row = { name, kmem: median(mine), native: median(theirs), most }
  console.error(`${name}: kmem ${row.kmem}, native ${row.native}`)
  return row
}

function median(samples: number[]): number {
  samples.sort((a, b) => a - b)
  return samples[samples.length >> 1]!
}
