/**
 * A whole machine, brought up as a kernel brings up its memory, from the first byte to the first vmalloc:
 *
 *     1. the command line               `commandLine.ts`
 *     2. memory: size or map            `machineMemory.ts`, `ram/`
 *     3. zones, nodes, the hand-over    `buddy/`: pages can be had
 *     4. caches of caches               `slab/bootstrap.ts`: objects can be had
 *     5. kmalloc                        `slab/kmalloc.ts`: memory of any size
 *     6. the vmalloc window             `vmalloc/`: addresses can be had
 *
 * `machineSetup.ts` makes the parts from 3 to 6.
 *
 * The methods are the calls that most programs make. Everything else is a function that takes one of the parts:
 * `allocPagesBulk(machine.pages, …)`, `new SlabCache(machine.slabs, …)`, `vmap(machine.vm, …)`.
 */

import { InvalidArgument } from '../base/errors'
import type { Pfn, VirtAddr } from '../base/units'
import type { BuddyAllocator } from '../buddy/buddyAllocator'
import { inContext, inInterrupt, onCpu } from '../buddy/running'
import { inspect } from '../debug/inspect'
import type { Inspection } from '../debug/inspection'
import { type PageOwner, pageOwner } from '../debug/pageOwner'
import { formatPageOwner } from '../debug/pageOwnerText'
import { type MachineViolation, verifyMachine } from '../debug/verifyMachine'
import { GFP_KERNEL } from '../page/gfp'
import { procText } from '../proc/procText'
import type { PhysicalMemory } from '../ram/physicalMemory'
import { Kmalloc } from '../slab/kmalloc'
import type { SlabAllocator } from '../slab/slabAllocator'
import { takeOver } from '../snapshot/loadState'
import { machineHash } from '../snapshot/machineHash'
import { restoreSnapshot } from '../snapshot/restoreSnapshot'
import { saveSnapshot } from '../snapshot/saveSnapshot'
import { kvfree, kvmalloc } from '../vmalloc/kvmalloc'
import type { MachineParts } from '../vmalloc/machineParts'
import type { Vmalloc } from '../vmalloc/vmalloc'
import { type CommandLine, parseCommandLine } from './commandLine'
import { attachMemory, checkBuffers, type MachineBuffers, machineBuffers } from './machineBuffers'
import { makeMemory } from './machineMemory'
import type { AttachOptions, MachineOptions } from './machineOptions'
import { type MachineSetup, setUpMapper, setUpPages, setUpSlabs, startFaults } from './machineSetup'
import { newTurn, Turn } from './turn'

/**
 * A machine with its memory.
 *
 * ```ts
 * const m = Machine.boot({ ram: '512MiB', cmdline: 'movablecore=128M slab_nomerge' })
 * const p = m.kmalloc(100)
 * m.kfree(p)
 * ```
 */
export class Machine implements MachineParts {
  /** The bytes. */
  readonly ram: PhysicalMemory
  /** The page allocator. */
  readonly pages: BuddyAllocator
  /** The slab allocator. */
  readonly slabs: SlabAllocator
  /** Memory of any size. */
  readonly heap: Kmalloc
  /** The virtual mapper. */
  readonly vm: Vmalloc
  /** Who allocated each page, with `page_owner=on`; null otherwise. */
  readonly owner: PageOwner | null
  /** What the command line said. */
  readonly commandLine: CommandLine
  private readonly turn: Turn

  private constructor(ram: PhysicalMemory, setup: MachineSetup) {
    const { options, line, by } = setup
    this.commandLine = line
    this.turn = new Turn(by?.turn ?? newTurn(options.shared === true))
    this.ram = ram
    this.pages = setUpPages(ram, setup)
    this.owner = line.pageOwner === true ? pageOwner(this.pages) : null
    this.slabs = setUpSlabs(this.pages, setup)
    this.heap = new Kmalloc(this.slabs)
    this.vm = setUpMapper(this.pages, this.heap, setup)
    startFaults(this.pages, this.slabs, setup)
  }

