/** The built library as a user would load it, or null before the first build. */

import { existsSync } from 'node:fs'

export type Kmem = typeof import('kmem')

/**
 * Loads `dist/`, by its path: the package name would lead to `src/`, whose constants the build has not folded yet.
 */
export async function loadKmem(): Promise<Kmem | null> {
  const built = new URL('../dist/index.js', import.meta.url)
  return existsSync(built) ? ((await import(built.href)) as Kmem) : null
}
