/**
 * `/proc/vmallocinfo`, written and read; and the vmalloc lines of `/proc/meminfo`.
 *
 * Source: spec/vmalloc.md §12.
 */

import { InvalidArgument } from '../base/errors'
import { vmallocTotalKib } from '../base/layout'
import {
  AREA_END,
  AREA_NEXT,
  AREA_START,
  AREA_VM,
  TREE_BUSY,
  TREE_PURGE,
  VM_CALLER,
  VM_FLAGS,
  VM_NR_PAGES,
  VM_PAGE_ORDER,
  VM_PAGES,
  VM_PHYS,
  VM_SIZE,
  VMAP_NR_PAGES,
} from '../state/vmapSchema'
import { formatAddress, isVmallocAddr } from '../vmalloc/addresses'
import { callerName } from '../vmalloc/callers'
import {
  VM_ALLOC,
  VM_DMA_COHERENT,
  VM_IOREMAP,
  VM_MAP,
  VM_UNINITIALIZED,
  VM_USERMAP,
} from '../vmalloc/flags'
import { arrayInMemory, readPageArray } from '../vmalloc/pageArray'
import type { Vmalloc } from '../vmalloc/vmalloc'
import type { VmallocContext } from '../vmalloc/vmallocContext'
import { firstArea } from '../vmalloc/vmapTree'

/** Options of {@link formatVmallocInfo}. */
export interface VmallocInfoOptions {
  /** Whether addresses are printed, or zeros as for a reader who may not see them (`kptr_restrict`). */
  readonly addresses?: boolean
}

/** What a line of vmallocinfo tells. */
export interface VmallocInfoRow {
  /** First address, as its hexadecimal digits tell it. */
  readonly start: bigint
  /** One more than the last address. */
  readonly end: bigint
  /** Bytes, guard page included. */
  readonly size: number
  /** 'area'; 'vm_map_ram' for one without a vm_struct; 'unpurged' for one that waits for a purge. */
  readonly kind: 'area' | 'vm_map_ram' | 'unpurged'
  /** Who asked for it; '' when nobody is named. */
  readonly caller: string
  /** Pages that belong to it. */
  readonly pages: number
  /** Physical address of I/O memory; 0 for none. */
  readonly phys: number
  /** What it is for: the words `ioremap`, `vmalloc`, `vmap`, `user`, `dma-coherent`, `vpages`. */
  readonly words: readonly string[]
  /** Pages by node. */
  readonly nodes: Readonly<Record<number, number>>
}

const FLAG_WORDS: readonly (readonly [number, string])[] = [
  [VM_IOREMAP, 'ioremap'],
  [VM_ALLOC, 'vmalloc'],
  [VM_MAP, 'vmap'],
  [VM_USERMAP, 'user'],
  [VM_DMA_COHERENT, 'dma-coherent'],
]
const WORDS = ['ioremap', 'vmalloc', 'vmap', 'user', 'dma-coherent', 'vpages']
const COUNT = /^(pages|N(?:0|[1-9][0-9]{0,8}))=([0-9]+)$/
const PHYS = /^(phys)=(0x[0-9a-f]+)$/
const LINE = /^0x([0-9a-f]+)-0x([0-9a-f]+) +([0-9]+)(?: (.*))?$/

/** The text of `/proc/vmallocinfo`: areas in use, then those that wait for a purge, by address. */
export function formatVmallocInfo(vm: Vmalloc, options: VmallocInfoOptions = {}): string {
  const c = vm.context
  const { words, numbers } = c.space
  const shown = options.addresses !== false
  const lines: string[] = []
  const range = (start: number, size: number): string => {
    const digits = (address: number) => formatAddress(c.layout, shown ? address : 0)
    return `0x${digits(start)}-0x${digits(start + size)} ${String(size).padStart(7)}`
  }
  const sizeOf = (area: number) =>
    numbers[(area + AREA_END) >> 1]! - numbers[(area + AREA_START) >> 1]!
  for (let area = firstArea(c.space, TREE_BUSY); area !== 0; area = words[area + AREA_NEXT]!) {
    const start = numbers[(area + AREA_START) >> 1]!
    const record = words[area + AREA_VM]!
    if (record === 0) lines.push(`${range(start, sizeOf(area))} vm_map_ram`)
    else lines.push(range(start, numbers[(record + VM_SIZE) >> 1]!) + describe(c, record))
  }
  if (lines.length === 0) return ''
  for (let area = firstArea(c.space, TREE_PURGE); area !== 0; area = words[area + AREA_NEXT]!) {
    lines.push(`${range(numbers[(area + AREA_START) >> 1]!, sizeOf(area))} unpurged vm_area`)
  }
  return `${lines.join('\n')}\n`
}

/**
 * Reads a text of `/proc/vmallocinfo`, of any machine.
 * @throws InvalidArgument naming the first line that is not one.
 */
export function parseVmallocInfo(text: string): VmallocInfoRow[] {
  if (typeof text !== 'string') throw new InvalidArgument('text', text, 'a string')
  return text.split('\n').flatMap((line, i) => (line === '' ? [] : [parseLine(line, i + 1)]))
}

