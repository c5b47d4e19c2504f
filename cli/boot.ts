/** `kmem boot`: brings a machine up and prints what its `/proc` says. */

import { parseArgs } from 'node:util'
import { LAYOUT_FLAT, LAYOUT_X86_64, Machine, procText, saveSnapshot } from 'kmem'
import { writeFile } from './files'
import { EXIT_OK, type Io, UsageError } from './io'

export const BOOT_HELP = `kmem boot [WORD ...] [--ram SIZE] [--cpus N] [--layout NAME] [--proc NAME ...]
          [--save FILE] [--log]

Brings a machine up with a kernel's command line, WORD by WORD, such as movablecore=128M.

  --ram SIZE      memory; 512MiB when not given
  --cpus N        CPUs; 1 when not given
  --layout NAME   flat, the default, or x86_64
  --proc NAME     prints a text: buddyinfo, pagetypeinfo, zoneinfo, meminfo, slabinfo, vmallocinfo, vmstat, iomem, …
  --save FILE     saves the machine, for kmem inspect and kmem verify
  --log           prints the kernel's log

Exit status: 0; 2 for a wrong word.`

/** Runs the command. */
export function bootCommand(args: readonly string[], io: Io): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ram: { type: 'string', default: '512MiB' },
      cpus: { type: 'string', default: '1' },
      layout: { type: 'string', default: 'flat' },
      proc: { type: 'string', multiple: true, default: [] },
      save: { type: 'string' },
      log: { type: 'boolean', default: false },
    },
  })
  if (!/^\d+$/.test(values.cpus)) throw new UsageError(`--cpus is ${values.cpus}, no number`)
  const layout = { flat: LAYOUT_FLAT, x86_64: LAYOUT_X86_64 }[values.layout]
  if (layout === undefined) throw new UsageError(`--layout is ${values.layout}: flat or x86_64`)
  const machine = Machine.boot({
    ram: values.ram,
    cpus: Number(values.cpus),
    layout,
    cmdline: positionals.join(' '),
    ...(values.log ? { log: io.out } : {}),
  })
  const { ignored, unknown } = machine.commandLine
  for (const word of ignored) io.err(`${word} has no effect here`)
  for (const word of unknown) io.err(`${word} is unknown`)
  for (const name of values.proc) io.out(procText(machine, name).trimEnd())
  if (values.save !== undefined) writeFile(values.save, saveSnapshot(machine))
  return EXIT_OK
}
