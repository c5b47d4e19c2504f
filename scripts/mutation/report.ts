/** Scores and survivors, from the state of a part: no run is needed to look at them. */

/** A mutant as Stryker's report has it; lines and columns count from 1. */
interface Mutant {
  readonly mutatorName: string
  readonly replacement?: string
  readonly status: 'Killed' | 'Timeout' | 'Survived' | 'NoCoverage' | 'Ignored' | 'RuntimeError'
  readonly location: {
    readonly start: { readonly line: number; readonly column: number }
    readonly end: { readonly line: number; readonly column: number }
  }
  coveredBy?: string[]
  killedBy?: string[]
  statusReason?: string
}
/** Stryker's report, as far as it is used. */
export interface State {
  readonly files: Record<string, { readonly source: string; mutants: Mutant[] }>
}

interface Counts {
  noticed: number
  missed: number
  ignored: number
}

/** A line for each file with survivors and one for all; with `survivors`, a line for each of these too. */
export function report(name: string, state: State, survivors: boolean): string[] {
  const lines: string[] = []
  const all: Counts = { noticed: 0, missed: 0, ignored: 0 }
  for (const [file, { source, mutants }] of Object.entries(state.files).sort()) {
    const own: Counts = { noticed: 0, missed: 0, ignored: 0 }
    const left: string[] = []
    for (const mutant of mutants) {
      if (mutant.status === 'Ignored') own.ignored += 1
      else if (mutant.status === 'Killed' || mutant.status === 'Timeout') own.noticed += 1
      else {
        own.missed += 1
        left.push(`    ${describe(mutant, source)}`)
      }
    }
    if (own.missed > 0) lines.push(`  ${file}: ${told(own)}`)
    if (survivors) lines.push(...left)
    all.noticed += own.noticed
    all.missed += own.missed
    all.ignored += own.ignored
  }
  return [`${name}: ${told(all)}`, ...lines]
}

function told({ noticed, missed, ignored }: Counts): string {
  const score = noticed + missed === 0 ? 100 : (100 * noticed) / (noticed + missed)
  return `${score.toFixed(1)}%, ${noticed} of ${noticed + missed} noticed, ${ignored} left out`
}

function describe({ location, mutatorName, replacement, status }: Mutant, source: string): string {
  const { start, end } = location
  const lines = source.split('\n')
  const line = lines[start.line - 1] ?? ''
  const from = start.column - 1
  const text = start.line === end.line ? line.slice(from, end.column - 1) : `${line.slice(from)} …`
  const to = (replacement ?? '').replace(/\s+/g, ' ').slice(0, 80)
  const mark = status === 'NoCoverage' ? ' (no test reaches it)' : ''
  return `${start.line}:${start.column} ${mutatorName}: ${text.slice(0, 80)} → ${to}${mark}`
}
