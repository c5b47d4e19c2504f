/** Lists of changes: how many there are, and the first of them. */

/** Changes of one kind. */
export interface Listing<T> {
  /** How many there are. */
  readonly count: number
  /** The first of them; as many as were asked for. */
  readonly first: readonly T[]
}

/** Counts what it is given, and keeps the first. */
export class Lister<T> implements Listing<T> {
  count = 0
  readonly first: T[] = []
  private readonly limit: number

  constructor(limit: number) {
    this.limit = limit
  }

  /** One more. */
  add(item: T): void {
    this.count += 1
    if (this.first.length < this.limit) this.first.push(item)
  }

  /** What was found. */
  get listing(): Listing<T> {
    return { count: this.count, first: this.first }
  }
}
