/**
 * The kernel's half: a program's address space, the page faults that fill it, and its calls.
 * No page is there before it is touched, not even the program's own code.
 */

import {
  __GFP_ZERO,
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  AddressSpace,
  CACHE_UC,
  GFP_HIGHUSER_MOVABLE,
  OutOfMemory,
  PAGE_SIZE,
  type Pfn,
  PROT_ACCESSED,
  PROT_DIRTY,
  PROT_EXEC,
  PROT_READ,
  PROT_USER,
  PROT_WRITE,
  pfnToPhys,
  riscvFormat,
} from 'kmem'
import { type Area, layOut, pageContent, pageOf, STACK_END } from './areas'
import { CAUSE, Core, type Trap } from './core'
import { parseElf } from './elf'
import type { Machine } from './machine'
import { type Access, type Translate, USER_END, VirtualRam } from './memory'
import { walkSv39 } from './sv39'

/** Sv39, with entries that tell how memory is cached: the device page is not. */
export const FORMAT = riscvFormat({ mode: 'sv39', svpbmt: true })

const DEVICE_PAGE = 0x1000_0000

// Numbers of calls: those of Linux, and one of our own.
const CALL_WRITE = 64n
const CALL_EXIT = 93n
const CALL_ON_FAULT = 1000n
const EBADF = -9n
const EFAULT = -14n
const ENOSYS = -38n
const WRITE_LIMIT = 65536n

// Registers.
const SP = 2
const A0 = 10
const A1 = 11
const A2 = 12
const A7 = 17

/** Each access in the words of protections, of the address space, and as a cause. */
const ACCESSES = {
  fetch: { prot: PROT_EXEC, kind: ACCESS_EXECUTE, cause: CAUSE.fetchPageFault },
  load: { prot: PROT_READ, kind: ACCESS_READ, cause: CAUSE.loadPageFault },
  store: { prot: PROT_WRITE, kind: ACCESS_WRITE, cause: CAUSE.storePageFault },
} as const

/** A program in its own address space. */
export class Process {
  readonly core: Core
  readonly space: AddressSpace
  readonly areas: readonly Area[]
  /** What it wrote. */
  output = ''
  /** How it ended; null while it runs. */
  ending: string | null = null
  /** Traps that were a fault of the program. */
  readonly badTraps: string[] = []
  /** Frames by the address of their page. They belong to the process; the device's is none of them. */
  private readonly frames = new Map<number, Pfn>()
  /** Where the program wants to go on after a bad trap; 0: it ends. */
  private onFault = 0n

  /**
   * @param argument what `main` gets.
   * @param walk let the core read the page tables by itself, instead of asking the address space.
   * @throws OutOfMemory when there is no page for the first tables.
   */
  constructor(
    private readonly machine: Machine,
    elf: Uint8Array,
    argument = 0,
    walk = false,
  ) {
    const program = parseElf(elf)
    this.areas = layOut(program)
    this.space = new AddressSpace(machine.pages, { format: FORMAT, user: true, tlb: 256 })
    const registers = PROT_READ | PROT_WRITE | CACHE_UC
    if (!this.map(DEVICE_PAGE, machine.devicePfn, registers)) {
      this.space.destroy()
      throw new OutOfMemory('no page for the first tables')
    }
    this.core = new Core(new VirtualRam(machine.ram, walk ? this.walker() : this.resolver()))
    this.core.pc = BigInt(program.entry)
    this.core.set(SP, BigInt(STACK_END))
    this.core.set(A0, BigInt(argument))
    this.core.set(A1, BigInt(this.areas.find((area) => area.name === 'heap')?.start ?? 0))
  }

  /** Pages that it has, without page tables. */
  get pages(): number {
    return this.frames.size
  }

  /** Runs until the program ends. */
  run(): void {
    while (this.ending === null) {
      const trap = this.core.step()
      if (trap !== null) this.handle(trap)
      if (this.machine.off !== null) this.ending = `power off, code ${this.machine.off}`
    }
  }

