/** Several listeners to the flushes of one set of page tables. Source: spec/vmalloc.md §13.8. */

import { type FlushOps, noFlush } from './flushOps'

/** Passes every flush on, in the order in which the listeners came. */
class FlushList implements FlushOps {
  private listeners: readonly FlushOps[]

  constructor(listeners: readonly FlushOps[]) {
    this.listeners = listeners
  }

  add(listener: FlushOps): void {
    this.listeners = [...this.listeners, listener]
  }

  remove(listener: FlushOps): void {
    this.listeners = this.listeners.filter((other) => other !== listener)
  }

  flushTlb(start: number, end: number): void {
    for (const listener of this.listeners) listener.flushTlb(start, end)
  }

  flushCacheMap(start: number, end: number): void {
    for (const listener of this.listeners) listener.flushCacheMap(start, end)
  }

  flushCacheUnmap(start: number, end: number): void {
    for (const listener of this.listeners) listener.flushCacheUnmap(start, end)
  }
}

/** Adds a listener to those that page tables have. Returns the function that removes it. */
export function listenToFlushes(tables: { flush: FlushOps }, listener: FlushOps): () => void {
  const { flush } = tables
  if (flush instanceof FlushList) {
    flush.add(listener)
    return () => flush.remove(listener)
  }
  const list = new FlushList(flush === noFlush ? [listener] : [flush, listener])
  tables.flush = list
  return () => list.remove(listener)
}
