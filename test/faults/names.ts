/** Everything that a program can call: the functions and classes of `index.ts`, and the methods of its classes. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FaultAttributes } from '../../src/debug/faultAttributes'
import { PageOwner } from '../../src/debug/pageOwner'
import * as kmem from '../../src/index'

const SRC = fileURLToPath(new URL('../../src', import.meta.url))

/** Classes that are exported as types: programs get objects of them. */
const TYPES = { FaultAttributes, PageOwner }

/** A name: `kmemdup`, `Kmalloc` for the constructor, `Kmalloc#kfree`, `Machine.boot` for a static method. */
export function publicNames(): string[] {
  const hidden = hiddenNames()
  const names: string[] = []
  for (const [name, value] of Object.entries({ ...kmem, ...TYPES })) {
    if (typeof value !== 'function') continue
    names.push(name)
    if (!isClass(value)) continue
    const statics = Object.getOwnPropertyNames(value).filter(
      (key) => !['length', 'name', 'prototype'].includes(key),
    )
    names.push(...statics.map((key) => `${name}.${key}`))
    for (const { owner, key } of methodsOf(value)) {
      if (!hidden.has(`${owner} ${key}`)) names.push(`${name}#${key}`)
    }
  }
  return [...new Set(names)]
}

function isClass(value: object): value is new (...args: never[]) => object {
  return Function.prototype.toString.call(value).startsWith('class')
}

/** Methods of a class and of those that it extends, without accessors: these are read by {@link gettersOf}. */
function* methodsOf(
  value: new (...args: never[]) => object,
): Generator<{ owner: string; key: string }> {
  for (
    let proto = value.prototype;
    proto !== Object.prototype;
    proto = Object.getPrototypeOf(proto)
  ) {
    if (proto === Error.prototype) return
    const owner = proto.constructor.name
    for (const [key, { value: method }] of Object.entries(
      Object.getOwnPropertyDescriptors(proto),
    )) {
      if (key !== 'constructor' && typeof method === 'function') yield { owner, key }
    }
  }
}

/** Names of all accessors of an object. */
export function gettersOf(object: object): string[] {
  const found: string[] = []
  for (let proto = Object.getPrototypeOf(object); proto !== Object.prototype; ) {
    for (const [key, { get }] of Object.entries(Object.getOwnPropertyDescriptors(proto))) {
      if (get !== undefined) found.push(key)
    }
    proto = Object.getPrototypeOf(proto)
  }
  return found
}

/** Members that are private or protected, which at run time nothing tells: `Vmalloc alloc`. */
function hiddenNames(): Set<string> {
  const hidden = new Set<string>()
  for (const file of readdirSync(SRC, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue
    let owner = ''
    for (const line of readFileSync(join(SRC, file), 'utf8').split('\n')) {
      owner = /^(?:export )?(?:abstract )?class (\w+)/.exec(line)?.[1] ?? owner
      const member = /^ {2}(?:private|protected) (?:static )?(?:get |set |async |\*)?(\w+)/.exec(
        line,
      )
      if (member !== null) hidden.add(`${owner} ${member[1]}`)
    }
  }
  return hidden
}
