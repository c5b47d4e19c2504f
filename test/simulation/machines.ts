/** The machines of the simulation: drawn from a seed, kept as plain data, and booted from that. */

import {
  ARM64,
  LAYOUT_FLAT,
  LAYOUT_X86_64,
  type Layout,
  layoutArm64,
  layoutRiscv,
  Machine,
  type MachineOptions,
  type MemoryRange,
  MiB,
  PAGE_SIZE,
  type PageTableFormat,
  SV39,
  SV48,
  slabHardening,
  X86_64,
  ZONES_FLAT,
  ZONES_X86_64,
} from '../../src/index'
import type { Stream } from '../buddy/random'
import { Reclaimer } from './reclaimer'

/** Where memory of the machines starts whose layouts let it start anywhere: low, for there to be few page records. */
const LOW = 2 * MiB

const KINDS: Readonly<Record<string, { layout: Layout; format: PageTableFormat; base: number }>> = {
  flat: { layout: LAYOUT_FLAT, format: X86_64, base: 0 },
  x86_64: { layout: LAYOUT_X86_64, format: X86_64, base: 0 },
  sv39: { layout: layoutRiscv('sv39', { ramBase: LOW }), format: SV39, base: LOW },
  sv48: { layout: layoutRiscv('sv48', { ramBase: LOW }), format: SV48, base: LOW },
  arm64: { layout: layoutArm64({ physOffset: LOW }), format: ARM64, base: LOW },
}

/** How memory is divided. */
const SHAPES = ['whole', 'holes', 'nodes', 'uneven'] as const

/** A machine, as plain data. */
export interface MachineSpec {
  readonly kind: string
  readonly mib: number
  readonly shape: (typeof SHAPES)[number]
  readonly cpus: number
  readonly cmdline: string
  /** Seed of hardened free lists; -1 for none. */
  readonly hardening: number
  /** Zones of x86_64 rather than one. */
  readonly zones: boolean
  readonly shared: boolean
  readonly dirtyTracking: boolean
  /** Whether there is something to take pages from in need. */
  readonly reclaims: boolean
  /** Things in use at a time, roughly. */
  readonly maxLive: number
}

/** Words that a command line may have; the empty ones leave a choice out. */
const WORDS: readonly (readonly string[])[] = [
  ['', '', 'slab_nomerge'],
  ['', '', '', 'init_on_alloc=1'],
  ['', '', '', 'init_on_free=1'],
  // These checks make all calls of the slab layer several times as slow.
  [...Array(20).fill(''), 'slub_debug=FZPU', 'slub_debug=P', 'slub_debug=FZ', 'slub_debug=U'],
  ['', '', 'slub_max_order=0', 'slub_max_order=1', 'slub_min_order=1', 'slub_min_objects=60'],
  ['', '', '', 'nohugevmalloc'],
  ['', '', '', 'nohugeiomap'],
  ['', '', '', '', 'movablecore=2M', 'kernelcore=4M'],
  ['', '', '', '', '', '', '', 'page_owner=on'],
  ['', '', '', '', '', '', 'failslab=10,20,0,-1', 'fail_page_alloc=5,30,0,-1'],
]

export function drawMachine(random: Stream): MachineSpec {
  const shape = random.pick(SHAPES)
  return {
    kind: random.pick(['flat', 'flat', 'x86_64', 'x86_64', 'x86_64', 'sv39', 'sv48', 'arm64']),
    mib: random.pick([4, 6, 8, 8, 12, 16, 16, 24, 32]) * (shape === 'nodes' ? 2 : 1),
    shape,
    cpus: random.pick([1, 2, 2, 3, 4]),
    cmdline: WORDS.map((words) => random.pick(words))
      .filter((word) => word !== '')
      .join(' '),
    hardening: random.pick([-1, -1, -1, 7]),
    zones: random.below(3) > 0,
    shared: random.below(6) === 0,
    dirtyTracking: random.below(6) === 0,
    reclaims: random.below(2) === 0,
    maxLive: random.pick([30, 120, 400, 1200]),
  }
}

/** The options that a machine like this is booted, attached and restored with. */
export function machineOptions(spec: MachineSpec, reclaimer: Reclaimer): MachineOptions {
  const kind = KINDS[spec.kind]
  if (kind === undefined) throw new RangeError(`no kind of machine is called ${spec.kind}`)
  return {
    ram: memoryOf(spec, kind.base),
    layout: kind.layout,
    format: kind.format,
    cpus: spec.cpus,
    cmdline: spec.cmdline,
    zones: spec.zones ? ZONES_X86_64 : ZONES_FLAT,
    shared: spec.shared,
    dirtyTracking: spec.dirtyTracking,
    ...(spec.reclaims ? { pressure: reclaimer.pressure } : {}),
    ...(spec.hardening < 0 ? {} : { hardening: slabHardening({ seed: spec.hardening }) }),
  }
}

/** A machine, and what reclaims its memory. */
export interface Booted {
  readonly machine: Machine
  readonly reclaimer: Reclaimer
}

export function bootMachine(spec: MachineSpec): Booted {
  return booted((reclaimer) => Machine.boot(machineOptions(spec, reclaimer)))
}

/** A machine made in any way. */
export function booted(make: (reclaimer: Reclaimer) => Machine): Booted {
  const reclaimer = new Reclaimer()
  const machine = make(reclaimer)
  reclaimer.machine = machine
  return { machine, reclaimer }
}

function memoryOf({ mib, shape }: MachineSpec, base: number): MemoryRange[] {
  const bytes = mib * MiB
  const usable = (start: number, size: number, node = 0): MemoryRange => ({
    base: base + start,
    size,
    type: 'usable',
    node,
  })
  switch (shape) {
    case 'whole':
      return [usable(0, bytes)]
    case 'nodes':
      return [usable(0, bytes / 2, 0), usable(bytes / 2, bytes / 2, 1)]
    case 'holes': {
      const first = bytes / 4 - 3 * PAGE_SIZE
      return [
        usable(0, first),
        { base: base + first, size: 3 * PAGE_SIZE, type: 'reserved' },
        usable(bytes / 4, bytes / 4 - 5 * PAGE_SIZE),
        usable(bytes / 2 + 7 * PAGE_SIZE, bytes / 2 + 11 * PAGE_SIZE),
      ]
    }
    case 'uneven': {
      const first = Math.floor(bytes / 3 / PAGE_SIZE) * PAGE_SIZE
      return [usable(0, first, 0), usable(first, bytes - first - PAGE_SIZE, 1)]
    }
  }
}
