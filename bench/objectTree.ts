/**
 * The peer of the address space: free ranges and ranges in use in balanced trees of plain objects, each node with
 * the largest range below it, as one would write it in JavaScript. Treaps: their shape comes from seeded random
 * priorities.
 */

import { Xorshift32 } from './random'

interface Node {
  start: number
  end: number
  /** Largest range here and below. */
  max: number
  readonly priority: number
  left: Node | null
  right: Node | null
}

/** First fit over free ranges, which are joined when they are freed. */
export class ObjectTree {
  private root: Node | null
  private busy: Node | null = null
  private readonly random = new Xorshift32(1)

  constructor(start: number, end: number) {
    this.root = this.node(start, end)
  }

  /** Start of the range in use that holds an address; -1 for none. */
  find(address: number): number {
    const range = below(this.busy, address + 1)
    return range !== null && address < range.end ? range.start : -1
  }

  /** The lowest `size` bytes that are free; -1 for none. */
  alloc(size: number): number {
    if (this.root === null || this.root.max < size) return -1
    let found: Node = this.root
    for (;;) {
      const { left, right }: Node = found
      if (left !== null && left.max >= size) found = left
      else if (right !== null && found.end - found.start < size) found = right
      else break
    }
    const { start, end } = found
    this.root = remove(this.root, start)
    if (end - start > size) this.root = this.insert(this.root, start + size, end)
    this.busy = this.insert(this.busy, start, start + size)
    return start
  }

  /** Frees a range of {@link alloc}. */
  free(start: number): void {
    const range = at(this.busy, start)
    if (range === null) throw new RangeError(`nothing is at ${start}`)
    this.busy = remove(this.busy, start)
    let from = start
    let to = range.end
    const before = below(this.root, start)
    if (before !== null && before.end === from) {
      from = before.start
      this.root = remove(this.root, from)
    }
    const after = at(this.root, to)
    if (after !== null) {
      this.root = remove(this.root, after.start)
      to = after.end
    }
    this.root = this.insert(this.root, from, to)
  }

  private insert(root: Node | null, start: number, end: number): Node | null {
    const [left, right] = split(root, start)
    return merge(merge(left, this.node(start, end)), right)
  }

  private node(start: number, end: number): Node {
    const priority = this.random.unit()
    return { start, end, max: end - start, priority, left: null, right: null }
  }
}

function update(node: Node): Node {
  const left = node.left === null ? 0 : node.left.max
  const right = node.right === null ? 0 : node.right.max
  node.max = Math.max(node.end - node.start, left, right)
  return node
}

function split(node: Node | null, start: number): [Node | null, Node | null] {
  if (node === null) return [null, null]
  if (node.start < start) {
    const [left, right] = split(node.right, start)
    node.right = left
    return [update(node), right]
  }
  const [left, right] = split(node.left, start)
  node.left = right
  return [left, update(node)]
}

function merge(left: Node | null, right: Node | null): Node | null {
  if (left === null) return right
  if (right === null) return left
  if (left.priority > right.priority) {
    left.right = merge(left.right, right)
    return update(left)
  }
  right.left = merge(left, right.left)
  return update(right)
}

function remove(node: Node | null, start: number): Node | null {
  if (node === null) return null
  if (node.start === start) return merge(node.left, node.right)
  if (start < node.start) node.left = remove(node.left, start)
  else node.right = remove(node.right, start)
  return update(node)
}

function below(root: Node | null, start: number): Node | null {
  let found: Node | null = null
  for (let node = root; node !== null; ) {
    if (node.start < start) {
      found = node
      node = node.right
    } else node = node.left
  }
  return found
}

function at(root: Node | null, start: number): Node | null {
  for (let node = root; node !== null; node = start < node.start ? node.left : node.right) {
    if (node.start === start) return node
  }
  return null
}
