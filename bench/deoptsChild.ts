/** Runs the scenarios of `steady.ts` to warm up and then once more, and says which is next: for `deopts.ts`. */

import { loadKmem } from './kmem'
import { scenarios } from './steady'

const [warm = 0, steady = 0] = process.argv.slice(2).map(Number)
const kmem = await loadKmem()
if (kmem === null) throw new Error('dist/ is missing: npm run build')
const all = scenarios(kmem)
rounds('warm', warm)
rounds('steady', steady)
say('done')

/** In turns, as a program that does all of this. */
function rounds(phase: string, count: number): void {
  for (let round = 0; round < count; round++) {
    for (const { name, run } of all) {
      say(`${phase}: ${name}`)
      run()
    }
  }
}

/** Where V8 writes its trace too, and at once. */
function say(what: string): void {
  process.stdout.write(`== ${what}\n`)
}
