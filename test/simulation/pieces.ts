/** Where in memory things in use lie. */

import { isVmallocAddr, type Machine, PAGE_SIZE } from '../../src/index'
import type { Live } from './live'
import { Violation } from './violation'

/** Is told a piece of memory, and the place of the first mark in it. */
export type PieceVisitor = (phys: number, bytes: number, place: number) => void

/** Visits the pieces of memory that something has. */
export function eachPiece(machine: Machine, item: Live, visit: PieceVisitor): void {
  const { directMap } = machine.vm.context.layout
  switch (item.kind) {
    case 'block':
      visit(item.pfn * PAGE_SIZE, PAGE_SIZE << item.order, 0)
      return
    case 'pages':
      for (const [i, pfn] of item.pfns.entries()) visit(pfn * PAGE_SIZE, PAGE_SIZE, i)
      return
    case 'frag':
      visit(item.address, item.bytes, 0)
      return
    case 'objects':
      for (const [i, object] of item.addresses.entries()) visit(object - directMap, item.bytes, i)
      return
    case 'element':
      eachPiece(machine, item.holds, visit)
      return
    case 'memory':
      if (isVmallocAddr(machine.vm.context.layout, item.address)) {
        eachMappedPage(machine, item.address, item.bytes, visit)
      } else visit(item.address - directMap, item.bytes, 0)
      return
    case 'area':
      if (item.how === 'io' || item.how === 'empty') return
      eachMappedPage(machine, item.address, item.bytes, visit)
      return
  }
}

function eachMappedPage(
  { vm }: Machine,
  address: number,
  bytes: number,
  visit: PieceVisitor,
): void {
  for (let done = 0, place = 0; done < bytes; done += PAGE_SIZE, place++) {
    const pfn = vm.tables.pfnAt(address + done)
    if (pfn < 0) {
      throw new Violation('unmapped', `nothing is mapped at 0x${(address + done).toString(16)}`)
    }
    visit(pfn * PAGE_SIZE, Math.min(PAGE_SIZE, bytes - done), place)
  }
}
