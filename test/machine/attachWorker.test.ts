/** One machine in two threads: a real worker attaches to its shared memory, and both work in turn. */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { Machine } from '../../src/machine/machine'
import type { AttachOptions } from '../../src/machine/machineOptions'
import { bundled } from '../support/bundled'
import type { Done, Task } from './attachWorker'
import { work } from './work'

const CONFIGS = [
  { name: 'a flat layout', options: { shared: true } },
  {
    name: 'x86_64 with two CPUs',
    options: { shared: true, layout: LAYOUT_X86_64, cpus: 2, cmdline: 'slab_nomerge' },
  },
] as const satisfies readonly { name: string; options: AttachOptions }[]

const ROUNDS = 100

let worker: Worker
beforeAll(async () => {
  worker = new Worker(await bundled('test/machine/attachWorker.ts', 'cjs'), { eval: true })
})
afterAll(() => worker.terminate())

async function turnOf(task: Task): Promise<Done> {
  worker.postMessage(task)
  const [done] = (await once(worker, 'message')) as [Done]
  return done
}

describe.each(CONFIGS)('a worker on a machine of $name', ({ options }) => {
  const boot = () => Machine.boot({ ram: '16MiB', ...options })

  it('goes on in turn with it, as one machine would have', async () => {
    const m = boot()
    const one = boot()
    const alone: number[] = []
    let live: number[] = []
    for (let turn = 0; turn < 6; turn += 2) {
      expect(work(m, live, ROUNDS, turn)).toEqual(work(one, alone, ROUNDS, turn))
      const attach = { buffers: m.buffers, options }
      const task = { resume: true, live, rounds: ROUNDS, seed: turn + 1 }
      // The first time it attaches, later it resumes.
      const done = await turnOf(turn === 0 ? { ...task, attach } : task)
      expect(done.error).toBeNull()
      expect(done.answers).toEqual(work(one, alone, ROUNDS, turn + 1))
      expect(done.broken).toEqual([])
      live = done.live
      // All that the other thread wrote is here.
      expect(m.hash()).toBe(done.hash)
      expect(m.hash()).toBe(one.hash())
      expect(() => m.kmalloc(100)).toThrow(/call resume\(\)/)
      m.resume()
      expect(m.verify()).toEqual([])
    }
    while (live.length > 0) m.kvfree(live.pop() as Parameters<Machine['kvfree']>[0])
    expect(m.verify()).toEqual([])
  })

  it('is refused by the worker’s machine when it goes on without its turn', async () => {
    const m = boot()
    const task = { live: [], rounds: 5, seed: 1 }
    const attach = { buffers: m.buffers, options }
    expect((await turnOf({ ...task, attach, resume: false })).error).toBeNull()
    m.resume()
    const before = m.hash()
    expect((await turnOf({ ...task, resume: false })).error).toContain('call resume()')
    expect(m.hash()).toBe(before)
    work(m, [], 5, 2)
    expect((await turnOf({ ...task, resume: true })).error).toBeNull()
  })
})
