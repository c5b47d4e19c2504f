/** The checks of arguments, at their bounds. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { PAGE_SIZE } from '../../src/base/units'
import * as check from '../../src/vmalloc/checks'
import { takeFrames, vmMachine } from './machines'

const machine = vmMachine({ mib: 2, nodes: 2, vm: { maxRecords: 16, populate: false } })
const c = machine.vm.context
const { directMapStart, directMapEnd } = c.layout
const { limit } = c.space
const [used = -1] = takeFrames(machine, 1)

/** A check with what it takes, and what it refuses. */
type Case = readonly [
  name: string,
  check: (...values: number[]) => unknown,
  taken: readonly (readonly number[])[],
  refused: readonly (readonly number[])[],
]

describe('a check of', () => {
  it.each<Case>([
    [
      'masks',
      check.checkGfp,
      [[0], [0x08], [0x10], [0xffffffe7]],
      [[-1], [2 ** 32], [0x18], [0xcd8]],
    ],
    ['nodes', (node) => check.checkNode(c, node!), [[-1], [0], [1]], [[-2], [2], [3], [0.5]]],
    ['sizes', check.checkSize as Case[1], [[0], [2 ** 53 - 1]], [[-1], [2 ** 53], [0.5]]],
    ['alignments', check.checkAlign as Case[1], [[1], [8], [2 ** 52]], [[0], [3], [2 ** 53], [12]]],
    [
      'ranges',
      (low, high) => check.checkRange(c, low!, high!),
      [
        [0, 0],
        [limit - PAGE_SIZE, limit],
        [directMapEnd, directMapEnd + PAGE_SIZE],
        [directMapStart - PAGE_SIZE, directMapStart],
        [directMapStart + PAGE_SIZE, directMapStart + PAGE_SIZE],
      ],
      [
        [-PAGE_SIZE, 0],
        [limit, limit],
        [limit - PAGE_SIZE, limit + 1],
        [PAGE_SIZE, 0],
        [1, PAGE_SIZE],
        [directMapStart, directMapStart + 1],
        [directMapStart - PAGE_SIZE, directMapStart + 1],
      ],
    ],
    [
      'flags',
      check.checkFlags as Case[1],
      [[0], [0x7ff], [0xfff00000]],
      [[0x800], [0x80000], [-1], [2 ** 32]],
    ],
    ['protections', (prot) => check.checkProt(c, prot!), [[1]], [[-1], [0x800]]],
    [
      'frames',
      (...pfns) => check.checkFrames(c, pfns),
      [[], [used], [used, used]],
      [[511.5], [512 * 4], [2 ** 40], [2 ** 52], [-1], [used, Number.NaN], [used + 0.5]],
    ],
    [
      'the start of a page',
      (at) => check.checkPageStart('at', at!),
      [[0], [PAGE_SIZE]],
      [[1], [PAGE_SIZE - 1], [PAGE_SIZE + 8]],
    ],
  ])('%s', (_name, call, taken, refused) => {
    for (const values of taken) expect(() => call(...values), String(values)).not.toThrow()
    for (const values of refused) {
      expect(() => call(...values), String(values)).toThrow(InvalidArgument)
    }
  })

  it('masks drops bits that do not exist', () => {
    expect(check.checkGfp(0xffffffe7)).toBe(0x7ffffe7)
  })
})