  /** Gives back pages and page tables. */
  exit(): void {
    for (const [page, pfn] of this.frames) {
      this.space.unmap(page, PAGE_SIZE)
      this.machine.pages.freePages(pfn)
    }
    this.frames.clear()
    this.space.destroy()
  }

  /** The address space as memory management unit. */
  private resolver(): Translate {
    const { space } = this
    return (address, access, bytes) => space.resolve(address, ACCESSES[access].kind, bytes)
  }

  /** The core's own: all it shares with the address space is the tables in RAM. */
  private walker(): Translate {
    const { ram } = this.machine
    const root = pfnToPhys(this.space.root)
    return (address, access) => walkSv39(ram, root, address, access)
  }

  private handle(trap: Trap): void {
    const { core } = this
    if (trap.cause === CAUSE.call) {
      core.pc += 4n
      core.set(A0, this.call(core.get(A7), core.get(A0), core.get(A1), core.get(A2)))
      return
    }
    const access = accessOf(trap.cause)
    if (access !== null && this.pageIn(Number(trap.value), access)) return
    if (this.ending !== null) return
    const what = access === null ? 'trap' : `${access} page fault`
    const report = `${what}, cause ${trap.cause}, at ${hex(trap.value)}, pc ${hex(core.pc)}`
    this.badTraps.push(report)
    if (this.onFault === 0n) {
      this.ending = `killed: ${report}`
      return
    }
    core.pc = this.onFault
    core.set(A0, BigInt(trap.cause))
    this.onFault = 0n
  }

  private call(what: bigint, a0: bigint, a1: bigint, a2: bigint): bigint {
    switch (what) {
      case CALL_WRITE:
        return a0 === 1n ? this.write(a1, a2) : EBADF
      case CALL_EXIT:
        this.ending = `exit, code ${BigInt.asIntN(32, a0)}`
        return 0n
      case CALL_ON_FAULT:
        this.onFault = a0
        return 0n
      default:
        return ENOSYS
    }
  }

  /** Takes bytes of the program. They may lie on pages that are still to come. */
  private write(from: bigint, bytes: bigint): bigint {
    if (from < 0n || bytes < 0n || from + bytes > BigInt(USER_END)) return EFAULT
    const start = Number(from)
    const text = new Uint8Array(Number(bytes < WRITE_LIMIT ? bytes : WRITE_LIMIT))
    let done = 0
    while (done < text.length) {
      done += this.space.readPartial(start + done, text.subarray(done))
      if (done < text.length && !this.pageIn(start + done, 'load')) return EFAULT
    }
    this.output += new TextDecoder().decode(text)
    return BigInt(text.length)
  }

  /** Gives a page to an address that may have one. False: it may not, or the program has ended. */
  private pageIn(address: number, access: Access): boolean {
    const area = this.areas.find(({ start, end }) => start <= address && address < end)
    if (area === undefined || (area.prot & ACCESSES[access].prot) === 0) return false
    const { pages, ram } = this.machine
    const pfn = pages.allocPages(GFP_HIGHUSER_MOVABLE | __GFP_ZERO)
    if (pfn === null) return this.outOfMemory()
    const page = pageOf(address)
    const content = pageContent(area, page)
    if (content !== null) {
      ram.bytes(pfnToPhys(pfn) + content.at, content.bytes.length).set(content.bytes)
    }
    if (!this.map(page, pfn, area.prot)) {
      pages.freePages(pfn)
      return this.outOfMemory()
    }
    this.frames.set(page, pfn)
    area.faults++
    return true
  }

  private outOfMemory(): false {
    this.ending = 'killed: out of memory'
    return false
  }

  /** Maps a page for user mode. The core does not mark pages as used or written: they are, in advance. */
  private map(page: number, pfn: Pfn, prot: number): boolean {
    const written = (prot & PROT_WRITE) !== 0 ? PROT_DIRTY : 0
    return this.space.map(page, pfn, 1, prot | PROT_USER | PROT_ACCESSED | written)
  }
}

function accessOf(cause: number): Access | null {
  for (const access of ['fetch', 'load', 'store'] as const) {
    if (ACCESSES[access].cause === cause) return access
  }
  return null
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`
}
