/** The buffers that a whole machine is in: what another thread needs to work on the same one. */

import { InvalidArgument } from '../base/errors'
import type { RamBuffer } from '../ram/backing'
import type { MemoryRange } from '../ram/memoryMap'
import { PhysicalMemory } from '../ram/physicalMemory'
import { isBuffer } from '../state/checkState'
import type { MachineParts } from '../vmalloc/machineParts'
import type { MemoryKeeping } from './machineMemory'
import { checkTurn } from './turn'

/** All that a machine is in. It may be sent by `postMessage`. */
export interface MachineBuffers {
  /** What there is of memory. */
  readonly map: readonly MemoryRange[]
  /** The bytes of memory. */
  readonly ram: RamBuffer
  /** State of the page allocator. */
  readonly pages: RamBuffer
  /** State of the slab allocator. */
  readonly slabs: RamBuffer
  /** State of the virtual mapper. */
  readonly space: RamBuffer
  /** Whose turn it is. */
  readonly turn: RamBuffer
}

/** The buffers of a machine. */
export function machineBuffers(m: MachineParts, turn: RamBuffer): MachineBuffers {
  const { buffer, ranges } = m.ram
  if (buffer === null) throw new InvalidArgument('ram', 'without content', 'memory with bytes')
  return {
    map: ranges.map((range) => ({ ...range })),
    ram: buffer,
    pages: m.pages.state,
    slabs: m.slabs.words.buffer as RamBuffer,
    space: m.vm.state,
    turn,
  }
}

/** @throws InvalidArgument unless these are buffers and a map. */
export function checkBuffers(buffers: MachineBuffers): void {
  if (typeof buffers !== 'object' || buffers === null) {
    throw new InvalidArgument('buffers', buffers, 'the buffers of a machine')
  }
  if (!Array.isArray(buffers.map)) {
    throw new InvalidArgument('buffers.map', buffers.map, 'the ranges of memory')
  }
  for (const name of ['ram', 'pages', 'slabs', 'space', 'turn'] as const) {
    if (isBuffer(buffers[name])) continue
    const limit = 'an ArrayBuffer or a SharedArrayBuffer'
    throw new InvalidArgument(`buffers.${name}`, buffers[name], limit)
  }
  checkTurn(buffers.turn)
}

/** The memory of a machine that exists. */
export function attachMemory(buffers: MachineBuffers, keeping: MemoryKeeping): PhysicalMemory {
  const { map, ram } = buffers
  return new PhysicalMemory({ map, buffer: ram, dirtyTracking: keeping.dirtyTracking === true })
}
