import { describe, expect, it } from 'vitest'
import { noLog } from '../../src/base/log'
import {
  BLOCK_PRESENT,
  HEADER_MIN_FREE_KBYTES,
  HEADER_MOBILITY_DISABLED,
  PCP_BATCH,
  PCP_HIGH,
  PCP_STAT_THRESHOLD,
  ZONE_BOOST,
  ZONE_FREE_PAGES,
  ZONE_MANAGED,
  ZONE_PCP,
  ZONE_PRESENT,
  ZONE_RESERVE,
  ZONE_SPANNED,
  ZONE_START,
  ZONE_WMARK,
} from '../../src/state/schema'
import { memoryLog, zoneLog } from '../../src/zone/bootLog'
import { blockWord, pageblockType } from '../../src/zone/pageblock'
import { bootPcpLimits } from '../../src/zone/pcpLimits'
import { writeMinFreeKbytes, writeWatermarkScaleFactor } from '../../src/zone/sysctl'
import { recomputeAll, startHugePages } from '../../src/zone/watermark'
import {
  buildZonelists,
  decideMobility,
  estimateManaged,
  zonelistLog,
} from '../../src/zone/zonelist'
import {
  isPopulated,
  nrZones,
  zoneEnd,
  zoneName,
  zoneOfPfn,
  zoneRecord,
} from '../../src/zone/zones'
import {
  type BootFixture,
  bootFixtures,
  fixtureRanges,
  fixtureSpans,
  parseZoneinfo,
  reservedLow,
  setManaged,
  stateOf,
} from './bootFixture'

const SYSCTLS: Record<string, (words: Int32Array, value: number) => void> = {
  'vm.min_free_kbytes': writeMinFreeKbytes,
  'vm.watermark_scale_factor': writeWatermarkScaleFactor,
}

function populated(words: Int32Array): number[] {
  const zones: number[] = []
  for (let number = 0; number < nrZones(words); number++) {
    const zone = zoneRecord(words, 0, number)
    if (isPopulated(words, zone)) zones.push(zone)
  }
  return zones
}

/** Managed pages by zone number, from the hand-over or from zoneinfo. */
function managedAt(
  words: Int32Array,
  zones: readonly { node: number; name: string; managed: number }[],
): number[] {
  const managed = new Array<number>(nrZones(words)).fill(0)
  for (let number = 0; number < managed.length; number++) {
    const name = zoneName(words, zoneRecord(words, 0, number))
    const found = zones.find((zone) => zone.node === number >> 2 && zone.name === name)
    managed[number] = found?.managed ?? 0
  }
  return managed
}

function blockText(words: Int32Array, zone: number): string {
  let text = ''
  for (let pfn = words[zone + ZONE_START]! & ~511; pfn < zoneEnd(words, zone); pfn += 512) {
    const present = (words[blockWord(words, pfn)]! & BLOCK_PRESENT) !== 0
    text += present ? String(pageblockType(words, pfn)) : 'x'
  }
  return text
}

/**
 * The hand-over was read after 64 UNMOVABLE pages had been taken, which may have turned the two
 * pageblocks of one largest block UNMOVABLE. Gives the text with that undone, where it was due.
 */
function undoFirstSteal(recorded: string, ours: string, startPfn: number): string {
  const first = [...recorded].findIndex((type, i) => type !== ours[i])
  if (first < 0 || ((startPfn >> 9) + first) % 2 !== 0) return recorded
  return recorded.slice(0, first) + recorded.slice(first).replace(/^00/, '11')
}

function boot(words: Int32Array, fixture: BootFixture): void {
  buildZonelists(words, true)
  setManaged(words, managedAt(words, fixture.handover))
  bootPcpLimits(words)
  recomputeAll(words, noLog)
  startHugePages(words, noLog)
}

