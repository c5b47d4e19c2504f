/**
 * Hostile calls: wrong arguments, things freed twice, things freed that are somebody else's or nobody's. Each has to be
 * refused with an InvalidArgument or a KernelBug, and may not change a word of the state.
 */

import {
  findVmAreaAt,
  freePagesExact,
  freePagesList,
  freeVmArea,
  InvalidArgument,
  inspect,
  inspectPfn,
  KernelBug,
  kfreeBulk,
  kmemCacheFreeBulk,
  kvfree,
  PAGE_SIZE,
  type Pfn,
  putPage,
  splitPage,
  type VirtAddr,
  vmap,
  vmMapRam,
  vmUnmapRam,
} from '../../src/index'
import { NO_INTEGERS, WITH_ARGUMENT } from './hostileArguments'
import type { Live, LiveArea } from './live'
import type { Call } from './script'
import type { Operation, Simulation } from './simulation'
import { stateHash } from './stateHash'
import { Violation } from './violation'

export const HOSTILE_CALLS: Readonly<Record<string, Operation>> = {
  'hostile.argument': {
    weight: 0.5,
    inInterrupt: true,
    run(s, { a, b }) {
      const call = WITH_ARGUMENT[a % WITH_ARGUMENT.length]!
      const value = NO_INTEGERS[b % NO_INTEGERS.length]!
      expectRefused(s, b, `${call} with ${String(value)}`, () => call(s, value as number))
    },
  },
  'hostile.doubleFree': {
    weight: 0.4,
    inInterrupt: true,
    run(s, { a, b }) {
      const grave = s.graves[a % Math.max(1, s.graves.length)]
      if (grave === undefined) return
      const { machine: m } = s
      const { at, order, cache } = grave
      switch (grave.kind) {
        case 'block': {
          const pfn = at as Pfn
          if (!isFree(s, pfn)) return
          const ways = [
            () => m.freePages(pfn, order),
            () => freePagesList(m.pages, [pfn]),
            () => putPage(m.pages, pfn),
            () => freePagesExact(m.pages, pfn, 1),
            () => splitPage(m.pages, pfn, order),
            () => vmap(m.vm, [pfn]),
          ]
          return expectRefused(s, b, `pfn ${at} freed again`, ways[b % ways.length]!)
        }
        case 'object': {
          const object = at as VirtAddr
          const entry = s.caches.get(cache)
          if (entry === undefined || entry.gone || !isNothing(s, at)) return
          const ways = [
            () => entry.cache.free(object),
            () => kmemCacheFreeBulk(entry.cache, [object]),
            () => m.kfree(object),
          ]
          return expectRefused(s, b, `object ${at} freed again`, ways[b % ways.length]!)
        }
        case 'memory': {
          const p = at as VirtAddr
          if (!isNothing(s, at)) return
          const ways = [
            () => m.kfree(p),
            () => kfreeBulk(m.heap, [p]),
            () => kvfree(m.vm, p),
            // Checks of debug caches come with a free, not with these.
            ...(s.debugging ? [] : [() => m.krealloc(p, 10), () => m.heap.ksize(p)]),
          ]
          return expectRefused(s, b, `memory ${at} freed again`, ways[b % ways.length]!)
        }
        case 'area': {
          const address = at as VirtAddr
          if (findVmAreaAt(m.vm, address) !== null) return
          if (s.live.items.some((item) => item.kind === 'area' && holds(item, at))) return
          const ways = [
            () => m.vfree(address),
            () => freeVmArea(m.vm, address),
            () => m.vm.vunmap(address),
            () => vmUnmapRam(m.vm, address, Math.max(1, order)),
          ]
          return expectRefused(s, b, `area ${at} freed again`, ways[b % ways.length]!)
        }
      }
    },
  },
  'hostile.free': {
    weight: 0.5,
    inInterrupt: true,
    run(s, call) {
      const item = s.live.pick(call.a, call.at)
      if (item === undefined) return
      const wrong = wrongFree(s, item, call)
      if (wrong !== null) expectRefused(s, call.b, `a wrong free of ${item.kind} ${item.id}`, wrong)
    },
  },
  'hostile.foreign': {
    weight: 0.3,
    inInterrupt: true,
    run(s, { a, b }) {
      const { machine: m } = s
      const far = [m.ram.end, m.ram.end + 2 ** 30, 2 ** 46, 2 ** 52][a % 4]! + (b % 4096)
      const pfn = Math.floor(far / PAGE_SIZE) as Pfn
      const ways = [
        () => m.freePages(pfn),
        () => freePagesList(m.pages, [pfn]),
        () => putPage(m.pages, pfn),
        () => m.kfree(far as VirtAddr),
        () => m.krealloc(far as VirtAddr, 10),
        () => kfreeBulk(m.heap, [far as VirtAddr]),
        () => m.vfree(far as VirtAddr),
        () => kvfree(m.vm, far as VirtAddr),
        () => vmMapRam(m.vm, [pfn]),
        () => m.restore(new Uint8Array(a % 4096)),
      ]
      expectRefused(s, b, `something at ${far}`, ways[b % ways.length]!)
    },
  },
}

