/** Every public name has a row in a table of failures, or is one of those that need no memory: and these are tried. */

import { describe, expect, it } from 'vitest'
import { benches } from './machines'
import { gettersOf, publicNames } from './names'
import { CHANGES } from './tables/changes'
import { ON_TOP } from './tables/onTop'
import { ELSEWHERE, WITHOUT_MACHINE } from './tables/others'
import { PAGES } from './tables/pages'
import { PAGING } from './tables/paging'
import { READS } from './tables/reads'
import { type Scene, sceneOn } from './tables/scene'
import { SLABS } from './tables/slabs'
import { VMALLOC } from './tables/vmalloc'

const ROWS = [...PAGES, ...SLABS, ...ON_TOP, ...VMALLOC, ...PAGING]

/** A fresh scene on the first machine, all of whose requests fail from now on. */
function starved(): Scene {
  const bench = benches()[0]
  if (bench === undefined) throw new Error('no machine')
  const scene = sceneOn(bench.reset())
  bench.injector.arm('from', 1)
  return scene
}

/** Requests since {@link starved}. */
function requests(): number {
  return benches()[0]?.injector.calls ?? -1
}

describe('every public name', () => {
  const rows = ROWS.flatMap(({ covers }) => covers)
  const quiet = [...Object.keys(READS), ...Object.keys(CHANGES)]
  const others = [...WITHOUT_MACHINE, ...Object.values(ELSEWHERE).flat()]
  // What an address space has from the memory that it is.
  const inherited = quiet
    .filter((name) => name.startsWith('AddressSpace#'))
    .map((name) => name.replace('AddressSpace', 'VirtualMemory'))
  const ranges = (name: string) => /^(Memblock|VmapSpace)#/.test(name)

  it('has a row, or needs no memory', () => {
    const known = new Set([...rows, ...quiet, ...inherited, ...others])
    expect(publicNames().filter((name) => !known.has(name) && !ranges(name))).toEqual([])
  })

  it('is one: no list names what there is not, or a name twice', () => {
    const names = new Set(publicNames())
    expect([...rows, ...quiet, ...others].filter((name) => !names.has(name))).toEqual([])
    const once = [...new Set(rows), ...quiet, ...others]
    expect(once.filter((name, i) => once.indexOf(name) !== i)).toEqual([])
  })
})

describe('without any memory', () => {
  it('what only reads asks for none, and leaves every word as it is', () => {
    const scene = starved()
    const before = scene.m.hash()
    for (const [name, call] of Object.entries(READS)) {
      call(scene)
      expect(requests(), name).toBe(0)
      expect(scene.m.hash(), name).toBe(before)
    }
  })

  it('properties are read in the same way', () => {
    const scene = starved()
    const before = scene.m.hash()
    let count = 0
    for (const object of [...Object.values(scene), ...Object.values(scene.m)] as unknown[]) {
      if (typeof object !== 'object' || object === null) continue
      for (const getter of gettersOf(object)) {
        if (getter === 'dirtyPages') continue
        void (object as Record<string, unknown>)[getter]
        count += 1
        expect([requests(), scene.m.hash()], getter).toEqual([0, before])
      }
    }
    expect(count).toBeGreaterThan(30)
  })

  it.each(Object.entries(CHANGES))('%s does what it is to do', (_name, call) => {
    const scene = starved()
    call(scene)
    expect(requests()).toBe(0)
    expect(scene.m.verify()).toEqual([])
  })
})
