/** `kmem inspect` and `kmem verify`: what a snapshot file holds. */

import { parseArgs } from 'node:util'
import {
  describeInspection,
  inspect,
  inspectPfn,
  type Machine,
  machineFromSnapshot,
  parseAddress,
} from 'kmem'
import { readBytes } from './files'
import { EXIT_DIFFERENT, EXIT_OK, type Io, number, UsageError } from './io'

export const INSPECT_HELP = `kmem inspect SNAPSHOT ADDRESS [--json]

Tells what an address of a saved machine is: page, zone, slab, object, area.

  SNAPSHOT   a file of saveSnapshot, or of kmem boot --save, possibly gzip
  ADDRESS    as a kernel prints it, in hexadecimal; or pfn:N for a page frame
  --json     as one JSON object`

export const VERIFY_HELP = `kmem verify SNAPSHOT [--json]

Checks every invariant of a saved machine.

Exit status: 0 when all hold; 1 when one is broken; 2 when the file is damaged.`

/** Runs `kmem inspect`. */
export function inspectCommand(args: readonly string[], io: Io): number {
  const { values, positionals } = parse(args)
  const [path, address, ...rest] = positionals
  if (path === undefined || address === undefined || rest.length > 0) {
    throw new UsageError('inspect takes a SNAPSHOT and an ADDRESS')
  }
  const machine = load(path)
  const [, pfn] = /^pfn:(\d+|0x[0-9a-f]+)$/i.exec(address) ?? []
  const answer =
    pfn === undefined
      ? inspect(machine, parseAddress(machine.vm.context.layout, address))
      : inspectPfn(machine, Number(pfn))
  io.out(values.json ? JSON.stringify(answer) : describeInspection(answer))
  return EXIT_OK
}

/** Runs `kmem verify`. */
export function verifyCommand(args: readonly string[], io: Io): number {
  const { values, positionals } = parse(args)
  const [path, ...rest] = positionals
  if (path === undefined || rest.length > 0) throw new UsageError('verify takes one SNAPSHOT')
  const violations = load(path).verify()
  if (values.json) io.out(JSON.stringify(violations))
  else if (violations.length === 0) io.out('every invariant holds')
  else {
    io.out(`${number(violations.length)} broken`)
    for (const { part, id, message } of violations) io.out(`${part} ${id}: ${message}`)
  }
  return violations.length === 0 ? EXIT_OK : EXIT_DIFFERENT
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { json: { type: 'boolean', default: false } },
  })
}

function load(path: string): Machine {
  return machineFromSnapshot(readBytes(path), { verify: false })
}
