/** The command `kmem`: its output, its exit statuses, and what it says of wrong arguments. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EXIT_DIFFERENT, EXIT_OK, EXIT_USAGE, type Io } from '../../cli/io'
import { run } from '../../cli/run'
import { KernelBug } from '../../src/base/errors'
import { Machine } from '../../src/machine/machine'
import { ZONE_FREE_PAGES } from '../../src/state/schema'
import { zoneRecord } from '../../src/zone/zones'

const TRACE = fileURLToPath(
  new URL('../fixtures/traces/short-all-events.ftrace.gz', import.meta.url),
)
const STATE = TRACE.replace('.ftrace.gz', '.state.json')

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kmem-cli-'))
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

interface Answer {
  readonly status: number
  readonly out: string
  readonly err: string
  readonly shown: number
}

function kmem(...args: string[]): Answer {
  const out: string[] = []
  const err: string[] = []
  let shown = 0
  const io: Io = {
    out: (line) => out.push(line),
    err: (line) => err.push(line),
    progress(part) {
      expect(part).toBeGreaterThanOrEqual(0)
      expect(part).toBeLessThanOrEqual(1)
      shown += 1
    },
    endProgress() {},
  }
  return { status: run(args, io), out: out.join('\n'), err: err.join('\n'), shown }
}

function file(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

describe('kmem', () => {
  it('tells what there is', () => {
    expect(kmem()).toMatchObject({ status: EXIT_USAGE, out: expect.stringContaining('replay') })
    expect(kmem('--help')).toMatchObject({ status: EXIT_OK, out: expect.stringContaining('boot') })
    expect(kmem('replay', '--help').out).toContain('--state FILE')
    expect(kmem('boot', '-h').out).toContain('--layout NAME')
    expect(kmem('brew')).toMatchObject({
      status: EXIT_USAGE,
      err: expect.stringContaining('no command brew'),
    })
    expect(kmem('toString').status).toBe(EXIT_USAGE)
  })
})

describe('kmem replay', () => {
  it('replays a real capture, gzip and all, and finds every frame the same', () => {
    const svg = join(folder, 'out.svg')
    const { status, out, shown } = kmem('replay', TRACE, '--state', STATE, '--svg', svg)
    expect(status).toBe(EXIT_OK)
    expect(out).toMatch(/^events +25,430$/m)
    expect(out).toMatch(/^different +0$/m)
    expect(out).toMatch(/^state at the end +the same$/m)
    expect(out).toContain('Node 0, zone')
    expect(shown).toBeGreaterThan(0)
    expect(readFileSync(svg, 'utf8')).toMatch(/^<svg /)
  })

  it('prints JSON', () => {
    const { status, out } = kmem('replay', TRACE, '--state', STATE, '--json')
    expect(status).toBe(EXIT_OK)
    expect(JSON.parse(out)).toMatchObject({ events: 25430, different: 0, sameEnd: true })
  })

  it('without a state makes the calls on a fresh machine', () => {
    const { status, out } = kmem('replay', TRACE, '--ram', '1GiB', '--json')
    expect(status).toBe(EXIT_OK)
    expect(JSON.parse(out)).toMatchObject({ events: 25430, sameEnd: null })
  })

  it('ends with 1 when something differs', () => {
    const states = JSON.parse(readFileSync(STATE, 'utf8'))
    states.after.zones[0].free += 1
    const path = file('other.json', JSON.stringify(states))
    const { status, out } = kmem('replay', TRACE, '--state', path)
    expect(status).toBe(EXIT_DIFFERENT)
    expect(out).toMatch(/^state at the end +different$/m)
  })

  it.each([
    ['no file', []],
    ['two files', ['a', 'b']],
    ['a file that is not there', ['/nowhere/trace']],
    ['an unknown option', ['--fast', TRACE]],
    ['a size that is none', [TRACE, '--ram', 'much']],
    ['a state that is not there', [TRACE, '--state', '/nowhere/state']],
    ['a picture that cannot be written', [TRACE, '--svg', '/nowhere/x.svg']],
  ])('refuses %s', (_name, args) => {
    const { status, out, err } = kmem('replay', ...args)
    expect(status).toBe(EXIT_USAGE)
    expect(out).toBe('')
    expect(err).toMatch(/^kmem replay: /)
    expect(err).not.toContain('    at ')
  })

  it('refuses states and traces that are none', () => {
    for (const content of ['{', '[]', 'null', '{"before":{}}']) {
      const answer = kmem('replay', TRACE, '--state', file('bad.json', content))
      expect(answer).toMatchObject({ status: EXIT_USAGE, out: '' })
    }
    expect(kmem('replay', file('empty.ftrace', 'nothing\n')).err).toContain('no page events')
  })
})

describe('kmem boot', () => {
  it('prints texts of /proc', () => {
    const answer = kmem('boot', 'movablecore=128M', '--proc', 'buddyinfo', '--proc', 'meminfo')
    expect(answer.status).toBe(EXIT_OK)
    expect(answer.out).toMatch(/^Node 0, zone +Movable/m)
    expect(answer.out).toMatch(/^MemTotal: +\d+ kB$/m)
    expect(answer.err).toBe('')
  })

  it('tells of words that do nothing, and of unknown ones', () => {
    const { status, err } = kmem('boot', 'quiet', 'rhubarb', '--ram', '64MiB')
    expect(status).toBe(EXIT_OK)
    expect(err).toBe('quiet has no effect here\nrhubarb is unknown')
  })

  it('prints the log, and addresses of x86_64', () => {
    const args = ['--ram', '64MiB', '--layout', 'x86_64', '--log', '--proc', 'vmallocinfo']
    const { out } = kmem('boot', 'slab_nomerge', ...args)
    expect(out).toContain('Kernel command line: slab_nomerge')
    expect(out).toContain('Zone ranges:')
  })

  it.each([
    ['a wrong word', ['numa=fake=0']],
    ['a wrong size', ['--ram', 'x']],
    ['a wrong number of CPUs', ['--cpus', 'two']],
    ['an unknown layout', ['--layout', 'round']],
    ['an unknown text', ['--ram', '64MiB', '--proc', 'cpuinfo']],
  ])('refuses %s', (_name, args) => {
    const { status, err } = kmem('boot', ...args)
    expect(status).toBe(EXIT_USAGE)
    expect(err).toMatch(/^kmem boot: /)
  })
})

describe('kmem inspect and kmem verify', () => {
  function saved(): string {
    const path = join(folder, 'machine.kmem')
    expect(kmem('boot', '--ram', '32MiB', '--save', path).status).toBe(EXIT_OK)
    return path
  }

  it('tell what a saved machine holds', () => {
    const path = saved()
    expect(kmem('verify', path)).toMatchObject({ status: EXIT_OK, out: 'every invariant holds' })
    expect(kmem('verify', path, '--json').out).toBe('[]')
    expect(kmem('inspect', path, 'pfn:0x1000').out).toMatch(/zone/i)
    expect(kmem('inspect', path, '0000000001000000').out).toMatch(/page/i)
    expect(JSON.parse(kmem('inspect', path, '1000000', '--json').out)).toMatchObject({
      where: 'direct map',
    })
  })

  it('end with 1 for a broken state', () => {
    const m = Machine.boot({ ram: '32MiB' })
    const zone = zoneRecord(m.pages.words, 0, 0)
    m.pages.words[zone + ZONE_FREE_PAGES] = 1
    const path = join(folder, 'broken.kmem')
    writeFileSync(path, m.save())
    const { status, out } = kmem('verify', path)
    expect(status).toBe(EXIT_DIFFERENT)
    expect(out).toContain('pages ZONE-2')
  })

  it('refuse what is no snapshot, and no address', () => {
    const path = saved()
    const bytes = readFileSync(path)
    const short = join(folder, 'short.kmem')
    writeFileSync(short, bytes.subarray(0, bytes.length - 1))
    for (const args of [
      ['verify', short],
      ['verify', TRACE],
      ['verify', '/nowhere'],
      ['verify'],
      ['inspect', path],
      ['inspect', path, 'here'],
      ['inspect', path, '1', '2'],
      ['inspect', short, '1000'],
    ]) {
      const { status, out, err } = kmem(...args)
      expect(status, args.join(' ')).toBe(EXIT_USAGE)
      expect(out).toBe('')
      expect(err).not.toContain('    at ')
    }
  })
})

describe('a bug in an allocator', () => {
  it('is told with its stack, though it has a code as wrong usage has', () => {
    const err: string[] = []
    const out = () => {
      throw new KernelBug('DOUBLE_FREE', 'is already free')
    }
    const io = { out, err: (line: string) => err.push(line) } as unknown as Io
    expect(run(['boot', '--proc', 'buddyinfo'], io)).toBe(EXIT_USAGE)
    expect(err.join('\n')).toMatch(/KernelBug: is already free\n +at /)
  })
})
