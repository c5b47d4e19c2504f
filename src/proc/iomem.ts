/**
 * `/proc/iomem`: what lies at which physical addresses. Outermost ranges alone: those inside them, such as
 * the code of the kernel, are not part of the machine.
 */

import { InvalidArgument } from '../base/errors'
import type { MappedRange } from '../ram/memoryMap'
import type { PhysicalMemory } from '../ram/physicalMemory'

/** Options of {@link formatIomem}. */
export interface IomemOptions {
  /** Name of the device whose registers begin at physical address `base`; `Device` when it gives none. */
  readonly deviceName?: (base: number, size: number) => string | undefined
  /** Whether addresses are printed, or zeros as for a reader who may not see them. */
  readonly addresses?: boolean
}

/** A line of `/proc/iomem`. */
export interface IomemRange {
  /** First address. */
  readonly start: number
  /** The last address, not one more. */
  readonly end: number
  /** What is there. */
  readonly name: string
  /** How many ranges it lies in: 0 for the outermost. */
  readonly depth: number
}

/** Something with a memory map; a machine is. */
export interface HasRam {
  /** Memory. */
  readonly ram: Pick<PhysicalMemory, 'ranges'>
}

const LINE = /^((?: {2})*)([0-9a-f]+)-([0-9a-f]+) : (.+)$/

/**
 * The text: a line for each run of usable memory (`System RAM`), of memory that is kept from the allocators
 * (`Reserved`), and for each device, by address. Memory that touches is one run, whatever its nodes.
 */
export function formatIomem(m: HasRam, options: IomemOptions = {}): string {
  const digits = (address: number) =>
    (options.addresses === false ? 0 : address).toString(16).padStart(8, '0')
  return readIomem(m, options)
    .map(({ start, end, name }) => `${digits(start)}-${digits(end)} : ${name}\n`)
    .join('')
}

/** The lines of {@link formatIomem}. The caller owns the array. */
export function readIomem(m: HasRam, options: IomemOptions = {}): IomemRange[] {
  const found: IomemRange[] = []
  let before: MappedRange | null = null
  for (const range of m.ram.ranges) {
    const { base, size, type } = range
    const last = found[found.length - 1]
    const goesOn = before !== null && before.type === type && before.base + before.size === base
    before = range
    const end = base + size - 1
    if (last !== undefined && goesOn && type !== 'device') {
      found[found.length - 1] = { ...last, end }
    } else {
      found.push({ start: base, end, name: nameOf(range, options), depth: 0 })
    }
  }
  return found
}

/**
 * Reads the text of any kernel.
 * @throws InvalidArgument naming the line that is not a range and its name.
 */
export function parseIomem(text: string): IomemRange[] {
  if (typeof text !== 'string') throw new InvalidArgument('text', text, 'a string')
  const found: IomemRange[] = []
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [, blanks = '', first = '', last = '', name] = LINE.exec(line) ?? []
    const start = Number.parseInt(first, 16)
    const end = Number.parseInt(last, 16)
    if (name === undefined || !Number.isSafeInteger(end) || start > end) {
      throw new InvalidArgument('line', line, 'a range of addresses below 2^53 and its name')
    }
    found.push({ start, end, name, depth: blanks.length / 2 })
  }
  return found
}

function nameOf(range: MappedRange, { deviceName }: IomemOptions): string {
  if (range.type === 'usable') return 'System RAM'
  if (range.type === 'reserved') return 'Reserved'
  return deviceName?.(range.base, range.size) ?? 'Device'
}
