#!/usr/bin/env node
/** The command `kmem`. */

import { run } from './run'

process.exitCode = run(process.argv.slice(2))
