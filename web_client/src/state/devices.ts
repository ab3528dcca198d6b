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

/** Devices handed over: which were wanted, and their tracks once all of them are open. */
export interface TakenDevices {
  readonly wanted: Readonly<Record<DeviceKind, boolean>>
  readonly tracks: Promise<CapturedTracks>
}

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
  /** Devices that are being opened; whoever takes them over removes them. */
  readonly #opening = new Map<DeviceKind, Promise<MediaStreamTrack>>()

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
    const opening = this.#capture.open(kind)
    this.#opening.set(kind, opening)
    try {
      const track = await opening
      if (!this.#isStillMine(kind, opening)) return
      // Going back while the prompt was up has reset the state.
      if (state.value === asking) state.value = { kind: 'on', track }
      else track.stop()
    } catch (thrown) {
      if (!this.#isStillMine(kind, opening) || state.value !== asking) return
      state.value = off
      this.notice.value = captureNotice(kind, thrown)
    }
  }

  #isStillMine(kind: DeviceKind, opening: Promise<MediaStreamTrack>): boolean {
    return this.#opening.get(kind) === opening && this.#opening.delete(kind)
  }

  /**
   * Hands over what is on and what is being opened, as somebody who turns the
   * camera on and joins at once wants both. `failed` hears of what did not open.
   */
  take(failed: (kind: DeviceKind, thrown: unknown) => void): TakenDevices {
    const wanted = { microphone: false, camera: false }
    const tracks: CapturedTracks = {}
    const waits: Promise<void>[] = []
    for (const kind of deviceKinds) {
      const state = this[kind].value
      const opening = this.#opening.get(kind)
      this.#opening.delete(kind)
      wanted[kind] = state.kind !== 'off'
      if (state.kind === 'on') tracks[kind] = state.track
      if (state.kind === 'asking' && opening) {
        const keep = (track: MediaStreamTrack) => {
          tracks[kind] = track
        }
        waits.push(opening.then(keep, (thrown) => failed(kind, thrown)))
      }
      this[kind].value = off
    }
    this.notice.value = null
    return { wanted, tracks: Promise.all(waits).then(() => tracks) }
  }

  /** Closes the devices; one that is still being opened closes when it comes. */
  stop(): void {
    for (const kind of deviceKinds) {
      const state = this[kind].value
      if (state.kind === 'on') state.track.stop()
      this[kind].value = off
    }
    this.notice.value = null
  }
}
