// The language in use, as a signal: views read `messages.value` and re-render on a switch.
//
// Both catalogues are part of the first load: together they weigh less than the
// round trip a lazy one would cost on 3G.

import { computed, signal } from '@preact/signals'
import { en } from './en'
import { type Catalogue, fr } from './fr'

export type { Catalogue, TextKey } from './fr'

const catalogues = { fr, en } as const satisfies Record<string, Catalogue>

export type Language = keyof typeof catalogues

export const languages = Object.keys(catalogues) as Language[]

export const language = signal<Language>('fr')

export const messages = computed<Catalogue>(() => catalogues[language.value])

/** The name of a language in that language, for the switch. */
export const nameOfLanguage = (code: Language): string => catalogues[code].languageName

const isLanguage = (value: unknown): value is Language =>
  (languages as readonly unknown[]).includes(value)

/**
 * The language to start in: the one chosen before, else the first of the
 * browser's that we speak, else French.
 */
export function chooseLanguage(stored: unknown, browser: readonly string[]): Language {
  if (isLanguage(stored)) return stored
  for (const tag of browser) {
    const primary = tag.toLowerCase().split('-')[0]
    if (isLanguage(primary)) return primary
  }
  return 'fr'
}
