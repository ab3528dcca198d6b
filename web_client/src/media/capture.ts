// Asking for the microphone and the camera, one at a time, and saying why it
// did not work. Nothing here runs before somebody taps the device's own button.

import type { DeviceKind } from '../signal/engine'

/** Why a device could not be had. */
export type CaptureProblem = 'denied' | 'missing' | 'busy' | 'unsupported' | 'inAppBrowser'

export class CaptureError extends Error {
  constructor(
    readonly kind: DeviceKind,
    readonly problem: CaptureProblem,
  ) {
    super(`${kind}: ${problem}`)
    this.name = 'CaptureError'
  }
}

export interface Capture {
  /**
   * Opens the device; the browser asks for permission if it has to.
   * @throws CaptureError
   */
  open(kind: DeviceKind): Promise<MediaStreamTrack>
  /** Whether `open` would succeed without a prompt. */
  isAllowed(kind: DeviceKind): Promise<boolean>
}

// A 360p picture is what a 3G uplink carries; a desk has room for a little more.
const PHONE_VIDEO = { width: { ideal: 640 }, height: { ideal: 360 } }
const DESK_VIDEO = { width: { ideal: 960 }, height: { ideal: 540 } }

function constraintsOf(kind: DeviceKind): MediaStreamConstraints {
  if (kind === 'microphone') {
    return { audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true } }
  }
  const size = matchMedia('(pointer: coarse)').matches ? PHONE_VIDEO : DESK_VIDEO
  return { video: { ...size, frameRate: { ideal: 24, max: 30 }, facingMode: 'user' } }
}

/** Web views of messaging applications, which often refuse capture. */
export const isInAppBrowser = (userAgent: string): boolean =>
  /FBAN|FBAV|FB_IAB|Instagram|WhatsApp|TikTok|musical_ly|Line\/|; wv\)/.test(userAgent)

/** What a failed getUserMedia means; error names are those of Media Capture and Streams. */
export function problemOf(errorName: string, userAgent: string): CaptureProblem {
  switch (errorName) {
    case 'NotAllowedError':
    case 'SecurityError':
      return isInAppBrowser(userAgent) ? 'inAppBrowser' : 'denied'
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'missing'
    case 'NotReadableError':
    case 'AbortError':
      return 'busy'
    default:
      return isInAppBrowser(userAgent) ? 'inAppBrowser' : 'unsupported'
  }
}

export function captureErrorOf(kind: DeviceKind, thrown: unknown): CaptureError {
  const name = thrown instanceof Error ? thrown.name : ''
  return new CaptureError(kind, problemOf(name, navigator.userAgent))
}

export const browserCapture: Capture = {
  async open(kind) {
    // Absent on plain http: and in some web views.
    const devices: MediaDevices | undefined = navigator.mediaDevices
    try {
      const stream = await devices.getUserMedia(constraintsOf(kind))
      const [track] = stream.getTracks()
      if (track) return track
    } catch (thrown) {
      throw captureErrorOf(kind, thrown)
    }
    throw new CaptureError(kind, 'missing')
  },

  async isAllowed(kind) {
    try {
      const status = await navigator.permissions.query({ name: kind as PermissionName })
      return status.state === 'granted'
    } catch {
      return false // a browser that cannot say might prompt
    }
  },
}
