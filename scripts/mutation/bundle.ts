/**
 * Turns test files of Stryker's sandbox into scripts: each with the sources that it uses in one closure, and
 * with Stryker's switches made cheap. Stryker's own compare strings and count every branch that is passed, which
 * makes the code some ten times as slow.
 */

import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Script } from 'node:vm'
import { build, type Plugin } from 'esbuild'

/** What a bundle does at each place that Stryker marked: count it, or only look whether its mutant is active. */
export type BundleKind = 'count' | 'run'

/** The scripts of test files, made when they are first asked for. */
export class Bundles {
  private readonly scripts = new Map<string, Script>()

  /**
   * @param sandbox the folder that Stryker wrote the marked sources to.
   * @param root the project, whose fixtures the tests read.
   * @param files the test files, relative to both.
   */
  constructor(
    private readonly sandbox: string,
    private readonly root: string,
    private readonly files: readonly string[],
  ) {}

  /** Builds all bundles of a kind, unless another worker has. */
  async make(kind: BundleKind): Promise<void> {
    const folder = this.folder(kind)
    if (existsSync(folder)) return
    const draft = `${folder}-${process.pid}`
    mkdirSync(draft, { recursive: true })
    await build({
      entryPoints: this.files.map((file) => join(this.sandbox, file)),
      outbase: this.sandbox,
      outdir: draft,
      bundle: true,
      format: 'cjs',
      platform: 'node',
      target: 'es2022',
      external: ['vitest', 'fast-check', 'binaryen', 'assemblyscript'],
      alias: { kmem: join(this.sandbox, 'src/index.ts') },
      tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
      logLevel: 'error',
      logOverride: { 'direct-eval': 'silent' },
      plugins: [switches(kind, this.sandbox, this.root)],
    })
    if (!existsSync(folder)) renameSync(draft, folder)
  }

  script(file: string, kind: BundleKind): Script {
    const key = `${kind} ${file}`
    let script = this.scripts.get(key)
    if (script === undefined) {
      const path = join(this.folder(kind), file.replace(/\.ts$/, '.js'))
      const text = readFileSync(path, 'utf8')
      script = new Script(
        `(function (require, __switch) { let __active = __switch.initial; const __reached = __switch.reached
        __switch.set = (mutant) => { __active = mutant }; const module = { exports: {} }
        ${text}
        })`,
        { filename: path },
      )
      this.scripts.set(key, script)
    }
    return script
  }

  private folder(kind: BundleKind): string {
    return join(this.sandbox, `.bundles-${kind}`)
  }
}

/** Replaces Stryker's calls, and `import.meta.url` by that of the file in the project. */
function switches(kind: BundleKind, sandbox: string, root: string): Plugin {
  return {
    name: 'switches',
    setup(hooks) {
      hooks.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        let text = readFileSync(path, 'utf8')
        if (text.includes('import.meta.url')) {
          const url = pathToFileURL(join(root, relative(sandbox, path))).href
          text = text.replaceAll('import.meta.url', JSON.stringify(url))
        }
        if (text.includes('stryMutAct_9fa48')) text = cheap(text, kind)
        return { contents: text, loader: 'ts' }
      })
    },
  }
}

function cheap(text: string, kind: BundleKind): string {
  return text
    .replace(/stryMutAct_9fa48\("(\d+)"\)/g, (_, id) =>
      kind === 'run' ? `(__active === ${id} && __switch.hit())` : 'false',
    )
    .replace(/stryCov_9fa48\(([^()]*)\)/g, (call, ids: string) => {
      const list = ids.match(/\d+/g)
      if (list === null) return call
      return kind === 'run' ? '0' : `(${list.map((id) => `__reached[${id}]++`).join(', ')})`
    })
}
