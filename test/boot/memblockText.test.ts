/** The debugfs files, the dump, and the lines of `memblock=debug`. */

import { describe, expect, it } from 'vitest'
import { Memblock } from '../../src/boot/memblock'
import { memblockDump, memblockFile } from '../../src/boot/memblockText'

describe('text', () => {
  it('of the debugfs files', () => {
    const m = new Memblock()
    m.add(0x1000, 0x9e000)
    m.add(0x100000, 0x7ee0000)
    expect(memblockFile(m.memoryRegions)).toBe(
      '   0: 0x0000000000001000..0x000000000009efff\n' +
        '   1: 0x0000000000100000..0x0000000007fdffff\n',
    )
    expect(memblockFile(m.reservedRegions)).toBe('   0: 0x0000000000000000..0xffffffffffffffff\n')
  })

  it('of the full dump', () => {
    const m = new Memblock()
    m.addNode(0x1000, 0x9e000, 0)
    m.addNode(0x100000, 0x100000, 1, 4)
    for (let i = 0; i < 11; i++) m.reserve(0x1000 * 2 * i, 0x800)
    const lines = memblockDump(m)
    expect(lines.slice(0, 7)).toEqual([
      'MEMBLOCK configuration:',
      ' memory size = 0x000000000019e000 reserved size = 0x0000000000005800',
      ' memory.cnt  = 0x2',
      ' memory[0x0]\t[0x0000000000001000-0x000000000009efff], 0x000000000009e000 bytes on node 0 flags: 0x0',
      ' memory[0x1]\t[0x0000000000100000-0x00000000001fffff], 0x0000000000100000 bytes on node 1 flags: 0x4',
      ' reserved.cnt  = 0xb',
      ' reserved[0x0]\t[0x0000000000000000-0x00000000000007ff], 0x0000000000000800 bytes flags: 0x0',
    ])
    expect(lines.at(-1)).toBe(
      ' reserved[0xa]\t[0x0000000000014000-0x00000000000147ff], 0x0000000000000800 bytes flags: 0x0',
    )
  })

  it('of every call with memblock=debug', () => {
    const log: string[] = []
    const m = new Memblock({ debug: true, log: (line) => log.push(line) })
    m.add(0x10000, 0x10000, 'setup+0x10/0x20')
    m.addNode(0x20000, 0x1000, 1, 4, 'numa')
    m.reserve(0x10000, 0x1000)
    m.free(0x10000, 0x1000, 'a')
    m.remove(0, 0)
    m.alloc(64, 64, 'caller')
    m.allocTryNidRaw(64, 32, 0x100, 0x20000, 1)
    m.allocExactNidRaw(1000000, 32, 0, 0, 1)
    m.physAllocRange(64, 64, 0, 0x20000, 'b')
    m.physAllocTryNid(1000000, 64, 0)
    expect(log).toEqual([
      'memblock_add: [0x0000000000010000-0x000000000001ffff] setup+0x10/0x20',
      'memblock_add_node: [0x0000000000020000-0x0000000000020fff] nid=1 flags=4 numa',
      'memblock_reserve: [0x0000000000010000-0x0000000000010fff]',
      'memblock_phys_free: [0x0000000000010000-0x0000000000010fff] a',
      'memblock_remove: [0x0000000000000000-0xffffffffffffffff]',
      'memblock_alloc_try_nid: 64 bytes align=0x40 nid=-1 from=0x0000000000000000 max_addr=0x0000000000000000 caller',
      'memblock_reserve: [0x000000000001ffc0-0x000000000001ffff] memblock_alloc_range_nid',
      'memblock_alloc_try_nid_raw: 64 bytes align=0x20 nid=1 from=0x0000000000000100 max_addr=0x0000000000020000',
      'memblock_reserve: [0x000000000001ff80-0x000000000001ffbf] memblock_alloc_range_nid',
      'memblock_alloc_exact_nid_raw: 1000000 bytes align=0x20 nid=1 from=0x0000000000000000 max_addr=0x0000000000000000',
      'memblock_phys_alloc_range: 64 bytes align=0x40 from=0x0000000000000000 max_addr=0x0000000000020000 b',
      'memblock_reserve: [0x000000000001ff40-0x000000000001ff7f] memblock_alloc_range_nid',
    ])
  })

  it('is not logged without it', () => {
    const log: string[] = []
    const m = new Memblock({ log: (line) => log.push(line) })
    m.add(0x10000, 0x10000)
    m.alloc(64, 64)
    m.free(0, 0x100000)
    expect(log).toEqual([])
  })
})
