/** A file of this project with the library in it, bundled as a published build is: several times as fast as in tests. */

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** The code of a file and all that it imports. */
export async function bundled(path: string, format: 'esm' | 'cjs'): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, path)],
    alias: { kmem: join(ROOT, 'src/index.ts') },
    bundle: true,
    external: ['node:*'],
    format,
    logLevel: 'silent',
    minifySyntax: true,
    platform: 'neutral',
    target: 'es2022',
    write: false,
  })
  return outputFiles[0]?.text ?? ''
}

/** Runs such a file; what it exports. */
export async function imported<T>(path: string): Promise<T> {
  const code = Buffer.from(await bundled(path, 'esm')).toString('base64')
  return (await import(/* @vite-ignore */ `data:text/javascript;base64,${code}`)) as T
}
