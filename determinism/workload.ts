/**
 * A workload that uses a whole machine, from a seed: pages, caches, kmalloc, vmalloc, page tables, several CPUs,
 * traces and texts. What comes out is hashes, which must be the same wherever it runs: on any version of Node, in
 * any browser, over any kind of buffer, and on a machine that was saved and restored on the way.
 *
 * It needs nothing but the library: no module of Node, no clock, no numbers but its own.
 */

import {
  allocPagesBulk,
  describeInspection,
  formatTrace,
  GFP_KERNEL,
  LAYOUT_FLAT,
  LAYOUT_SV39,
  LAYOUT_X86_64,
  Machine,
  type MachineOptions,
  machineFromSnapshot,
  memoryPicture,
  PROC_TEXTS,
  SV39,
  setVmallocCaller,
  slabPicture,
  Tracepoints,
  vmallocPicture,
  X86_64,
} from 'kmem'
import { Mixer } from './mixer'
import { OPERATIONS } from './operations'
import { newHoldings, type Player } from './player'

/** What a run came to, as hexadecimal text. */
export interface Hashes {
  /** States of the page allocator, the slab layer and the virtual mapper at the end, and the bytes of RAM. */
  readonly pages: string
  readonly slabs: string
  readonly space: string
  readonly ram: string
  /** Every answer, in order: addresses, frames, errors. */
  readonly answers: string
  /** Every text: `/proc`, traces, pictures, the log. */
  readonly texts: string
}

/** How a machine becomes another one in the middle of a run. */
type Move =
  /** It does not. */
  | 'none'
  /** It is saved, is used for something else, and goes on from the file. */
  | 'undo'
  /** Another one of the same options, used before, goes on from its file. */
  | 'twin'
  /** A machine is made of its file. */
  | 'file'
  /** Another machine works on its buffers. */
  | 'attach'

/** How a run is made; its hashes do not depend on it. */
export interface RunOptions {
  /** Keep all of the machine in SharedArrayBuffers. */
  readonly shared?: boolean
  readonly move?: Move
}

/** Parts of a run; every other one is traced. The machine moves in the middle. */
const PARTS = 4
/** Calls of each. */
const CALLS = 300
/** Events that a ring keeps. */
const RING = 400

/** What the seeds are played on, in turn. */
const MACHINES = [
  { ram: '16MiB' },
  { ram: '24MiB', cpus: 4, layout: LAYOUT_X86_64, cmdline: 'slab_nomerge numa=fake=2' },
  { ram: '16MiB', cpus: 2, layout: LAYOUT_SV39, format: SV39, base: 0x80000000 },
  { ram: '32MiB', cpus: 3, cmdline: 'movablecore=12M init_on_alloc=1 slub_min_objects=20' },
] as const satisfies readonly MachineOptions[]

/** Plays a seed, an integer in [0, 2^32). */
export function play(seed: number, options: RunOptions = {}): Hashes {
  return new Run(seed, options).play()
}

class Run {
  private readonly options: MachineOptions
  private readonly texts = new Mixer()
  private readonly player: Player
  private readonly move: Move
  /** While a machine moves: then others log what they do. */
  private quiet = false

  constructor(
    private readonly seed: number,
    { shared = false, move = 'none' }: RunOptions,
  ) {
    const log = (line: string): void => {
      if (!this.quiet) this.texts.text(line)
    }
    this.move = move
    this.options = { ...MACHINES[seed % MACHINES.length]!, shared, log }
    this.player = this.playerOn(Machine.boot(this.options), seed)
  }

  play(): Hashes {
    for (let part = 0; part < PARTS; part++) {
      if (part === PARTS / 2) this.moveOn()
      this.playPart(this.player, part)
      this.tell(this.player.machine)
    }
    const broken = this.player.machine.verify()
    if (broken.length > 0) throw new Error(`${broken[0]?.part}: ${broken[0]?.message}`)
    const [pages = '', slabs = '', space = '', ram = ''] = this.player.machine.hash().split('-')
    const { answers } = this.player
    return { pages, slabs, space, ram, answers: answers.hex(), texts: this.texts.hex() }
  }

  private playerOn(machine: Machine, seed: number): Player {
    const { format = X86_64, layout = LAYOUT_FLAT } = this.options
    const cpus = this.options.cpus ?? 1
    return { machine, format, layout, cpus, ...newHoldings(seed) }
  }

  private playPart(player: Player, part: number): void {
    const { machine } = player
    // Who is to be named in texts is no part of the buffers.
    setVmallocCaller(machine.vm, `part_${part}+0x10/0x80`)
    machine.slabs.context.caller = `part_${part}+0x20/0x80`
    const traced = part % 2 === 1
    const tracepoints = new Tracepoints(machine)
    tracepoints.setTask('player', part)
    const ring = traced ? tracepoints.ring(RING) : null
    for (let call = 0; call < CALLS; call++) {
      const operation = OPERATIONS[player.below(OPERATIONS.length)]!
      try {
        machine.onCpu(player.below(player.cpus), () => operation(player))
      } catch (error) {
        player.answers.text(String(error))
      }
    }
    player.closeSpace(machine)
    if (ring !== null) {
      const { written } = ring
      this.texts.text(formatTrace(ring.events(), { written, cpus: player.cpus }))
    }
    tracepoints.close()
  }

  /** All that can be read of a machine. */
  private tell(machine: Machine): void {
    for (const name of PROC_TEXTS) this.texts.text(machine.proc(name))
    this.texts.text(memoryPicture(machine.pages.words))
    this.texts.text(slabPicture(machine.slabs))
    this.texts.text(vmallocPicture(machine.vm))
    // The first of each: looking one address up takes a walk over everything.
    const held = [this.player.objects[0], this.player.areas[0]]
    for (const one of held) {
      if (one !== undefined) this.texts.text(describeInspection(machine.inspect(one.address)))
    }
  }

  private moveOn(): void {
    this.quiet = true
    this.player.machine = this.moved(this.player.machine)
    this.quiet = false
  }

  /** The machine that goes on: the same one, or one in the same state. */
  private moved(machine: Machine): Machine {
    const { ram: _memory, ...options } = this.options
    if (this.move === 'none') return machine
    if (this.move === 'attach') return Machine.attach(machine.buffers, options)
    const file = machine.save()
    if (this.move === 'file') return machineFromSnapshot(file, this.hooks())
    const used = this.move === 'undo' ? machine : Machine.boot(this.options)
    this.disturb(used)
    used.restore(file)
    return used
  }

  private hooks(): Pick<MachineOptions, 'layout' | 'format' | 'log'> {
    const { layout = LAYOUT_FLAT, format = X86_64, log = () => {} } = this.options
    return { layout, format, log }
  }

  /** Uses a machine for something else, which must leave no trace. */
  private disturb(machine: Machine): void {
    const other = this.playerOn(machine, this.seed + 1000)
    for (let call = 0; call < 50; call++) {
      const operation = OPERATIONS[other.below(OPERATIONS.length)]!
      try {
        operation(other)
      } catch {
        // It is about to be undone.
      }
    }
    allocPagesBulk(machine.pages, GFP_KERNEL, 100)
  }
}
