// The page as a whole: which screen, in which language.

import { effect } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { language, messages } from '../i18n'
import type { CallServices } from '../state/call'
import { route } from '../state/route'
import { ConferencePage } from './conference_page'
import { HomePage } from './home_page'

const describeDocument = () => {
  document.documentElement.lang = language.value
  const text = messages.value
  document.title =
    route.value.kind === 'conference'
      ? `${text.untitled} · Kinguicall`
      : `Kinguicall · ${text.homeTitle}`
}

export function App({ services }: { services: CallServices }) {
  useEffect(() => effect(describeDocument), [])
  const current = route.value
  return current.kind === 'home' ? (
    <HomePage services={services} />
  ) : (
    <ConferencePage key={current.name} conference={current.name} services={services} />
  )
}
