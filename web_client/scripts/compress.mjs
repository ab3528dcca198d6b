// Compresses the build once, as far as it goes: beside each text file in dist
// one with `.br` and one with `.gz` on its name, which the server sends to those
// who take them. Only what is smaller is kept.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const TEXTS = new Set(['.html', '.js', '.css', '.svg', '.json', '.webmanifest', '.txt', '.map'])
const dist = join(dirname(fileURLToPath(import.meta.url)), '../dist')

const brotli = (data) =>
  brotliCompressSync(data, {
    params: {
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_SIZE_HINT]: data.length,
    },
  })
const encodings = { br: brotli, gz: (data) => gzipSync(data, { level: 9 }) }

for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !TEXTS.has(extname(entry.name))) continue
  const path = join(entry.parentPath, entry.name)
  const data = readFileSync(path)
  for (const [suffix, compress] of Object.entries(encodings)) {
    const compressed = compress(data)
    if (compressed.length < data.length) writeFileSync(`${path}.${suffix}`, compressed)
  }
}
