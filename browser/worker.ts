/** A worker that works on the machine of the page: it attaches, makes its calls, and tells what it was answered. */

import { type AttachOptions, Machine, type MachineBuffers, type VirtAddr } from 'kmem'
import { answersOf } from './calls'

/** What the page sends. */
export interface Task {
  readonly buffers: MachineBuffers
  readonly options: AttachOptions
  /** What the page has allocated, for the worker to free. */
  readonly address: VirtAddr | null
  readonly seed: number
}

/** What comes back. */
export interface Done {
  readonly answers: readonly (number | null)[]
  readonly hash: string
  readonly broken: number
}

self.onmessage = ({ data }: MessageEvent<Task>) => {
  const machine = Machine.attach(data.buffers, data.options)
  machine.kfree(data.address)
  const answers = answersOf(machine, data.seed)
  const done: Done = { answers, hash: machine.hash(), broken: machine.verify().length }
  self.postMessage(done)
}
