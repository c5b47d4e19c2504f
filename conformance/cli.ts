/** Entry of `npm run conformance`. */

import { runConformance } from './run'

process.exitCode = runConformance(process.argv.slice(2), console.log)
