/** The buffers that a whole machine is in: what another thread needs to work on the same one. */

import { InvalidArgument } from '../base/errors'
import { switchCpu } from '../buddy/context'
import type { RamBuffer } from '../ram/backing'
import type { MemoryRange } from '../ram/memoryMap'
import { PhysicalMemory } from '../ram/physicalMemory'
import { HEADER_CURRENT_CPU } from '../state/schema'
import { VMAP_ROOT_PFN } from '../state/vmapSchema'
import type { MachineParts } from '../vmalloc/machineParts'
import type { MemoryKeeping } from './machineMemory'

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
}

/** The buffers of a machine. */
export function machineBuffers(m: MachineParts): MachineBuffers {
  const { buffer, ranges } = m.ram
  if (buffer === null) throw new InvalidArgument('ram', 'without content', 'memory with bytes')
  return {
    map: ranges.map((range) => ({ ...range })),
    ram: buffer,
    pages: m.pages.state,
    slabs: m.slabs.words.buffer as RamBuffer,
    space: m.vm.state,
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
  for (const name of ['ram', 'pages', 'slabs', 'space'] as const) {
    const one: unknown = buffers[name]
    if (one instanceof ArrayBuffer || one instanceof SharedArrayBuffer) continue
    throw new InvalidArgument(`buffers.${name}`, one, 'an ArrayBuffer or a SharedArrayBuffer')
  }
}

/** The memory of a machine that exists. */
export function attachMemory(buffers: MachineBuffers, keeping: MemoryKeeping): PhysicalMemory {
  const { map, ram } = buffers
  return new PhysicalMemory({ map, buffer: ram, dirtyTracking: keeping.dirtyTracking === true })
}

/** Takes over what others did: which CPU runs, and which pages are page tables. */
export function resumeMachine(m: MachineParts): void {
  const c = m.pages.context
  const { space, tables } = m.vm.context
  switchCpu(c, c.words[HEADER_CURRENT_CPU]!)
  tables.readopt(space.words[VMAP_ROOT_PFN]!, space.words[VMAP_ROOT_PFN + 1]!)
}
