/** A device with managed resources on a heap of its own, for tests. */

import { __GFP_ZERO, type BuddyAllocator, GFP_KERNEL } from '../../src/index'
import { Devres } from '../../src/slab/devres'
import type { Device } from '../../src/slab/dmaCoherent'
import { type HeapMachine, heapMachine } from './heapMachine'

/** The device. */
export const DEVICE: Device = { name: 'nic0', node: -1, dmaMask: 0xffffffff }
/** The mask of most requests for zeroed memory, as the heap's calls are written down. */
export const ZEROED = (GFP_KERNEL | __GFP_ZERO).toString(16)

/** A machine and a device on it. */
export function managed(device = DEVICE): {
  machine: HeapMachine
  dev: Devres
  pages: BuddyAllocator
} {
  const machine = heapMachine()
  return { machine, dev: new Devres(machine.heap, device), pages: machine.pages }
}

/** The heap's object of a record's data. */
export function object(data: number): string {
  return (data - 40).toString(16)
}
