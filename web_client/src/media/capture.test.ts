import { afterEach, describe, expect, it, vi } from 'vitest'
import { browserCapture, isInAppBrowser, problemOf } from './capture'

const CHROME_ANDROID =
  'Mozilla/5.0 (Linux; Android 13; SM-A135F) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36'
const FACEBOOK =
  'Mozilla/5.0 (Linux; Android 13; SM-A135F; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/120.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/440.0]'

const stubDevices = (devices: unknown) =>
  Object.defineProperty(navigator, 'mediaDevices', { value: devices, configurable: true })

afterEach(() => {
  Reflect.deleteProperty(navigator, 'mediaDevices')
})

describe('problemOf', () => {
  it('tells a refusal from a missing and a busy device', () => {
    expect(problemOf('NotAllowedError', CHROME_ANDROID)).toBe('denied')
    expect(problemOf('NotFoundError', CHROME_ANDROID)).toBe('missing')
    expect(problemOf('NotReadableError', CHROME_ANDROID)).toBe('busy')
    expect(problemOf('TypeError', CHROME_ANDROID)).toBe('unsupported')
  })

  it('blames the application whose web view refuses', () => {
    expect(isInAppBrowser(CHROME_ANDROID)).toBe(false)
    expect(isInAppBrowser(FACEBOOK)).toBe(true)
    expect(problemOf('NotAllowedError', FACEBOOK)).toBe('inAppBrowser')
  })
})

describe('browserCapture', () => {
  it('asks for one device only', async () => {
    const track = { kind: 'audio' }
    const getUserMedia = vi.fn(async () => ({ getTracks: () => [track] }))
    stubDevices({ getUserMedia })
    expect(await browserCapture.open('microphone')).toBe(track)
    expect(getUserMedia).toHaveBeenCalledWith(
      expect.not.objectContaining({ video: expect.anything() }),
    )
  })

  it('says why a device could not be had, also where there are no devices at all', async () => {
    stubDevices({ getUserMedia: () => Promise.reject(new DOMException('', 'NotAllowedError')) })
    await expect(browserCapture.open('camera')).rejects.toMatchObject({
      kind: 'camera',
      problem: 'denied',
    })
    stubDevices(undefined)
    await expect(browserCapture.open('camera')).rejects.toMatchObject({ problem: 'unsupported' })
  })

  it('does not promise a device without a prompt when the browser cannot say', async () => {
    vi.spyOn(navigator.permissions, 'query').mockRejectedValue(new TypeError('microphone'))
    expect(await browserCapture.isAllowed('microphone')).toBe(false)
  })
})
