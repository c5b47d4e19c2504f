/** The other side of `attachWorker.test.ts`: a thread of its own with its own copy of the library. */

import { parentPort } from 'node:worker_threads'
import { Machine } from '../../src/machine/machine'
import type { MachineBuffers } from '../../src/machine/machineBuffers'
import type { AttachOptions } from '../../src/machine/machineOptions'
import { work } from './work'

/** A turn. */
export interface Task {
  /** What to attach to; the machine of the last turn goes on without it. */
  readonly attach?: { readonly buffers: MachineBuffers; readonly options: AttachOptions }
  /** False to go on without `resume()`. */
  readonly resume: boolean
  /** What is allocated, by whomever. */
  readonly live: number[]
  readonly rounds: number
  readonly seed: number
}

/** What came of it. */
export interface Done {
  readonly answers: readonly number[]
  readonly live: number[]
  readonly hash: string
  readonly broken: readonly unknown[]
  /** What was thrown, in place of all that. */
  readonly error: string | null
}

let machine: Machine | null = null

function play({ attach, resume, live, rounds, seed }: Task): Done {
  try {
    if (attach !== undefined) machine = Machine.attach(attach.buffers, attach.options)
    if (machine === null) throw new Error('nothing to work on')
    if (resume) machine.resume()
    const answers = work(machine, live, rounds, seed)
    return { answers, live, hash: machine.hash(), broken: machine.verify(), error: null }
  } catch (error) {
    return { answers: [], live, hash: '', broken: [], error: String(error) }
  }
}

parentPort?.on('message', (task: Task) => parentPort?.postMessage(play(task)))
