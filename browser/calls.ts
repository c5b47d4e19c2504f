/** A few calls of each kind: what page and worker make in turn. */

import { GFP_KERNEL, type Machine } from 'kmem'

/** Makes the calls; every answer, in order. */
export function answersOf(machine: Machine, seed: number): (number | null)[] {
  const answers: (number | null)[] = []
  for (let i = 0; i < 40; i++) {
    const size = 1 + ((seed * 7919 + i * 104729) % 50_000)
    const page = machine.allocPages(GFP_KERNEL, i % 4)
    const area = machine.vmalloc(size)
    const object = machine.kmalloc(size % 8000)
    answers.push(page, area, object)
    if (i % 3 === 0) machine.vfree(area)
    if (i % 3 === 1) machine.kfree(object)
    if (i % 3 === 2 && page !== null) machine.freePages(page, i % 4)
  }
  return answers
}
