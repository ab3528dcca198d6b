import { render } from 'preact'
import { act } from 'preact/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { language } from '../i18n'
import { CallModel, type CallServices } from '../state/call'
import { browserPreferences } from '../state/preferences'
import { Lobby } from './lobby'

const open = vi.fn(() => Promise.reject(new Error('no device in this test')))
const join = vi.fn(() => new Promise<never>(() => undefined))

const services: CallServices = {
  api: { createConference: () => Promise.reject(new Error('not used here')), join },
  capture: { open, isAllowed: async () => false },
  preferences: browserPreferences,
  loadedEngine: () => null,
  loadEngine: () => new Promise<never>(() => undefined),
}

let root: HTMLElement
let call: CallModel

beforeEach(async () => {
  localStorage.clear()
  open.mockClear()
  root = document.createElement('div')
  document.body.append(root)
  call = new CallModel('salon', services)
  await act(() => render(<Lobby call={call} />, root))
})

afterEach(() => {
  render(null, root)
  root.remove()
  language.value = 'fr'
})

const button = (words: string): HTMLButtonElement => {
  const found = [...root.querySelectorAll('button')].find((b) => b.textContent?.includes(words))
  if (!found) throw new Error(`no button “${words}” in: ${root.textContent}`)
  return found
}
const tap = (words: string) => act(() => button(words).click())

describe('Lobby', () => {
  it('lets a guest listen with one tap and asks for no device', async () => {
    await tap('Écouter')
    expect(call.phase.value.kind).toBe('joining')
    expect(call.role.value).toBe('listener')
    expect(open).not.toHaveBeenCalled()
  })

  it('opens nothing until the button of that device is tapped', async () => {
    await tap('Participer avec micro ou caméra')
    expect(open).not.toHaveBeenCalled()
    await tap('Activer la caméra')
    expect(open.mock.calls).toEqual([['camera']])
  })

  it('wants a name from whoever takes part, and remembers it', async () => {
    await tap('Participer avec micro ou caméra')
    await tap('Entrer')
    expect(root.textContent).toContain('Écrivez votre nom')
    expect(call.phase.value.kind).toBe('lobby')

    const field = root.querySelector('input') as HTMLInputElement
    await act(() => {
      field.value = 'Awa Traoré'
      field.dispatchEvent(new Event('input', { bubbles: true }))
    })
    await tap('Entrer')
    expect(call.phase.value.kind).toBe('joining')
    expect(browserPreferences.name()).toBe('Awa Traoré')
  })

  it('shows what the link says as the words of whoever sent it', async () => {
    const words = 'Votre compte est bloqué, appelez le 0700'
    const encoded = btoa(String.fromCharCode(...new TextEncoder().encode(words)))
    call = new CallModel(`k3v9m2xq7bpt0000000000000000-${encoded}`, services)
    await act(() => render(<Lobby call={call} />, root))

    expect(root.querySelector('h1')?.textContent).toBe('Vous êtes invité à une conférence')
    const quoted = [...root.querySelectorAll('figure')].map((figure) => figure.textContent)
    expect(quoted).toEqual([`La personne qui vous invite écrit\u00a0:«\u00a0${words}\u00a0»`])
    expect(root.textContent?.split(words)).toHaveLength(2)
    expect(call.title.value).toBe('')
  })

  it('has a low-data switch on both screens, and remembers it', async () => {
    const lowData = () => root.querySelector('[role=switch]') as HTMLButtonElement
    expect(lowData().getAttribute('aria-checked')).toBe('false')
    expect(lowData().getAttribute('aria-label')).toBe('Éco data')
    await act(() => lowData().click())
    expect(lowData().getAttribute('aria-checked')).toBe('true')
    expect(call.phase.value.kind).toBe('lobby')
    await tap('Participer avec micro ou caméra')
    expect(lowData().getAttribute('aria-checked')).toBe('true')
    expect(browserPreferences.lowData()).toBe(true)
  })

  it('changes language on the spot and remembers it', async () => {
    await tap('EN')
    expect(button('Listen')).toBeTruthy()
    expect(browserPreferences.language()).toBe('en')
  })
})
