/** What a program pays for an allocator: which layers its bundle holds, and how many bytes. */

import { relative } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { describe, expect, it } from 'vitest'
import { layerName, readLayers, SRC } from './support/layers'

/** The layer of `buddy/`: the highest that `BuddyAllocator` may pull in. */
const BUDDY_LAYER = 6
/** Minified and gzipped, in bytes. */
const BUDDY_BUDGET = 12_000
/** Pages, caches and kmalloc together, without debugging. */
const OBJECTS_BUDGET = 22_400
const OBJECTS = 'BuddyAllocator, SlabCache, Kmalloc'
/** Constants alone must not drag the allocator along. */
const CONSTANTS_BUDGET = 200

interface Bundle {
  readonly text: string
  readonly gzipBytes: number
  /** Files that left code in the output, from src/ or from the project root with `..`. */
  readonly files: readonly string[]
}

async function bundle(names: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export { ${names} } from './index'`, resolveDir: SRC, loader: 'ts' },
    bundle: true,
    format: 'esm',
    logLevel: 'silent',
    metafile: true,
    minify: true,
    outfile: 'out.js',
    platform: 'neutral',
    target: 'es2022',
    treeShaking: true,
    write: false,
  })
  const text = outputFiles[0]?.text ?? ''
  const inputs = Object.entries(metafile.outputs['out.js']?.inputs ?? {})
  const files = inputs
    .filter(([path, { bytesInOutput }]) => bytesInOutput > 0 && !path.includes('<stdin>'))
    .map(([path]) => relative(SRC, path).replaceAll('\\', '/'))
  return { text, gzipBytes: gzipSync(text, { level: 9 }).length, files }
}

describe('bundles', () => {
  const layers = readLayers()
  const allowed = layers.filter((layer) => layer.number <= BUDDY_LAYER).map((layer) => layer.name)

  it('of BuddyAllocator hold nothing above buddy/', async () => {
    const { files, text } = await bundle('BuddyAllocator')
    expect(text).toContain('BuddyAllocator')
    expect(files.some((file) => layerName(file) === 'buddy')).toBe(true)
    expect(files.filter((file) => !allowed.includes(layerName(file)))).toEqual([])
  })

  it('of BuddyAllocator stay within their budget', async () => {
    const { gzipBytes } = await bundle('BuddyAllocator')
    expect(gzipBytes).toBeGreaterThan(1000)
    expect(gzipBytes).toBeLessThanOrEqual(BUDDY_BUDGET)
  })

  it.each(['SlabCache', 'Kmalloc', OBJECTS])(
    'of %s hold no checks, texts or listeners',
    async (names) => {
      const { files } = await bundle(names)
      const folders = new Set(files.map(layerName))
      expect(folders).toContain('slab')
      expect(files).toContain('slab/fastPath.ts')
      expect([...folders].filter((folder) => folder === 'debug' || folder === 'proc')).toEqual([])
    },
  )

  it('of SlabCache and Kmalloc alone bring no page allocator along', async () => {
    const { files } = await bundle('SlabCache, Kmalloc')
    expect(files).not.toContain('buddy/buddyAllocator.ts')
  })

  it('of pages, caches and kmalloc stay within their budget', async () => {
    const { gzipBytes } = await bundle(OBJECTS)
    expect(gzipBytes).toBeGreaterThan(BUDDY_BUDGET)
    expect(gzipBytes).toBeLessThanOrEqual(OBJECTS_BUDGET)
  })

  it('of constants hold constants', async () => {
    const { gzipBytes, files } = await bundle('GFP_KERNEL, MiB')
    expect(gzipBytes).toBeLessThanOrEqual(CONSTANTS_BUDGET)
    expect(files.filter((file) => layerName(file) === 'buddy')).toEqual([])
  })
})
