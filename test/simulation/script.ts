/**
 * Scripts of the simulation: a machine, and calls drawn as plain numbers. Each call means something by itself, so that
 * any of them may be left out and the others go on meaning what they did, as nearly as can be.
 *
 * As text, a call a line, after a line with the machine:
 *
 *     machine {"mib":8,"cpus":2, ...}
 *     17 pages.alloc cpu1 irq 2718281828 3141592653 1414213562
 */

import type { MachineSpec } from './machines'

/** What the code that makes a call is and may do. */
export const CONTEXTS = [
  'task',
  'irq',
  'atomic',
  'nofs',
  'noio',
  'memalloc',
  'pin',
  'held',
] as const

/** What a call is drawn as. */
export interface Call {
  /** Its number, which names what it allocates. */
  readonly at: number
  /** Which operation. */
  readonly name: string
  /** The CPU that it runs on, modulo those that there are. */
  readonly cpu: number
  /** Place in {@link CONTEXTS}. */
  readonly context: number
  /** Three numbers of 32 bits, for the operation to use. */
  readonly a: number
  readonly b: number
  readonly c: number
}

/** A machine and what is done to it. */
export interface Script {
  readonly machine: MachineSpec
  readonly calls: readonly Call[]
}

/** A script as text. `notes` are what each call came to: they are comments. */
export function formatScript({ machine, calls }: Script, notes: readonly string[] = []): string {
  const lines = calls.map((call, i) => {
    const note = notes[i] ?? ''
    return note === '' ? formatCall(call) : `${formatCall(call)}   # ${note}`
  })
  return [`machine ${JSON.stringify(machine)}`, ...lines, ''].join('\n')
}

function formatCall({ at, name, cpu, context, a, b, c }: Call): string {
  return `${at} ${name} cpu${cpu} ${CONTEXTS[context]} ${a} ${b} ${c}`
}

/** Reads what {@link formatScript} wrote. Blank lines and what follows a `#` are left out. */
export function parseScript(text: string): Script {
  let machine: MachineSpec | null = null
  const calls: Call[] = []
  for (const [i, line] of text.split('\n').entries()) {
    const words = line.replace(/#.*/, '').trim()
    if (words === '') continue
    if (words.startsWith('machine ')) machine = JSON.parse(words.slice(8)) as MachineSpec
    else calls.push(parseCall(words, i + 1))
  }
  if (machine === null) throw new SyntaxError('the script has no line "machine {...}"')
  return { machine, calls }
}

const CALL = /^(\d+) ([a-zA-Z.]+) cpu(\d+) ([a-z]+) (\d+) (\d+) (\d+)$/

function parseCall(words: string, line: number): Call {
  const [, at, name = '', cpu, kind = '', a, b, c] = CALL.exec(words) ?? []
  const context = (CONTEXTS as readonly string[]).indexOf(kind)
  if (at === undefined || context < 0) throw new SyntaxError(`line ${line} is no call: ${words}`)
  return {
    at: Number(at),
    name,
    cpu: Number(cpu),
    context,
    a: Number(a),
    b: Number(b),
    c: Number(c),
  }
}
