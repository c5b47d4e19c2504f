/** Relative links and images of the documentation lead somewhere, headings included. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { documentationPages, type Page, ROOT, withoutBlocks, withoutCode } from './markdown'

interface Link {
  readonly page: Page
  readonly target: string
}

const pages = documentationPages()

function linksOf(page: Page): readonly Link[] {
  const text = withoutCode(page.text)
  const inline = [...text.matchAll(/\]\(([^()\s]+)(?: "[^"]*")?\)/g)]
  const html = [...text.matchAll(/\b(?:src|href)="([^"]+)"/g)]
  return [...inline, ...html].map(([, target]) => ({ page, target: target ?? '' }))
}

/** The anchors that a page's headings get. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = [...withoutBlocks(text).matchAll(/^#+ (.+)$/gm)]
  return new Set(
    headings.map(([, title]) =>
      (title ?? '')
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replace(/\s/g, '-'),
    ),
  )
}

/** What is wrong with a link, or null. Links to other sites are not followed. */
function faultOf({ page, target }: Link): string | null {
  if (/^[a-z]+:/.test(target)) return null
  const [path = '', anchor] = target.split('#')
  const file = path === '' ? join(ROOT, page.path) : join(ROOT, dirname(page.path), path)
  if (!existsSync(file)) return `${page.path}: ${target}: no such file`
  if (anchor === undefined) return null
  const anchors = anchorsOf(readFileSync(file, 'utf8'))
  return anchors.has(anchor) ? null : `${page.path}: ${target}: no such heading`
}

describe('links', () => {
  it('lead to files and headings', () => {
    const links = pages.flatMap(linksOf)
    expect(links.length).toBeGreaterThan(30)
    expect(links.map(faultOf).filter((fault) => fault !== null)).toEqual([])
  })

  it('that are broken are noticed', () => {
    const page = {
      path: 'docs/x.md',
      text: '[a](missing.md) ![b](images/c.png) [d](README.md#nothing) `[e](f)`\n<img src="g.svg">',
    }
    const faults = linksOf(page).map(faultOf)
    expect(faults).toHaveLength(4)
    expect(faults).not.toContain(null)
  })

  it('reach every page of docs/ from its index', () => {
    const index = pages.find((page) => page.path === 'docs/README.md')
    const targets = index === undefined ? [] : linksOf(index).map((link) => link.target)
    const names = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'))
    for (const name of names.filter((other) => other !== 'README.md')) {
      expect(targets).toContain(name)
    }
  })
})
