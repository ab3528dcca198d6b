import { describe, expect, it } from 'vitest'
import { titleOf } from './conference_name'

const nameWith = (title: string) => {
  const bytes = new TextEncoder().encode(title)
  const encoded = btoa(String.fromCharCode(...bytes))
  return `k3v9m2xq7bpt0000000000000000-${encoded.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')}`
}

describe('titleOf', () => {
  it.each(['Fête', 'Assemblée du quartier', 'ߞߊ߲', '???>>>', 'a'])('reads %j back', (title) => {
    expect(titleOf(nameWith(title))).toBe(title)
  })

  it('is empty for names without a title', () => {
    expect(titleOf('k3v9m2xq7bpt0000000000000000')).toBe('')
    expect(titleOf('')).toBe('')
  })

  it('takes nothing that is not text on one line, and nothing endless', () => {
    for (const name of ['x-%%%', 'x-_w', 'x-A', nameWith('a\nb'), nameWith('a\u202eb')]) {
      expect(titleOf(name), name).toBe('')
    }
    expect(titleOf(nameWith('a'.repeat(5000))).length).toBeLessThanOrEqual(120)
  })
})
