// Build and unit-test configuration of the web client.
//
// Two facts shape it. The page is served under a content security policy
// without 'unsafe-inline', so nothing may be inlined into the HTML; and phones
// in the field run browsers several years old, so the target is conservative.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** Emits /sw.js with the first load's files and a version that changes with any of them. */
function serviceWorker(): Plugin {
  const source = fileURLToPath(new URL('src/service_worker.js', import.meta.url))
  return {
    name: 'service-worker',
    apply: 'build',
    enforce: 'post',
    generateBundle(_options, bundle) {
      const page = bundle['index.html']
      if (page?.type !== 'asset') throw new Error('the build made no index.html')
      const html = page.source.toString()
      const shell = [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map((match) => match[1])
      const template = readFileSync(source, 'utf8')
      // Names of assets carry their content's hash; the page names the first ones,
      // the first ones name the rest.
      const version = createHash('sha256').update(html).update(template).digest('hex').slice(0, 12)
      this.emitFile({
        type: 'asset',
        fileName: 'sw.js',
        source: template
          .replace("'__VERSION__'", JSON.stringify(version))
          .replace("['__SHELL__']", JSON.stringify(shell)),
      })
    },
  }
}

export default defineConfig({
  plugins: [serviceWorker()],
  build: {
    target: ['es2020', 'chrome87', 'firefox85', 'safari14.1'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // livekit-client is one chunk by nature and never part of the first load.
    chunkSizeWarningLimit: 800,
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  server: {
    // `npm run dev` beside `kinguicall serve --dev`.
    proxy: {
      '/api': 'http://127.0.0.1:8080',
      '/rtc': { target: 'ws://127.0.0.1:8080', ws: true },
    },
  },
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.{ts,tsx}'],
    restoreMocks: true,
    unstubGlobals: true,
    // One DOM for all files: making one costs more than all the tests together.
    isolate: false,
    testTimeout: 15_000,
  },
})
