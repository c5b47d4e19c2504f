/** What the page of `npm run test:browser` is served: the library as built, the page and the recordings. */

import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join, relative } from 'node:path'
import { build, type Plugin } from 'esbuild'
import type { Report } from '../browser/report'
import { findRecordings } from '../conformance/recordings'
import type { Results } from './browserResults'

/** A server that is listening. */
export interface Server {
  readonly address: string
  close(): Promise<void>
}

const LIBRARY = '/dist/index.js'
/** The library stays a file of its own, the one that is published. */
const asPublished: Plugin = {
  name: 'as published',
  setup({ onResolve }) {
    onResolve({ filter: /^kmem$/ }, () => ({ path: LIBRARY, external: true }))
  },
}

/** Headers that let a page share memory with its workers. */
const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cache-Control': 'no-store',
}

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  html: 'text/html; charset=utf-8',
  map: 'application/json',
  json: 'application/json',
}

/** Serves the page of the project at `root` on a free port of localhost; reports go to `results`. */
export async function serve(root: string, results: Results): Promise<Server> {
  const fixtures = join(root, 'test/fixtures')
  const recordings = findRecordings(fixtures).map((path) =>
    relative(fixtures, path).replaceAll('\\', '/'),
  )
  results.expectRecordings(recordings)
  const known = new Map<string, () => string | Buffer>([
    ['/', () => readFileSync(join(root, 'browser/index.html'))],
    [LIBRARY, () => readFileSync(join(root, 'dist/index.js'))],
    [`${LIBRARY}.map`, () => readFileSync(join(root, 'dist/index.js.map'))],
    ['/recordings', () => JSON.stringify(recordings)],
  ])
  for (const name of ['page', 'worker']) {
    const code = await bundle(join(root, `browser/${name}.ts`))
    known.set(`/${name}.js`, () => code)
  }
  for (const path of recordings) {
    known.set(`/fixtures/${path}`, () => readFileSync(join(fixtures, path)))
    const states = path.replace(/\.ftrace(\.gz)?$/, '.state.json')
    known.set(`/fixtures/${states}`, () => readFileSync(join(fixtures, states)))
  }
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    if (pathname === '/report') take(request, response, results)
    else answer(response, pathname, known.get(pathname))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const place = server.address()
  if (place === null || typeof place === 'string') throw new Error('no port')
  return {
    address: `http://127.0.0.1:${place.port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A part of the page in one file, without the library. */
async function bundle(path: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [path],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    plugins: [asPublished],
    write: false,
    logLevel: 'warning',
  })
  return outputFiles[0]?.text ?? ''
}

function answer(response: ServerResponse, path: string, content?: () => string | Buffer): void {
  if (content === undefined) {
    response.writeHead(404, ISOLATED).end()
    return
  }
  const ending = path === '/' ? 'html' : (path.split('.').pop() ?? '')
  const type = TYPES[ending] ?? 'application/octet-stream'
  response.writeHead(200, { ...ISOLATED, 'Content-Type': type }).end(content())
}

function take(request: IncomingMessage, response: ServerResponse, results: Results): void {
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (part: string) => {
    body += part
  })
  request.on('end', () => {
    results.take(JSON.parse(body) as Report)
    response.writeHead(204, ISOLATED).end()
  })
}
