/** The flags in front of an event's time, as far as an allocator knows them. */

import { CONTEXT_ATOMIC, CONTEXT_INTERRUPT } from '../buddy/contextBits'
import { FTRACE_EXTFRAG, FTRACE_PCPU_DRAIN, FTRACE_ZONE_LOCKED } from './ftraceEvents'

/** Bit: 1 interrupts are off, `d`; 0 they may come. */
const IRQS_OFF = 1
/** Bit: 1 in an interrupt, `s`; 0 in a task. */
const INTERRUPT = 2
/** Bit: 1 preemption is off, `1`; 0 it is on. */
const NO_PREEMPTION = 4

/**
 * The flags of an event of `kind` in a context (CONTEXT_ bits), as a number.
 *
 * The lock of a zone is held, and interrupts are off, for the three events that tell of its lists
 * *[measured: all 60,961 of the recordings]*. An interrupt is printed as a softirq.
 */
export function traceFlags(kind: number, contextBits: number): number {
  const zone = kind === FTRACE_ZONE_LOCKED || kind === FTRACE_PCPU_DRAIN || kind === FTRACE_EXTFRAG
  const off = zone ? IRQS_OFF : 0
  if ((contextBits & CONTEXT_INTERRUPT) !== 0) return off | INTERRUPT
  return (contextBits & CONTEXT_ATOMIC) !== 0 ? off | NO_PREEMPTION : off
}

/** The text of such a number: `d.s..`. */
export function traceFlagsText(flags: number): string {
  const off = (flags & IRQS_OFF) === 0 ? '.' : 'd'
  const interrupt = (flags & INTERRUPT) === 0 ? '.' : 's'
  const depth = (flags & NO_PREEMPTION) === 0 ? '.' : '1'
  return `${off}.${interrupt}${depth}.`
}
