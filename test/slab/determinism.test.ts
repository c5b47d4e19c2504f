import { describe, expect, it } from 'vitest'
import {
  attachSlabs,
  attachState,
  Kmalloc,
  PhysicalMemory,
  type SlabTrace,
  shrinkAllCaches,
} from '../../src/index'
import { differences } from '../buddy/machines'
import {
  expectSound,
  machineHash,
  type SlabMachine,
  type SlabMachineOptions,
  slabMachine,
} from './machines'
import { SlabScript } from './script'

const STEPS = 2500

const MACHINES: readonly (readonly [name: string, cpus: number, nodes: number])[] = [
  ['one CPU', 1, 1],
  ['four CPUs', 4, 1],
  ['four CPUs and two nodes', 4, 2],
]

/** A seed for each machine, so that a failure names it. */
const RUNS = MACHINES.flatMap(([name, cpus, nodes]) =>
  [1, 2].map((seed) => [name, seed, cpus, nodes] as const),
)

const NO_TRACE: SlabTrace = { kmalloc() {}, cacheAlloc() {}, kfree() {}, cacheFree() {} }

describe.each(RUNS)('the same calls on a machine of %s, seed %i', (_name, seed, cpus, nodes) => {
  const make = (options: SlabMachineOptions = {}) => {
    return slabMachine({
      mib: 4,
      cpus,
      nodes,
      ...options,
      slabs: { merge: false, ...options.slabs },
    })
  }
  const played = (machine: SlabMachine, from = seed) => {
    const script = new SlabScript(from).start(machine).run(STEPS, cpus, nodes)
    expectSound(machine)
    return { machine, answer: script.answer }
  }
  const first = played(make())

  it('give the same answers and the same state a second time', () => {
    const again = played(make())
    expect(again.answer).toBe(first.answer)
    expect(machineHash(again.machine)).toBe(machineHash(first.machine))
    const other = played(make(), seed + 100)
    expect(other.answer).not.toBe(first.answer)
    expect(machineHash(other.machine)).not.toBe(machineHash(first.machine))
  })

  it('give the same on SharedArrayBuffers', () => {
    const shared = played(make({ pages: { shared: true }, slabs: { shared: true } }))
    expect(shared.machine.slabs.words.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(shared.answer).toBe(first.answer)
    expect(machineHash(shared.machine)).toBe(machineHash(first.machine))
  })

  it('give the same when somebody listens, so that no call takes a fast path', () => {
    const machine = make()
    machine.slabs.setTrace(NO_TRACE)
    const listened = played(machine)
    expect(listened.answer).toBe(first.answer)
    expect(machineHash(listened.machine)).toBe(machineHash(first.machine))
  })

  it('give the same through a snapshot that is copied back', () => {
    const machine = make()
    const { ram, pages, slabs } = machine
    const script = new SlabScript(seed).start(machine).run(STEPS / 2, cpus, nodes)
    const saved = [ram.words, pages.words, slabs.words].map(
      (words) => [words, words.slice()] as const,
    )
    const before = machineHash(machine)
    const heap = new Kmalloc(slabs)
    for (let size = 1; size < 9000; size += 37) if (size % 3 > 0) heap.kfree(heap.kmalloc(size))
    shrinkAllCaches(slabs)
    expect(machineHash(machine)).not.toBe(before)
    for (const [place, content] of saved) place.set(content)
    expect(machineHash(machine)).toBe(before)
    script.moveTo(machine).run(STEPS / 2, cpus, nodes)
    expect(script.answer).toBe(first.answer)
    expect(machineHash(machine)).toBe(machineHash(first.machine))
  })

  it('give the same on another allocator attached to a copy', () => {
    const machine = make()
    const script = new SlabScript(seed).start(machine).run(STEPS / 2, cpus, nodes)
    const ram = new PhysicalMemory({ map: [...machine.ram.ranges] })
    ram.words.set(machine.ram.words)
    const pages = attachState(machine.pages.state.slice(0), { ram })
    const buffer = machine.slabs.words.buffer as ArrayBuffer
    const slabs = attachSlabs(pages, buffer.slice(0), { merge: false })
    const other = { ram, pages, slabs }
    expect(machineHash(other)).toBe(machineHash(machine))
    const before = machineHash(machine)
    script.moveTo(other).run(STEPS / 2, cpus, nodes)
    expectSound(other)
    expect(script.answer).toBe(first.answer)
    expect(differences(pages, first.machine.pages)).toEqual([])
    expect(machineHash(other)).toBe(machineHash(first.machine))
    expect(machineHash(machine)).toBe(before)
  })
})
