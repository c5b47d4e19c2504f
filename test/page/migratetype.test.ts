import { expect, it } from 'vitest'
import * as migratetype from '../../src/page/migratetype'

it('migratetypes have the values, names and letters of the kernel', () => {
  expect(migratetype).toMatchObject({
    MIGRATE_UNMOVABLE: 0,
    MIGRATE_MOVABLE: 1,
    MIGRATE_RECLAIMABLE: 2,
    MIGRATE_HIGHATOMIC: 3,
    MIGRATE_CMA: 4,
    MIGRATE_ISOLATE: 5,
    MIGRATE_PCPTYPES: 3,
    MIGRATE_TYPES: 6,
  })
  expect(migratetype.MIGRATETYPE_NAMES).toEqual([
    'Unmovable',
    'Movable',
    'Reclaimable',
    'HighAtomic',
    'CMA',
    'Isolate',
  ])
  expect([...migratetype.MIGRATETYPE_LETTERS]).toEqual(['U', 'M', 'E', 'H', 'C', 'I'])
})
