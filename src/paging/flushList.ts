/** Several listeners to the flushes of one set of page tables. Source: spec/vmalloc.md §13.8. */

import type { FlushOps } from './flushOps'

/** Passes every flush on, in the order in which the listeners came. */
export class FlushList implements FlushOps {
  private listeners: readonly FlushOps[] = []

  /** Adds a listener. Returns the function that removes it. */
  add(listener: FlushOps): () => void {
    this.listeners = [...this.listeners, listener]
    return () => {
      this.listeners = this.listeners.filter((other) => other !== listener)
    }
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
