/** Where kernel messages go: a replaceable sink, silent by default. */

/** Takes one line of the kernel's log, without a newline. Reports of several lines come line by line. */
export type Log = (line: string) => void

/** The default sink: drops every line. */
export const noLog: Log = () => {}
