// One machine without content in a process of its own: its size in bytes is the argument. Prints what scale.ts reads.

import {
  BuddyAllocator,
  GFP_KERNEL,
  PhysicalMemory,
  restoreSnapshot,
  saveSnapshot,
} from '../dist/index.js'

const LIVE = 16_000
const PAIRS = 2_000_000

const size = Number(process.argv[2])
const make = () => {
  const ram = new PhysicalMemory({ size, content: false })
  return { ram, pages: new BuddyAllocator({ ram }) }
}
const ms = (call) => {
  const start = performance.now()
  const result = call()
  return [performance.now() - start, result]
}
const rss = () => process.memoryUsage.rss() / 2 ** 20

const before = rss()
const [boot, machine] = ms(make)
const bootMiB = rss() - before

const { pages } = machine
const live = Array.from({ length: LIVE }, () => pages.allocPages(GFP_KERNEL))
const replace = (pairs) => {
  let random = 1
  for (let i = 0; i < pairs; i++) {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0
    const at = random % LIVE
    pages.freePages(live[at])
    live[at] = pages.allocPages(GFP_KERNEL)
  }
}
replace(PAIRS)
const [pairs] = ms(() => replace(PAIRS))

const [save, file] = ms(() => saveSnapshot(machine))
const other = make()
const [restore] = ms(() => restoreSnapshot(other, file))
console.log(
  JSON.stringify({
    boot,
    bootMiB,
    pairNs: (pairs * 1e6) / PAIRS,
    save,
    bytes: file.length,
    restore,
  }),
)
