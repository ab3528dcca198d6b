// For tests: a call whose server, devices and storage the test plays itself.

import { vi } from 'vitest'
import type { Capture } from '../media/capture'
import type { Admission, Api } from '../signal/api'
import type { DeviceKind, Engine, Person, Session, SessionEvents } from '../signal/engine'
import { CallModel, type CallServices } from '../state/call'
import type { OngoingCall, Preferences, Role } from '../state/preferences'

/** A session that succeeds at everything and lets the test play the server. */
export class ScriptedSession implements Session {
  readonly published = new Map<DeviceKind, MediaStreamTrack>()
  readonly on = new Map<DeviceKind, boolean>()
  token = ''
  left = false
  unlocked = 0
  limit_kbps: number | null = null
  connectError: Error | null = null
  publishError: Error | null = null

  constructor(readonly events: SessionEvents) {}

  unlockAudio() {
    this.unlocked += 1
  }
  async connect(_url: string, token: string) {
    if (this.connectError) throw this.connectError
    this.token = token
  }
  async publish(kind: DeviceKind, track: MediaStreamTrack) {
    if (this.publishError) throw this.publishError
    this.published.set(kind, track)
    this.on.set(kind, true)
    this.report()
  }
  has(kind: DeviceKind) {
    return this.published.has(kind)
  }
  async setOn(kind: DeviceKind, on: boolean) {
    this.on.set(kind, on)
    this.report()
  }
  limit(limit_kbps: number | null) {
    this.limit_kbps = limit_kbps
  }
  async leave() {
    this.left = true
  }
  report(...others: Person[]) {
    const self = person('me', { isLocal: true, microphoneOn: this.on.get('microphone') ?? false })
    this.events.people([self, ...others], others.length + 1)
  }
}

export const person = (identity: string, more: Partial<Person> = {}): Person => ({
  identity,
  name: identity,
  isLocal: false,
  canSpeak: true,
  isSpeaking: false,
  lastSpokeAt_ms: 0,
  microphoneOn: false,
  camera: null,
  screen: null,
  ...more,
})

export const newTrack = () => ({ stop: vi.fn() }) as unknown as MediaStreamTrack

export class Bench {
  readonly sessions: ScriptedSession[] = []
  readonly joins: [Role, string][] = []
  readonly limits_kbps: (number | null)[] = []
  readonly tracks: MediaStreamTrack[] = []
  ongoing: OngoingCall | null = null
  name = ''
  lowData = false
  allowed = true
  engineLoaded = true
  joinAnswer: () => Promise<Admission> = async () => ({ url: 'ws://h', token: 't', title: 'Fête' })
  openDevice: Capture['open'] = async () => {
    const track = newTrack()
    this.tracks.push(track)
    return track
  }
  nextConnectError: Error | null = null

  readonly call: CallModel
  constructor(setUp: (bench: Bench) => void = () => undefined) {
    setUp(this)
    this.call = new CallModel('salon', this.services())
  }

  get session(): ScriptedSession {
    const last = this.sessions[this.sessions.length - 1]
    if (!last) throw new Error('no session was opened')
    return last
  }

  services(): CallServices {
    const engine: Engine = {
      open: (events) => {
        const session = new ScriptedSession(events)
        session.connectError = this.nextConnectError
        this.sessions.push(session)
        return session
      },
    }
    const api: Api = {
      createConference: () => Promise.reject(new Error('not used here')),
      join: (_conference, role, name, limit_kbps) => {
        this.joins.push([role, name])
        this.limits_kbps.push(limit_kbps)
        return this.joinAnswer()
      },
    }
    const preferences: Preferences = {
      name: () => this.name,
      saveName: (name) => {
        this.name = name
      },
      language: () => null,
      saveLanguage: () => undefined,
      lowData: () => this.lowData,
      saveLowData: (on) => {
        this.lowData = on
      },
      ongoingCall: () => this.ongoing,
      saveOngoingCall: (call) => {
        this.ongoing = call
      },
      clearOngoingCall: () => {
        this.ongoing = null
      },
    }
    return {
      api,
      preferences,
      capture: { open: (kind) => this.openDevice(kind), isAllowed: async () => this.allowed },
      loadedEngine: () => (this.engineLoaded ? engine : null),
      loadEngine: async () => engine,
    }
  }
}
