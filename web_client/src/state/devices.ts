// Microphone and camera before joining: each off until its own button is
// tapped, then asked for, then on with a track to preview.

import { type Signal, signal } from '@preact/signals'
import { type Capture, CaptureError } from '../media/capture'
import type { DeviceKind } from '../signal/engine'
import type { Notice } from './notice'

export type DeviceState =
  | { readonly kind: 'off' }
  | { readonly kind: 'asking' }
  | { readonly kind: 'on'; readonly track: MediaStreamTrack }

export type CapturedTracks = Partial<Record<DeviceKind, MediaStreamTrack>>

export const deviceKinds: readonly DeviceKind[] = ['microphone', 'camera']

const off: DeviceState = { kind: 'off' }

/** The notice for whatever opening a device threw. */
export const captureNotice = (device: DeviceKind, thrown: unknown): Notice => ({
  kind: 'capture',
  device,
  problem: thrown instanceof CaptureError ? thrown.problem : 'unsupported',
})

export class DevicesModel {
  readonly microphone: Signal<DeviceState> = signal(off)
  readonly camera: Signal<DeviceState> = signal(off)
  readonly notice: Signal<Notice | null> = signal(null)
  readonly #capture: Capture

  constructor(capture: Capture) {
    this.#capture = capture
  }

  /** Turns a device on, asking for permission, or off. */
  async toggle(kind: DeviceKind): Promise<void> {
    const state = this[kind]
    if (state.value.kind === 'asking') return
    if (state.value.kind === 'on') {
      state.value.track.stop()
      state.value = off
      return
    }
    const asking: DeviceState = { kind: 'asking' }
    state.value = asking
    this.notice.value = null
    try {
      const track = await this.#capture.open(kind)
      // Joining or going back while the prompt was up has reset the state.
      if (state.value === asking) state.value = { kind: 'on', track }
      else track.stop()
    } catch (thrown) {
      if (state.value !== asking) return
      state.value = off
      this.notice.value = captureNotice(kind, thrown)
    }
  }

  /** Hands the open tracks over; they are no longer this model's to stop. */
  take(): CapturedTracks {
    const tracks: CapturedTracks = {}
    for (const kind of deviceKinds) {
      const state = this[kind].value
      if (state.kind === 'on') tracks[kind] = state.track
      this[kind].value = off
    }
    this.notice.value = null
    return tracks
  }

  /** Closes the devices. */
  stop(): void {
    for (const track of Object.values(this.take())) track.stop()
  }
}
