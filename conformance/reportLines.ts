/** What the kernel logged under a label, and what we log: the lines to compare. */

/**
 * Lines that the recording kernel's surroundings write: the frames of warnings, a mouse, the first taint (taken
 * out of the recordings), and what its store of stacks says of tracks that were overwritten.
 */
const ENVIRONMENT = new RegExp(
  '^(-+\\[ cut here|WARNING: CPU|---\\[ end trace|input: |Disabling lock debugging|' +
    'object allocation/free stack trace missing|slab index )',
)

/** Lines without those, and with names in place of what differs from machine to machine. */
export function maskLines(lines: readonly string[]): string[] {
  // A log of one empty line means no output.
  if (lines.length === 1 && lines[0] === '') return []
  // What memory there is on the recording kernel's own node is not described.
  const memory = lines.indexOf('Mem-Info:')
  const told = memory < 0 ? lines : lines.slice(0, memory)
  return told.filter((line) => !ENVIRONMENT.test(line)).map(maskLine)
}

/**
 * The caller is the recording driver's function and a place in it; addresses stand there where the track was
 * overwritten. Ages are in jiffies, and the task has a number.
 */
function maskLine(line: string): string {
  return line
    .replace(/^\S+: (page allocation failure|vmalloc error)/, 'TASK: $1')
    .replace(/run_line(\+\S+)?/, 'CALLER')
    .replace(/(Allocated|Freed) in 0x\S+/, '$1 in OVERWRITTEN')
    .replace(/ age=\d+ /, ' age=# ')
    .replace(/ pid=\d+$/, ' pid=#')
}
