/** The layer table of src/README.md, and the source files it speaks of. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Absolute path of `src/`. */
export const SRC = fileURLToPath(new URL('../../src', import.meta.url))

/** One row of the table. */
export interface Layer {
  readonly number: number
  /** A folder of src/ without its slash, or a file directly in src/. */
  readonly name: string
  /** The row announces what does not exist yet. */
  readonly planned: boolean
}

const HEADER = /^\|\s*#\s*\|\s*folder\s*\|\s*owns\s*\|\s*$/
const ROW = /^\|\s*(\d+)\s*\|\s*`([\w.-]+)\/?`\s*\|\s*(.+?)\s*\|\s*$/

/**
 * Reads the table headed `| # | folder | owns |`, in its order.
 * @throws Error when the table is missing, a row is malformed, or a name comes twice.
 */
export function parseLayers(markdown: string): readonly Layer[] {
  const lines = markdown.split('\n')
  const header = lines.findIndex((line) => HEADER.test(line))
  if (header < 0) throw new Error('no table headed | # | folder | owns |')
  const layers: Layer[] = []
  for (const line of lines.slice(header + 2)) {
    if (!line.startsWith('|')) break
    const [, number, name, owns] = ROW.exec(line) ?? []
    if (number === undefined || name === undefined || owns === undefined) {
      throw new Error(`not a row of the layer table: ${line}`)
    }
    if (layers.some((layer) => layer.name === name)) throw new Error(`two rows for ${name}`)
    layers.push({ number: Number(number), name, planned: owns.startsWith('planned:') })
  }
  return layers
}

/** The table of src/README.md. */
export function readLayers(): readonly Layer[] {
  return parseLayers(readFileSync(join(SRC, 'README.md'), 'utf8'))
}

/** Every TypeScript file under src/: its path from there, with `/`, and its text. */
export function readSources(): ReadonlyMap<string, string> {
  const sources = new Map<string, string>()
  for (const entry of readdirSync(SRC, { recursive: true, encoding: 'utf8' })) {
    const path = entry.replaceAll('\\', '/')
    if (path.endsWith('.ts')) sources.set(path, readFileSync(join(SRC, entry), 'utf8'))
  }
  return sources
}

/** The name of the layer that `path` (from src/) would belong to: its first part. */
export function layerName(path: string): string {
  return path.split('/', 1)[0] ?? path
}
