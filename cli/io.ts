/** What commands write to, and how they end. */

/** Where output goes. */
export interface Io {
  /** Writes a line of the result. */
  out(line: string): void
  /** Writes a line of what went wrong. */
  err(line: string): void
  /** Shows how far something is, from 0 to 1; drawn on a terminal only. */
  progress(part: number, text: string): void
  /** Ends the line of {@link progress}. */
  endProgress(): void
}

/** All is well. */
export const EXIT_OK = 0
/** Something differs, or an invariant is broken. */
export const EXIT_DIFFERENT = 1
/** The arguments are wrong, or a file cannot be read. */
export const EXIT_USAGE = 2

/** Cells of the bar that {@link Io.progress} draws. */
const BAR_CELLS = 30

/** Wrong arguments: the message and how to get help are printed. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The process's own streams. */
export function processIo(): Io {
  const terminal = process.stderr.isTTY === true
  return {
    out: (line) => process.stdout.write(`${line}\n`),
    err: (line) => process.stderr.write(`${line}\n`),
    progress(part, text) {
      if (!terminal) return
      const filled = Math.round(part * BAR_CELLS)
      const bar = '█'.repeat(filled) + '░'.repeat(BAR_CELLS - filled)
      process.stderr.write(`\r${bar} ${String(Math.floor(part * 100)).padStart(3)} %  ${text}`)
    },
    endProgress() {
      if (terminal) process.stderr.write('\n')
    },
  }
}

/** A whole number with commas. */
export function number(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
