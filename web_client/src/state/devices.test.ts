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

  it('closes a device granted after one has gone on without it', async () => {
    const track = newTrack()
    let grant: (track: MediaStreamTrack) => void = () => undefined
    const open = () =>
      new Promise<MediaStreamTrack>((resolve) => {
        grant = resolve
      })
    const devices = new DevicesModel({ open, isAllowed: async () => false })
    const toggling = devices.toggle('microphone')
    expect(devices.microphone.value.kind).toBe('asking')
    expect(devices.take()).toEqual({})
    grant(track)
    await toggling
    expect(track.stop).toHaveBeenCalled()
    expect(devices.microphone.value.kind).toBe('off')
  })

  it('hands tracks over running and stops those nobody took', async () => {
    const track = newTrack()
    const devices = new DevicesModel({ open: async () => track, isAllowed: async () => false })
    await devices.toggle('microphone')
    expect(devices.take()).toEqual({ microphone: track })
    expect(track.stop).not.toHaveBeenCalled()

    await devices.toggle('microphone')
    devices.stop()
    expect(track.stop).toHaveBeenCalledTimes(1)
  })
})
