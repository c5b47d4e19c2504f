/**
 * Snapshots: a machine made from one has to hash as the one that was saved, and to answer the next calls alike. And
 * going back: a machine restored to what it was hashes as it did then.
 */

import { given } from '../../src/base/given'
import {
  findCache,
  Machine,
  type MachineBuffers,
  machineFromSnapshot,
  SlabCache,
} from '../../src/index'
import { CacheRecord } from '../../src/slab/slabCache'
import { destroyPool } from './heapCalls'
import { type Booted, booted, bootMachine, type MachineSpec, machineOptions } from './machines'
import { Reclaimer } from './reclaimer'
import type { Call } from './script'
import { type Operation, Simulation } from './simulation'
import { cacheOptions } from './slabCalls'
import { Violation } from './violation'

/** A machine that does what another does. */
export interface Twin {
  readonly simulation: Simulation
  /** Calls that it still has to make. */
  left: number
  /** Whether it is the one to go on with. */
  readonly stays: boolean
}

export const SNAPSHOT_CALLS: Readonly<Record<string, Operation>> = {
  'snapshot.twin': {
    weight: 0,
    perRun: 2,
    ofMachine: true,
    run(s, { a, b, c }) {
      if (s.twin !== null || s.isTwin) return
      settleOutside(s)
      const copy = copyOf(s, a)
      expectSame(s.machine, copy.machine)
      const simulation = fork(s, copy)
      simulation.isTwin = true
      // Those of its command line, which the other has ended.
      simulation.stopFaults()
      s.twin = { simulation, left: 10 + (b % 60), stays: c % 2 === 0 }
      s.note(`a twin for ${s.twin.left} calls`)
    },
  },
  'snapshot.keep': {
    weight: 0,
    perRun: 0.7,
    ofMachine: true,
    run(s) {
      settleOutside(s)
      const state = fork(s, { machine: s.machine, reclaimer: new Reclaimer() })
      state.checkpoint = null
      s.checkpoint = { file: s.machine.save(), hash: s.machine.hash(), state }
    },
  },
  'snapshot.goBack': {
    weight: 0,
    perRun: 1,
    ofMachine: true,
    run(s) {
      if (s.checkpoint === null) return
      settleOutside(s)
      s.machine.restore(s.checkpoint.file)
      if (s.machine.hash() !== s.checkpoint.hash) {
        throw new Violation('snapshot', 'a restored machine is not what it was')
      }
      takeOver(s, s.checkpoint.state, s)
      s.note('goes back')
    },
  },
}

/** Makes a call on a machine and on its twin, if it has one; both have to answer alike. */
export function playBoth(s: Simulation, call: Call, operation: Operation): void {
  const { twin } = s
  s.play(call, operation)
  if (twin === null) return
  twin.simulation.play(call, operation)
  if (twin.simulation.answer !== s.answer) {
    throw new Violation('twin', `a machine from a snapshot answers otherwise, to ${call.name}`)
  }
  twin.left -= 1
  if (twin.left <= 0) endTwin(s)
}

/** Compares a machine with its twin for the last time, if it has one. */
export function endTwin(s: Simulation): void {
  const { twin } = s
  if (twin === null) return
  expectSame(s.machine, twin.simulation.machine)
  s.twin = null
  if (twin.stays) takeOver(s, twin.simulation, twin.simulation)
}

function expectSame(m: Machine, other: Machine): void {
  const [hash, copied] = [m.hash(), other.hash()]
  if (hash === copied) return
  throw new Violation('snapshot', `a machine with hash ${hash} has a copy with hash ${copied}`)
}

/** Ends what a snapshot does not have: what lives in objects outside of the state. */
function settleOutside(s: Simulation): void {
  for (const cache of s.frags.values()) cache.drain()
  s.frags.clear()
  for (const entry of [...s.pools.values()]) destroyPool(s, entry)
  s.stopFaults()
}

/** Another machine in the same state, in one of the ways that there are. */
function copyOf({ machine, spec }: Simulation, draw: number): Booted {
  if (draw % 3 === 0) return attached(machine, spec)
  const file = machine.save()
  if (draw % 3 === 1) {
    const restored = bootMachine(spec)
    restored.machine.restore(file)
    return restored
  }
  const words = spec.cmdline
    .split(' ')
    .filter((word) => /^(slub_debug|page_owner|kernelcore|movablecore)=/.test(word))
  return booted((reclaimer) => {
    const { layout, format, zones, hardening, pressure } = machineOptions(spec, reclaimer)
    const hooks = given({ layout, format, zones, hardening, pressure })
    return machineFromSnapshot(file, { ...hooks, cmdline: words.join(' ') })
  })
}

function attached(machine: Machine, spec: MachineSpec): Booted {
  const buffers = spec.shared ? unshared(machine.buffers) : structuredClone(machine.buffers)
  const copy = booted((reclaimer) => {
    const { ram: _ram, ...options } = machineOptions(spec, reclaimer)
    return Machine.attach(buffers as MachineBuffers, options)
  })
  // What a snapshot has of the code that runs; buffers have not.
  const { slabs, vm } = copy.machine
  slabs.context.caller = machine.slabs.context.caller
  vm.context.caller = machine.vm.context.caller
  vm.context.space.held = machine.vm.context.space.held
  return copy
}

/** Copies of shared buffers. */
function unshared(buffers: MachineBuffers): MachineBuffers {
  const copy = (buffer: ArrayBuffer | SharedArrayBuffer) => {
    const to = new SharedArrayBuffer(buffer.byteLength)
    new Uint8Array(to).set(new Uint8Array(buffer))
    return to
  }
  const { map, ram, pages, slabs, space, turn } = buffers
  return {
    map,
    ram: copy(ram),
    pages: copy(pages),
    slabs: copy(slabs),
    space: copy(space),
    turn: copy(turn),
  }
}

/** What is in use, on another machine in the same state. */
function fork(s: Simulation, on: Booted): Simulation {
  const copy = new Simulation(s.spec, on)
  takeOver(copy, s, on)
  return copy
}

/** Goes on with a machine, and with what another simulation says is in use on it. */
function takeOver(s: Simulation, from: Simulation, on: Booted): void {
  const { machine } = on
  const cached = [...from.reclaimer.cached]
  s.moveTo(on)
  s.reclaimer.cached = cached
  s.live = from.live.copy()
  s.graves = [...from.graves]
  s.answer = from.answer
  s.goneCaches = from.goneCaches
  s.checkpoint = s.checkpoint ?? from.checkpoint
  s.frags = new Map(from.frags)
  s.pools = new Map(from.pools)
  s.caches = new Map()
  for (const entry of from.caches.values()) {
    if (entry.ctor && !entry.gone) findCache(machine.slabs, entry.name, cacheOptions(s, entry).ctor)
    const cache = new SlabCache(machine.slabs, new CacheRecord(entry.record))
    s.caches.set(entry.id, { ...entry, cache })
  }
}
