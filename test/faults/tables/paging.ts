/** Operations of page tables and address spaces. */

import {
  AddressSpace,
  ARM64,
  frameSource,
  GiB,
  I386,
  MAP_OK,
  type Machine,
  MiB,
  PAGE_KERNEL,
  PAGE_KERNEL_RO,
  PAGE_READONLY,
  PAGE_SHARED,
  PAGE_SIZE,
  type PageTableFormat,
  PageTables,
  type Pfn,
  SV39,
  X86_64,
} from '../../../src/index'
import { type Attempt, must, of, type Row, row } from '../rows'

/** A user's address, and one that the kernel's tables have nothing at. */
const AT = 3 * GiB

/** A call on tables of one's own, whose codes are those of PageTables. */
function onTables(
  m: Machine,
  call: (tables: PageTables) => number,
  before: (tables: PageTables) => void = () => {},
): Attempt<number> {
  const tables = new PageTables(frameSource(m.pages), X86_64)
  const reset = () => {
    tables.unmapRange(AT, 2 * GiB)
    before(tables)
  }
  before(tables)
  // What was mapped up to the failure stays, and is unmapped by whoever mapped it.
  return of({
    call: () => call(tables),
    failed: (code) => code !== MAP_OK,
    undo: reset,
    release: reset,
    tables,
  })
}

/** A call on an address space, with something mapped in it. */
function onSpace<T>(
  m: Machine,
  call: (space: AddressSpace) => T,
  release: (space: AddressSpace) => void,
  before: (space: AddressSpace) => void = () => {},
  format: PageTableFormat = X86_64,
): Attempt<T> {
  const space = must(AddressSpace.create(m.pages, { format, user: true }))
  before(space)
  return of({ call: () => call(space), release: () => release(space) })
}

const FRAMES = [0x4000 as Pfn, 0x4001 as Pfn, 0x4010 as Pfn]

export const PAGING: readonly Row[] = [
  row('new PageTables', 'PageTables', (m) =>
    of({
      call: () => new PageTables(frameSource(m.pages), X86_64),
      release: (tables) => tables.destroy(),
    }),
  ),
  row(
    'new PageTables with two roots',
    'PageTables',
    (m) =>
      of({
        call: () => new PageTables(frameSource(m.pages), ARM64),
        release: (tables) => tables.destroy(),
      }),
    { leaves: ['pages'] },
  ),
  row(
    'PageTables.mapPages',
    'PageTables#mapPages',
    (m) =>
      onTables(m, (tables) => tables.mapPages(AT + 2 * MiB - PAGE_SIZE, FRAMES, 0, 3, PAGE_KERNEL)),
    { leaves: ['tables'] },
  ),
  row(
    'PageTables.mapRange',
    'PageTables#mapRange',
    (m) =>
      onTables(m, (tables) => tables.mapRange(AT, GiB, GiB + 2 * MiB + PAGE_SIZE, PAGE_KERNEL, 30)),
    { leaves: ['tables'] },
  ),
  row('PageTables.mapRange where a table is left over', 'PageTables#mapRange', (m) =>
    onTables(
      m,
      (tables) => tables.mapRange(AT, GiB, GiB, PAGE_KERNEL, 30),
      (tables) => {
        tables.mapRange(AT, 0, 5 * MiB, PAGE_KERNEL, 12)
        tables.unmapRange(AT, 5 * MiB)
      },
    ),
  ),
  row(
    'PageTables.protectRange',
    'PageTables#protectRange',
    (m) =>
      onTables(
        m,
        (tables) => tables.protectRange(AT + 5 * PAGE_SIZE, 3 * MiB, PAGE_KERNEL_RO),
        (tables) => {
          tables.unmapRange(AT, GiB)
          tables.mapRange(AT, GiB, GiB, PAGE_KERNEL, 30)
        },
      ),
    { leaves: ['pages'] },
  ),
  row(
    'PageTables.splitAt',
    'PageTables#splitAt',
    (m) =>
      onTables(
        m,
        (tables) => tables.splitAt(AT + PAGE_SIZE, 2 * MiB),
        (tables) => {
          tables.unmapRange(AT, GiB)
          tables.mapRange(AT, GiB, GiB, PAGE_KERNEL, 30)
        },
      ),
    { leaves: ['pages'] },
  ),
  row(
    'PageTables.populate',
    'PageTables#populate',
    (m) => onTables(m, (tables) => tables.populate(AT, AT + 4 * MiB, 2)),
    { leaves: ['tables'] },
  ),
  row('new AddressSpace', ['AddressSpace', 'AddressSpace.create'], (m) =>
    of({
      call: () =>
        AddressSpace.create(m.pages, { format: SV39, user: true, kernel: undefined as never }),
      release: (space) => must(space).destroy(),
    }),
  ),
  row(
    'AddressSpace.map',
    'AddressSpace#map',
    (m) =>
      onSpace(
        m,
        (space) => space.map(AT - PAGE_SIZE, 0x4000, 2, PAGE_SHARED),
        (space) => void space.unmap(AT - PAGE_SIZE, 2 * PAGE_SIZE),
      ),
    { leaves: ['pages'] },
  ),
  row(
    'AddressSpace.map with 32 bits',
    'AddressSpace#map',
    (m) =>
      onSpace(
        m,
        (space) => space.map(8 * MiB - PAGE_SIZE, 0x4000, 2, PAGE_SHARED),
        (space) => void space.unmap(8 * MiB - PAGE_SIZE, 2 * PAGE_SIZE),
        () => {},
        I386,
      ),
    { leaves: ['pages'] },
  ),
  row(
    'AddressSpace.mapPages',
    'AddressSpace#mapPages',
    (m) =>
      onSpace(
        m,
        (space) => space.mapPages(AT, FRAMES, PAGE_READONLY),
        (space) => void space.unmap(AT, 3 * PAGE_SIZE),
        () => {},
        ARM64,
      ),
    { leaves: ['pages'] },
  ),
  row(
    'AddressSpace.mapRange',
    'AddressSpace#mapRange',
    (m) =>
      onSpace(
        m,
        (space) => space.mapRange(AT, GiB, 2 * MiB + PAGE_SIZE, PAGE_SHARED),
        (space) => void space.unmap(AT, 2 * MiB + PAGE_SIZE),
        () => {},
        SV39,
      ),
    { leaves: ['pages'] },
  ),
  row(
    'AddressSpace.unmap of a part of a leaf',
    'AddressSpace#unmap',
    (m) =>
      onSpace(
        m,
        (space) => space.unmap(AT + PAGE_SIZE, PAGE_SIZE),
        (space) => {
          space.unmap(AT, GiB)
          space.mapRange(AT, GiB, GiB, PAGE_SHARED)
        },
        (space) => space.mapRange(AT, GiB, GiB, PAGE_SHARED),
      ),
    { leaves: ['pages'] },
  ),
  row(
    'AddressSpace.protect of a part of a leaf',
    'AddressSpace#protect',
    (m) =>
      onSpace(
        m,
        (space) => space.protect(AT + PAGE_SIZE, 4 * MiB, PAGE_READONLY),
        (space) => {
          space.unmap(AT, GiB)
          space.mapRange(AT, GiB, GiB, PAGE_SHARED)
        },
        (space) => space.mapRange(AT, GiB, GiB, PAGE_SHARED),
      ),
    { leaves: ['pages'] },
  ),
]
