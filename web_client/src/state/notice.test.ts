import { describe, expect, it } from 'vitest'
import { fr } from '../i18n/fr'
import { unblockKey, wordingOf } from './notice'

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0'
const CHROME =
  'Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36'
const SAFARI =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1'

describe('wordingOf', () => {
  it('explains a refusal and how this very browser takes it back', () => {
    const notice = { kind: 'capture', device: 'microphone', problem: 'denied' } as const
    expect(wordingOf(notice, fr, FIREFOX)).toEqual([fr.microphoneDenied, fr.unblockFirefox])
    expect(wordingOf(notice, fr, SAFARI)).toEqual([fr.microphoneDenied, fr.unblockSafari])
  })

  it('offers no unblocking where nothing is blocked', () => {
    const notice = { kind: 'capture', device: 'camera', problem: 'busy' } as const
    expect(wordingOf(notice, fr, CHROME)).toEqual([fr.cameraBusy])
  })
})

describe('unblockKey', () => {
  it('tells the browsers apart although all of them claim to be Safari', () => {
    expect(unblockKey(CHROME)).toBe('unblockChrome')
    expect(unblockKey(FIREFOX)).toBe('unblockFirefox')
    expect(unblockKey(SAFARI)).toBe('unblockSafari')
    expect(unblockKey('curl/8')).toBe('unblockOther')
  })
})
