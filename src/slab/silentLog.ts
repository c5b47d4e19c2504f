/**
 * What the slab layer tells its log. The default is silent, so that the texts of reports are bundled with
 * programs that want them only: see `slabLog`.
 */

import type { SlabContext, SlabLogOps } from './context'

/** Says nothing. */
export const silentSlabLog: SlabLogOps = /* @__PURE__ */ Object.freeze({
  outOfMemory() {},
  badGfp() {},
  warn() {},
  createFailed() {},
  busyCache: () => [],
  refused: (_c: SlabContext, text: string) => [text],
})
