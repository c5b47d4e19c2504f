/**
 * Opens the built library in a real browser: `npm run test:browser`. A page on localhost runs a smoke test, plays every
 * recording and the workload of `determinism/`, and tells what came of it, line by line.
 *
 *   KMEM_CHROMIUM=PATH npm run test:browser      with that Chromium; else one of the usual places
 *   npm run test:browser -- --if-present         where no Chromium is found it says so and ends with 0
 *   npm run test:browser -- --serve              prints the address and waits for any browser to open it
 *   npm run test:browser -- --screenshot FILE    a picture of the page at the end
 */

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'
import { Results } from './browserResults'
import { serve } from './browserServer'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Where Chromium is, by the usual ways to install it. */
const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/opt/google/chrome/chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:/Program Files/Google/Chrome/Application/chrome.exe',
]

/** Nothing but the page: no first-run pages, no updates, no requests of its own. */
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Seconds without a word from the page after which it counts as dead. */
const PATIENCE = 180

const { values } = parseArgs({
  options: {
    'if-present': { type: 'boolean', default: false },
    serve: { type: 'boolean', default: false },
    screenshot: { type: 'string' },
  },
})
process.exitCode = await main()

async function main(): Promise<number> {
  const named = process.env.KMEM_CHROMIUM
  const path = named ?? PLACES.find((place) => existsSync(place))
  if (!values.serve && (path === undefined || !existsSync(path))) {
    const found = named === undefined ? 'No Chromium was found' : `There is no ${named}`
    console.log(`${found}: nothing ran in a browser.`)
    console.log('`apt-get install chromium` brings one on Debian; KMEM_CHROMIUM=PATH names one.')
    return named === undefined && values['if-present'] ? 0 : 1
  }
  const results = new Results(console.log)
  const server = await serve(ROOT, results)
  try {
    if (values.serve) {
      console.log(`open ${server.address}`)
      await results.ended
    } else {
      await open(path ?? '', server.address, results)
    }
  } catch (error) {
    results.fail(error instanceof Error ? error.message : String(error))
  } finally {
    await server.close()
  }
  return results.conclude()
}

/** Opens the page in a new Chromium that knows nobody, and waits for its end. */
async function open(executablePath: string, address: string, results: Results): Promise<void> {
  const profile = mkdtempSync(join(tmpdir(), 'kmem-browser-'))
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: QUIET,
  })
  try {
    const page = await browser.newPage()
    page.on('pageerror', (error) => results.fail(`the page: ${error.message}`))
    page.on('crash', () => results.fail('the page crashed'))
    page.on('console', (message) => {
      if (message.type() === 'error') results.fail(`the page: ${message.text()}`)
    })
    await page.goto(address)
    await results.within(PATIENCE)
    const { screenshot } = values
    if (screenshot !== undefined) await page.screenshot({ path: screenshot, fullPage: true })
  } finally {
    await browser.close()
    rmSync(profile, { recursive: true, force: true })
  }
}
