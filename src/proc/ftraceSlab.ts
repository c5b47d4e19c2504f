/**
 * Reads the slab events of ftrace text. The page events of the same text are read by `parseFtrace`.
 * Source: spec/slab.md §18.6.
 */

import { ascii } from './byteScanner'
import { FtraceReader, ftraceBytes, ftraceField, isNullPointer } from './ftraceReader'
import {
  FTRACE_KFREE,
  FTRACE_KMALLOC,
  FTRACE_KMEM_CACHE_ALLOC,
  FTRACE_KMEM_CACHE_FREE,
  type SlabEvents,
} from './ftraceSlabEvents'
import { TextTable } from './textTable'

/**
 * Reads the events kmalloc, kmem_cache_alloc, kfree and kmem_cache_free of ftrace text: the `trace` and
 * `trace_pipe` files, or what `trace-cmd report` prints.
 *
 * A Uint8Array is read in place as ASCII; a string is encoded first, which costs a copy. Lines may end
 * in CRLF. Nothing in the text is fatal: garbled lines, unknown GFP names, pointers that the kernel has
 * hidden and values out of range are listed in `skipped`, and counted by reason. Further fields at the end of an allocation's
 * or kfree's line are accepted.
 * @throws InvalidArgument when `input` is neither a string nor a Uint8Array.
 */
export function parseFtraceSlab(input: string | Uint8Array): SlabEvents {
  return new SlabReader(ftraceBytes(input)).read()
}

/** Largest node that its column can hold. */
const INT_MAX = 0x7fffffff
/** Hex digits of a printed pointer, and those of its sign extension. */
const POINTER_DIGITS = 16
const SIGN_DIGITS = 4
/** One more than the largest address without sign extension. */
const ADDRESS_END = 281474976710656
/** The largest exact integer: sizes above are no numbers here. */
const MAX_BYTES = 9007199254740991

const SPACE = 0x20
const LEFT_PAREN = 0x28
const LOWER_F = 0x66
const LOWER_X = 0x78

const KINDS: ReadonlyMap<string, number> = /* @__PURE__ */ new Map([
  ['kmalloc', FTRACE_KMALLOC],
  ['kmem_cache_alloc', FTRACE_KMEM_CACHE_ALLOC],
  ['kfree', FTRACE_KFREE],
  ['kmem_cache_free', FTRACE_KMEM_CACHE_FREE],
])

const CALL_SITE = /* @__PURE__ */ ftraceField('call_site', 0)
const PTR = /* @__PURE__ */ ftraceField('ptr', 0)
const BYTES_REQ = /* @__PURE__ */ ftraceField('bytes_req', MAX_BYTES)
const BYTES_ALLOC = /* @__PURE__ */ ftraceField('bytes_alloc', MAX_BYTES)
const NODE = /* @__PURE__ */ ftraceField('node', INT_MAX)
const ACCOUNTED = /* @__PURE__ */ ftraceField('accounted', 0)
const NAME = /* @__PURE__ */ ftraceField('name', 0)
const NO_NODE = /* @__PURE__ */ ascii('-1')
const TRUE = /* @__PURE__ */ ascii('true')
const FALSE = /* @__PURE__ */ ascii('false')

/** One pass over a text. */
class SlabReader extends FtraceReader {
  private readonly callSites: TextTable
  private readonly caches: TextTable
  private readonly kind: number[] = []
  private readonly ptr: number[] = []
  private readonly bytesReq: number[] = []
  private readonly bytesAlloc: number[] = []
  private readonly gfp: number[] = []
  private readonly node: number[] = []
  private readonly accounted: number[] = []
  private readonly name: number[] = []
  private readonly callSite: number[] = []
  private readonly context: number[] = []
  private readonly cpu: number[] = []
  private readonly pid: number[] = []
  private readonly task: number[] = []
  private readonly flags: number[] = []
  private readonly line: number[] = []
  private readonly time: number[] = []

  constructor(bytes: Uint8Array) {
    super(bytes, KINDS)
    this.callSites = new TextTable(bytes)
    this.caches = new TextTable(bytes)
  }

  read(): SlabEvents {
    const lines = this.readLines()
    return {
      count: this.kind.length,
      kind: Int32Array.from(this.kind),
      ptr: Float64Array.from(this.ptr),
      bytesReq: Float64Array.from(this.bytesReq),
      bytesAlloc: Float64Array.from(this.bytesAlloc),
      gfp: Int32Array.from(this.gfp),
      node: Int32Array.from(this.node),
      accounted: Int32Array.from(this.accounted),
      name: Int32Array.from(this.name),
      callSite: Int32Array.from(this.callSite),
      context: Int32Array.from(this.context),
      cpu: Int32Array.from(this.cpu),
      pid: Int32Array.from(this.pid),
      task: Int32Array.from(this.task),
      flags: Int32Array.from(this.flags),
      line: Int32Array.from(this.line),
      time: Float64Array.from(this.time),
      names: this.caches.texts(),
      callSites: this.callSites.texts(),
      ...lines,
    }
  }

