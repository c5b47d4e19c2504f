/** When a long run ends: `scripts/fuzz.ts` says it in the environment. */

/** The first seed, and whether to go on with another one. */
export interface Limits {
  readonly firstSeed: number
  goesOn(seed: number, calls: number): boolean
}

/** The limits of a run that starts now. At least one seed is played. */
export function limits(): Limits {
  const { env } = process
  const firstSeed = Number(env.KMEM_FUZZ_SEED || 1)
  const [seconds, ops, seeds] = [env.KMEM_FUZZ_SECONDS, env.KMEM_FUZZ_OPS, env.KMEM_FUZZ_SEEDS]
  const end = performance.now() + atMost(seconds) * 1000
  return {
    firstSeed,
    goesOn: (seed, calls) =>
      seed === firstSeed ||
      (performance.now() < end && calls < atMost(ops) && seed - firstSeed < atMost(seeds)),
  }
}

function atMost(text: string | undefined): number {
  return text ? Number(text) : Number.POSITIVE_INFINITY
}
