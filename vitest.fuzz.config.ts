import base from './vitest.config.ts'

/** The long runs behind `npm run fuzz`; `npm test` leaves them out. */
export default {
  ...base,
  test: {
    ...base.test,
    include: ['test/fuzz/**/*.fuzz.ts'],
    testTimeout: 0,
    reporters: ['default'],
  },
}
