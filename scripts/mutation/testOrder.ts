/** Which tests of those that reach a mutant run first: quick ones, and those that noticed its neighbours. */

interface Record {
  /** Milliseconds of one run. */
  time: number
  runs: number
  notices: number
  /** The source files whose mutants it noticed, with the number of the run that last did. */
  readonly files: Map<string, number>
}

/** Runs after which a neighbour that was noticed counts half. */
const FADE = 30
/** Milliseconds of a test that nothing is known of. */
const GUESS = 20

export class TestOrder {
  private readonly records = new Map<string, Record>()
  private clock = 0

  /** @param strong a pattern of tests that look at the whole state: worth their time from the beginning. */
  constructor(private readonly strong: RegExp) {}

  /** Tells the time that a test takes, or the loading of its file. */
  learn(id: string, time: number): void {
    this.record(id).time = time
  }

  /** The tests by what one of them is expected to cost for each mutant noticed in that file. */
  sort(ids: readonly string[], file: string): string[] {
    this.clock += 1
    const cost = new Map(ids.map((id) => [id, this.cost(id, file)]))
    return [...ids].sort((a, b) => (cost.get(a) ?? 0) - (cost.get(b) ?? 0))
  }

  /** Tells how a run of a test ended. */
  ran(id: string, file: string, time: number, noticed: boolean): void {
    const record = this.record(id)
    record.runs += 1
    if (noticed) {
      record.notices += 1
      record.files.set(file, this.clock)
    } else record.time += (time - record.time) / Math.min(record.runs + 1, 5)
  }

  /** Milliseconds after which a run of a test counts as endless. */
  limit(id: string): number {
    return Math.ceil(700 + 15 * this.record(id).time)
  }

  private cost(id: string, file: string): number {
    const { time, runs, notices, files } = this.record(id)
    const last = files.get(file)
    const loading = this.records.get(id.slice(0, id.indexOf('#')))?.time ?? 0
    const near = last === undefined ? 0 : 0.5 ** ((this.clock - last) / FADE)
    // Tests whose names have the first word of the file's are likely to be about it.
    const word = /\/([a-z0-9]+)[A-Za-z0-9]*\.ts$/.exec(file)?.[1] ?? ' '
    const named = id.toLowerCase().includes(word.toLowerCase())
    const expected = 1 + (this.strong.test(id) ? 7 : 0) + (named ? 10 : 0)
    return (time + loading + 1) / ((notices + expected) / (runs + 20) + near)
  }

  private record(id: string): Record {
    let record = this.records.get(id)
    if (record === undefined) {
      record = { time: GUESS, runs: 0, notices: 0, files: new Map() }
      this.records.set(id, record)
    }
    return record
  }
}
