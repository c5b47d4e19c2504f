/** Which mutants are left out: the texts of errors. What matters is that the error is thrown, and its class and code. */

/** What is used of a node of the syntax tree. */
interface Node {
  readonly type: string
  readonly value?: unknown
  readonly callee?: { readonly type: string; readonly name?: string }
}
interface Path {
  readonly node: Node
  readonly parentPath: Path | null
  readonly listKey?: string
}

/** Classes and functions whose texts are for people; `KernelBug` has its code first, which is not left out. */
const TELLERS =
  /^(InvalidArgument|KernelBug|OutOfMemory|Error|RangeError|TypeError|checkInteger|bug|refuse|notManaged|complain)$/
/** `DOUBLE_FREE` and the like: codes that programs may look at. */
const CODE = /^[A-Z][A-Z0-9_]*$/

export class MessageRule {
  shouldIgnore(path: Path): string | undefined {
    const { node } = path
    if (node.type !== 'StringLiteral' && node.type !== 'TemplateLiteral') return undefined
    if (typeof node.value === 'string' && CODE.test(node.value)) return undefined
    let at: Path | null = path
    // Through `a ? 'text' : 'other text'` to the list of arguments.
    while (at !== null && at.listKey !== 'arguments') {
      at = at.parentPath
      if (at !== null && at.node.type !== 'ConditionalExpression' && at.listKey !== 'arguments')
        return undefined
    }
    const callee = at?.parentPath?.node.callee
    return callee?.type === 'Identifier' && TELLERS.test(callee.name ?? '')
      ? 'text of an error'
      : undefined
  }
}
