/** Bringing the parts of a machine up, in layer order: new ones, or those that the buffers of another machine hold. */

import { given } from '../base/given'
import { LAYOUT_FLAT } from '../base/layout'
import { noLog } from '../base/log'
import { attachState } from '../buddy/attach'
import { BuddyAllocator } from '../buddy/buddyAllocator'
import { kernelLog } from '../buddy/kernelLog'
import type { CommonOptions } from '../buddy/options'
import { setPageFaults } from '../buddy/pageFaults'
import { failPageAlloc, failslab } from '../debug/faultInjection'
import { slubDebug } from '../debug/slubDebug'
import { slabLog } from '../proc/slabLog'
import { vmallocLog } from '../proc/vmallocLog'
import type { PhysicalMemory } from '../ram/physicalMemory'
import { attachSlabs } from '../slab/attach'
import type { Kmalloc } from '../slab/kmalloc'
import { SlabAllocator } from '../slab/slabAllocator'
import { Vmalloc } from '../vmalloc/vmalloc'
import { movableMemory } from '../zone/movableCore'
import type { CommandLine } from './commandLine'
import type { MachineBuffers } from './machineBuffers'
import type { AttachOptions } from './machineOptions'

/** What every part is brought up from. */
export interface MachineSetup {
  readonly options: AttachOptions
  readonly line: CommandLine
  /** The buffers of the machine that this one attaches to; null for a new one. */
  readonly by: MachineBuffers | null
}

/** The page allocator, with all memory that is not reserved. */
export function setUpPages(
  ram: PhysicalMemory,
  { options, line, by }: MachineSetup,
): BuddyAllocator {
  const { log, clock, image, pressure } = options
  const hooks: CommonOptions = given({
    log: log && kernelLog(log, given({ clock, image })),
    pressure,
  })
  if (by !== null) return attachState(by.pages, { ram, ...hooks })
  const { kernelcore, movablecore, hugePages } = line
  const { distances, zones } = options
  const cpus = Math.min(options.cpus ?? 1, line.cpus ?? 1024)
  const nodes = ram.ranges.reduce((most, { node }) => Math.max(most, node + 1), 1)
  const movable =
    kernelcore === undefined && movablecore === undefined
      ? {}
      : { movable: movableMemory(given({ kernelcore, movablecore })) }
  return new BuddyAllocator({
    ram,
    cpus,
    cpuNodes:
      options.cpuNodes?.slice(0, cpus) ?? Array.from({ length: cpus }, (_, cpu) => cpu % nodes),
    shared: options.shared === true,
    ...movable,
    ...hooks,
    ...given({ hugePages, distances, zones }),
  })
}

/** The slab allocator, without kmalloc. */
export function setUpSlabs(
  pages: BuddyAllocator,
  { options, line, by }: MachineSetup,
): SlabAllocator {
  const { clock, hardening } = options
  const log = options.log ?? noLog
  const { slubDebug: boot, failslab: _faults, unknown: _unknown, ...words } = line.slab
  const slabOptions = {
    ...words,
    layout: options.layout ?? LAYOUT_FLAT,
    debug: slubDebug({ ...options.debug, log, ...given({ boot }) }),
    log: slabLog(log, given({ clock })),
    shared: options.shared === true,
    ...given({ hardening }),
  }
  return by === null
    ? new SlabAllocator(pages, slabOptions)
    : attachSlabs(pages, by.slabs, slabOptions)
}

/** The virtual mapper. */
export function setUpMapper(
  pages: BuddyAllocator,
  heap: Kmalloc,
  { options, line, by }: MachineSetup,
): Vmalloc {
  const { clock, format, flush, populate } = options
  const layout = options.layout ?? LAYOUT_FLAT
  const { unknown: _unknown, vmalloc: _window, ...words } = line.vmalloc
  return new Vmalloc(pages, {
    ...words,
    heap,
    log: vmallocLog(options.log ?? noLog, { layout, ...given({ clock }) }),
    shared: options.shared === true,
    ...given({ format, flush, populate, state: by?.space }),
  })
}

/** Lets allocations fail on purpose, as the command line says: a kernel starts with that once it is up. */
export function startFaults(
  pages: BuddyAllocator,
  slabs: SlabAllocator,
  { options, line }: MachineSetup,
): void {
  const log = options.log ?? noLog
  if (line.slab.failslab !== undefined) {
    slabs.setFaults(failslab({ ...line.slab.failslab, log }))
  }
  if (line.failPageAlloc !== undefined) {
    setPageFaults(pages, failPageAlloc({ ...line.failPageAlloc, log }))
  }
}
