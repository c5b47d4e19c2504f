/**
 * What a leaf allows, in the columns of each architecture's dump of page tables: see
 * `pageTableDump.ts`. A column that does not apply is blank, so lines stay aligned.
 *
 * Source: spec/vmalloc.md §13.2 to §13.5.
 */

import type { PageTableFormat } from '../paging/format'
import type { PageWalkEntry } from '../paging/tableWalk'

/** Bits of an entry and the words that say whether they are set. */
type Column = readonly [mask: number, set: string, clear: string]

/** Bits 1 to 4, of the low half. */
const X86_LOW: readonly Column[] = [
  [0x4, 'USR ', '    '],
  [0x2, 'RW ', 'ro '],
  [0x8, 'PWT ', '    '],
  [0x10, 'PCD ', '    '],
]
const X86_PAT = 0x80
const X86_PAT_LARGE = 0x1000
const X86_GLOBAL = 0x100

/** D, A, G, U, X, W, R, V, of the low half. */
const RISCV_LETTERS = 'DAGUXWRV'
const RISCV_SOFT = 0x300
const RISCV_TYPES = ['  ', 'NC', 'IO', '? ']

const ARM_LOW: readonly Column[] = [
  [0x40, 'USR ', '    '],
  [0x80, 'ro ', 'RW '],
]
const ARM_PXN: Column = [0x200000, 'NX ', 'x  ']
const ARM_MIDDLE: readonly Column[] = [
  [0x300, 'SHD ', '    '],
  [0x400, 'AF ', '   '],
  [0x800, 'NG ', '   '],
]
const ARM_CONTIGUOUS: Column = [0x100000, 'CON ', '    ']
const ARM_TYPE: Column = [0x2, '    ', 'BLK ']
const ARM_HIGH: readonly Column[] = [
  [0x400000, 'UXN ', '    '],
  [0x40000, 'GP ', '   '],
]
const ARM_TYPES = [
  'MEM/NORMAL',
  'MEM/NORMAL-TAGGED',
  'MEM/NORMAL-NC',
  'DEVICE/nGnRnE',
  'DEVICE/nGnRE',
]

/** USR, RW or ro, PWT, PCD, PSE for a large leaf, PAT, GLB, NX or x: 30 characters. */
export function x86Flags(entry: PageWalkEntry, format: PageTableFormat): string {
  const { lo, hi, level } = entry
  const large = level !== format.levels.length - 1
  const pat = (lo & (large ? X86_PAT_LARGE : X86_PAT)) !== 0
  const global = (lo & X86_GLOBAL) !== 0
  const high = `${large ? 'PSE ' : '    '}${pat ? 'PAT ' : '    '}${global ? 'GLB ' : '    '}`
  return `${words(X86_LOW, lo)}${high}${hi < 0 ? 'NX ' : 'x  '}`
}

/**
 * Type of memory (NC, IO), RSW for software bits, then a letter or a dot for each of D A G U X W R
 * V.
 */
export function riscvFlags(entry: PageWalkEntry): string {
  const { lo, hi } = entry
  const letters = [...RISCV_LETTERS].map((letter, i) => ((lo & (0x80 >> i)) === 0 ? '.' : letter))
  const soft = (lo & RISCV_SOFT) === 0 ? '   ' : 'RSW'
  return `${RISCV_TYPES[(hi >>> 29) & 3]} ${soft} ${letters.join(' ')}`
}

/**
 * USR, RW or ro, NX or x for the kernel, SHD, AF, NG, CON, BLK, UXN, GP, and the type of memory.
 */
export function arm64Flags(entry: PageWalkEntry): string {
  const { lo, hi } = entry
  const type = ARM_TYPES[(lo >>> 2) & 7] ?? 'DEVICE/nGnRnE'
  return [
    words(ARM_LOW, lo),
    words([ARM_PXN], hi),
    words(ARM_MIDDLE, lo),
    words([ARM_CONTIGUOUS], hi),
    words([ARM_TYPE], lo),
    words(ARM_HIGH, hi),
    type,
  ].join('')
}

function words(columns: readonly Column[], half: number): string {
  let text = ''
  for (const [mask, set, clear] of columns) text += (half & mask) === 0 ? clear : set
  return text
}
