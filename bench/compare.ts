/**
 * Compares two builds of kmem: `npx tsx bench/compare.ts OLD NEW [PART-OF-A-NAME ...]`, two files like `dist/index.js`.
 *
 * Both run in one process, each in its own copy of the workloads; short samples take turns, so that other load meets
 * both. For each workload: the median of NEW / OLD over the turns; then NEW / OLD, and both in nanoseconds per pair, for
 * the quietest twentieth of the samples of each.
 */

import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Kmem } from './kmem'
import { type Case, casesNamed, warmCopies } from './measure'
import { cacheCases, kmallocCases } from './objectCases'
import { kmemObjects } from './objectPeers'
import { growthCases, pageCases } from './pageCases'
import { kmemPages, type PeerKind } from './peers'

/** Nanoseconds that one sample takes, more or less. */
const SAMPLE_NS = 1e6
const TURNS = 600

const [oldPath = '', newPath = '', ...names] = process.argv.slice(2)
const builds = [await load(oldPath), await load(newPath)]
await compare(
  [...pageCases(), ...growthCases({ budgetNs: 0, maxLive: 100_000 }).slice(2)],
  pageCases(1024),
  kmemPages,
)
await compare(kmallocCases(), kmallocCases(10), (kmem) => kmemObjects(kmem, false))
await compare(cacheCases(), cacheCases(10), (kmem) => kmemObjects(kmem, true))

async function load(path: string): Promise<Kmem> {
  return (await import(pathToFileURL(resolve(path)).href)) as Kmem
}

async function compare(
  cases: readonly Case[],
  small: readonly Case[],
  kindOf: (kmem: Kmem) => PeerKind,
): Promise<void> {
  const kinds = builds.map((build, index) => {
    const kind = kindOf(build)
    return { ...kind, copy: `${kind.copy} ${index}` }
  })
  const wanted = casesNamed(cases, names)
  if (wanted.length === 0) return
  const copies = [...(await warmCopies(kinds, small))]
  for (const { name, live, pairs, setUp } of wanted) {
    const works = copies.map(([kind, workloads]) => setUp(workloads, kind.create(live)))
    for (const work of works) for (let done = 0; done < 4 * live + 100_000; ) done += run(work)
    const samples = works.map((): number[] => [])
    const count = pairs ?? 10_000
    for (let turn = 0; turn < TURNS; turn++) {
      // Who is first has the caches to itself no longer than who is second.
      for (const which of turn % 2 === 0 ? [0, 1] : [1, 0])
        samples[which]!.push(time(works[which]!))
    }
    const ratios = samples[0]!.map((ns, turn) => samples[1]![turn]! / ns)
    const [before, after] = samples.map((list) => quantile(list, 0.05))
    const quiet = (after! / before!).toFixed(3)
    const figures = `${before!.toFixed(1)} -> ${after!.toFixed(1)}`
    console.log(`${quantile(ratios, 0.5).toFixed(3)}  ${quiet}  ${figures}  ${name}`)

    function run(work: (pairs: number) => void): number {
      work(pairs ?? 1000)
      return pairs ?? 1000
    }

    function time(work: (pairs: number) => void): number {
      let done = 0
      const start = performance.now()
      let end = start
      while ((end - start) * 1e6 < SAMPLE_NS) {
        work(count)
        done += count
        end = performance.now()
      }
      return ((end - start) * 1e6) / done
    }
  }
}

function quantile(samples: readonly number[], part: number): number {
  return samples.toSorted((a, b) => a - b)[Math.floor(samples.length * part)]!
}
