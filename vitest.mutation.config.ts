import base from './vitest.config.ts'

/** The tests that `npm run mutation -- --vitest` names. */
export default {
  ...base,
  test: {
    ...base.test,
    include: (process.env.KMEM_MUTATION_TESTS ?? '').split(' '),
    reporters: ['default'],
  },
}
