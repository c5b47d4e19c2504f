/** Calls that need no memory, by name. */

import type { Scene } from './scene'

/** Calls by name; several names may share a call. */
export type Quiet = Readonly<Record<string, (s: Scene) => unknown>>

/** The same call for a family of methods. */
export function each(
  prefix: string,
  names: string,
  call: (s: Scene, name: string) => unknown,
): Quiet {
  return Object.fromEntries(
    names.split(' ').map((name) => [`${prefix}#${name}`, (s: Scene) => call(s, name)]),
  )
}

type Method = (...args: unknown[]) => unknown

/** Calls a method by its name. */
export function callOn(object: object, name: string, ...args: unknown[]): unknown {
  return ((object as Record<string, unknown>)[name] as Method).apply(object, args)
}
