/** Finds the command that the arguments name, and runs it. */

import { InvalidArgument, KernelBug } from 'kmem'
import { BOOT_HELP, bootCommand } from './boot'
import { messageOf } from './files'
import { EXIT_OK, EXIT_USAGE, type Io, processIo } from './io'
import { REPLAY_HELP, replayCommand } from './replay'
import { INSPECT_HELP, inspectCommand, VERIFY_HELP, verifyCommand } from './snapshot'

interface Command {
  readonly help: string
  run(args: readonly string[], io: Io): number
}

const COMMANDS: Readonly<Record<string, Command>> = {
  replay: { help: REPLAY_HELP, run: replayCommand },
  boot: { help: BOOT_HELP, run: bootCommand },
  inspect: { help: INSPECT_HELP, run: inspectCommand },
  verify: { help: VERIFY_HELP, run: verifyCommand },
}

const HELP = `kmem: kernel-style memory allocators, at the command line

  kmem replay FILE               makes the calls of a trace of page events, and compares
  kmem boot [WORD ...]           brings a machine up, and prints its /proc
  kmem inspect SNAPSHOT ADDRESS  tells what an address of a saved machine is
  kmem verify SNAPSHOT           checks every invariant of a saved machine

kmem COMMAND --help tells more.`

/** Runs a command; gives the exit status. */
export function run(args: readonly string[], io: Io = processIo()): number {
  const [name, ...rest] = args
  const command = Object.hasOwn(COMMANDS, String(name)) ? COMMANDS[String(name)] : undefined
  if (command === undefined) {
    const asked = name === undefined || name === '--help' || name === '-h' || name === 'help'
    if (asked) io.out(HELP)
    else io.err(`kmem: there is no command ${name}\n\n${HELP}`)
    return name === undefined || !asked ? EXIT_USAGE : EXIT_OK
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    io.out(command.help)
    return EXIT_OK
  }
  try {
    return command.run(rest, io)
  } catch (error) {
    // Wrong arguments, here or in the library; anything else is a fault that deserves its stack.
    const usage =
      error instanceof InvalidArgument ||
      (error instanceof Error && (error.name === 'UsageError' || isSystemError(error)))
    io.err(usage ? `kmem ${name}: ${messageOf(error)}` : String((error as Error)?.stack ?? error))
    return EXIT_USAGE
  }
}

/** Whether Node refused an argument or a file; a bug in an allocator has a code too, but is no wrong usage. */
function isSystemError(error: Error): boolean {
  return 'code' in error && !(error instanceof KernelBug)
}
