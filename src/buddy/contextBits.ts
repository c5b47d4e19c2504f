/** What the running code is and may do: bits, in a file without imports so that they fold. */

/** Context bit: preemption is off; sleeping is a bug. */
export const CONTEXT_ATOMIC = 1
/** Context bit: the task reclaims, so it may use all reserves (PF_MEMALLOC). */
export const CONTEXT_MEMALLOC = 2
/** Context bit: the task may not start I/O (PF_MEMALLOC_NOIO). */
export const CONTEXT_NOIO = 4
/** Context bit: the task may not enter filesystems (PF_MEMALLOC_NOFS). */
export const CONTEXT_NOFS = 8
/** Context bit: the task pins pages, so MOVABLE ones are no use to it (PF_MEMALLOC_PIN). */
export const CONTEXT_PIN = 16
/** Context bit: a real-time task. */
export const CONTEXT_REALTIME = 32
/** Context bit: the OOM killer chose the task. */
export const CONTEXT_OOM_VICTIM = 64
/** Context bit: in an interrupt, hard or soft; the task's own bits do not count there. */
export const CONTEXT_INTERRUPT = 128
