/**
 * What is timed: loops over pre-drawn random numbers, with nothing else inside.
 *
 * Each peer gets a copy of this module of its own (`warmCopies`): were it shared, the calls of `alloc` and `free` would
 * see a class per peer, and a program that uses one allocator would pay less than the table says.
 */

import type { Peer } from './peers'
import { type Draw, permutation, uniform, Xorshift32 } from './random'

/** Pre-drawn choices; a power of two, so that a cursor wraps with a mask. */
const CHOICES = 1 << 18
const SEED = 0x6b6d656d

/** What will be done to a heap, drawn beforehand. */
export interface Choices {
  /** What each live block was asked for: an order, or bytes. */
  readonly requests: Int32Array
  /** Slots to replace, in turn. */
  readonly slots: Int32Array
  /** What each replacement asks for. */
  readonly nextRequests: Int32Array
  /** All slots once, in random order. */
  readonly shuffled: Int32Array
}

/** A heap with `live` blocks in use, and what will be done to them. */
export interface Population extends Choices {
  readonly peer: Peer
  /** Live blocks by slot. */
  readonly blocks: Int32Array
  /** Where `slots` goes on. */
  cursor: number
}

/** The choices for `live` blocks: always the same ones. */
export function choose(live: number, draw: Draw): Choices {
  const random = new Xorshift32(SEED)
  return {
    requests: draw(random, live),
    slots: uniform(0, live)(random, CHOICES),
    nextRequests: draw(random, CHOICES),
    shuffled: permutation(random, live),
  }
}

/**
 * Fills `peer` with `live` blocks, then frees and refills half of them at random, so that neighbours in memory are no
 * neighbours in time.
 */
export function populate(peer: Peer, live: number, draw: Draw): Population {
  const population: Population = {
    ...choose(live, draw),
    peer,
    blocks: new Int32Array(live),
    cursor: 0,
  }
  fill(population, live)
  const half = population.shuffled.subarray(0, live >> 1)
  const { blocks, requests } = population
  for (const slot of half) peer.free(blocks[slot]!, requests[slot]!)
  for (const slot of half) blocks[slot] = mustAlloc(peer, requests[slot]!)
  return population
}

/** Several heaps as one: each allocation goes to the next of them. A block's lowest two bits say whose it is. */
class InTurn implements Peer {
  private turn = 0

  constructor(private readonly heaps: readonly Peer[]) {}

  alloc(request: number): number {
    const which = this.turn
    this.turn = which + 1 < this.heaps.length ? which + 1 : 0
    return (this.heaps[which]!.alloc(request) << 2) | which
  }

  free(block: number, request: number): void {
    this.heaps[block & 3]!.free(block >> 2, request)
  }
}

/** Up to four heaps as one. */
export function inTurn(heaps: readonly Peer[]): Peer {
  return new InTurn(heaps)
}

/** Allocates a block and frees it at once, `pairs` times. */
export function allocFree(peer: Peer, request: number, pairs: number): void {
  let failed = 0
  for (let i = 0; i < pairs; i++) {
    const block = peer.alloc(request)
    failed |= block
    peer.free(block, request)
  }
  if (failed < 0) throw new Error('exhausted')
}

/** Frees a random live block and allocates another, `pairs` times; all blocks are of the same kind. */
export function replaceEqual(population: Population, request: number, pairs: number): void {
  const { peer, blocks, slots } = population
  let { cursor } = population
  let failed = 0
  for (let i = 0; i < pairs; i++) {
    const slot = slots[cursor]!
    cursor = (cursor + 1) & (CHOICES - 1)
    peer.free(blocks[slot]!, request)
    const block = peer.alloc(request)
    failed |= block
    blocks[slot] = block
  }
  population.cursor = cursor
  if (failed < 0) throw new Error('exhausted')
}

/** Frees a random live block and allocates one of another kind, `pairs` times. */
export function replaceMixed(population: Population, pairs: number): void {
  const { peer, blocks, requests, slots, nextRequests } = population
  let { cursor } = population
  let failed = 0
  for (let i = 0; i < pairs; i++) {
    const slot = slots[cursor]!
    const request = nextRequests[cursor]!
    cursor = (cursor + 1) & (CHOICES - 1)
    peer.free(blocks[slot]!, requests[slot]!)
    const block = peer.alloc(request)
    failed |= block
    blocks[slot] = block
    requests[slot] = request
  }
  population.cursor = cursor
  if (failed < 0) throw new Error('exhausted')
}

/**
 * The same for a heap that needs to know of a block to free no more than where it is: what blocks were asked for is not
 * written down, as little as in a program in C.
 */
export function replaceUnsized(population: Population, pairs: number): void {
  const { peer, blocks, slots, nextRequests } = population
  let { cursor } = population
  let failed = 0
  for (let i = 0; i < pairs; i++) {
    const slot = slots[cursor]!
    const request = nextRequests[cursor]!
    cursor = (cursor + 1) & (CHOICES - 1)
    peer.free(blocks[slot]!, 0)
    const block = peer.alloc(request)
    failed |= block
    blocks[slot] = block
  }
  population.cursor = cursor
  if (failed < 0) throw new Error('exhausted')
}

/** Frees `burst` live pages at random, then allocates as many: more than any cache of single pages holds. */
export function replaceBurst(population: Population, burst: number): void {
  const { peer, blocks, shuffled } = population
  const live = shuffled.length
  const start = population.cursor
  let failed = 0
  for (let i = 0; i < burst; i++) peer.free(blocks[shuffled[(start + i) % live]!]!, 0)
  for (let i = 0; i < burst; i++) {
    const block = peer.alloc(0)
    failed |= block
    blocks[shuffled[(start + i) % live]!] = block
  }
  population.cursor = (start + burst) % live
  if (failed < 0) throw new Error('exhausted')
}

/** Allocates `pages` pages into an empty heap and frees them in random order. */
export function fillAndEmpty(population: Population, pages: number): void {
  fill(population, pages)
  empty(population)
}

/** Frees every live block, in random order. */
export function empty({ peer, blocks, requests, shuffled }: Population): void {
  for (let i = 0; i < shuffled.length; i++) {
    const slot = shuffled[i]!
    peer.free(blocks[slot]!, requests[slot]!)
  }
}

function fill({ peer, blocks, requests }: Population, live: number): void {
  let failed = 0
  for (let slot = 0; slot < live; slot++) {
    const block = peer.alloc(requests[slot]!)
    failed |= block
    blocks[slot] = block
  }
  if (failed < 0) throw new Error('exhausted')
}

function mustAlloc(peer: Peer, request: number): number {
  const block = peer.alloc(request)
  if (block < 0) throw new Error('exhausted')
  return block
}
