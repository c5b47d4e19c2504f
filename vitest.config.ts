import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { alias: { kmem: fileURLToPath(new URL('./src/index.ts', import.meta.url)) } },
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    // One more than a small machine has cores, for the tests that wait for programs (measured: 161 s, and 186 with 2). No
    // file changes what another sees, so modules are loaded once for each worker.
    maxWorkers: 3,
    isolate: false,
    // .ci/run counts the tests from the second.
    reporters: ['default', ['json', { outputFile: 'out/vitest.json' }]],
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: [['text', { skipFull: true }], 'html'],
      // Every branch of the allocators themselves is taken.
      thresholds: {
        'src/{base,state,page,zone,buddy,slab,paging,vmalloc}/**': { branches: 100 },
      },
    },
  },
})
