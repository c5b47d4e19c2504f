/** The list of those who are told of flushes. */

import { expect, it } from 'vitest'
import { FlushList } from '../../src/paging/flushList'

/** A listener that notes what it is told, by its name. */
function listener(name: string, told: string[]) {
  return {
    flushTlb: (start: number, end: number) => told.push(`${name} tlb ${start} ${end}`),
    flushCacheMap: (start: number, end: number) => told.push(`${name} map ${start} ${end}`),
    flushCacheUnmap: (start: number, end: number) => told.push(`${name} unmap ${start} ${end}`),
  }
}

it('each listener is told in its turn, and only one that has gone is not', () => {
  const told: string[] = []
  const list = new FlushList()
  list.flushTlb(0, 1)
  expect(told).toEqual([])
  const [stopA, stopB, stopC] = ['a', 'b', 'c'].map((name) => list.add(listener(name, told)))
  list.flushTlb(1, 2)
  expect(told.splice(0)).toEqual(['a tlb 1 2', 'b tlb 1 2', 'c tlb 1 2'])
  stopB?.()
  list.flushCacheMap(3, 4)
  expect(told.splice(0)).toEqual(['a map 3 4', 'c map 3 4'])
  stopB?.()
  stopA?.()
  list.flushCacheUnmap(5, 6)
  expect(told.splice(0)).toEqual(['c unmap 5 6'])
  stopC?.()
  list.flushTlb(7, 8)
  expect(told).toEqual([])
})

it('a listener that goes while it is told does not cut others off', () => {
  const told: string[] = []
  const list = new FlushList()
  const stop = list.add({ ...listener('a', told), flushTlb: () => stop() })
  list.add(listener('b', told))
  list.flushTlb(1, 2)
  list.flushCacheMap(3, 4)
  expect(told).toEqual(['b tlb 1 2', 'b map 3 4'])
})
