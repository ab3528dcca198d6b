// Entry: picks the language, follows the address, and draws.

import { render } from 'preact'
import { chooseLanguage, language } from './i18n'
import { browserCapture } from './media/capture'
import { serverApi } from './signal/api'
import { loadEngine, loadedEngine } from './signal/load_engine'
import { browserPreferences } from './state/preferences'
import { startRouting } from './state/route'
import { App } from './view/app'

language.value = chooseLanguage(browserPreferences.language(), navigator.languages ?? [])
startRouting()

const services = {
  api: serverApi,
  capture: browserCapture,
  preferences: browserPreferences,
  loadedEngine,
  loadEngine,
}

// Not on a developer's own machine, where yesterday's build would come from it.
if ('serviceWorker' in navigator && !/^(localhost|127\.|\[::1\])/.test(location.hostname)) {
  addEventListener(
    'load',
    () => void navigator.serviceWorker.register('/sw.js').catch(() => undefined),
  )
}

const root = document.getElementById('app')
if (root) {
  root.textContent = '' // what the page showed before scripts
  render(<App services={services} />, root)
}
