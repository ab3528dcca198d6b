import { beforeEach, describe, expect, it, vi } from 'vitest'
import { browserPreferences as preferences } from './preferences'

beforeEach(() => {
  localStorage.clear()
  sessionStorage.clear()
})

describe('browserPreferences', () => {
  it('gives back the call under way, for that conference only', () => {
    const call = {
      conference: 'a',
      role: 'speaker',
      microphone: true,
      camera: false,
      spent_bytes: 7,
    } as const
    preferences.saveOngoingCall(call)
    expect(preferences.ongoingCall('a')).toEqual(call)
    expect(preferences.ongoingCall('b')).toBeNull()
    preferences.clearOngoingCall()
    expect(preferences.ongoingCall('a')).toBeNull()
  })

  it.each(['', 'null', '[]', '{"conference":"a"}', '{"conference":"a","role":"king"}', '{'])(
    'takes a damaged entry %j for none',
    (text) => {
      sessionStorage.setItem('kinguicall.call', text)
      expect(preferences.ongoingCall('a')).toBeNull()
    },
  )

  it('forgets quietly where storage is refused', () => {
    const refuse = () => {
      throw new DOMException('denied', 'SecurityError')
    }
    vi.stubGlobal('localStorage', { getItem: refuse, setItem: refuse })
    preferences.saveName('Awa')
    expect(preferences.name()).toBe('')
  })
})
