/** The three kinds of error that the library throws. Running out of memory is a value (`null`), not an error. */

/**
 * A wrong argument. Nothing was changed. The message names the argument, its value and the limit.
 */
export class InvalidArgument extends RangeError {
  override readonly name = 'InvalidArgument'
  /** The argument at fault. */
  readonly argument: string
  /** Its value as given. */
  readonly value: unknown

  constructor(argument: string, value: unknown, limit: string) {
    super(`${argument} is ${show(value)}; it must be ${limit}`)
    this.argument = argument
    this.value = value
  }
}

/**
 * What a kernel would report as a bug of its caller: a double free, a corrupted page, a wrong order.
 * Thrown before anything was changed.
 */
export class KernelBug extends Error {
  override readonly name = 'KernelBug'
  /** A stable identifier, such as `DOUBLE_FREE`. */
  readonly code: string
  /** The lines that the kernel would log. */
  readonly report: readonly string[]

  constructor(code: string, message: string, report: readonly string[] = []) {
    super(report.length === 0 ? message : `${message}\n${report.join('\n')}`)
    this.code = code
    this.report = report
  }
}

/** An allocation that may not fail (`__GFP_NOFAIL`) could not be satisfied. */
export class OutOfMemory extends Error {
  override readonly name = 'OutOfMemory'
}

function show(value: unknown): string {
  if (typeof value === 'string') return `"${value}"`
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}

/**
 * Throws unless `value` is an integer in [min, max].
 * @throws InvalidArgument naming the argument, the value and the range.
 */
export function checkInteger(argument: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new InvalidArgument(argument, value, `an integer from ${min} to ${max}`)
  }
}
