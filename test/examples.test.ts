/** The examples must run, and print what they are there to show. */

import { afterEach, describe, expect, it, vi } from 'vitest'

/** What a script prints that runs when it is imported. */
async function output(run: () => Promise<unknown>): Promise<string> {
  let text = ''
  vi.spyOn(console, 'log').mockImplementation((line: string) => {
    text += `${line}\n`
  })
  vi.spyOn(process.stdout, 'write').mockImplementation((part) => {
    text += String(part)
    return true
  })
  await run()
  return text
}

describe('examples', () => {
  afterEach(() => {
    vi.restoreAllMocks()
  })

  it('wasm-memory: grows, and keeps its blocks', async () => {
    const text = await output(() => import('../examples/wasm-memory'))
    const [before, after] = [...text.matchAll(/^(\d+) MiB: full with (\d+) blocks/gm)]
    expect(before?.[1]).toBe('8')
    expect(after?.[1]).toBe('16')
    expect(Number(after?.[2])).toBe(Number(before?.[2]) + 125)
    expect(text).toContain('the first block still holds 0xab')
    expect(text).toContain('all freed: 4080 pages are free, the largest block is of order 10')
  })

  it('wasm-malloc: a module allocates, memory grows, and nothing is left behind', async () => {
    const text = await output(() => import('../examples/wasm-malloc'))
    expect(text.split('\n')).toEqual([
      '2 MiB: building a list of 500000 numbers',
      '5 MiB: it starts with 1, the sum is 125000250000',
      'reversed it starts with 500000, the sum is 125000250000',
      '10 MiB: an array from 500000 to 1, ended by 0',
      'memory grew by 1 + 1 + 1 + 1 + 4 MiB',
      '32 MiB: a list of 5000000 does not fit: 0',
      '500000 nodes freed',
      'pages in use: 20 before, 20 after',
      '',
    ])
  })

  it('slab-workload: the slabs of a recorded workload, there and here', async () => {
    const text = await output(() => import('../examples/slab-workload'))
    expect(text).toContain('69820 slab events: 33983 objects allocated, 33889 freed, 94 left')
    const rows = text.split('\n').map((line) => line.trim().split(/\s+/))
    expect(rows).toContainEqual(['kmalloc-192', '4', '1', '0', '5', '0', '1', '0', '1', '1', '1'])
    expect(rows.find(([name, before]) => name === 'total' && before === '-')).toEqual([
      'total',
      '-',
      '139',
      '92',
      '-',
      '-',
      '167',
      '93',
      '-',
      '82',
      '142',
    ])
  })

  it('simulator: half of memory is free, and no huge page is to be had', async () => {
    const text = await output(() => import('../examples/simulator'))
    const [fresh, full, half, merged, kernel] = text.split(/^(?=\S)/m)
    expect(fresh).toContain('8192 pages free, 0 % of them useless')
    expect(full).toContain('events so far: 8014 alloc, 0 free')
    expect(half).toContain('100 % of them useless for a huge page')
    expect(half).toContain('a huge page: none')
    expect(merged).toMatch(/a huge page: pfn \d+/)
    expect(merged).toContain('stolen from Movable')
    expect(kernel).toContain('one page for the kernel')
    expect(text).toMatch(/^ {2}Node 0, zone +Normal( +\d+){11} $/m)
  })

  it('demo: replays the recorded trace without a difference', async () => {
    process.exitCode = 0
    const argv = process.argv
    process.argv = argv.slice(0, 2)
    const text = await output(() => import('../examples/demo'))
    process.argv = argv
    expect(process.exitCode).toBe(0)
    expect(text).toContain('374,432 page events in 49.7 MB')
    expect(text).toMatch(/same frame: +118,246 of 118,246 allocations/)
    expect(text).toMatch(/same event: +374,432 of 374,432/)
    expect(text).toMatch(/different: +0\n/)
    expect(text).toMatch(/inferred calls: +4\n {2}before line 89031: 4 pages/)
    expect(text).toContain('every list, in order, and every counter as recorded')
    expect(text).toContain('out/memory-before-after.svg')
  })
})
