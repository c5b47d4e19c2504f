/** Figures as tables in Markdown. */

const ABSENT = '–'

/** A table: the first column to the left, the others to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const alignment = header.map((_, column) => (column === 0 ? '---' : '---:'))
  return [header, alignment, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** Nanoseconds, or a dash. */
export function show(ns: number | null | undefined): string {
  if (ns === null || ns === undefined) return ABSENT
  return ns < 100 ? ns.toFixed(1) : count(Math.round(ns))
}

/** How many times `base`, or a dash. */
export function ratio(ns: number | null | undefined, base: number | null | undefined): string {
  return ns == null || base == null ? ABSENT : `${(ns / base).toFixed(2)}×`
}

/** An aim for a ratio, or a dash. */
export function aim(most: number | undefined): string {
  return most === undefined ? ABSENT : `≤ ${most.toFixed(2)}×`
}

/** A whole number. */
export function count(number: number): string {
  return number.toLocaleString('en')
}