  /**
   * Brings a machine up.
   * @throws InvalidArgument for wrong options and for a wrong value on the command line. Words that nobody knows
   * are in {@link commandLine} and in the log; OutOfMemory when memory is too small for the parts.
   */
  static boot(options: MachineOptions): Machine {
    checkOptions(options)
    const { cmdline = '', log = () => {} } = options
    const line = parseCommandLine(cmdline)
    log(`Kernel command line: ${cmdline}`)
    if (line.unknown.length > 0) {
      const words = line.unknown.join(' ')
      log(`Unknown kernel command line parameters "${words}", will be passed to user space.`)
    }
    return new Machine(makeMemory(options.ram, options, line), { options, line, by: null })
  }

  /**
   * Works on the buffers of another machine, without a copy: in a worker, or on copies of all of them. All checkers
   * look at them first.
   *
   * One machine at a time may work on buffers, from this call on the new one. Which thread's turn it is, is the program's to
   * arrange; a machine calls {@link resume} when its turn comes again. Before that every method but `resume`, `hash` and
   * `buffers` throws KernelBug NOT_ITS_TURN and changes nothing. What is done by the parts themselves, such as
   * `m.pages.allocPages()`, is not checked.
   * @param buffers what `buffers` of the other machine gave, also by `postMessage`.
   * @param options those that the other machine was booted with, but for memory; hooks are given anew, and
   * constructors of caches by `findCache`.
   * @throws InvalidArgument for buffers that are no machine's, or of one with other options.
   */
  static attach(buffers: MachineBuffers, options: AttachOptions = {}): Machine {
    checkBuffers(buffers)
    checkOptions(options)
    const { cmdline = '' } = options
    const ram = attachMemory(buffers, options)
    const m = new Machine(ram, { options, line: parseCommandLine(cmdline), by: buffers })
    refuseBroken(m, 'buffers')
    m.turn.take()
    return m
  }

  /** Allocates a block of 2^order pages near the current CPU; null when there is none. */
  allocPages(gfp: number = GFP_KERNEL, order = 0): Pfn | null {
    this.turn.check()
    return this.pages.allocPages(gfp, order)
  }

  /** Frees a block of {@link allocPages}. */
  freePages(pfn: Pfn, order = 0): void {
    this.turn.check()
    this.pages.freePages(pfn, order)
  }

  /** Allocates `size` bytes, up to 4 MiB; null when there is no memory. */
  kmalloc(size: number, gfp: number = GFP_KERNEL): VirtAddr | null {
    this.turn.check()
    return this.heap.kmalloc(size, gfp)
  }

  /** Allocates `size` bytes filled with zero. */
  kzalloc(size: number, gfp: number = GFP_KERNEL): VirtAddr | null {
    this.turn.check()
    return this.heap.kzalloc(size, gfp)
  }

  /** Makes memory of {@link kmalloc} hold `size` bytes; null when there is none, and then it is as it was. */
  krealloc(p: VirtAddr | null, size: number, gfp: number = GFP_KERNEL): VirtAddr | null {
    this.turn.check()
    return this.heap.krealloc(p, size, gfp)
  }

  /** Frees memory of {@link kmalloc}; null is nothing. */
  kfree(p: VirtAddr | null): void {
    this.turn.check()
    this.heap.kfree(p)
  }

  /** Allocates `size` bytes, contiguous in the kernel's address space; null when there is no memory. */
  vmalloc(size: number, gfp: number = GFP_KERNEL): VirtAddr | null {
    this.turn.check()
    return this.vm.vmalloc(size, gfp)
  }

  /** Allocates `size` bytes filled with zero, as {@link vmalloc} does. */
  vzalloc(size: number): VirtAddr | null {
    this.turn.check()
    return this.vm.vzalloc(size)
  }

