/** Functions of a program that are asked in the middle of a call of an allocator, which has to come to its end. */

/**
 * Asks a function until it throws, which is added to `failures`; from then on, and where there is none, another one is
 * asked instead.
 */
export function untilItThrows<Given extends unknown[], Value>(
  call: ((...given: Given) => Value) | undefined,
  instead: (...given: Given) => Value,
  failures: unknown[],
): (...given: Given) => Value {
  let asked = call ?? instead
  return (...given) => {
    try {
      return asked(...given)
    } catch (error) {
      failures.push(error)
      asked = instead
      return instead(...given)
    }
  }
}
