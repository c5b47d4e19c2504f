/** What every file of src/ must obey: whom it imports, and which globals it leaves alone. */

import { posix } from 'node:path'
import ts from 'typescript'
import { type Layer, layerName } from './layers'

/** Globals that would make two runs differ, and what stands in for them in a message. */
const CLOCKS = new Set(['Date', 'performance', 'crypto'])

/** What the rules need to know of one file. */
interface Outline {
  /** Module specifiers as written, of every kind of import and re-export, types included. */
  readonly imports: readonly string[]
  /** Uses of clocks and random numbers. */
  readonly impure: readonly string[]
}

/**
 * Every breach of the rules, as sentences that begin with the file; empty when all is well.
 * `sources` maps paths from src/ to texts.
 */
export function findFaults(
  sources: ReadonlyMap<string, string>,
  layers: readonly Layer[],
): readonly string[] {
  const numbers = new Map(layers.map((layer) => [layer.name, layer.number]))
  const graph = new Map<string, readonly string[]>()
  const faults: string[] = []
  for (const [path, text] of sources) {
    if (!numbers.has(layerName(path))) faults.push(`${path}: in no row of the layer table`)
    if (path.endsWith('/index.ts')) faults.push(`${path}: a folder barrel`)
    const { imports, impure } = outline(path, text)
    for (const use of impure) faults.push(`${path}: uses ${use}`)
    const targets: string[] = []
    for (const specifier of imports) {
      const target = resolve(path, specifier, sources)
      if (target === null) faults.push(`${path}: imports ${specifier}, no file of src/`)
      else targets.push(target)
    }
    graph.set(path, targets)
    faults.push(...upwardImports(path, targets, numbers))
  }
  faults.push(...tableFaults(sources, layers))
  const cycle = findCycle(graph)
  if (cycle !== null) faults.push(`${cycle[0]}: a cycle, ${cycle.join(' -> ')}`)
  return faults
}

function upwardImports(
  path: string,
  targets: readonly string[],
  numbers: ReadonlyMap<string, number>,
): readonly string[] {
  const own = layerName(path)
  const ownNumber = numbers.get(own) ?? -1
  return targets
    .filter((target) => {
      const name = layerName(target)
      return name !== own && (numbers.get(name) ?? Number.POSITIVE_INFINITY) >= ownNumber
    })
    .map((target) => `${path}: imports ${target}, which is no lower layer`)
}

/** A planned row must have no files, any other row must have some. */
function tableFaults(
  sources: ReadonlyMap<string, string>,
  layers: readonly Layer[],
): readonly string[] {
  const present = new Set([...sources.keys()].map(layerName))
  return layers
    .filter((layer) => present.has(layer.name) === layer.planned)
    .map((layer) => `README.md: ${layer.name} ${layer.planned ? 'exists' : 'has no file'}`)
}

function resolve(
  from: string,
  specifier: string,
  sources: ReadonlyMap<string, string>,
): string | null {
  if (!specifier.startsWith('./') && !specifier.startsWith('../')) return null
  const path = `${posix.join(posix.dirname(from), specifier)}.ts`
  return sources.has(path) ? path : null
}

/** The files of one import cycle, first and last equal, or null. Imports of types count: they tie files as well. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): readonly string[] | null {
  const done = new Set<string>()
  const trail: string[] = []
  const visit = (path: string): readonly string[] | null => {
    const seen = trail.indexOf(path)
    if (seen >= 0) return [...trail.slice(seen), path]
    if (done.has(path)) return null
    trail.push(path)
    for (const next of graph.get(path) ?? []) {
      const cycle = visit(next)
      if (cycle !== null) return cycle
    }
    trail.pop()
    done.add(path)
    return null
  }
  for (const path of graph.keys()) {
    const cycle = visit(path)
    if (cycle !== null) return cycle
  }
  return null
}

function outline(path: string, text: string): Outline {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const imports = [...file.referencedFiles, ...file.typeReferenceDirectives].map(
    (reference) => reference.fileName,
  )
  const impure: string[] = []
  const visit = (node: ts.Node): void => {
    const specifier = specifierOf(node)
    if (specifier !== null) imports.push(specifier)
    if (ts.isIdentifier(node)) {
      const use = impureUse(node)
      if (use !== null) impure.push(use)
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return { imports, impure }
}

/** The module that this very node names, in any of the six ways there are. */
function specifierOf(node: ts.Node): string | null {
  let name: ts.Node | undefined
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) name = node.moduleSpecifier
  else if (ts.isExternalModuleReference(node)) name = node.expression
  else if (ts.isImportTypeNode(node)) name = node.argument
  else if (ts.isCallExpression(node) && isModuleCall(node.expression)) name = node.arguments[0]
  if (name === undefined) return null
  if (ts.isLiteralTypeNode(name)) name = name.literal
  return ts.isStringLiteralLike(name) ? name.text : name.getText()
}

function isModuleCall(callee: ts.Expression): boolean {
  return (
    callee.kind === ts.SyntaxKind.ImportKeyword ||
    (ts.isIdentifier(callee) && callee.text === 'require')
  )
}

/** `Math` is fine as `Math.floor` and the like; a clock is not fine in any form. */
function impureUse(name: ts.Identifier): string | null {
  const { parent } = name
  const isMember = ts.isPropertyAccessExpression(parent) && parent.name === name
  if (isMember && parent.expression.getText() !== 'globalThis') return null
  if (CLOCKS.has(name.text)) return parent.getText()
  if (name.text !== 'Math') return null
  const outer = isMember ? parent.parent : parent
  if (ts.isPropertyAccessExpression(outer) && outer.name.text !== 'random') return null
  return outer.getText()
}
