// The seam between the page and the call engine: what the page asks of it and
// what it hears back. The page knows only this file; the implementation over
// livekit-client is loaded when somebody joins.

import type { ErrorCode } from '../state/errors'

/** A picture that can be shown in a <video>; attach and detach always come in pairs. */
export interface Picture {
  readonly id: string
  attach(element: HTMLVideoElement): void
  detach(element: HTMLVideoElement): void
}

export type DeviceKind = 'microphone' | 'camera'

/** One person in the conference, as a value. */
export interface Person {
  readonly identity: string
  readonly name: string
  readonly isLocal: boolean
  readonly canSpeak: boolean
  readonly isSpeaking: boolean
  /** On the page's clock; 0 for somebody who has not spoken yet. */
  readonly lastSpokeAt_ms: number
  readonly microphoneOn: boolean
  readonly camera: Picture | null
  readonly screen: Picture | null
}

/** What happens in a session. Nothing is reported after `disconnected` but what it has spent. */
export interface SessionEvents {
  /** `people` holds oneself and those who may speak; `count` counts everybody. */
  people(people: readonly Person[], count: number): void
  interrupted(): void
  restored(): void
  disconnected(error: ErrorCode): void
  /** The browser waits for a tap before it plays sound. */
  audioBlocked(blocked: boolean): void
  /** So many bytes went over the network since the last time, in either direction. */
  spent(bytes: number): void
}

/** One participant's session in one conference. */
export interface Session {
  /** Call from inside a tap: some browsers play sound only if it started there. */
  unlockAudio(): void
  /** @throws CallError */
  connect(url: string, token: string): Promise<void>
  /** Sends a captured track; the session owns it from here on. */
  publish(kind: DeviceKind, track: MediaStreamTrack): Promise<void>
  /** Whether a track of this kind has been published. */
  has(kind: DeviceKind): boolean
  /** Mutes or unmutes what was published; unmuting a camera opens it again. */
  setOn(kind: DeviceKind, on: boolean): Promise<void>
  /**
   * Bounds what is received, in kbit/s; null for no bound. With one no camera is asked for, and of
   * the own one only the smallest size is sent.
   */
  limit(limit_kbps: number | null): void
  /** Leaves; only `spent` may follow. */
  leave(): Promise<void>
}

export interface Engine {
  open(events: SessionEvents): Session
}
