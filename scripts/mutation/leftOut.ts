/**
 * Which mutants are left out: the texts of errors, of which only the class and the code matter; and a minus in place of
 * a plus before a column whose place is 0, which is the same program.
 */

/** What is used of a node of the syntax tree. */
interface Node {
  readonly type: string
  readonly name?: string
  readonly value?: unknown
  readonly operator?: string
  readonly callee?: Node
  readonly left?: Node
  readonly right?: Node
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
/** The first column of each kind of record. */
const FIRST_COLUMNS =
  /^(PAGE_NEXT|ZONE_NODE|PCP_COUNT|NODE_ONLINE|CPU_NODE|RANGE_START|SLAB_NEXT|CACHE_NEXT|SLAB_CPU_FREE|SLAB_NODE_PARTIAL|VMAP_CPU_SPARE|AREA_NEXT|VM_AREA|BLOCK_NEXT|CALLER_NEXT)$/

export class LeftOut {
  shouldIgnore(path: Path): string | undefined {
    const { node } = path
    if (node.type === 'BinaryExpression') return sameProgram(node)
    if (node.type !== 'StringLiteral' && node.type !== 'TemplateLiteral') return undefined
    if (typeof node.value === 'string' && CODE.test(node.value)) return undefined
    let at: Path | null = path
    // Through `a ? 'text' : 'other text'` to the list of arguments.
    while (at !== null && at.listKey !== 'arguments') {
      at = at.parentPath
      const within = at?.node.type === 'ConditionalExpression' || at?.listKey === 'arguments'
      if (!within) return undefined
    }
    const callee = at?.parentPath?.node.callee
    return callee?.type === 'Identifier' && TELLERS.test(callee.name ?? '')
      ? 'text of an error'
      : undefined
  }
}

/** What is left out is left out with all that is in it; so the other operand has to be plain. */
function sameProgram({ operator, left, right }: Node): string | undefined {
  const plain = left?.type === 'Identifier' || left?.type === 'MemberExpression'
  const first = right?.type === 'Identifier' && FIRST_COLUMNS.test(right.name ?? '')
  return operator === '+' && plain && first ? 'a column at place 0' : undefined
}
