// Fails when the page before joining outgrows its budget.
//
// Counts what a first visit downloads before anybody taps: index.html and every
// script and stylesheet it names (Vite lists the entry's static imports there
// as modulepreload links). Compressed by gzip -9, as a proxy would. The icons
// are drawn in the page's code, so their source has a budget of its own.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const PAGE_BUDGET_BYTES = 40 * 1024
const ICONS_BUDGET_BYTES = 6 * 1024

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const html = readFileSync(join(root, 'dist/index.html'), 'utf8')
const linked = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.(?:js|css))"/g)].map((m) => m[1])
if (!linked.some((path) => path.endsWith('.js'))) {
  throw new Error('dist/index.html names no script: did the build change its shape?')
}

const gzipBytes = (path) => gzipSync(readFileSync(join(root, path)), { level: 9 }).length
const parts = ['index.html', ...linked].map((path) => [path, gzipBytes(join('dist', path))])
const pageBytes = parts.reduce((sum, [, bytes]) => sum + bytes, 0)
const iconsBytes = readFileSync(join(root, 'src/view/icons.tsx')).length

for (const [path, bytes] of parts) console.log(`${String(bytes).padStart(7)}  ${path}`)
console.log(
  `${String(pageBytes).padStart(7)}  page before joining, gzip (budget ${PAGE_BUDGET_BYTES})`,
)
console.log(`${String(iconsBytes).padStart(7)}  icons, source (budget ${ICONS_BUDGET_BYTES})`)

if (pageBytes > PAGE_BUDGET_BYTES || iconsBytes > ICONS_BUDGET_BYTES) {
  console.error('Over budget.')
  process.exit(1)
}
