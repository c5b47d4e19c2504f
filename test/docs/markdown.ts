/** The project's documentation, taken apart: pages, code blocks, links. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Absolute path of the project. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** One page of text. */
export interface Page {
  /** Its path from the project. */
  readonly path: string
  readonly text: string
}

/** A fenced code block. */
export interface CodeBlock {
  /** `docs/simulator.md:12`, the line of its first fence. */
  readonly place: string
  /** The first word behind the fence. */
  readonly language: string
  /** The other words there. */
  readonly marks: readonly string[]
  readonly code: string
}

/** README.md, CONTRIBUTING.md, src/README.md and the pages of docs/. */
export function documentationPages(): readonly Page[] {
  const docs = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'))
  const paths = ['README.md', 'CONTRIBUTING.md', 'src/README.md', ...docs.map((d) => `docs/${d}`)]
  return paths.map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
}

/**
 * The fenced code blocks of a page, in order.
 * @throws Error for a fence that is never closed.
 */
export function codeBlocks({ path, text }: Page): readonly CodeBlock[] {
  const blocks: CodeBlock[] = []
  const lines = text.split('\n')
  for (let i = 0; i < lines.length; i++) {
    const [, fence, info] = /^(`{3,})(.*)$/.exec(lines[i] ?? '') ?? []
    if (fence === undefined) continue
    const start = i
    do i++
    while (i < lines.length && lines[i] !== fence)
    if (i === lines.length) throw new Error(`${path}:${start + 1}: a fence that is never closed`)
    const [language = '', ...marks] = (info ?? '').trim().split(/\s+/)
    const code = lines.slice(start + 1, i).join('\n')
    blocks.push({ place: `${path}:${start + 1}`, language, marks, code })
  }
  return blocks
}

/** A page without its code blocks. */
export function withoutBlocks(text: string): string {
  return text.replace(/^(`{3,}).*\n[\s\S]*?^\1$/gm, '')
}

/** A page without its code, so that what looks like Markdown there is left alone. */
export function withoutCode(text: string): string {
  return withoutBlocks(text).replace(/`[^`\n]*`/g, '``')
}
