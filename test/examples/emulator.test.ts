/** The emulator: a compiled program in virtual memory of kmem, against results that are worked out here. */

import { readFileSync } from 'node:fs'
import { GFP_KERNEL, KiB, MiB, PAGE_SIZE, type Pfn } from 'kmem'
import { describe, expect, it, vi } from 'vitest'
import { Machine } from '../../examples/emulator/machine'
import { Process } from '../../examples/emulator/process'
import { describeMappings } from '../../examples/emulator/report'

const elf = readFileSync(new URL('../../examples/emulator/guest/guest.elf', import.meta.url))
const PRIMES_BELOW = 300 * KiB
// What the compiler made of the program: weigh() takes 32 bytes of stack, 2000 times.
const STACK_PAGES = Math.ceil((2000 * 32) / PAGE_SIZE)
const INSTRUCTIONS = 2_275_295
const BAD_TRAPS = [
  'store page fault, cause 15, at 0x11150, pc 0x10030',
  'load page fault, cause 13, at 0x0, pc 0x10050',
]

function run(argument: number, walk: boolean, machine = new Machine()): Process {
  const program = new Process(machine, elf, argument, walk)
  program.run()
  return program
}

/** What the program should print, by other means. */
function expectedOutput(): string {
  const composite = new Set<number>()
  const primes: number[] = []
  for (let n = 2; n < PRIMES_BELOW; n++) {
    if (composite.has(n)) continue
    primes.push(n)
    for (let multiple = n * n; multiple < PRIMES_BELOW; multiple += n) composite.add(multiple)
  }

  let seed = 42n
  const values = Array.from({ length: 3000 }, () => {
    seed = BigInt.asUintN(64, seed * 6364136223846793005n + 1442695040888963407n)
    return seed
  }).sort((a, b) => (a < b ? -1 : 1))

  // Nodes were put in front: the last one, 1999, has place 1.
  const weight = Array.from({ length: 2000 }, (_, i) => (1999 - i) * (i + 1))
  const modulus = 4611686018427387847n
  let power = 1n
  let base = 7n
  for (let left = 1000000007n; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) power = (power * base) % modulus
    base = (base * base) % modulus
  }
  return [
    `primes below ${PRIMES_BELOW}: ${primes.length}, the last one ${primes.at(-1)}`,
    `sorted 3000 of 3000: from ${values[0]} to ${values.at(-1)}`,
    `a list of 2000 nodes weighs ${weight.reduce((a, b) => a + b)}`,
    `5 words, 128 MiB apart: their sum is ${1 + 4 + 9 + 16 + 25}`,
    `7^1000000007 modulo ${modulus} is ${power}`,
    'a store to a constant: cause 15, it is still "constant"',
    'a load from address 0: cause 13',
    '',
  ].join('\n')
}

