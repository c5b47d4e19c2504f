/** Progress with a rate: a bar on a terminal, a line for each quarter in a pipe. */

import { Presets, SingleBar } from 'cli-progress'
import { number } from '../cli/io'

/** Shows how far something is. */
export interface Progress {
  /** Takes what is done and what there is in all. */
  update(done: number, total: number): void
  /** Ends it; gives the seconds it took. */
  stop(): number
}

/** Starts to show progress in events. */
export function startProgress(total: number): Progress {
  const start = performance.now()
  const seconds = () => (performance.now() - start) / 1000
  const show = process.stdout.isTTY ? bar(total, seconds) : lines(seconds)
  return {
    update: show.update,
    stop() {
      const took = seconds()
      show.stop()
      return took
    },
  }
}

function bar(total: number, seconds: () => number) {
  const format = '  {bar} {percentage} %  {value} events  {rate} a second'
  const shown = new SingleBar({ format, hideCursor: true }, Presets.shades_classic)
  const rate = (done: number) => ({ rate: number(done / Math.max(seconds(), 0.001)) })
  shown.start(total, 0, rate(0))
  return {
    update: (done: number) => shown.update(done, rate(done)),
    stop: () => shown.stop(),
  }
}

function lines(seconds: () => number) {
  let next = 0.25
  return {
    update(done: number, total: number) {
      if (done < total * next) return
      while (done >= total * next) next += 0.25
      const percent = Math.floor((done / total) * 100)
      const rate = number(done / Math.max(seconds(), 0.001))
      console.log(`  ${percent} %  ${number(done)} events  ${rate} a second`)
    },
    stop() {},
  }
}
