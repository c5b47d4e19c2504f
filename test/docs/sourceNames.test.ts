/**
 * The files and functions that src/README.md and docs/architecture.md name: they exist, where the text says, and what
 * the steps of a life name is met on the way.
 */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readLayers, readSources } from '../support/layers'
import { documentationPages, ROOT, withoutBlocks } from './markdown'

const sources = readSources()

function pageText(path: string): string {
  const page = documentationPages().find((candidate) => candidate.path === path)
  if (page === undefined) throw new Error(`no page ${path}`)
  return withoutBlocks(page.text)
}

/** True when a source declares `name`: a function, a class, a type, a constant, a method or a field. */
function declares(source: string, name: string): boolean {
  const statement = `(?:export )?(?:abstract )?(?:function\\*?|class|interface|type|const) ${name}\\b`
  const member = `  (?:readonly |private |get |\\*)*${name}[(:]`
  return new RegExp(`^(?:${statement}|${member})`, 'm').test(source)
}

/** True for what a text may name: something declared, or of the language, or of the kernel as a source writes it. */
function exists(name: string): boolean {
  if (name in globalThis) return true
  const says = KERNEL_NAME.test(name) ? mentions : declares
  return [...sources.values()].some((source) => says(source, name))
}

/** True when a source speaks of `name`, as a word. */
function mentions(source: string, name: string): boolean {
  return new RegExp(`\\b${name}\\b`).test(source)
}

const FILE = /^(?:src\/)?([\w/]+\.ts)$/
const NAME = /^[A-Za-z_]\w*$/
/** A kernel's name, that no TypeScript has: of a counter, a cache. */
const KERNEL_NAME = /^[a-z]+_[a-z_]+$/
/** A name with the file that it is in: `file`, `name` or `name` (`file`) or `name` in `file`. */
const PAIRS = [/`([\w/]+\.ts)`, `(\w+)`/g, /`(\w+)`(?: \(| in )`([\w/]+\.ts)`/g] as const

/**
 * What is wrong with the names of a text. Its files are named from `src/` or from the project; a name that goes with a
 * file is declared there, any other one somewhere.
 */
function nameFaults(text: string): readonly string[] {
  const faults: string[] = []
  for (const [, token = ''] of text.matchAll(/`([^`\n]+)`/g)) {
    const file = FILE.exec(token)?.[1]
    if (file !== undefined) {
      if (!sources.has(file) && !existsSync(join(ROOT, token))) faults.push(`no file ${token}`)
    } else if (NAME.test(token) && !exists(token)) {
      faults.push(`nothing declares ${token}`)
    }
  }
  for (const [i, pattern] of PAIRS.entries()) {
    for (const [, first = '', second = ''] of text.matchAll(pattern)) {
      const [file, name] = i === 0 ? [first, second] : [second, first]
      const source = sources.get(file)
      if (source !== undefined && !declares(source, name)) faults.push(`${file} has no ${name}`)
    }
  }
  return faults
}

/** The numbered lists of a text: the lives of an allocation, a free, an object, an area. */
function lives(text: string): readonly (readonly string[])[] {
  return text
    .split(/^(?=1\. )/m)
    .filter((part) => part.startsWith('1. '))
    .map((life) => (life.split('\n\n')[0] ?? '').split(/^(?=\d+\. )/m))
}

/**
 * What is wrong with the way through a life: each name of a step is met in a file that it or a step before it names.
 */
function wayFaults(steps: readonly string[]): readonly string[] {
  const seen: string[] = []
  const faults: string[] = []
  for (const step of steps) {
    const tokens = [...step.matchAll(/`([^`\n]+)`/g)].map(([, token = '']) => token)
    for (const token of tokens) if (sources.has(token)) seen.push(sources.get(token) ?? '')
    for (const token of tokens.filter((candidate) => NAME.test(candidate))) {
      if (!seen.some((source) => mentions(source, token))) faults.push(`${token} is not on the way`)
    }
  }
  return faults
}

describe.each(['src/README.md', 'docs/architecture.md'])('%s', (path) => {
  it('names files and functions that exist', () => {
    expect(pageText(path).match(/`[\w/]+\.ts`/g)?.length).toBeGreaterThan(10)
    expect(nameFaults(pageText(path))).toEqual([])
  })
})

describe('src/README.md', () => {
  it('meets what the steps of each life name', () => {
    const all = lives(pageText('src/README.md'))
    expect(all.map((steps) => steps.length)).toEqual([14, 6, 8, 3, 8, 4])
    expect(all.flatMap(wayFaults)).toEqual([])
  })
})

describe('docs/architecture.md', () => {
  it('draws the layers of the table in src/README.md', () => {
    const page = documentationPages().find((candidate) => candidate.path === 'docs/architecture.md')
    const drawing = /```text\n( *\d+ {2}index\.ts[^`]*)```/.exec(page?.text ?? '')?.[1] ?? ''
    const drawn = [...drawing.matchAll(/^ *(\d+) {2}([\w.]+)/gm)].map(([, number, name]) => ({
      number: Number(number),
      name,
    }))
    const built = readLayers().filter((layer) => !layer.planned)
    expect(drawn.reverse()).toEqual(built.map(({ number, name }) => ({ number, name })))
  })
})

describe('a name that is wrong', () => {
  it.each([
    ['`buddy/missing.ts`', 'no file buddy/missing.ts'],
    ['`test/missing.ts`', 'no file test/missing.ts'],
    ['`noSuchName`', 'nothing declares noSuchName'],
    ['`buddy/free.ts`, `takeFast`', 'buddy/free.ts has no takeFast'],
    ['`takeFast` (`buddy/free.ts`)', 'buddy/free.ts has no takeFast'],
    ['`takeFast` in `buddy/free.ts`', 'buddy/free.ts has no takeFast'],
  ])('is noticed: %s', (text, fault) => {
    expect(nameFaults(text)).toEqual([fault])
  })

  it('is noticed on the way', () => {
    expect(lives('1. `buddy/free.ts`, `freePages`\n2. `vmalloc`\n\n1. x')).toEqual([
      ['1. `buddy/free.ts`, `freePages`\n', '2. `vmalloc`'],
      ['1. x'],
    ])
    expect(wayFaults(['`buddy/free.ts`, `freePages`', '`vmalloc`'])).toEqual([
      'vmalloc is not on the way',
    ])
  })
})
