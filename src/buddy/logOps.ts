/**
 * What the allocator tells its log. The default is silent, so that the texts of reports are only
 * bundled with programs that want them: see `kernelLog`.
 */

import type { BuddyContext, LogOps } from './context'

/** Says nothing. */
export const silentLog: LogOps = /* @__PURE__ */ Object.freeze({
  minFree() {},
  warn() {},
  sleepInAtomic() {},
  failure() {},
  badPage: (c: BuddyContext, pfn: number, reason: string) => [
    `BUG: Bad page state in process ${c.taskName}  pfn:${pfn.toString(16).padStart(5, '0')}`,
    `page dumped because: ${reason}`,
  ],
  zones() {},
  handedOver() {},
})