describe('the program', () => {
  const expected = expectedOutput()

  it.each([
    ['the address space translates', false],
    ['the core walks the page tables itself', true],
  ])('prints what it should when %s', (_name, walk) => {
    const machine = new Machine()
    const before = machine.usedPages()
    const program = run(0, walk, machine)
    expect(machine.console).toBe('Hello from a RISC-V program.\n')
    expect(program.output).toBe(expected)
    expect(program.ending).toBe('exit, code 42')
    expect(program.core.instructions).toBe(INSTRUCTIONS)
    expect(program.badTraps).toEqual(BAD_TRAPS)

    const faults = Object.fromEntries(program.areas.map((area) => [area.name, area.faults]))
    const heap = PRIMES_BELOW / PAGE_SIZE + Math.ceil((2000 * 16) / PAGE_SIZE) + 5
    expect(faults).toEqual({ code: 1, constants: 1, data: 6, heap, stack: STACK_PAGES })
    expect(program.pages).toBe(1 + 1 + 6 + heap + STACK_PAGES)

    // The top table; two levels for code and device, which share one; for the heap's six tables, for the stack.
    expect(machine.usedPages() - before - program.pages).toBe(1 + (1 + 2) + (1 + 6) + (1 + 1))
    const mapped = describeMappings(program.space)
    expect(mapped[0]).toMatch(/^0000010000-0000011000 r-xu {3}1 in 8[0-9a-f]{4}$/)
    expect(mapped[1]).toMatch(/^0000011000-0000012000 r--u {3}1 in 8[0-9a-f]{4}$/)
    expect(mapped[2]).toMatch(/^0000012000-0000018000 rw-u {3}6 in 8[0-9a-f]{4}\.\.8[0-9a-f]{4}$/)
    expect(mapped[3]).toBe('0010000000-0010001000 rw-u   1 in 10000, not cached')
    expect(mapped[4]).toMatch(/^2000000000-200004b000 rw-u {2}75 in /)
    expect(mapped.at(-1)).toMatch(/^3ffffef000-3ffffff000 rw-u {2}16 in /)
    expect(mapped.length).toBe(4 + 2 + 5 + 1)

    program.exit()
    expect(program.pages).toBe(0)
    expect(machine.usedPages()).toBe(before)
  })

  it.each([false, true])('is told of a bad access, or killed for it', (walk) => {
    const machine = new Machine()
    const before = machine.usedPages()
    const crash = run(1, walk, machine)
    expect(crash.ending).toMatch(/^killed: load page fault, cause 13, at 0x0, pc 0x10[0-9a-f]{3}$/)
    if (!walk) {
      const fault = { address: 0, kind: 'read', user: true, reason: 'unmapped', code: 13 }
      expect(crash.space.fault).toMatchObject(fault)
    }
    crash.exit()

    // The stack ends a page below 2^38 and may have 256 pages.
    const overflow = run(2, walk, machine)
    expect(overflow.ending).toMatch(
      /^killed: store page fault, cause 15, at 0x3fffefe[0-9a-f]{3}, /,
    )
    expect(overflow.areas.find((area) => area.name === 'stack')?.faults).toBe(256)
    overflow.exit()
    expect(machine.usedPages()).toBe(before)
  })

  it('can switch the machine off', () => {
    const machine = new Machine()
    const program = run(3, false, machine)
    expect([program.ending, machine.off]).toEqual(['power off, code 5', 5])
    expect(program.output + machine.console).toBe('')
  })

  it('has calls that take what it may read, and nothing else', () => {
    const program = run(4, false)
    expect(program.ending).toBe('exit, code 0')
    expect(program.output).toBe(`straight from the file\n${'\0'.repeat(12)}`)
    // The page of constants, two pages of the heap, and the last one, of which 4 bytes were not enough.
    expect(program.areas.map((area) => area.faults)).toEqual([1, 1, 0, 3, 1])
    program.exit()
  })

  it('ends when memory does, wherever that is, and all of it comes back', () => {
    const endings = new Set<string>()
    for (let spare = 0; spare < 24; spare += 2) {
      const machine = new Machine(MiB)
      const taken = takeAll(machine)
      for (const pfn of taken.splice(0, spare)) machine.pages.freePages(pfn)
      const before = machine.usedPages()
      let ending = 'no start'
      try {
        const program = run(0, false, machine)
        ending = program.ending ?? ''
        expect(program.output).toBe('')
        program.exit()
      } catch (error) {
        expect(error).toMatchObject({ name: 'OutOfMemory' })
      }
      endings.add(ending)
      expect(machine.usedPages()).toBe(before)
    }
    expect([...endings.keys()]).toEqual(['no start', 'killed: out of memory'])
  })
})

/** All the pages that a program could get. */
function takeAll(machine: Machine): Pfn[] {
  const taken: Pfn[] = []
  for (;;) {
    const pfn = machine.pages.allocPages(GFP_KERNEL)
    if (pfn === null) return taken
    taken.push(pfn)
  }
}

describe('the example', () => {
  it('tells the story', async () => {
    let text = ''
    const log = vi.spyOn(console, 'log').mockImplementation((line: string) => {
      text += `${line}\n`
    })
    await import('../../examples/emulator/main')
    log.mockRestore()
    for (const line of [
      'Through the UART: Hello from a RISC-V program.',
      `The end: exit, code 42, after ${INSTRUCTIONS} instructions`,
      'Page faults that gave it a page: 1 code, 1 constants, 6 data, 88 heap, 16 stack',
      'Memory: 112 pages and 13 page tables',
      'After its exit 0 pages are in use',
      'With a core that walks page tables by itself: the same',
      'With a bug: killed: load page fault, cause 13, at 0x0, pc 0x10864',
    ]) {
      expect(text.split('\n')).toContain(line)
    }
    expect(text).toContain(`Through the kernel:\n  primes below ${PRIMES_BELOW}: `)
    expect(text).toContain('\n  0010000000-0010001000 rw-u   1 in 10000, not cached\n')
    expect(text).toContain(`Bad accesses:\n  ${BAD_TRAPS.join('\n  ')}\n`)
  })
})