  /** Frees memory of {@link vmalloc}; null is nothing. */
  vfree(p: VirtAddr | null): void {
    this.turn.check()
    this.vm.vfree(p)
  }

  /** Allocates `size` bytes, from kmalloc if it has a block, else from vmalloc. */
  kvmalloc(size: number, gfp: number = GFP_KERNEL): VirtAddr | null {
    this.turn.check()
    return kvmalloc(this.vm, size, gfp)
  }

  /** Frees memory of kmalloc, vmalloc or {@link kvmalloc}; null is nothing. */
  kvfree(p: VirtAddr | null): void {
    this.turn.check()
    kvfree(this.vm, p)
  }

  /** Runs `body` on a CPU: its page lists, slabs and blocks are used. */
  onCpu<T>(cpu: number, body: () => T): T {
    this.turn.check()
    return onCpu(this.pages, cpu, body)
  }

  /** Runs `body` as an interrupt does: sleeping is a bug there. */
  inInterrupt<T>(body: () => T): T {
    this.turn.check()
    return inInterrupt(this.pages, body)
  }

  /** Runs `body` with CONTEXT_ bits set besides those of now. */
  inContext<T>(bits: number, body: () => T): T {
    this.turn.check()
    return inContext(this.pages, bits, body)
  }

  /**
   * The text of a file of `/proc` or of debugfs, such as `buddyinfo`, as the machine's kernel would print it.
   * `page_owner` needs `page_owner=on`.
   * @throws InvalidArgument for another name, listing those that there are.
   */
  proc(name: string): string {
    this.turn.check()
    if (this.owner !== null && name === 'page_owner') return formatPageOwner(this.owner)
    return procText(this, name)
  }

  /** The machine as a file: {@link restore} goes on from it, and so does `machineFromSnapshot`, without this one. */
  save(): Uint8Array {
    this.turn.check()
    return saveSnapshot(this)
  }

  /**
   * Goes on from a snapshot of this machine, or of one of the same shape. All checkers look at it first.
   * @throws InvalidArgument, with nothing changed, for a file that is damaged, of another shape, or breaks an invariant.
   */
  restore(snapshot: Uint8Array): void {
    this.turn.check()
    restoreSnapshot(this, snapshot, { check: refuseBroken })
  }

  /**
   * The buffers that the whole machine is in, for {@link attach}. With `shared: true`, `postMessage` shares them;
   * otherwise it copies them.
   * @throws InvalidArgument for memory without content.
   */
  get buffers(): MachineBuffers {
    return machineBuffers(this, this.turn.buffer)
  }

  /**
   * Takes the turn: goes on after another machine has worked on the same {@link buffers}, which must not go on then before
   * it resumes in turn. Cost: a walk of the kernel's page tables.
   */
  resume(): void {
    this.turn.take()
    takeOver(this)
  }

  /** A hash of the whole state and of all bytes: equal machines hash equal. */
  hash(): string {
    return machineHash(this)
  }

  /** What is known of an address; `describeInspection` puts it into words. Any number has an answer. */
  inspect(address: VirtAddr | number): Inspection {
    this.turn.check()
    const { owner } = this
    if (owner === null) return inspect(this, address)
    return inspect(this, address, { owner: (pfn) => owner.ownerOf(pfn)?.caller ?? null })
  }

  /** Checks every invariant of all parts; what is broken, or nothing. It only reads. */
  verify(): MachineViolation[] {
    this.turn.check()
    return verifyMachine(this)
  }
}

/**
 * Throws unless every invariant of a machine holds.
 * @throws InvalidArgument with the first breach.
 */
export function refuseBroken(m: MachineParts, what = 'snapshot'): void {
  const [first] = verifyMachine(m)
  if (first === undefined) return
  const { part, id, message } = first
  throw new InvalidArgument(what, `${part}: ${message}`, `a state that keeps ${id}`)
}

function checkOptions(options: unknown): void {
  if (typeof options === 'object' && options !== null) return
  throw new InvalidArgument('options', options, 'an object')
}
