/** The structure of src/: layers as its README states them, no cycles, no foreign modules, no clock. */

import { describe, expect, it } from 'vitest'
import { parseLayers, readLayers, readSources } from './support/layers'
import { findFaults } from './support/sourceRules'

describe('src/', () => {
  const layers = readLayers()

  it('has its layers in ascending order in the README', () => {
    const numbers = layers.map((layer) => layer.number)
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    expect(layers.map((layer) => layer.name).slice(0, 2)).toEqual(['base', 'state'])
    expect(layers.at(-1)?.name).toBe('index.ts')
  })

  it('keeps to them', () => {
    const sources = readSources()
    expect(sources.size).toBeGreaterThan(20)
    expect(findFaults(sources, layers)).toEqual([])
  })
})

describe('the rules', () => {
  const table = (rows: string): string =>
    `# t\n\n| # | folder | owns |\n|---|---|---|\n${rows}\n\nend`
  const layers = parseLayers(
    table('| 0 | `low/` | a |\n| 1 | `left/` | b |\n| 1 | `right/` | c |\n| 2 | `index.ts` | d |'),
  )
  const base = {
    'low/a.ts': 'export const a = 1',
    'left/b.ts': "import { a } from '../low/a'\nexport const b = Math.floor(a)",
    'right/c.ts': "import type { a } from '../low/a'\nexport type C = typeof a",
    'index.ts': "export { b } from './left/b'\nexport type { C } from './right/c'",
  }
  const faultsWith = (changed: Record<string, string>): readonly string[] =>
    findFaults(new Map(Object.entries({ ...base, ...changed })), layers)

  it('accept a tree that obeys', () => {
    expect(faultsWith({})).toEqual([])
  })

  const target = '../left/b'
  it.each([
    ['import', `import { b } from '${target}'`],
    ['import type', `import type { b } from '${target}'`],
    ['inline type', `import { type b } from '${target}'`],
    ['side effect', `import '${target}'`],
    ['re-export', `export * from '${target}'`],
    ['dynamic', `export const b = import('${target}')`],
    ['type query', `export type B = import('${target}').B`],
    ['import equals', `import b = require('${target}')`],
  ])('see an upward import: %s', (_kind, text) => {
    expect(faultsWith({ 'low/z.ts': text })).toEqual([
      'low/z.ts: imports left/b.ts, which is no lower layer',
    ])
  })

  it('keep folders of the same number apart', () => {
    expect(faultsWith({ 'right/z.ts': "import '../left/b'" })).toEqual([
      'right/z.ts: imports left/b.ts, which is no lower layer',
    ])
  })

  it('keep everything away from the barrel', () => {
    expect(faultsWith({ 'left/z.ts': "import '../index'" })).toEqual([
      'left/z.ts: imports index.ts, which is no lower layer',
    ])
  })

  it.each([
    "import 'node:fs'",
    "import 'fast-check'",
    "import './missing'",
    "import './a.ts'",
    "import './a.js'",
    "export const x = import('kmem')",
    "export const x = require('fs')",
    '/// <reference types="node" />',
  ])('refuse what is no file of src/: %s', (text) => {
    const faults = faultsWith({ 'low/z.ts': text })
    expect(faults).toHaveLength(1)
    expect(faults[0]).toMatch(/^low\/z\.ts: imports .+, no file of src\/$/)
  })

  it.each([
    'Math.random()',
    "Math['random']()",
    'globalThis.Math.random()',
    'Date.now()',
    'new Date()',
    'globalThis.Date.now()',
    'performance.now()',
    'globalThis.performance.now()',
    'crypto.getRandomValues(b)',
    '[Math].length',
  ])('refuse %s', (use) => {
    const faults = faultsWith({ 'low/z.ts': `export const z = ${use}` })
    expect(faults).toHaveLength(1)
    expect(faults[0]).toMatch(/^low\/z\.ts: uses /)
  })

  it.each([
    '/** Not Date.now, not Math.random. */ export const z = 1',
    "export const z = 'new Date'",
    'export const z = Math.imul(2, 3) + Math.PI',
    'export const z = globalThis.Math.abs(1)',
    'export const z = (a: { readonly now: number }) => a.now',
  ])('accept %s', (text) => {
    expect(faultsWith({ 'low/z.ts': text })).toEqual([])
  })

  it('see a cycle inside a folder, through types too', () => {
    expect(
      faultsWith({
        'low/x.ts': "import type { Y } from './y'\nexport type X = Y",
        'low/y.ts': "import { X } from './x'\nexport type Y = X",
      }),
    ).toEqual(['low/x.ts: a cycle, low/x.ts -> low/y.ts -> low/x.ts'])
  })

  it('see a folder barrel, and a folder that the table does not name', () => {
    expect(faultsWith({ 'low/index.ts': '' })).toEqual(['low/index.ts: a folder barrel'])
    expect(faultsWith({ 'new/a.ts': '' })).toEqual(['new/a.ts: in no row of the layer table'])
  })

  it('hold the table to what exists', () => {
    const more = (owns: string) =>
      parseLayers(table(`| 0 | \`low/\` | a |\n| 1 | \`high/\` | ${owns} |`))
    const low = new Map([['low/a.ts', '']])
    const both = new Map([...low, ['high/b.ts', '']])
    expect(findFaults(low, more('planned: b'))).toEqual([])
    expect(findFaults(low, more('b'))).toEqual(['README.md: high has no file'])
    expect(findFaults(both, more('b'))).toEqual([])
    expect(findFaults(both, more('planned: b'))).toEqual(['README.md: high exists'])
  })

  it('refuse a table they cannot read', () => {
    expect(() => parseLayers('# nothing')).toThrow('no table')
    expect(() => parseLayers(table('| zero | `low/` | a |'))).toThrow('not a row')
    expect(() => parseLayers(table('| 0 | `low/` | a |\n| 1 | `low/` | b |'))).toThrow('two rows')
  })
})
