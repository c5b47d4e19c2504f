/** Functions that throw at the first call, at the second, and so on, and what has to hold afterwards. */

import { expect } from 'vitest'
import {
  allocPagesBulk,
  freePagesList,
  GFP_KERNEL,
  Machine,
  type MachineOptions,
  MiB,
  PAGE_SIZE,
  SlabCache,
} from '../../src/index'
import { Thrown } from './machines'
import { counted, survey } from './survey'

/** A function that throws at its `n`th call from {@link Bomb.arm} on, and at none without that. */
export class Bomb {
  calls = 0
  private nth = 0

  arm(nth: number): void {
    this.calls = 0
    this.nth = nth
  }

  readonly tick = (): void => {
    this.calls += 1
    if (this.calls === this.nth) throw new Thrown(`call ${this.nth}`)
  }
}

/** First address of memory. */
export const BASE = 14 * MiB

/** A machine that has had an area. */
export function machine(options: Partial<MachineOptions> = {}): Machine {
  const m = Machine.boot({ ram: 4 * MiB, base: BASE, ...options })
  // The first area makes the slabs of descriptors, and leaves the CPU's spare object.
  m.vfree(m.vmalloc(PAGE_SIZE))
  return m
}

/** What a scenario has to say about a machine. */
export interface Scenario {
  readonly m: Machine
  /** Makes calls, and gives back whatever they got. What they throw is let through. */
  readonly act: () => void
  /** Gives back what calls before the one that threw have got. */
  readonly release?: () => void
  /** Whether the error comes out; true when not given. */
  readonly comesOut?: boolean
}

/** The bomb goes off at the first call, the second, and so on; returns how often it did. */
export function blowUp(make: (bomb: Bomb) => Scenario, most = 8): number {
  for (let n = 1; n <= most; n++) {
    const bomb = new Bomb()
    const { m, act, release, comesOut = true } = make(bomb)
    const before = counted(survey(m))
    bomb.arm(n)
    let thrown = false
    try {
      act()
    } catch (error) {
      expect(error).toBeInstanceOf(Thrown)
      thrown = true
    }
    const went = bomb.calls >= n
    bomb.arm(0)
    expect(thrown, `call ${n}`).toBe(went && comesOut)
    expect(m.verify(), `call ${n}`).toEqual([])
    release?.()
    expect(counted(survey(m)), `call ${n}`).toEqual(before)
    act()
    expect(m.verify(), `call ${n}, again`).toEqual([])
    release?.()
    if (!went) return n - 1
  }
  return most
}

/** Calls of all layers, each of which gives back what it got; what is left by an error is given back by `release`. */
export function workload(m: Machine): Required<Pick<Scenario, 'act' | 'release'>> {
  const undo: (() => void)[] = []
  const cache = new SlabCache(m.slabs, { name: 'work', size: 300, usersize: 300 })
  const got = <T>(value: T | null, free: (value: T) => void): void => {
    if (value !== null) undo.push(() => free(value))
  }
  const release = () => {
    // What cannot be given back because of an error is still there, to be given back later.
    for (let free = undo.at(-1); free !== undefined; free = undo.at(-1)) {
      free()
      undo.pop()
    }
  }
  return {
    release,
    act: () => {
      got(m.allocPages(GFP_KERNEL, 3), (pfn) => m.freePages(pfn, 3))
      got(allocPagesBulk(m.pages, GFP_KERNEL, 5), (pfns) => freePagesList(m.pages, pfns))
      got(m.kmalloc(5000), (p) => m.kfree(p))
      got(m.kzalloc(20_000), (p) => m.kfree(p))
      got(cache.alloc(), (object) => cache.free(object))
      got(m.vmalloc(3 * PAGE_SIZE), (p) => m.vfree(p))
      release()
      m.pages.drainAllPages()
    },
  }
}
