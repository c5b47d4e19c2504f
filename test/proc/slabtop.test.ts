import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { parseSlabinfo, type SlabinfoCache } from '../../src/proc/slabinfo'
import { formatSlabtop, type SlabtopSort } from '../../src/proc/slabtop'
import { fixtureText } from './fixtures'
import { textProcSlabs } from './slabMachine'

const CACHES = parseSlabinfo(fixtureText('text/text-proc.slabinfo.txt'))

/** A cache with these counts. */
function cache(name: string, active: number, objects: number, size: number): SlabinfoCache {
  const text = `${name} ${active} ${objects} ${size} 10 2 : tunables 0 0 0 : slabdata ${active} ${objects} 0`
  return parseSlabinfo(text)[0] as SlabinfoCache
}

function firstNames(sort: SlabtopSort): string[] {
  const lines = formatSlabtop(CACHES, { sort, rows: 5 }).trimEnd().split('\n')
  return lines.slice(7).map((line) => line.trimEnd().split(' ').pop() ?? '')
}

describe('slabtop', () => {
  it('prints what slabtop 4.0.2 prints for the recorded /proc/slabinfo', () => {
    expect(formatSlabtop(CACHES)).toBe(fixtureText('text/text-proc.slabtop.txt'))
  })

  it('prints the caches of a machine', () => {
    const lines = formatSlabtop(textProcSlabs().slabs).split('\n')
    const recorded = fixtureText('text/text-proc.slabtop.txt').split('\n')
    const own = lines.filter((line) => line.includes(' proc'))
    expect(own).toHaveLength(6)
    expect(recorded).toEqual(expect.arrayContaining(own))
  })

  // The first rows of slabtop with the option -s and a letter each.
  it.each<[SlabtopSort, string]>([
    ['objects', 'kernfs_node_cache dentry inode_cache kmalloc-8 shmem_inode_cache'],
    ['active', 'kernfs_node_cache dentry inode_cache kmalloc-8 shmem_inode_cache'],
    ['objsPerSlab', 'dma-kmalloc-8 kmalloc-rcl-8 kmalloc-8 ep_head blkdev_ioc'],
    ['cacheSize', 'inode_cache dentry kernfs_node_cache shmem_inode_cache kmalloc-512'],
    ['slabs', 'inode_cache dentry kernfs_node_cache shmem_inode_cache kmalloc-512'],
    ['activeSlabs', 'inode_cache dentry kernfs_node_cache shmem_inode_cache kmalloc-512'],
    ['name', 'Acpi-Namespace Acpi-Operand Acpi-Parse Acpi-ParseExt Acpi-State'],
    ['pagesPerSlab', 'proc4 sgpool-128 request_queue_srcu biovec-max names_cache'],
    ['objSize', 'dma-kmalloc-8k kmalloc-rcl-8k kmalloc-8k task_struct proc4'],
    ['use', 'proc4 proc3 proc1 proc0 bio-96'],
  ])('sorts by %s, equal ones as they come', (sort, names) => {
    expect(firstNames(sort).join(' ')).toBe(names)
  })

  it('rounds as printf does, to even digits', () => {
    const table = formatSlabtop([cache('a', 11, 16, 896), cache('b', 5, 16, 128)])
    expect(table.split('\n').slice(0, 9)).toEqual([
      ' Active / Total Objects (% used)    : 16 / 32 (50.0%)',
      ' Active / Total Slabs (% used)      : 16 / 32 (50.0%)',
      ' Active / Total Caches (% used)     : 2 / 2 (100.0%)',
      ' Active / Total Size (% used)       : 10.25K / 16.00K (64.1%)',
      ' Minimum / Average / Maximum Object : 0.12K / 0.50K / 0.88K',
      '',
      '  OBJS ACTIVE  USE OBJ SIZE  SLABS OBJ/SLAB CACHE SIZE NAME                   ',
      '    16     11  68%    0.88K     16       10       128K a                      ',
      '    16      5  31%    0.12K     16       10       128K b                      ',
    ])
    const [objects, , , size] = formatSlabtop([cache('a', 1, 16, 64)]).split('\n')
    expect(objects).toMatch(/1 \/ 16 \(6\.2%\)$/)
    expect(size).toMatch(/0\.06K \/ 1\.00K \(6\.2%\)$/)
    expect(formatSlabtop([cache('a', 11, 16, 896)])).toContain(': 9.62K / 14.00K (68.8%)')
  })

  it('computes the use of a cache in single precision', () => {
    // In double precision 93.9998 and 99.99…, which slabtop prints as 94 and 100.
    expect(formatSlabtop([cache('a', 656527, 698433, 64)])).toMatch(/ {2}94% /)
    expect(formatSlabtop([cache('a', 1234567890, 1234567891, 384)])).toMatch(/ 100% {4}0\.38K /)
    expect(formatSlabtop([cache('a', 57, 100, 64)])).toMatch(/ {2}57% /)
  })

  it('prints the summary of nothing, and of unused caches', () => {
    expect(formatSlabtop([])).toMatch(/Objects \(% used\) {4}: 0 \/ 0 \(0\.0%\)\n/)
    const unused = formatSlabtop([cache('a', 0, 0, 4096)])
    expect(unused).toContain('Caches (% used)     : 0 / 1 (0.0%)')
    expect(unused).toContain('Maximum Object : 4.00K / 0.00K / 4.00K')
    expect(unused).toContain('     0      0   0%    4.00K      0       10         0K a ')
  })

  it('refuses sorts and numbers of rows that there are not', () => {
    expect(() => formatSlabtop(CACHES, { rows: -1 })).toThrow(InvalidArgument)
    expect(() => formatSlabtop(CACHES, { sort: 'toString' as SlabtopSort })).toThrow('objSize')
    expect(formatSlabtop(CACHES, { rows: 0 }).split('\n')).toHaveLength(8)
  })
})
