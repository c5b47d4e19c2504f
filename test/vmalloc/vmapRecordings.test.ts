import { describe, expect, it } from 'vitest'
import { play, rowsOf } from './vmapScript'

describe('recordings of a real kernel', () => {
  it.each([
    ['calls/vmap-areas.jsonl.gz', 3453],
    ['calls/vmap-areas-tight.jsonl.gz', 1766],
    ['calls-random/random-areas-all-alignments.jsonl.gz', 313],
    ['calls-random/random-areas-mixed.jsonl.gz', 225],
    ['calls-random/random-areas-stacks.jsonl.gz', 216],
    ['calls-random/random-areas-tight.jsonl.gz', 315],
  ])('%s: every address, and the free tree node for node', (path, calls) => {
    expect(play(rowsOf(path))).toEqual({ calls, differences: [] })
  })

  it('a difference is noticed', () => {
    const rows = rowsOf('calls-random/random-areas-tight.jsonl.gz')
    const found = rows.findIndex((row) => row.call === 'get_vm_area' && row.address != null)
    const wrong = { ...rows[found], address: '0xffffd10000042000' }
    expect(play(rows.with(found, wrong)).differences).toHaveLength(1)
    // A purge left out shows in the tree at the latest.
    const purges = rows.filter((row) => row.call !== 'purge_vmap_areas')
    expect(play(purges).differences).not.toEqual([])
  })
})
