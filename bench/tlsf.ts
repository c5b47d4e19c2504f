/** AssemblyScript's TLSF allocator, compiled on the spot: the allocator inside its `minimal` runtime. */

import asc from 'assemblyscript/asc'

/** A module whose only exports are the allocator. */
const SOURCE = `
  export function alloc(bytes: usize): usize { return heap.alloc(bytes) }
  export function free(block: usize): void { heap.free(block) }
  export function base(): usize { return __heap_base }
`

export interface TlsfExports {
  /** The address of a block of `bytes` bytes; traps when the 4 GiB of wasm32 are used up. */
  readonly alloc: (bytes: number) => number
  readonly free: (block: number) => void
  /** Where its memory starts: its own tables, then blocks. */
  readonly base: () => number
}

/** Compiles once; each call of the result is a heap of its own. */
export async function compileTlsf(): Promise<() => TlsfExports> {
  const { error, binary, stderr } = await asc.compileString(SOURCE, {
    optimizeLevel: 3,
    runtime: 'minimal',
    use: ['abort='],
  })
  if (error !== null || binary === null) throw new Error(`asc: ${error?.message}\n${stderr}`)
  const module = new WebAssembly.Module(Uint8Array.from(binary))
  return () => new WebAssembly.Instance(module).exports as unknown as TlsfExports
}