  protected override readEvent(kind: number, line: number): boolean {
    const { scanner } = this
    // Texts are numbered only once the whole line is known to be sound.
    const site = this.readCallSite()
    const siteEnd = scanner.pos
    const ptr = site < 0 ? -1 : this.readPointer()
    if (ptr < 0) return false
    let name = -1
    if (kind === FTRACE_KMALLOC || kind === FTRACE_KMEM_CACHE_ALLOC) {
      if (!this.readAlloc()) return false
    } else {
      if (kind === FTRACE_KMEM_CACHE_FREE) {
        name = this.readCacheName()
        if (name < 0) return false
      }
      this.pushAlloc(0, 0, 0, -1, 0)
    }
    this.kind.push(kind)
    this.ptr.push(ptr)
    this.name.push(name)
    this.callSite.push(this.callSites.intern(site, siteEnd))
    this.pushPlace(line)
    return true
  }

  private pushAlloc(
    bytesReq: number,
    bytesAlloc: number,
    gfp: number,
    node: number,
    accounted: number,
  ): void {
    this.bytesReq.push(bytesReq)
    this.bytesAlloc.push(bytesAlloc)
    this.gfp.push(gfp)
    this.node.push(node)
    this.accounted.push(accounted)
  }

  private pushPlace(line: number): void {
    const { header } = this
    this.context.push(header.context)
    this.cpu.push(header.cpu)
    this.pid.push(header.pid)
    this.task.push(this.taskId())
    this.flags.push(this.flagsId())
    this.line.push(line)
    this.time.push(header.time)
  }

  /** Reads the caller up to the gap before `ptr=`; returns its start, -1 when the text is garbled. */
  private readCallSite(): number {
    const { scanner } = this
    scanner.skipSpaces()
    const start = scanner.pos + CALL_SITE.key.length
    if (!scanner.match(CALL_SITE.key) || !scanner.skipToken()) {
      this.reason = CALL_SITE.reason
      return -1
    }
    // A function of a module is printed with a space before the module's name.
    do {
      const end = scanner.pos
      scanner.skipSpaces()
      if (scanner.match(PTR.key)) {
        scanner.pos = end
        return start
      }
    } while (scanner.skipToken())
    this.reason = PTR.reason
    return -1
  }

  /** Reads the pointer, whose sign extension is left out; -1 when the text is garbled. */
  private readPointer(): number {
    const { scanner } = this
    const { bytes } = scanner
    scanner.skipSpaces()
    scanner.match(PTR.key)
    let start = scanner.pos
    scanner.skipToken()
    if (bytes[start] === LEFT_PAREN && isNullPointer(bytes, start, scanner.pos)) return 0
    const prefixed = bytes[start + 1] === LOWER_X
    if (prefixed) start += 2
    const digits = scanner.pos - start
    // Without a prefix all digits are printed; fewer are a line cut short.
    if (prefixed ? digits > 0 && digits <= POINTER_DIGITS : digits === POINTER_DIGITS) {
      if (digits === POINTER_DIGITS && isSignExtended(bytes, start)) start += SIGN_DIGITS
      const value = hex(bytes, start, scanner.pos)
      if (value >= 0 && value < ADDRESS_END) return value
    }
    this.reason = PTR.reason
    return -1
  }

  /** Reads what allocations tell besides place and pointer, and keeps it; false when it is garbled. */
  private readAlloc(): boolean {
    const bytesReq = this.readField(BYTES_REQ)
    const bytesAlloc = bytesReq < 0 ? -1 : this.readField(BYTES_ALLOC)
    if (bytesAlloc < 0) return false
    const gfp = this.readGfp()
    if (Number.isNaN(gfp)) return false
    const node = this.readNode()
    const accounted = node < -1 ? -1 : this.readAccounted()
    if (accounted < 0) return false
    this.pushAlloc(bytesReq, bytesAlloc, gfp, node, accounted)
    return true
  }

  /** The node, -1 for none, -2 when the text is garbled. */
  private readNode(): number {
    const { scanner } = this
    scanner.skipSpaces()
    if (scanner.match(NODE.key)) {
      if (scanner.decimal()) {
        if (scanner.atGap() && scanner.value <= NODE.max) return scanner.value
      } else if (scanner.match(NO_NODE) && scanner.atGap()) {
        return -1
      }
    }
    this.reason = NODE.reason
    return -2
  }

  private readAccounted(): number {
    const { scanner } = this
    scanner.skipSpaces()
    if (scanner.match(ACCOUNTED.key)) {
      if (scanner.match(TRUE) && scanner.atGap()) return 1
      if (scanner.match(FALSE) && scanner.atGap()) return 0
    }
    this.reason = ACCOUNTED.reason
    return -1
  }

  /** The cache's name, which is the rest of the line, as an index; -1 when there is none. */
  private readCacheName(): number {
    const { scanner } = this
    const { bytes } = scanner
    scanner.skipSpaces()
    const start = scanner.pos + NAME.key.length
    if (scanner.match(NAME.key)) {
      let end = scanner.end
      while (end > start && bytes[end - 1] === SPACE) end--
      if (end > start) return this.caches.intern(start, end)
    }
    this.reason = NAME.reason
    return -1
  }
}

/** True when the first digits of a pointer are those of an address in the kernel's half. */
function isSignExtended(bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < SIGN_DIGITS; i++) if (bytes[start + i] !== LOWER_F) return false
  return true
}

/** The number that hex digits make; -1 when there is anything else in [start, end). */
function hex(bytes: Uint8Array, start: number, end: number): number {
  let value = 0
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!
    let digit = byte - 0x30
    if (digit > 9) digit = byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : -1
    if (digit < 0) return -1
    value = value * 16 + digit
  }
  return value
}
