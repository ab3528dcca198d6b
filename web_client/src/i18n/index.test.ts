import { afterEach, describe, expect, it } from 'vitest'
import { en } from './en'
import { fr } from './fr'
import { chooseLanguage, language, messages } from './index'

afterEach(() => {
  language.value = 'fr'
})

describe('chooseLanguage', () => {
  it('prefers the stored choice over the browser', () => {
    expect(chooseLanguage('en', ['fr-FR'])).toBe('en')
  })

  it('takes the first browser language it speaks, region ignored', () => {
    expect(chooseLanguage(null, ['bm-ML', 'en-GB', 'fr'])).toBe('en')
    expect(chooseLanguage(null, ['FR-ml'])).toBe('fr')
  })

  it('falls back to French for unknown languages and bad stored values', () => {
    expect(chooseLanguage('klingon', ['de', 'es'])).toBe('fr')
    expect(chooseLanguage('toString', [])).toBe('fr')
    expect(chooseLanguage(undefined, [])).toBe('fr')
  })
})

describe('catalogues', () => {
  it('have no empty text and no text left in the other language', () => {
    const same = new Set(['namePlaceholder'])
    for (const key of Object.keys(fr) as (keyof typeof fr)[]) {
      const [french, english] = [fr[key], en[key]]
      if (typeof french !== 'string' || typeof english !== 'string') continue
      expect(french.trim(), key).not.toBe('')
      expect(english.trim(), key).not.toBe('')
      if (!same.has(key)) expect(english, key).not.toBe(french)
    }
  })

  it('never let French punctuation start a line', () => {
    for (const text of Object.values(fr)) {
      expect(typeof text === 'string' ? text : text('x' as never)).not.toMatch(/« | [»:;?!]/)
    }
  })

  it('count people by the rules of each language: French says 0 personne', () => {
    expect(fr.peopleCount(0)).toBe('0 personne')
    expect(fr.peopleCount(1)).toBe('1 personne')
    expect(fr.peopleCount(2)).toBe('2 personnes')
    expect(en.peopleCount(0)).toBe('0 people')
    expect(en.peopleCount(1)).toBe('1 person')
  })

  it('follow the language signal', () => {
    expect(messages.value.listen).toBe('Écouter')
    language.value = 'en'
    expect(messages.value.listen).toBe('Listen')
  })
})
