// The frame of every screen outside the call: brand, language switch, content.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { type Language, language, languages, messages, nameOfLanguage } from '../i18n'
import { browserPreferences } from '../state/preferences'
import { navigate } from '../state/route'

export function Frame({ children }: { children: ComponentChildren }) {
  return (
    <>
      <header class="brand">
        <a
          class="brand-name"
          href="/"
          onClick={(event) => {
            event.preventDefault()
            navigate({ kind: 'home' })
          }}
        >
          Kinguicall
        </a>
        <LanguageSwitch />
      </header>
      <main class="page">{children}</main>
    </>
  )
}

function LanguageSwitch() {
  const choose = (code: Language) => {
    language.value = code
    browserPreferences.saveLanguage(code)
  }
  return (
    <fieldset class="languages" aria-label={messages.value.switchLanguage}>
      {languages.map((code) => (
        <button
          key={code}
          type="button"
          lang={code}
          aria-label={nameOfLanguage(code)}
          aria-pressed={code === language.value}
          onClick={() => choose(code)}
        >
          {code.toUpperCase()}
        </button>
      ))}
    </fieldset>
  )
}

/** A screen's heading; takes the focus, so that a screen reader notices the new screen. */
export function ScreenTitle({ children }: { children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => heading.current?.focus(), [])
  return (
    <h1 tabIndex={-1} ref={heading}>
      {children}
    </h1>
  )
}