/** A way to free something wrongly. */
function wrongFree(s: Simulation, item: Live, { b, c }: Call): (() => unknown) | null {
  const { machine: m } = s
  switch (item.kind) {
    case 'block': {
      const { pfn, order, refs } = item
      const { directMap } = m.vm.context.layout
      const other = (order + 1 + (c % 10)) % 11
      const inside = (pfn + 1 + (c % Math.max(1, 2 ** order - 1))) as Pfn
      const ways = [
        () => m.freePages(pfn, other),
        () => splitPage(m.pages, pfn, other),
        ...(pfn > 0 ? [() => m.kfree((pfn * PAGE_SIZE + directMap) as VirtAddr)] : []),
        () => freePagesList(m.pages, [pfn, pfn]),
        ...(order > 0 ? [() => m.freePages(inside), () => freePagesExact(m.pages, inside, 1)] : []),
        ...(refs > 1 ? [() => m.freePages(pfn, order)] : []),
      ]
      return ways[b % ways.length]!
    }
    case 'pages': {
      const [first] = item.pfns
      if (first === undefined) return null
      const ways = [
        () => m.freePages(first, 1 + (c % 10)),
        () => freePagesList(m.pages, [...item.pfns, first]),
        () => freePagesExact(m.pages, first, -1),
      ]
      return ways[b % ways.length]!
    }
    case 'objects': {
      const { addresses, bytes, cache } = item
      const object = addresses[c % addresses.length]!
      const entry = s.caches.get(cache)
      const stranger = [...s.caches.values()].find(
        (each) => !each.gone && each.record !== entry?.record,
      )
      const inside = (object + 1 + (c % bytes)) as VirtAddr
      const frame = Math.floor(s.physical(object) / PAGE_SIZE) as Pfn
      const ways = [
        ...(bytes > 1 && c % bytes < bytes - 1 ? [() => m.kfree(inside)] : []),
        () => m.freePages(frame),
        () => kfreeBulk(m.heap, [object, object]),
        ...(stranger === undefined || entry === undefined
          ? []
          : [() => stranger.cache.free(object), () => kmemCacheFreeBulk(stranger.cache, [object])]),
      ]
      return ways[b % ways.length]!
    }
    case 'memory': {
      const { address, bytes } = item
      if (s.isVmalloc(address)) {
        const ways = [
          () => m.vfree((address + 1 + (c % 4095)) as VirtAddr),
          () => m.kfree(address),
          () => m.krealloc(address, 10),
        ]
        return ways[b % ways.length]!
      }
      const inside = (address + 1 + (c % bytes)) as VirtAddr
      const ways = [
        ...(bytes > 1 && c % bytes < bytes - 1 ? [() => m.kfree(inside)] : []),
        ...(s.debugging || c % bytes >= bytes - 1 ? [] : [() => m.heap.ksize(inside)]),
        () => m.vfree(address),
        () => m.freePages(Math.floor(s.physical(address) / PAGE_SIZE) as Pfn, 10),
        () => kfreeBulk(m.heap, [address, address]),
      ]
      return ways[b % ways.length]!
    }
    case 'area': {
      const { address } = item
      const page = address - (address % PAGE_SIZE)
      const ways = [
        () => m.vfree((page + 1 + (c % 4095)) as VirtAddr),
        () => m.kfree(address),
        () => vmUnmapRam(m.vm, address, item.how === 'ram' ? item.pfns.length + 2000 : 1),
      ]
      return ways[b % ways.length]!
    }
    default:
      return null
  }
}

/** Whether nobody has got a page meanwhile. */
function isFree({ machine }: Simulation, pfn: Pfn): boolean {
  return inspectPfn(machine, pfn).page?.state !== 'used'
}

/** Whether nobody has got the object or the block at an address meanwhile, an allocator neither. */
function isNothing({ machine }: Simulation, address: number): boolean {
  const use = inspect(machine, address).page?.use
  if (use?.kind === 'slab') return use.slab.object?.state === 'free'
  return use?.kind !== 'large'
}

function holds(item: LiveArea, address: number): boolean {
  return address >= item.address && address < item.address + item.bytes
}

/** Expects a call to be refused, and nothing to have changed; now and then looks at all of memory too. */
function expectRefused(s: Simulation, draw: number, what: string, call: () => unknown): void {
  const { machine } = s
  const whole = draw % 64 === 0
  const before = stateHash(machine, whole)
  let thrown: unknown
  try {
    call()
  } catch (error) {
    thrown = error
  }
  if (!(thrown instanceof InvalidArgument || thrown instanceof KernelBug)) {
    throw new Violation(
      'not refused',
      `${what}: ${thrown === undefined ? 'nothing was thrown' : String(thrown)}`,
    )
  }
  s.note(`refused: ${thrown.message.split('\n', 1)[0]}`)
  if (stateHash(machine, whole) !== before) {
    throw new Violation('changed', `${what} was refused, but the state has changed`)
  }
}
