/**
 * What the processor is allowed at the moment, and the rights that each kind of access needs because of it.
 *
 * Source: spec/vmalloc.md §13.2, §13.4, §13.5.
 */

import { InvalidArgument } from '../base/errors'
import type { Architecture } from './accessRights'
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE } from './pageFault'

/** Bits of the processor's mode, all off by default. Those that an architecture does not have say nothing. */
export interface AccessMode {
  /** User mode: only pages of the user. */
  readonly user?: boolean
  /** x86, CR4.SMEP: the kernel executes no page of the user. */
  readonly smep?: boolean
  /** x86, CR4.SMAP with EFLAGS.AC = 0: the kernel reads and writes no page of the user. */
  readonly smap?: boolean
  /** RISC-V, sstatus.SUM: the kernel may read and write pages of the user. */
  readonly sum?: boolean
  /** RISC-V, sstatus.MXR: what may be executed may be read. */
  readonly mxr?: boolean
  /** AArch64, PSTATE.PAN: the kernel reads and writes no page of the user. */
  readonly pan?: boolean
}

const MODE_BITS = ['user', 'smep', 'smap', 'sum', 'mxr', 'pan'] as const

/**
 * Checks the bits that are given.
 * @throws InvalidArgument for one that is not a boolean.
 */
export function checkMode(mode: AccessMode): void {
  for (const bit of MODE_BITS) {
    const value: unknown = mode[bit]
    if (value !== undefined && typeof value !== 'boolean') {
      throw new InvalidArgument(bit, value, 'true or false')
    }
  }
}

/** A mode that changes. */
export class ModeBits {
  user = false
  smep = false
  /** By ACCESS_ bits: RIGHTS_ bits, one of which must be there; 0 for what is no access. */
  readonly need = new Int32Array(8)
  private readonly architecture: Architecture
  private smap = false
  private sum = false
  private mxr = false
  private pan = false

  constructor(architecture: Architecture) {
    this.architecture = architecture
    this.setNeed()
  }

  /** Changes the bits that are given. */
  set(mode: AccessMode): void {
    checkMode(mode)
    for (const bit of MODE_BITS) this[bit] = mode[bit] ?? this[bit]
    this.setNeed()
  }

  private setNeed(): void {
    const { user, architecture, need } = this
    const group = user ? 3 : 0
    const data = !user && this.kernelUsesUserData()
    // The kernel of RISC-V never executes pages of the user; for AArch64 it is the entry that says so.
    const fetch = !user && architecture !== 'riscv' && !(architecture === 'x86' && this.smep)
    const executable = architecture === 'riscv' && this.mxr
    const read = executable ? ACCESS_READ | ACCESS_EXECUTE : ACCESS_READ
    need[ACCESS_READ] = (read << group) | (data ? read << 6 : 0)
    need[ACCESS_WRITE] = (ACCESS_WRITE << group) | (data ? ACCESS_WRITE << 6 : 0)
    need[ACCESS_READ | ACCESS_WRITE] = need[ACCESS_WRITE]!
    need[ACCESS_EXECUTE] = (ACCESS_EXECUTE << group) | (fetch ? ACCESS_EXECUTE << 6 : 0)
  }

  private kernelUsesUserData(): boolean {
    switch (this.architecture) {
      case 'x86':
        return !this.smap
      case 'riscv':
        return this.sum
      case 'arm64':
        return !this.pan
    }
  }
}
