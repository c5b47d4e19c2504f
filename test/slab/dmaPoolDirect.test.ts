/** dma_pools on a few pages: the frame at 0, the ends of pages, and what the lines of reports name. */

import { describe, expect, it } from 'vitest'
import {
  type KernelBug,
  Kmalloc,
  LAYOUT_X86_64,
  PAGE_SIZE,
  type PhysAddr,
  type VirtAddr,
} from '../../src/index'
import { DmaPool, type DmaPoolOptions } from '../../src/slab/dmaPool'
import { must } from './machines'
import { errorOf, TinyMachine, type TinyOptions } from './tinyMachine'

function withPool(options: Partial<DmaPoolOptions> = {}, machineOptions: TinyOptions = {}) {
  const machine = new TinyMachine({ perNode: 128, ...machineOptions })
  const heap = new Kmalloc(machine.slabs)
  const device = { name: 'nic0', node: -1, dmaMask: 2 ** 40 }
  const pool = must(DmaPool.create(heap, { name: 'ring', device, size: 64, ...options }))
  return { machine, pool, heap }
}

const lines = (error: KernelBug | null) => must(error).report

describe('a dma_pool', () => {
  it('may have the frame at 0', () => {
    const { machine, pool, heap } = withPool({}, { layout: LAYOUT_X86_64 })
    // The record's slab is there already.
    heap.kmalloc(40)
    machine.pages.used[0] = 0
    expect(pool.alloc()).toEqual({ address: LAYOUT_X86_64.directMap, dma: 0 })
    expect(pool.pageCount).toBe(1)
  })

  it('ends its chain with the size of a page that has a rest, and writes nothing behind a page', () => {
    const { dma } = must(withPool({ size: 1500 }).pool.alloc())
    const { machine, pool } = withPool({ size: 1500 })
    machine.pages.ram.fill(dma + PAGE_SIZE, 64, 0xdd)
    expect(pool.alloc()?.dma).toBe(dma)
    const word = (at: number) => machine.pages.ram.words[at / 4]
    expect([word(dma), word(dma + 1500), word(dma + PAGE_SIZE)]).toEqual([
      1500,
      PAGE_SIZE,
      -0x22222223,
    ])
  })

  it('asks for no page when there is no record for it', () => {
    const { machine, pool } = withPool()
    const before = machine.pages.count
    machine.slabs.setFaults({ failSlab: () => true })
    expect(pool.alloc()).toBeNull()
    expect(machine.pages.count).toBe(before)
  })

  it('names kernel addresses when it is busy, and takes the byte behind a page for another one', () => {
    const { pool } = withPool({}, { layout: LAYOUT_X86_64 })
    const block = must(pool.alloc())
    expect(lines(errorOf(() => pool.destroy()))).toEqual([
      `dma_pool_destroy ring, ${hex(block.dma)} busy`,
    ])
    const behind = block.dma + PAGE_SIZE
    const address = (block.address + PAGE_SIZE) as VirtAddr
    expect(lines(errorOf(() => pool.free(address, behind as PhysAddr)))[0]).toMatch(/bad dma/)
    const last = behind - 1
    expect(lines(errorOf(() => pool.free(address, last as PhysAddr)))[0]).toMatch(/bad vaddr/)
  })
})

/** The kernel address of a physical one, as the kernel prints it. */
function hex(dma: number): string {
  return (0xffff888000000000n + BigInt(dma)).toString(16)
}
