/** Bytes at kernel addresses, of the direct map and of vmalloc, for who has only addresses. */

import { InvalidArgument } from '../base/errors'
import type { VirtAddr } from '../base/units'
import { readMemory, writeMemory } from './kernelMemory'
import type { Vmalloc } from './vmalloc'

/**
 * Copies the bytes from a kernel address on into `target`.
 * @throws InvalidArgument unless there is memory behind all of them.
 */
export function readKernelMemory(vm: Vmalloc, address: VirtAddr, target: Uint8Array): void {
  checkBytes('target', target)
  readMemory(vm.context, address, target)
}

/**
 * Copies `source` to a kernel address, all or none. A protection of the page is not asked.
 * @throws InvalidArgument, with nothing changed, unless there is memory behind all of its bytes.
 */
export function writeKernelMemory(vm: Vmalloc, address: VirtAddr, source: Uint8Array): void {
  checkBytes('source', source)
  writeMemory(vm.context, address, source)
}

function checkBytes(name: string, bytes: Uint8Array): void {
  if (!(bytes instanceof Uint8Array)) throw new InvalidArgument(name, bytes, 'a Uint8Array')
}
