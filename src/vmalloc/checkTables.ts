/** Whether page tables and an address layout belong together. */

import { InvalidArgument } from '../base/errors'
import type { Layout } from '../base/layout'
import { isI386Layout } from '../base/layoutI386'
import type { PageTables } from '../paging/pageTables'

/**
 * Checks that page tables can translate the addresses of a layout.
 * @throws InvalidArgument if not.
 */
export function checkTables(tables: PageTables, layout: Layout): void {
  const format = (Object(tables) as Partial<PageTables>).format
  const wide = !isI386Layout(layout) || layout.pae
  if (format?.vaBits !== layout.vaBits || format.entryBytes !== (wide ? 8 : 4)) {
    const limit = `page tables of ${layout.vaBits} bits, with entries of ${wide ? 8 : 4} bytes`
    throw new InvalidArgument('tables', tables, limit)
  }
}
