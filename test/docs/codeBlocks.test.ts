/**
 * Every `ts` block of the documentation type-checks and runs. A block that a `text output` block
 * follows prints exactly that. `ts no-run` blocks are only type-checked, and open with the reason.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import ts from 'typescript'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type CodeBlock, codeBlocks, documentationPages, ROOT } from './markdown'

interface Sample extends CodeBlock {
  readonly runs: boolean
  /** What it prints, when the page tells. */
  readonly output: string | null
}

const samples = documentationPages().flatMap((page) => samplesOf(codeBlocks(page)))

function samplesOf(blocks: readonly CodeBlock[]): readonly Sample[] {
  return blocks.flatMap((block, i) => {
    if (block.language !== 'ts') return []
    const next = blocks[i + 1]
    const told = next?.language === 'text' && next.marks.includes('output')
    const runs = !block.marks.includes('no-run')
    return [{ ...block, runs, output: told ? next.code : null }]
  })
}

describe('code blocks', () => {
  it('are there', () => {
    expect(samples.length).toBeGreaterThan(30)
    expect(samples.filter((sample) => sample.output !== null).length).toBeGreaterThan(10)
  })

  it('of outputs follow a block that runs', () => {
    for (const page of documentationPages()) {
      const blocks = codeBlocks(page)
      for (const [i, block] of blocks.entries()) {
        if (!block.marks.includes('output')) continue
        const before = blocks[i - 1]
        expect(before?.language, block.place).toBe('ts')
        expect(before?.marks, block.place).not.toContain('no-run')
      }
    }
  })

  it('that do not run say why', () => {
    for (const { code, place } of samples.filter((sample) => !sample.runs)) {
      expect(code, place).toMatch(/^\/\/ no-run: \S.+/)
    }
  })

  it('type-check', () => {
    expect(typeErrors(samples)).toEqual([])
  })

  it('are held to it: an error is noticed', () => {
    const [first] = samples
    if (first === undefined) expect.fail('no block')
    const wrong = { ...first, code: `${first.code}\nexport const wrong: string = 1` }
    expect(typeErrors([wrong])).toHaveLength(1)
  })
})

describe('each code block runs', () => {
  let folder = ''

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kmem-docs-'))
    for (const [i, { code }] of samples.entries()) writeFileSync(join(folder, `${i}.ts`), code)
    await build({
      entryPoints: samples.map((_, i) => join(folder, `${i}.ts`)),
      alias: { kmem: join(ROOT, 'src/index.ts') },
      bundle: true,
      format: 'esm',
      logLevel: 'silent',
      outdir: join(folder, 'out'),
      outExtension: { '.js': '.mjs' },
      platform: 'node',
      splitting: true,
      target: 'es2022',
    })
  })

  afterEach(() => {
    vi.restoreAllMocks()
  })

  afterAll(() => {
    rmSync(folder, { recursive: true })
  })

  it.each(samples.map((sample, i) => ({ ...sample, i })).filter((sample) => sample.runs))(
    '$place',
    async ({ i, output }) => {
      const lines: string[] = []
      vi.spyOn(console, 'log').mockImplementation((...parts) => {
        lines.push(parts.map(String).join(' '))
      })
      await import(/* @vite-ignore */ pathToFileURL(join(folder, 'out', `${i}.mjs`)).href)
      const printed = lines
        .join('\n')
        .split('\n')
        .map((line) => line.trimEnd())
        .join('\n')
        .trimEnd()
      if (output !== null) expect(printed).toBe(output)
    },
  )
})

/** The type errors of blocks, each a module of its own, as `place: message`. */
function typeErrors(blocks: readonly CodeBlock[]): readonly string[] {
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT)
  const texts = new Map(blocks.map((block, i) => [join(ROOT, `docs-block-${i}.ts`), block]))
  const host = ts.createCompilerHost(options)
  const { fileExists, getSourceFile } = host
  host.fileExists = (path) => texts.has(path) || fileExists(path)
  host.readFile = (path) => texts.get(path)?.code ?? readFileSync(path, 'utf8')
  host.getSourceFile = (path, target, ...rest) => {
    const block = texts.get(path)
    if (block === undefined) return getSourceFile(path, target, ...rest)
    // An import or export makes it a module, so that names of blocks do not meet.
    return ts.createSourceFile(path, `${block.code}\nexport {}`, target, true)
  }
  const program = ts.createProgram([...texts.keys()], { ...options, noUnusedLocals: false }, host)
  return [...texts].flatMap(([path, { place }]) => {
    const file = program.getSourceFile(path)
    const found = [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ]
    return found.map(
      ({ messageText }) => `${place}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
    )
  })
}
