import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { formatBuddyinfo, parseBuddyinfo } from '../../src/proc/buddyinfo'
import { NODE_ONLINE, ZONE_NR_FREE } from '../../src/state/schema'
import { nodeRecord } from '../../src/zone/zones'
import { loadNodeState, zoneNamed } from '../support/loadNodeState'
import { fixtureText, textProcWords, zoneOf } from './fixtures'

describe('buddyinfo', () => {
  it('prints what the kernel printed for the recorded state', () => {
    const recorded = fixtureText('text/text-proc.buddyinfo.txt').split('\n')
    const lines = formatBuddyinfo(textProcWords()).split('\n')
    expect(lines).toHaveLength(recorded.length)
    expect(lines[0]).toBe(recorded[0])
    expect(lines[1]?.slice(0, 22)).toBe(recorded[1]?.slice(0, 22))
    expect(lines[2]).toBe(recorded[2])
  })

  it('leaves out offline nodes and unpopulated zones', () => {
    const words = textProcWords()
    words[nodeRecord(words, 0) + NODE_ONLINE] = 0
    expect(formatBuddyinfo(words)).toMatch(/^Node 1, zone {3}Normal( +\d+){11} \n$/)
  })

  it('reads the recorded text', () => {
    const zones = parseBuddyinfo(fixtureText('text/text-proc.buddyinfo.txt'))
    expect(zones.map(({ node, name }) => `${node} ${name}`)).toEqual([
      '0 DMA',
      '0 DMA32',
      '1 Normal',
    ])
    expect(zones[2]?.nrFree).toEqual([54, 61, 41, 30, 46, 5, 47, 9, 1, 36, 12])
  })

  it('reads back what it prints, however wide the counts', () => {
    const counts = fc.array(fc.integer({ min: 0, max: 2 ** 28 }), { minLength: 11, maxLength: 11 })
    fc.assert(
      fc.property(counts, (nrFree) => {
        const words = loadNodeState([zoneOf({ name: 'DMA32', startPfn: 4096, spanned: 512 })])
        words.set(nrFree, zoneNamed(words, 0, 'DMA32') + ZONE_NR_FREE)
        expect(parseBuddyinfo(formatBuddyinfo(words))).toEqual([{ node: 0, name: 'DMA32', nrFree }])
      }),
      { numRuns: 30 },
    )
  })

  it('refuses lines of another kind', () => {
    expect(() => parseBuddyinfo('Node 0 Normal 1 2')).toThrow(InvalidArgument)
    expect(() => parseBuddyinfo('Node 0, zone Normal 1 x 2')).toThrow('"x"')
  })
})
