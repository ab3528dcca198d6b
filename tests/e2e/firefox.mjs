// Drives one tab of a stock Firefox over WebDriver BiDi for the Python tests, which Playwright
// cannot do. Usage: node firefox.mjs EXECUTABLE PROFILE INIT_SCRIPT. Reads one JSON array
// [command, ...arguments] a line from stdin, answers with one line {value} or {error} each.

import { createInterface } from 'node:readline'
import puppeteer from 'puppeteer-core'

const [executablePath, userDataDir, initScript] = process.argv.slice(2)
const browser = await puppeteer.launch({
  browser: 'firefox',
  executablePath,
  userDataDir,
  headless: true,
  defaultViewport: { width: 1280, height: 800 },
  extraPrefsFirefox: {
    'intl.accept_languages': 'en-GB',
    'media.navigator.streams.fake': true,
    'media.navigator.permission.disabled': true,
    'media.peerconnection.ice.loopback': true,
    'media.peerconnection.ice.obfuscate_host_addresses': false,
    'media.autoplay.default': 0,
    'network.proxy.type': 0,
  },
})
const page = (await browser.pages())[0] ?? (await browser.newPage())
await page.evaluateOnNewDocument(initScript)

const commands = {
  ready: async () => true,
  goto: async (url) => void (await page.goto(url)),
  click: async (selector) => void (await page.locator(selector).setTimeout(15_000).click()),
  wait: async (selector) => void (await page.locator(selector).setTimeout(15_000).wait()),
  fill: async (selector, text) => void (await page.locator(selector).setTimeout(15_000).fill(text)),
  evaluate: (expression) => page.evaluate(expression),
  reload: async () => void (await page.reload()),
  screenshot: async (path) => void (await page.screenshot({ path })),
  close: () => browser.close(),
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...parameters] = JSON.parse(line)
  const answer = await commands[command](...parameters).then(
    (value) => ({ value }),
    (error) => ({ error: String(error) }),
  )
  process.stdout.write(`${JSON.stringify(answer)}\n`)
  if (command === 'close') break
}
process.exit(0)
