/**
 * The objects of a recorded workload: which a kernel allocated and freed, replayed on caches of the same sizes,
 * and how many slabs and pages that took there and here.
 */

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import {
  BuddyAllocator,
  formatSlabWorkload,
  Kmalloc,
  MiB,
  PhysicalMemory,
  parseFtrace,
  parseFtraceSlab,
  replaySlabEvents,
  tracedSlabs,
} from 'kmem'

const trace = new URL('../test/fixtures/traces/short-all-events', import.meta.url).pathname
const text = gunzipSync(readFileSync(`${trace}.ftrace.gz`))
const states = JSON.parse(readFileSync(`${trace}.state.json`, 'utf8'))

const events = parseFtraceSlab(text)
const heap = new Kmalloc(new BuddyAllocator({ ram: new PhysicalMemory({ size: 64 * MiB }) }))
const workload = replaySlabEvents(events, heap)
const slabs = tracedSlabs(events, parseFtrace(text))
console.log(formatSlabWorkload(workload, { before: states.before.caches, slabs }))
