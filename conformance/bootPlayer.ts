/** Boots a machine from its recorded memory map, and compares what a kernel had after the hand-over and later. */

import {
  adjustManagedPageCount,
  type BootMemory,
  BuddyAllocator,
  formatZoneinfo,
  kernelLog,
  movableMemory,
  nodeState,
  type Pfn,
  parseZoneinfo,
  type SysctlName,
  sysctl,
  type ZoneState,
} from 'kmem'
import { count, firstDifference, isObject, newOutcome, type Outcome } from './outcome'

/** A memory range as recorded, its numbers in hexadecimal text. */
interface RecordedRange {
  readonly base: string
  readonly size: string
  readonly node?: number
  readonly flags?: number
}

/** What is recorded of a boot. */
export interface BootRecording {
  /** Words of the kernel's command line. */
  readonly cmdline: string
  readonly memblock: {
    readonly memory: readonly RecordedRange[]
    readonly reserved: readonly RecordedRange[]
  }
  /** The kernel's messages about memory. */
  readonly log: readonly string[]
  /** Every zone, right after the boot allocator handed over its memory. */
  readonly handover: readonly ZoneState[]
  readonly minFreeKbytes: number
  /** `/proc/zoneinfo` of the running system. */
  readonly zoneinfo: string
}

type ZoneinfoZone = ReturnType<typeof parseZoneinfo>[number]

/** Single pages that x86_64 takes for page tables before anybody else. */
const EARLY_PAGES = 64
/** Sizes that tell of the kernel's image, not of its memory. */
const IMAGE_SIZES = /\d+K (kernel code|rwdata|rodata|init|bss)/g

/** Whether a parsed JSON file is a recording of a boot. */
export function isBootRecording(value: unknown): value is BootRecording {
  return isObject(value) && isObject(value.memblock) && Array.isArray(value.handover)
}

/** Boots as recorded. Each zone, limit and log line compared counts as a call. */
export function playBoot(recording: BootRecording): Outcome {
  const outcome = newOutcome()
  const compare = (what: string, actual: unknown, expected: unknown) => {
    const difference = firstDifference(actual, expected)
    count(outcome, difference === null, () =>
      [
        `call ${outcome.calls}, ${what}: ${difference}`,
        `ours:     ${JSON.stringify(actual)}`,
        `recorded: ${JSON.stringify(expected)}`,
      ].join('\n'),
    )
  }
  const words = commandLine(recording.cmdline)
  const log: string[] = []
  const pages = bootPages(recording, words, (line) => log.push(line))

  const handedOver = nodesOf(recording).flatMap((node) => nodeState(pages, node))
  compare('zones handed over', handedOver.map(zoneTitle), recording.handover.map(zoneTitle))
  recording.handover.forEach((zone, i) => {
    compare(`hand-over of ${zoneTitle(zone)}`, handedOver[i], zone)
  })

  pages.finishBoot()
  const recorded = parseZoneinfo(recording.zoneinfo)
  applySysctls(pages, words, recorded, outcome)
  compare('min_free_kbytes', sysctl(pages, 'min_free_kbytes'), recording.minFreeKbytes)
  const zones = parseZoneinfo(formatZoneinfo(pages.words))
  compare('zones of zoneinfo', zones.map(zoneTitle), recorded.map(zoneTitle))
  recorded.forEach((zone, i) => {
    const ours = limits(zones[i])
    for (const [field, value] of Object.entries(limits(zone))) {
      compare(`${field} of ${zoneTitle(zone)}`, ours[field], value)
    }
  })

  const ours = comparableLog(log)
  const theirs = comparableLog(recording.log)
  for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
    compare(`log line ${i + 1}`, ours[i], theirs[i])
  }
  return outcome
}

function bootPages(
  recording: BootRecording,
  words: ReadonlyMap<string, string>,
  write: (line: string) => void,
): BuddyAllocator {
  const kernelcore = words.get('kernelcore')
  const movablecore = words.get('movablecore')
  const memory: BootMemory = {
    memory: recording.memblock.memory.map(parseRange),
    reserved: recording.memblock.reserved.map(parseRange),
  }
  return new BuddyAllocator({
    memory,
    cpuNodes: [0],
    movable: movableMemory({
      ...(kernelcore === undefined ? {} : { kernelcore }),
      ...(movablecore === undefined ? {} : { movablecore }),
    }),
    earlyPages: EARLY_PAGES,
    stopAtHandover: true,
    log: kernelLog(write),
  })
}

function parseRange(range: RecordedRange) {
  return {
    base: Number(range.base),
    size: Number(range.size),
    node: range.node ?? 0,
    flags: range.flags ?? 0,
  }
}

/** The words `name=value` of a command line; blanks may stand in quotes. */
function commandLine(text: string): ReadonlyMap<string, string> {
  const words = new Map<string, string>()
  for (const [, name, value] of text.matchAll(/([^\s"=]+)=("[^"]*"|\S*)/g)) {
    if (name !== undefined && value !== undefined) words.set(name, value.replaceAll('"', ''))
  }
  return words
}

/**
 * Writes the `sysctl.vm.` words, in their order. A kernel does so when it has released its init
 * memory: they count from the pages that zoneinfo shows as managed.
 */
function applySysctls(
  pages: BuddyAllocator,
  words: ReadonlyMap<string, string>,
  zones: readonly ZoneinfoZone[],
  outcome: Outcome,
): void {
  const settings = [...words].filter(([name]) => name.startsWith('sysctl.vm.'))
  if (settings.length === 0) return
  const before = parseZoneinfo(formatZoneinfo(pages.words))
  zones.forEach((zone, i) => {
    const released = (zone.pages.managed ?? 0) - (before[i]?.pages.managed ?? 0)
    if (released !== 0) adjustManagedPageCount(pages, (zone.startPfn ?? 0) as Pfn, released)
  })
  for (const [name, text] of settings) {
    const values = text.split(/[\s,]+/).map(Number)
    try {
      sysctl(pages, name.slice('sysctl.vm.'.length) as SysctlName, single(values))
    } catch (error) {
      outcome.skipped.set(`${name}=${text}: ${error}`, 1)
    }
  }
}

function single(values: readonly number[]): number | readonly number[] {
  const [first, second] = values
  return first === undefined || second !== undefined ? values : first
}

function nodesOf(recording: BootRecording): number[] {
  return [...new Set(recording.memblock.memory.map((range) => range.node ?? 0))].sort(
    (a, b) => a - b,
  )
}

function zoneTitle(zone: { readonly node: number; readonly name: string }): string {
  return `node ${zone.node} ${zone.name}`
}

/** What zoneinfo tells that follows from the memory map alone. */
function limits(zone: ZoneinfoZone | undefined): Record<string, unknown> {
  const { boost, min, low, high, spanned, present } = zone?.pages ?? {}
  return {
    startPfn: zone?.startPfn,
    spanned,
    present,
    boost,
    min,
    low,
    high,
    protection: zone?.protection,
    pagesets: zone?.pagesets.map(({ cpu, high, batch, threshold }) => ({
      cpu,
      high,
      batch,
      threshold,
    })),
  }
}

/** Log lines without what the recordings leave out or what tells of the kernel's image. */
function comparableLog(lines: readonly string[]): string[] {
  return lines
    .filter((line) => !line.startsWith('Fallback order for Node'))
    .map((line) => line.replace(IMAGE_SIZES, '$1'))
}
