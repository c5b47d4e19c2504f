/** The page: the smoke test, then every recording, then the workload of `determinism/`; tells the script as it goes. */

import { playRecording, statesOf } from '../conformance/player'
import { playAll } from '../determinism/playAll'
import type { Report } from './report'
import { CHECKS } from './smoke'

async function main(): Promise<void> {
  for (const [name, check] of CHECKS) {
    await report({ kind: 'check', name, problem: await problemOf(check) })
  }
  for (const path of (await (await get('/recordings')).json()) as string[]) {
    await report(await played(path))
  }
  await report({ kind: 'determinism', rows: playAll() })
  await report({ kind: 'end', agent: navigator.userAgent })
}

async function problemOf(check: () => void | Promise<void>): Promise<string | null> {
  try {
    await check()
    return null
  } catch (error) {
    return String(error)
  }
}

/** Plays one recording, as `npm run conformance` does. */
async function played(path: string): Promise<Report> {
  try {
    const states = statesOf(path)
    const text = states === null ? null : await (await get(`/fixtures/${states}`)).text()
    const outcome = playRecording(path, await bytesOf(path), text)
    const { calls, identical, different, firstDifference } = outcome
    const [skipped] = outcome.skipped.keys()
    const problem = firstDifference ?? skipped ?? null
    return { kind: 'recording', path, calls, identical, different, problem }
  } catch (error) {
    const problem = `cannot be played: ${error}`
    return { kind: 'recording', path, calls: 0, identical: 0, different: 0, problem }
  }
}

/** The bytes of a recording, unpacked. */
async function bytesOf(path: string): Promise<Uint8Array> {
  const response = await get(`/fixtures/${path}`)
  if (!path.endsWith('.gz')) return new Uint8Array(await response.arrayBuffer())
  const unpacked = response.body?.pipeThrough(new DecompressionStream('gzip'))
  return new Uint8Array(await new Response(unpacked).arrayBuffer())
}

async function get(path: string): Promise<Response> {
  const response = await fetch(path)
  if (!response.ok) throw new Error(`${path}: ${response.status}`)
  return response
}

/** Tells the script, and whoever looks at the page. */
async function report(message: Report): Promise<void> {
  await fetch('/report', { method: 'POST', body: JSON.stringify(message) })
  const line = document.createElement('div')
  line.textContent = lineOf(message)
  if ('problem' in message && message.problem !== null) line.className = 'bad'
  document.querySelector('#lines')?.append(line)
}

function lineOf(message: Report): string {
  switch (message.kind) {
    case 'check':
      return `${message.problem === null ? 'holds' : 'FAILS'}  ${[message.name, message.problem ?? []].flat().join(': ')}`
    case 'recording':
      return `${message.path}: ${message.identical} of ${message.calls}`
    case 'determinism':
      return message.rows.map(({ seed, hashes }) => `seed ${seed}: ${hashes.answers}`).join('\n')
    case 'end':
      return message.agent
  }
}

main().catch((error: unknown) =>
  report({ kind: 'check', name: 'the page', problem: String(error) }),
)
