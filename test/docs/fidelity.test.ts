/**
 * The accepted differences: `docs/fidelity.md` lists each as `- **DIFF-n** (`src/file.ts`): reason`, and the
 * source file that it names says `DIFF-n` in a comment where the difference is.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readSources } from '../support/layers'
import { ROOT } from './markdown'

interface Listed {
  readonly id: string
  /** Path from src/. */
  readonly file: string
  readonly reason: string
}

const listed = parseList(readFileSync(join(ROOT, 'docs/fidelity.md'), 'utf8'))
const named = idsInComments(readSources())

/** @throws Error for an item that names an id in another way. */
function parseList(text: string): readonly Listed[] {
  const items = text.split('\n').flatMap((line, i, lines) => {
    if (!/DIFF-\d/.test(line) || !/^\s*[-*]/.test(line)) return []
    const [, id, file, reason] =
      /^- \*\*(DIFF-\d+)\*\* \(`src\/(\S+\.ts)`\): (.+)$/.exec(line) ?? []
    if (id === undefined || file === undefined || reason === undefined) {
      throw new Error(`not an item of the list: ${line}`)
    }
    let whole = reason
    for (let next = i + 1; /^ {2}\S/.test(lines[next] ?? ''); next++)
      whole += ` ${lines[next]?.trim()}`
    return [{ id, file, reason: whole }]
  })
  return items
}

/** Where comments name which ids, as `file: id`. */
function idsInComments(sources: ReadonlyMap<string, string>): ReadonlySet<string> {
  const found = new Set<string>()
  for (const [file, text] of sources) {
    const comments = text.match(/\/\*[\s\S]*?\*\/|\/\/.*/g) ?? []
    for (const id of comments.join('\n').match(/\bDIFF-\d+\b/g) ?? []) found.add(`${file}: ${id}`)
  }
  return found
}

describe('accepted differences', () => {
  it('are numbered from 1 on, each once', () => {
    expect(listed.length).toBeGreaterThan(0)
    expect(listed.map(({ id }) => id)).toEqual(listed.map((_, i) => `DIFF-${i + 1}`))
  })

  it('have a reason', () => {
    for (const { id, reason } of listed) {
      expect(reason.length, id).toBeGreaterThan(60)
      expect(reason, id).toMatch(/Reason: \S.+\.$/)
    }
  })

  it('are named in the source file that makes them, and nothing else is', () => {
    expect([...named].sort()).toEqual(listed.map(({ file, id }) => `${file}: ${id}`).sort())
  })

  it('are looked for in comments only', () => {
    const sources = new Map([
      ['a.ts', '/** DIFF-1: so. */\nexport const a = 1 // DIFF-12'],
      ['b.ts', "export const b = 'DIFF-2'"],
    ])
    expect([...idsInComments(sources)]).toEqual(['a.ts: DIFF-1', 'a.ts: DIFF-12'])
  })
})
