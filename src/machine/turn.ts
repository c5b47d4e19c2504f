/**
 * Whose turn it is on the buffers of a machine. One word beside them counts the turns that were taken; a machine knows
 * the number of its own last one, and another number there means that some other machine has taken over since.
 *
 *     word     1 ──────── 2 ──────────────── 3 ────────
 *              A attach   B attach           A resume
 *     turn of  A          B, and A must not  A, and B must not
 *
 * It is in a buffer of its own: states, their hashes and snapshots do not depend on who made them.
 */

import { InvalidArgument, KernelBug } from '../base/errors'
import type { RamBuffer } from '../ram/backing'

/** Bytes of the buffer. */
const TURN_BYTES = 4

/** What one machine knows of it. */
export class Turn {
  private readonly words: Int32Array
  /** Number of the turn that this machine took last. */
  private mine: number

  /** Knows the number of now, and so may work until another machine takes a turn. */
  constructor(buffer: RamBuffer) {
    this.words = new Int32Array(buffer)
    this.mine = this.words[0]!
  }

  /** The buffer that all machines of one state share. */
  get buffer(): RamBuffer {
    return this.words.buffer as RamBuffer
  }

  /** Takes the turn from whoever has it. */
  take(): void {
    this.mine = (Atomics.add(this.words, 0, 1) + 1) | 0
  }

  /** @throws KernelBug NOT_ITS_TURN when another machine has taken the turn. */
  check(): void {
    if (this.words[0] !== this.mine) throw notItsTurn()
  }
}

/** A buffer for the turns of a new machine. */
export function newTurn(shared: boolean): RamBuffer {
  return shared ? new SharedArrayBuffer(TURN_BYTES) : new ArrayBuffer(TURN_BYTES)
}

/** @throws InvalidArgument for a buffer that counts no turns. */
export function checkTurn(buffer: RamBuffer): void {
  if (buffer.byteLength === TURN_BYTES) return
  throw new InvalidArgument('buffers.turn', `${buffer.byteLength} bytes`, `${TURN_BYTES} bytes`)
}

function notItsTurn(): KernelBug {
  return new KernelBug(
    'NOT_ITS_TURN',
    'another machine has taken its turn on these buffers; call resume() before this one goes on',
  )
}
