import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { parseCommandLine } from '../../src/machine/commandLine'

const MiB = 1024 * 1024

describe('parseCommandLine', () => {
  it('tells each part its words, and what nobody knows', () => {
    const line = parseCommandLine(
      'mem=256M nr_cpus=4 numa=fake=2 kernelcore=30% movablecore=64M slab_nomerge slub_debug=FZ ' +
        'nohugevmalloc vmalloc=128M transparent_hugepage=never failslab=1,100,0,-1 ' +
        'fail_page_alloc=2,50,0,3 quiet cma=16M root=/dev/sda1 splash',
    )
    expect(line).toEqual({
      mem: 256 * MiB,
      cpus: 4,
      fakeNodes: 2,
      kernelcore: '30%',
      movablecore: '64M',
      hugePages: false,
      failPageAlloc: { interval: 2, probability: 50, space: 0, times: 3 },
      slab: expect.objectContaining({
        merge: false,
        slubDebug: 'FZ',
        failslab: { interval: 1, probability: 100, space: 0, times: -1 },
      }),
      vmalloc: expect.objectContaining({ hugeVmalloc: false, vmalloc: 128 * MiB }),
      ignored: ['quiet', 'cma=16M'],
      unknown: ['root=/dev/sda1', 'splash'],
    })
  })

  it('takes the smaller number of CPUs, and the last of other words', () => {
    expect(parseCommandLine('nr_cpus=4 maxcpus=2').cpus).toBe(2)
    expect(parseCommandLine('mem=1M mem=2M').mem).toBe(2 * MiB)
    expect(parseCommandLine('transparent_hugepage=madvise').hugePages).toBe(true)
    expect(parseCommandLine('')).toMatchObject({ ignored: [], unknown: [] })
  })

  it.each([
    'mem=',
    'mem=lots',
    'mem',
    'nr_cpus=0',
    'nr_cpus=two',
    'maxcpus=2000',
    'numa=off',
    'numa=fake=0',
    'numa=fake=65',
    'transparent_hugepage=perhaps',
    'fail_page_alloc=1,2',
    'slub_min_order=x',
    'vmalloc=x',
  ])('refuses %s', (word) => {
    expect(() => parseCommandLine(`quiet ${word}`)).toThrow(InvalidArgument)
  })

  it('refuses what is no text', () => {
    expect(() => parseCommandLine(1 as never)).toThrow(InvalidArgument)
  })
})
