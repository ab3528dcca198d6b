// Build and unit-test configuration of the web client.
//
// Two facts shape it. The page is served under a content security policy
// without 'unsafe-inline', so nothing may be inlined into the HTML; and phones
// in the field run browsers several years old, so the target is conservative.
import { defineConfig } from 'vitest/config'

export default defineConfig({
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
