/**
 * A kernel's command line: words that concern memory, as options of the parts that they are for.
 *
 * ```text
 * mem= nr_cpus= maxcpus= numa=fake=    the machine
 * kernelcore= movablecore=             zones (`zone/movableCore.ts`)
 * transparent_hugepage=                watermarks
 * fail_page_alloc= page_owner=         faults on purpose, who allocated each page
 * slab_… slub_… init_on_… failslab=    slabs (`slab/bootWords.ts`)
 * nohugevmalloc nohugeiomap vmalloc=   the virtual mapper (`vmalloc/bootWords.ts`)
 * ```
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { type FaultAttr, parseFaultAttr } from '../base/faultAttr'
import { parseMemSize } from '../base/memSize'
import { type SlabBootOptions, slabOptions } from '../slab/bootWords'
import { type VmallocBootOptions, vmallocOptions } from '../vmalloc/bootWords'

/** Words of other parts of a kernel, or of parts that are not here: they are known and do nothing. */
const WITHOUT_EFFECT = ['cma', 'nokaslr', 'no_hash_pointers', 'quiet', 'movable_node']

/** What a command line says. */
export interface CommandLine {
  /** `mem=`: bytes of memory to use at most. */
  mem?: number
  /** `nr_cpus=` and `maxcpus=`, the smaller one. */
  cpus?: number
  /** `numa=fake=`: nodes that memory is split into. */
  fakeNodes?: number
  /** `kernelcore=`, as written. */
  kernelcore?: string
  /** `movablecore=`, as written. */
  movablecore?: string
  /** False after `transparent_hugepage=never`. */
  hugePages?: boolean
  /** `fail_page_alloc=`. */
  failPageAlloc?: FaultAttr
  /** True after `page_owner=on`. */
  pageOwner?: boolean
  /** The words for slabs. */
  slab: SlabBootOptions
  /** The words for the virtual mapper. */
  vmalloc: VmallocBootOptions
  /** Words that are known and have no effect here, in their order. */
  ignored: readonly string[]
  /** Words that nobody knows, in their order. */
  unknown: readonly string[]
}

type Setter = (line: CommandLine, value: string, name: string) => void

const WORDS: Readonly<Record<string, Setter>> = {
  mem(line, value) {
    line.mem = parseMemSize(value)
  },
  nr_cpus: setCpus,
  maxcpus: setCpus,
  numa(line, value) {
    const [, count] = /^fake=(\d+)$/.exec(value) ?? []
    if (count === undefined) throw new InvalidArgument('numa', value, 'fake= and a number of nodes')
    checkInteger('numa=fake', Number(count), 1, 64)
    line.fakeNodes = Number(count)
  },
  kernelcore(line, value) {
    line.kernelcore = value
  },
  movablecore(line, value) {
    line.movablecore = value
  },
  fail_page_alloc(line, value) {
    line.failPageAlloc = parseFaultAttr(value)
  },
  page_owner(line, value) {
    if (value !== 'on' && value !== 'off')
      throw new InvalidArgument('page_owner', value, 'on or off')
    line.pageOwner = value === 'on'
  },
  transparent_hugepage(line, value) {
    if (!['always', 'madvise', 'never'].includes(value)) {
      throw new InvalidArgument('transparent_hugepage', value, 'always, madvise or never')
    }
    line.hugePages = value !== 'never'
  },
}

/**
 * Reads a command line: words with blanks between them. Of words that come twice the last one counts.
 * @throws InvalidArgument naming the word, for a value that is wrong; a kernel would ignore most of them.
 */
export function parseCommandLine(text: string): CommandLine {
  if (typeof text !== 'string') throw new InvalidArgument('cmdline', text, 'a string')
  const slab = slabOptions(text)
  const vmalloc = vmallocOptions(slab.unknown.join(' '))
  const ignored: string[] = []
  const unknown: string[] = []
  const line: CommandLine = { slab, vmalloc, ignored, unknown }
  for (const word of vmalloc.unknown) {
    const [name = '', value] = word.split(/=(.*)/s)
    const setter = Object.hasOwn(WORDS, name) ? WORDS[name] : undefined
    if (WITHOUT_EFFECT.includes(name)) ignored.push(word)
    else if (setter === undefined) unknown.push(word)
    else if (value === undefined) throw new InvalidArgument(name, undefined, 'a word with a value')
    else setter(line, value, name)
  }
  return line
}

function setCpus(line: CommandLine, value: string, name: string): void {
  const cpus = /^\d+$/.test(value) ? Number(value) : Number.NaN
  checkInteger(name, cpus, 1, 1024)
  line.cpus = Math.min(line.cpus ?? cpus, cpus)
}
