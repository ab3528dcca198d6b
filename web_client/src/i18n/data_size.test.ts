import { expect, it } from 'vitest'
import { dataSize } from './data_size'

it.each([
  [0, 'en', '0.0 MB'],
  [449_000, 'en', '0.4 MB'],
  [3_210_000, 'fr', '3,2 Mo'],
  [9_949_999, 'en', '9.9 MB'],
  [9_960_000, 'en', '10 MB'],
  [999_400_000, 'en', '999 MB'],
  [999_600_000, 'fr', '1,00 Go'],
])('writes %i bytes in %s as %s', (bytes, language, words) => {
  expect(dataSize(bytes, language).replace(/\s/g, ' ')).toBe(words)
})
