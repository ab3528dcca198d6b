import { describe, expect, it, vi } from 'vitest'
import { CaptureError } from '../media/capture'
import { DevicesModel } from './devices'

const newTrack = () => ({ stop: vi.fn() }) as unknown as MediaStreamTrack

describe('DevicesModel', () => {
  it('asks for exactly the device whose button was tapped', async () => {
    const open = vi.fn(async () => newTrack())
    const devices = new DevicesModel({ open, isAllowed: async () => false })
    expect(open).not.toHaveBeenCalled()
    await devices.toggle('camera')
    expect(open.mock.calls).toEqual([['camera']])
    expect(devices.camera.value.kind).toBe('on')
    expect(devices.microphone.value.kind).toBe('off')
  })

  it('keeps the microphone when the camera is refused, and says why', async () => {
    const devices = new DevicesModel({
      open: async (kind) => {
        if (kind === 'camera') throw new CaptureError(kind, 'denied')
        return newTrack()
      },
      isAllowed: async () => false,
    })
    await devices.toggle('microphone')
    await devices.toggle('camera')
    expect(devices.microphone.value.kind).toBe('on')
    expect(devices.camera.value.kind).toBe('off')
    expect(devices.notice.value).toEqual({ kind: 'capture', device: 'camera', problem: 'denied' })
  })

  it('closes a device granted after one has gone back', async () => {
    const { devices, grant, track } = opening()
    const toggling = devices.toggle('microphone')
    expect(devices.microphone.value.kind).toBe('asking')
    devices.stop()
    grant()
    await toggling
    expect(track.stop).toHaveBeenCalled()
    expect(devices.microphone.value.kind).toBe('off')
  })

  it('hands a device over that is still being opened', async () => {
    const { devices, grant, track } = opening()
    const toggling = devices.toggle('camera')
    const taken = devices.take(unexpected)
    expect(taken.wanted).toEqual({ microphone: false, camera: true })
    grant()
    await toggling
    expect(await taken.tracks).toEqual({ camera: track })
    expect(track.stop).not.toHaveBeenCalled()
    expect(devices.camera.value.kind).toBe('off')
  })

  it('tells who took it over that a device did not open', async () => {
    const devices = new DevicesModel({
      open: async () => Promise.reject(new CaptureError('camera', 'denied')),
      isAllowed: async () => false,
    })
    const toggling = devices.toggle('camera')
    const failed = vi.fn()
    const taken = devices.take(failed)
    await toggling
    expect(await taken.tracks).toEqual({})
    expect(failed).toHaveBeenCalledWith('camera', expect.any(CaptureError))
    expect(devices.notice.value).toBeNull()
  })

  it('hands tracks over running and stops those nobody took', async () => {
    const track = newTrack()
    const devices = new DevicesModel({ open: async () => track, isAllowed: async () => false })
    await devices.toggle('microphone')
    expect(await devices.take(unexpected).tracks).toEqual({ microphone: track })
    expect(track.stop).not.toHaveBeenCalled()

    await devices.toggle('microphone')
    devices.stop()
    expect(track.stop).toHaveBeenCalledTimes(1)
  })
})

const unexpected = (kind: string): never => {
  throw new Error(`${kind} failed`)
}

/** Devices whose prompt stays up until `grant`. */
function opening() {
  const track = newTrack()
  let grant: () => void = () => undefined
  const open = () =>
    new Promise<MediaStreamTrack>((resolve) => {
      grant = () => resolve(track)
    })
  const devices = new DevicesModel({ open, isAllowed: async () => false })
  return { devices, track, grant: () => grant() }
}