/**
 * The text that rows were read from: the inverse of {@link parseVmallocInfo}.
 * @param digits of an address, 8 on a 32-bit machine; 16 when not given. Physical addresses have 16, or 8 where the
 * addresses have 8 (unlike a kernel with PAE).
 */
export function formatVmallocRows(rows: readonly VmallocInfoRow[], digits = 16): string {
  const hex = (value: bigint | number) => `0x${value.toString(16).padStart(digits, '0')}`
  return rows.map((row) => `${hex(row.start)}-${hex(row.end)} ${rowText(row, hex)}\n`).join('')
}

/** The three lines of vmalloc in `/proc/meminfo`. */
export function formatVmallocMeminfo(vm: Vmalloc): string {
  const { layout, space } = vm.context
  const used = space.words[VMAP_NR_PAGES]! * 4
  const line = (name: string, kib: number) =>
    `${`${name}:`.padEnd(15)} ${String(kib).padStart(8)} kB\n`
  return (
    line('VmallocTotal', vmallocTotalKib(layout)) +
    line('VmallocUsed', used) +
    line('VmallocChunk', 0)
  )
}

/** What a line says of an area besides its addresses. */
function describe(c: VmallocContext, vm: number): string {
  const { words, numbers } = c.space
  const caller = callerName(words, words[vm + VM_CALLER]!)
  const count = words[vm + VM_NR_PAGES]!
  const phys = numbers[(vm + VM_PHYS) >> 1]!
  const array = numbers[(vm + VM_PAGES) >> 1]!
  const flags = words[vm + VM_FLAGS]!
  const parts: string[] = []
  if (caller !== '') parts.push(caller)
  if (count !== 0) parts.push(`pages=${count}`)
  if (phys !== 0) {
    parts.push(`phys=0x${phys.toString(16).padStart(c.tables.format.entryBytes * 2, '0')}`)
  }
  for (const [flag, word] of FLAG_WORDS) if ((flags & flag) !== 0) parts.push(word)
  if (isVmallocAddr(c.layout, array)) parts.push('vpages')
  if ((flags & VM_UNINITIALIZED) === 0 && count !== 0 && arrayInMemory(c, array, count)) {
    parts.push(...nodeCounts(c, readPageArray(c, array, count), words[vm + VM_PAGE_ORDER]!))
  }
  return parts.map((part) => ` ${part}`).join('')
}

/** Pages by node: those of a huge block all count where its first page is. */
function nodeCounts(c: VmallocContext, pfns: readonly number[], order: number): string[] {
  const counts = new Array<number>(c.frames.nrNodes).fill(0)
  const step = 1 << order
  for (let i = 0; i < pfns.length; i += step) {
    const pfn = pfns[i] ?? -1
    // The array may have been overwritten.
    if (c.frames.isMemory(pfn)) counts[c.frames.nodeOf(pfn)]! += step
  }
  return counts.flatMap((count, node) => (count === 0 ? [] : [`N${node}=${count}`]))
}

function parseLine(line: string, number: number): VmallocInfoRow {
  const [, start, end, size, rest = ''] = LINE.exec(line) ?? []
  const bad = () => new InvalidArgument(`line ${number}`, line, 'a line of vmallocinfo')
  if (start === undefined || end === undefined) throw bad()
  const row = {
    start: BigInt(`0x${start}`),
    end: BigInt(`0x${end}`),
    size: Number(size),
    caller: '',
    pages: 0,
    phys: 0,
    words: [] as string[],
    nodes: {} as Record<number, number>,
  }
  if (!Number.isSafeInteger(row.size)) throw bad()
  if (rest === 'vm_map_ram') return { ...row, kind: 'vm_map_ram' }
  if (rest === 'unpurged vm_area') return { ...row, kind: 'unpurged' }
  for (const [i, part] of rest.split(' ').entries()) {
    const [, key, digits] = COUNT.exec(part) ?? PHYS.exec(part) ?? []
    const value = Number(digits)
    if (key !== undefined && !Number.isSafeInteger(value)) throw bad()
    if (key === 'pages') row.pages = value
    else if (key === 'phys') row.phys = value
    else if (key !== undefined) row.nodes[Number(key.slice(1))] = value
    else if (WORDS.includes(part)) row.words.push(part)
    // The name of a module follows that of its function.
    else if (i === 0) row.caller = part
    else if (i === 1 && part.startsWith('[')) row.caller += ` ${part}`
    else throw bad()
  }
  return { ...row, kind: 'area' }
}

function rowText(row: VmallocInfoRow, hex: (value: number) => string): string {
  const parts = [String(row.size).padStart(7)]
  if (row.kind === 'vm_map_ram') parts.push('vm_map_ram')
  if (row.kind === 'unpurged') parts.push('unpurged vm_area')
  if (row.caller !== '') parts.push(row.caller)
  if (row.pages !== 0) parts.push(`pages=${row.pages}`)
  if (row.phys !== 0) parts.push(`phys=${hex(row.phys)}`)
  parts.push(...row.words)
  for (const [node, count] of Object.entries(row.nodes)) parts.push(`N${node}=${count}`)
  return parts.join(' ')
}
