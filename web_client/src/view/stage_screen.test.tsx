import { render } from 'preact'
import { act } from 'preact/test-utils'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Bench, person } from '../testing/bench'
import { StageScreen } from './stage_screen'

let root: HTMLElement
let bench: Bench

beforeEach(async () => {
  // The DOM of the tests has no layout: the stage gets the size of a phone's.
  globalThis.ResizeObserver = class {
    constructor(private readonly report: ResizeObserverCallback) {}
    observe() {
      const entry = { contentRect: { width: 344, height: 560 } } as ResizeObserverEntry
      this.report([entry], this)
    }
    unobserve() {}
    disconnect() {}
  }
  bench = new Bench((b) => {
    b.name = 'Djeneba'
  })
  root = document.createElement('div')
  document.body.append(root)
  await bench.call.listen()
  await act(() => render(<StageScreen call={bench.call} />, root))
})

afterEach(() => {
  render(null, root)
  root.remove()
})

const tiles = () => [...root.querySelectorAll('.tile')].map((tile) => tile.textContent)
const press = (key: string) =>
  act(async () => {
    dispatchEvent(new KeyboardEvent('keydown', { key }))
  })

describe('StageScreen', () => {
  it('shows who may speak by initials and name, and counts everybody', async () => {
    await act(() =>
      bench.session.events.people(
        [
          person('me', { isLocal: true, canSpeak: false }),
          person('a', { name: 'Awa Traoré', microphoneOn: true, isSpeaking: true }),
          person('b', { name: '' }),
        ],
        212,
      ),
    )
    expect(tiles()).toEqual(['ATAwa Traoré, parle', 'IInvité, micro coupé'])
    expect(root.querySelectorAll('.tile.speaking')).toHaveLength(1)
    expect(root.querySelector('.call-header')?.textContent).toContain('212')
  })

  it('tells a lone guest how to get company, and a waiting one that nobody speaks', async () => {
    await act(() => bench.session.report())
    expect(root.textContent).toContain('Vous êtes seul')
    await act(() =>
      bench.session.events.people([person('me', { isLocal: true, canSpeak: false })], 3),
    )
    expect(root.textContent).not.toContain('Vous êtes seul')
    expect(root.textContent).toContain('Personne ne parle pour l’instant')
  })

  it('says that the connection is lost and offers one way back', async () => {
    await act(() => bench.session.events.interrupted())
    expect(root.querySelector('[role=alert]')?.textContent).toContain('Connexion perdue')
    await act(() => bench.session.events.disconnected('server_stopping'))
    const alert = root.querySelector('[role=alert]')
    expect(alert?.textContent).toContain('Le serveur redémarre')
    await act(() => alert?.querySelector('button')?.click())
    expect(bench.sessions).toHaveLength(2)
  })

  it('waits for a tap where the browser holds the sound back', async () => {
    await act(() => bench.session.events.audioBlocked(true))
    const before = bench.session.unlocked
    const button = [...root.querySelectorAll('button')].find((b) =>
      b.textContent?.includes('Touchez pour entendre'),
    )
    await act(() => button?.click())
    expect(bench.session.unlocked).toBe(before + 1)
  })

  it('switches low data by button and by key, and shows what the call has cost', async () => {
    const lowData = () => root.querySelector('[role=switch]')
    expect(lowData()?.getAttribute('aria-checked')).toBe('false')
    await act(() => (lowData() as HTMLButtonElement).click())
    expect(lowData()?.getAttribute('aria-checked')).toBe('true')
    expect(root.querySelector('.banners')?.textContent).toContain('Éco data activé')
    await press('d')
    expect(lowData()?.getAttribute('aria-checked')).toBe('false')
    await act(() => bench.session.events.spent(12_400_000))
    const spent = root.querySelector('.data-spent')
    expect(spent?.textContent?.replace(/\s/g, ' ')).toContain('Données utilisées : 12 Mo')
  })

  it('has keys for the microphone and for help', async () => {
    await press('m')
    expect(bench.tracks).toHaveLength(1)
    await press('?')
    expect(root.querySelector('dialog')?.textContent).toContain('Raccourcis clavier')
    await press('?')
    expect(root.querySelector('dialog')).toBeNull()
  })
})
