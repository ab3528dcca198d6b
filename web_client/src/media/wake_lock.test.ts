import { afterEach, describe, expect, it, vi } from 'vitest'
import { keepScreenOn } from './wake_lock'

const stubWakeLock = (request: () => Promise<unknown>) =>
  Object.defineProperty(navigator, 'wakeLock', { value: { request }, configurable: true })

afterEach(() => {
  Reflect.deleteProperty(navigator, 'wakeLock')
})

describe('keepScreenOn', () => {
  it('holds the screen until told to stop, and takes it again when the page comes back', async () => {
    const release = vi.fn(async () => undefined)
    const request = vi.fn(async () => ({ release }))
    stubWakeLock(request)
    const stop = keepScreenOn()
    document.dispatchEvent(new Event('visibilitychange'))
    expect(request).toHaveBeenCalledTimes(2)
    await Promise.resolve()
    stop()
    expect(release).toHaveBeenCalled()
    document.dispatchEvent(new Event('visibilitychange'))
    expect(request).toHaveBeenCalledTimes(2)
  })

  it('lets go of a lock granted too late', async () => {
    const release = vi.fn(async () => undefined)
    let grant: (lock: unknown) => void = () => undefined
    stubWakeLock(
      () =>
        new Promise((resolve) => {
          grant = resolve
        }),
    )
    keepScreenOn()()
    grant({ release })
    await vi.waitFor(() => expect(release).toHaveBeenCalled())
  })

  it('is quiet where there is no such thing, or it is refused', async () => {
    keepScreenOn()()
    stubWakeLock(() => Promise.reject(new DOMException('', 'NotAllowedError')))
    keepScreenOn()()
    await Promise.resolve()
  })
})
