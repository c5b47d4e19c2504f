/** Memory for modules, in a window of its own. Source: spec/vmalloc.md §2, §6.1. */

import { InvalidArgument } from '../base/errors'
import { PAGE_SIZE, type VirtAddr } from '../base/units'
import { checkSize } from './checks'
import { VM_FLUSH_RESET_PERMS } from './flags'
import type { Vmalloc } from './vmalloc'

/**
 * Allocates memory for a module, in the window of modules: `module_alloc`. It is to be written, then protected; freeing
 * it flushes what may have been executed.
 * @returns the address; null when there is no memory, and for more than the window.
 * @throws InvalidArgument for a layout without such a window.
 */
export function moduleAlloc(vm: Vmalloc, size: number): VirtAddr | null {
  checkSize(size)
  const { layout } = vm.context
  const { modules } = layout
  if (!modules) throw new InvalidArgument('layout', layout.name, 'one with a window of modules')
  if (Math.ceil(size / PAGE_SIZE) * PAGE_SIZE > modules.end - modules.start) return null
  return vm.vmallocNodeRange(size, { align: PAGE_SIZE, ...modules, flags: VM_FLUSH_RESET_PERMS })
}
