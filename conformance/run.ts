/** The command `npm run conformance`: plays recordings and tells, a line a file, how many calls agreed. */

import { parseArgs } from 'node:util'
import type { Outcome } from './outcome'
import { findRecordings, playFile } from './recordings'

const DEFAULT_PATH = 'test/fixtures'

const HELP = `Plays recordings of a real kernel through the library and compares every answer.

  npm run conformance -- [--verbose] [PATH ...]

PATH is a recording or a folder of them, ${DEFAULT_PATH} when none is given:
  NAME.jsonl    calls with their answers, from the node_state that they start with
  NAME.json     a boot: memory map, free lists after the hand-over, limits, log
  NAME.ftrace   a trace of page events; NAME.state.json holds the state before and after it
Each may be compressed with gzip (NAME.jsonl.gz, NAME.json.gz, NAME.ftrace.gz).

  -v, --verbose   print the first difference of each file in full, with the states around it
  -h, --help      print this

Exit status: 0 when all that was played is identical; 1 when something differs, when a file cannot
be read, or when nothing was played; 2 for a wrong argument.`

/** Runs the command; gives its exit status. Paths are relative to the working directory. */
export function runConformance(args: readonly string[], print: (line: string) => void): number {
  let options: ReturnType<typeof parse>
  try {
    options = parse(args)
  } catch (error) {
    print(`${messageOf(error)}\n\n${HELP}`)
    return 2
  }
  if (options.values.help) {
    print(HELP)
    return 0
  }
  const total = { files: 0, calls: 0, identical: 0, different: 0, failed: 0 }
  const paths = options.positionals.length === 0 ? [DEFAULT_PATH] : options.positionals
  for (const path of paths) {
    for (const file of filesOf(path, total, print)) {
      const outcome = play(file, total, print)
      if (outcome === null) continue
      total.files += 1
      total.calls += outcome.calls
      total.identical += outcome.identical
      total.different += outcome.different
      print(lineOf(file, outcome))
      if (outcome.different > 0 && options.values.verbose) print(`${outcome.firstDifference}\n`)
    }
  }
  const failed = total.failed === 0 ? '' : `  not readable ${total.failed}`
  print(
    `total: files ${total.files}  calls ${total.calls}  identical ${total.identical}  ` +
      `different ${total.different}${failed}`,
  )
  if (total.calls === 0) print('nothing was played')
  return total.calls > 0 && total.different === 0 && total.failed === 0 ? 0 : 1
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      verbose: { type: 'boolean', short: 'v', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
}

function filesOf(
  path: string,
  total: { failed: number },
  print: (line: string) => void,
): readonly string[] {
  try {
    return findRecordings(path)
  } catch (error) {
    total.failed += 1
    print(`${path}  cannot be read: ${messageOf(error)}`)
    return []
  }
}

function play(
  file: string,
  total: { failed: number },
  print: (line: string) => void,
): Outcome | null {
  try {
    return playFile(file)
  } catch (error) {
    total.failed += 1
    print(`${file}  cannot be played: ${messageOf(error)}`)
    return null
  }
}

function lineOf(file: string, outcome: Outcome): string {
  const { calls, identical, different } = outcome
  const skipped = [...outcome.skipped].map(([reason, count]) => `  skipped: ${reason} (${count})`)
  return `${file}  calls ${calls}  identical ${identical}  different ${different}${skipped.join('')}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