describe.each(bootFixtures())('boot recording %s', (_name, fixture) => {
  const spans = fixtureSpans(fixture)
  const words = stateOf(spans)

  it('gives every zone its recorded span', () => {
    const ours = populated(words).map((zone) => ({
      name: zoneName(words, zone),
      startPfn: words[zone + ZONE_START]!,
      spanned: words[zone + ZONE_SPANNED]!,
      present: words[zone + ZONE_PRESENT]!,
    }))
    expect(ours).toEqual(
      fixture.handover.map(({ name, startPfn, spanned, present }) => ({
        name,
        startPfn,
        spanned,
        present,
      })),
    )
  })

  it('gives every pageblock its recorded type', () => {
    let stolen = 0
    populated(words).forEach((zone, i) => {
      const recorded = fixture.handover[i]?.pageblocks ?? ''
      const ours = blockText(words, zone)
      const undone = undoFirstSteal(recorded, ours, words[zone + ZONE_START]!)
      if (undone !== recorded) stolen++
      expect(undone).toBe(ours)
    })
    expect(stolen).toBeLessThanOrEqual(1)
  })

  it('finds the zone of every memory page', () => {
    for (const range of fixtureRanges(fixture)) {
      const zones = populated(words).filter((zone) => words[zone] === range.node)
      // Pages around every edge, and a stride that meets every pageblock.
      const edges = zones.flatMap((zone) => [words[zone + ZONE_START]!, zoneEnd(words, zone)])
      const pfns = [range.start, range.end - 1, ...edges, ...edges.map((edge) => edge - 1)]
      for (let pfn = range.start; pfn < range.end; pfn += 509) pfns.push(pfn)
      for (const pfn of pfns.filter((pfn) => pfn >= range.start && pfn < range.end)) {
        const zone = zoneOfPfn(words, pfn)
        const inside = pfn >= words[zone + ZONE_START]! && pfn < zoneEnd(words, zone)
        if (!inside || !zones.includes(zone)) expect.fail(`PFN ${pfn} is given zone ${zone}`)
      }
    }
  })

  it('logs what the kernel logged', () => {
    const booted = words.slice()
    buildZonelists(booted, true)
    const total = decideMobility(booted, estimateManaged(booted, reservedLow(fixture)))
    expect(booted[HEADER_MOBILITY_DISABLED]).toBe(0)
    setManaged(booted, managedAt(booted, fixture.handover))
    populated(booted).forEach((zone, i) => {
      booted[zone + ZONE_FREE_PAGES] = fixture.handover[i]?.free ?? 0
    })
    // The recordings leave out the fallback orders.
    const lines = [...zoneLog(booted, spans), ...zonelistLog(booted, total)]
    const image = { code: 6146, rwdata: 1540, rodata: 1612, init: 804, bss: 6220 }
    lines.push(memoryLog(booted, image))
    expect(lines.filter((line) => !line.startsWith('Fallback order'))).toEqual(fixture.log)
  })

  it('computes the recorded limits', () => {
    const booted = words.slice()
    boot(booted, fixture)
    const recorded = parseZoneinfo(fixture.zoneinfo)
    const shown = recorded.map((zone) => ({ ...zone, managed: zone.values.get('managed') ?? 0 }))
    for (const [, name, value] of fixture.cmdline.matchAll(/sysctl\.(vm\.\w+)=(\d+)/g)) {
      setManaged(booted, managedAt(booted, shown))
      SYSCTLS[name ?? '']?.(booted, Number(value))
    }
    expect(booted[HEADER_MIN_FREE_KBYTES]).toBe(fixture.minFreeKbytes)
    expect(recorded.length).toBe(nrZones(booted))
    recorded.forEach((info, number) => {
      const zone = zoneRecord(booted, 0, number)
      const pcp = booted[zone + ZONE_PCP]!
      const pagesets = isPopulated(booted, zone)
        ? [
            {
              high: booted[pcp + PCP_HIGH],
              batch: booted[pcp + PCP_BATCH],
              threshold: booted[pcp + PCP_STAT_THRESHOLD],
            },
          ]
        : []
      expect({
        name: zoneName(booted, zone),
        marks: [...booted.subarray(zone + ZONE_WMARK, zone + ZONE_WMARK + 3)],
        boost: booted[zone + ZONE_BOOST],
        span: [booted[zone + ZONE_SPANNED], booted[zone + ZONE_PRESENT]],
        protection: [...booted.subarray(zone + ZONE_RESERVE, zone + ZONE_RESERVE + 4)],
        pagesets,
      }).toEqual({
        name: info.name,
        marks: ['min', 'low', 'high'].map((key) => info.values.get(key)),
        boost: info.values.get('boost'),
        span: [info.values.get('spanned'), info.values.get('present')],
        protection: info.protection,
        pagesets: info.pagesets,
      })
      expect(booted[zone + ZONE_MANAGED]).toBeLessThanOrEqual(info.values.get('managed') ?? 0)
    })
  })
})
