/** What the demo uses of cli-progress, which brings no types. */

declare module 'cli-progress' {
  export class SingleBar {
    constructor(options: { readonly format: string; readonly hideCursor?: boolean }, preset: object)
    start(total: number, value: number, payload: Readonly<Record<string, string>>): void
    update(value: number, payload: Readonly<Record<string, string>>): void
    stop(): void
  }
  export const Presets: { readonly shades_classic: object }
}
