/** What the simulation throws. */

/** Something is wrong with the machine. The key tells one kind of fault from another. */
export class Violation extends Error {
  override readonly name = 'Violation'
  readonly key: string

  constructor(key: string, message: string) {
    super(`${key}: ${message}`)
    this.key = key
  }
}
