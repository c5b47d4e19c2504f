/** The calls of vmalloc in recordings of calls, made through the library's public interface. */

import {
  findVmAreaAt,
  formatAddress,
  freeVmArea,
  getVmAreaNode,
  kvfree,
  kvmalloc,
  loadVmallocState,
  type Pfn,
  parseAddress,
  purgeVmapAreas,
  type VirtAddr,
  type Vmalloc,
  type VmapState,
  vmAreaPages,
  vmallocState,
  vmMapRam,
  vmUnmapRam,
} from 'kmem'
import { type Answer, gfp, num, type Row } from './row'

/** What a slot holds. */
interface HeldRange {
  readonly address: VirtAddr
  /** Pages of a mapping of vm_map_ram; 0 for anything else. */
  readonly mapped: number
}

type Handler = (player: VmallocPlayer, row: Row) => Answer

const HANDLERS: Readonly<Record<string, Handler>> = {
  vmalloc_node_range: (player, row) => {
    const { vm } = player
    const { start, end } = player.window(row)
    const address = vm.vmallocNodeRange(num(row, 'size'), {
      align: num(row, 'align'),
      gfp: gfp(row),
      node: num(row, 'node'),
      flags: Number(row.vmFlags),
      start,
      end,
    })
    player.hold(num(row, 'slot'), address, 0)
    return {
      address: player.text(address),
      pfns: address === null ? null : vmAreaPages(vm, address),
    }
  },
  kvmalloc_node: (player, row) => {
    const { vm } = player
    const address = kvmalloc(vm, num(row, 'size'), gfp(row), num(row, 'node'))
    player.hold(num(row, 'slot'), address, 0)
    const virtual = address !== null && vm.isVmallocAddr(address)
    return {
      address: virtual ? player.text(address) : player.physical(address),
      pfns: virtual ? vmAreaPages(vm, address) : null,
    }
  },
  vfree: (player, row) => {
    kvfree(player.vm, player.take(num(row, 'slot'))?.address ?? null)
    return {}
  },
  get_vm_area: (player, row) => {
    const { start, end } = player.window(row)
    const address = getVmAreaNode(player.vm, num(row, 'size'), {
      align: num(row, 'align'),
      flags: Number(row.vmFlags),
      start,
      end,
    })
    player.hold(num(row, 'slot'), address, 0)
    const area = address === null ? null : findVmAreaAt(player.vm, address)
    // What a failed request recorded as its size is left over from before.
    return area === null
      ? { address: null }
      : { address: player.text(address), areaSize: area.size }
  },
  free_vm_area: (player, row) => {
    const held = player.take(num(row, 'slot'))
    if (held !== undefined) freeVmArea(player.vm, held.address)
    return {}
  },
  vm_map_ram: (player, row) => {
    const first = num(row, 'slots')
    const slots = Array.from({ length: num(row, 'count') }, (_, i) => first + i)
    const pfns = slots.flatMap((slot) => player.pageOf(slot) ?? [])
    const address = vmMapRam(player.vm, pfns)
    player.hold(num(row, 'slot'), address, pfns.length)
    return { address: player.text(address) }
  },
  vm_unmap_ram: (player, row) => {
    const held = player.take(num(row, 'slot'))
    if (held !== undefined) vmUnmapRam(player.vm, held.address, held.mapped)
    return {}
  },
  vmap_state: (player, row) => player.compareState(row),
  purge_vmap_areas: (player) => {
    purgeVmapAreas(player.vm)
    return {}
  },
  page_table_walk: (player, row) => player.walk(row),
}

/** Whether a call is one of vmalloc. */
export function isVmallocCall(call: string): boolean {
  return Object.hasOwn(HANDLERS, call)
}

/** Makes the calls of vmalloc on one machine. */
export class VmallocPlayer {
  private readonly slots = new Map<number, HeldRange>()
  /** Frames of the kernel's tables by ours, as the rows have shown them. */
  private readonly tables = new Map<number, string>()
  private loaded = false

  /**
   * @param vm the mapper to play on.
   * @param pageOf the frame that a slot of the page calls holds.
   */
  constructor(
    readonly vm: Vmalloc,
    readonly pageOf: (slot: number) => Pfn | undefined,
  ) {}

  /** Makes the call of a row; undefined for calls of other layers. */
  play(row: Row): Answer | undefined {
    return HANDLERS[String(row.call)]?.(this, row)
  }

  hold(slot: number, address: VirtAddr | null, mapped: number): void {
    if (address === null) this.slots.delete(slot)
    else this.slots.set(slot, { address, mapped })
  }

  take(slot: number): HeldRange | undefined {
    const held = this.slots.get(slot)
    this.slots.delete(slot)
    return held
  }

  /** Bounds of a request: 0 to 0 stands for the whole window. */
  window(row: Row): { readonly start: number; readonly end: number } {
    const { layout } = this.vm.context
    const [start, end] = [row.start, row.end].map((text) => parseAddress(layout, String(text)))
    if (start === undefined || end === undefined || end === 0) {
      return { start: layout.vmallocStart, end: layout.vmallocEnd }
    }
    return { start, end }
  }

  /** An address as recordings have it: in full. */
  text(address: VirtAddr | null): string | null {
    if (address === null) return null
    return `0x${formatAddress(this.vm.context.layout, address)}`
  }

  /** A physical address as recordings have it. */
  physical(address: VirtAddr | null): string | null {
    return address === null
      ? null
      : `0x${(address - this.vm.context.layout.directMap).toString(16)}`
  }

  /** The first state of a recording is the one to start from; those after it are compared. */
  compareState(row: Row): Answer {
    if (this.loaded) return { state: vmallocState(this.vm) }
    const start = row.state as VmapState
    loadVmallocState(this.vm, start)
    this.loaded = true
    // Its count is the one that a kernel may be changing while it is read.
    return { state: { ...vmallocState(this.vm), lazyPages: start.lazyPages } }
  }

  /**
   * The entries that map an area's first page. Where tables lie is the kernel's own business: their frames are
   * compared by which of them are the same.
   */
  walk(row: Row): Answer {
    const held = this.slots.get(num(row, 'slot'))
    if (held === undefined) throw new TypeError(`slot ${num(row, 'slot')} holds nothing`)
    const { entries } = this.vm.context.tables.walk(held.address)
    const answer: Answer = {}
    for (const { name, lo, hi, kind, pfn } of entries) {
      const field = name.toLowerCase()
      const value = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
      const recorded = String(row[field])
      const ours = `0x${value.toString(16)}`
      const same = kind === 'table' && (BigInt(recorded) & 0xfffn) === (value & 0xfffn)
      if (same && !this.tables.has(Number(pfn))) this.tables.set(Number(pfn), recorded)
      answer[field] = same ? this.tables.get(Number(pfn)) : ours
    }
    return answer
  }
}
