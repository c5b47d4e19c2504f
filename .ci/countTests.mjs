/** Prints `N passed, N failed` from vitest's JSON report; a file that did not load counts as one failure. */

import { existsSync, readFileSync } from 'node:fs'

const path = process.argv[2]

if (path === undefined || !existsSync(path)) {
  console.log('0 passed, 1 failed')
  process.exit(1)
}

const report = JSON.parse(readFileSync(path, 'utf8'))
const unloaded = report.testResults.filter(
  (file) =>
    file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
).length
const failed = report.numFailedTests + unloaded
console.log(`${report.numPassedTests} passed, ${failed} failed`)
if (failed > 0 || report.numPassedTests === 0) process.exit(1)
