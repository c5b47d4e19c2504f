/**
 * An emulator: a RISC-V core runs a program that a C compiler made, in virtual memory that kmem lays
 * out. Read on in process.ts, the kernel's half; core.ts is the processor, guest/guest.c the program.
 *
 *     guest.elf ──> elf.ts ──> areas.ts
 *                                 │
 *                                 v
 *     core.ts ──── traps ───> process.ts ─── map ───> AddressSpace ───> page tables
 *        │                        │                        ^                 ^
 *        v                        └── allocPages ───> BuddyAllocator         │
 *     memory.ts ── translate ──── by resolve, or by sv39.ts ─────────────────┘
 *        │
 *        └──> machine.ts: RAM, a console, a switch
 */

import { readFileSync } from 'node:fs'
import { Machine } from './machine'
import { Process } from './process'
import { describeMappings } from './report'

const elf = readFileSync(new URL('guest/guest.elf', import.meta.url))

const machine = new Machine()
const free = machine.usedPages()
const program = new Process(machine, elf)
program.run()

console.log(`Through the UART: ${machine.console.trimEnd()}`)
console.log(`Through the kernel:\n${indent(program.output.trimEnd().split('\n'))}`)
console.log(`The end: ${program.ending}, after ${program.core.instructions} instructions`)
console.log(`Bad accesses:\n${indent(program.badTraps)}`)

const faults = program.areas.map((area) => `${area.faults} ${area.name}`)
console.log(`Page faults that gave it a page: ${faults.join(', ')}`)
const used = machine.usedPages() - free
console.log(`Memory: ${program.pages} pages and ${used - program.pages} page tables`)
console.log(`Its address space:\n${indent(describeMappings(program.space))}`)
program.exit()
console.log(`After its exit ${machine.usedPages() - free} pages are in use`)

// The same once more, but now the core reads the tables by itself: kmem only writes them.
const again = new Machine()
const walked = new Process(again, elf, 0, true)
walked.run()
walked.exit()
const same =
  walked.output === program.output && walked.core.instructions === program.core.instructions
console.log(`With a core that walks page tables by itself: ${same ? 'the same' : 'DIFFERENT'}`)

// Another argument, and the program reads address 0 without having asked to be told.
const crash = new Process(machine, elf, 1)
crash.run()
crash.exit()
console.log(`With a bug: ${crash.ending}`)

function indent(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join('\n')
}
