// A call as the views see it: signals to read, methods for what people tap.
//
// A listener who turns on the microphone becomes a speaker by a second session:
// it is connected before the first is left, so that the sound does not stop.

import { batch, computed, type Signal, signal } from '@preact/signals'
import type { TextKey } from '../i18n'
import type { Capture } from '../media/capture'
import type { Admission, Api } from '../signal/api'
import type { DeviceKind, Engine, Person, Session, SessionEvents } from '../signal/engine'
import { type CallEvent, type CallPhase, nextPhase } from './call_phase'
import { titleOf } from './conference_name'
import { DataSaver } from './data_saver'
import { type CapturedTracks, captureNotice, DevicesModel, deviceKinds } from './devices'
import { CallError, type ErrorCode, errorCodeOf } from './errors'
import { comeBackDelay_ms, isFinal, isPassing, withoutPictures } from './loss'
import type { Notice } from './notice'
import type { OngoingCall, Preferences, Role } from './preferences'
import { until } from './until'

/** How long a message that asks for nothing stays. */
const INFO_DURATION_MS = 5000

type WantedDevices = Pick<OngoingCall, DeviceKind>

const noDevices: WantedDevices = { microphone: false, camera: false }

export interface CallServices {
  readonly api: Api
  readonly capture: Capture
  readonly preferences: Preferences
  loadedEngine(): Engine | null
  loadEngine(): Promise<Engine>
}

export class CallModel {
  readonly conference: string
  readonly devices: DevicesModel
  readonly data: DataSaver
  readonly phase: Signal<CallPhase> = signal({ kind: 'lobby' })
  readonly role: Signal<Role> = signal('listener')
  /** The title as the link tells it: whoever sent the link may have written anything there. */
  readonly invitation: string
  /** The title as the server told it; empty before that, and when there is none. */
  readonly title: Signal<string> = signal('')
  readonly name: Signal<string>
  readonly people: Signal<readonly Person[]> = signal([])
  readonly count = signal(0)
  readonly notice: Signal<Notice | null> = signal(null)
  readonly audioBlocked = signal(false)
  readonly upgrading = signal(false)
  /** The device that is being turned on or off: both buttons wait meanwhile. */
  readonly busy: Signal<DeviceKind | null> = signal(null)
  /** A permission prompt may be up. */
  readonly prompting = signal(false)
  /** The device that waits for a name to be typed first. */
  readonly nameWantedFor: Signal<DeviceKind | null> = signal(null)
  readonly self = computed(() => this.people.value.find((person) => person.isLocal) ?? null)
  readonly microphoneOn = computed(() => this.self.value?.microphoneOn ?? false)
  readonly cameraOn = computed(() => this.self.value?.camera != null)
  readonly #services: CallServices
  #session: Session | null = null
  /** The devices to open when entering again: those that were on. */
  #wanted: WantedDevices = noDevices
  /** Counts attempts to enter: one that is no longer the latest gives up. */
  #attempt = 0

  constructor(conference: string, services: CallServices) {
    this.conference = conference
    this.#services = services
    this.devices = new DevicesModel(services.capture)
    this.data = new DataSaver(services.preferences)
    this.invitation = titleOf(conference)
    this.name = signal(services.preferences.name())
  }

  setName(name: string): void {
    this.name.value = name
    this.#services.preferences.saveName(name.trim())
  }

  /** Enters as a listener. Call from inside the tap. */
  async listen(): Promise<void> {
    this.devices.stop()
    this.#wanted = noDevices
    await this.#enter('listener', async () => ({}))
  }

  /** Enters with the devices that are on, or about to be. Call from inside the tap. */
  async joinAsSpeaker(): Promise<void> {
    const { wanted, tracks } = this.devices.take((kind, thrown) => {
      this.notice.value = captureNotice(kind, thrown)
    })
    this.#wanted = wanted
    await this.#enter('speaker', () => tracks)
  }

  /** Enters again as the call was left by a reload; false when it was not in one. */
  async resume(): Promise<boolean> {
    const call = this.#services.preferences.ongoingCall(this.conference)
    if (!call) return false
    this.#wanted = { microphone: call.microphone, camera: call.camera }
    this.data.spent_bytes.value = call.spent_bytes
    await this.#enter(call.role, () => this.#reopen('silently'))
    return true
  }

  /** Enters again, as before, after a loss, a refusal or leaving. Call from inside the tap. */
  async rejoin(): Promise<void> {
    await this.#enter(this.role.value, () => this.#reopen('asking'))
  }

  /** The network, the page or the server is back: a call lost meanwhile is worth another try. */
  async retryIfLost(): Promise<void> {
    const phase = this.phase.value
    if (phase.kind !== 'lost' || !isPassing(phase.error)) return
    await this.#enter(this.role.value, () => this.#reopen('silently'))
  }

  /** Gives up entering, back to the page before the call. */
  cancel(): void {
    this.#attempt += 1
    void this.#drop()
    this.#dispatch({ kind: 'cancel' })
  }

  async leave(): Promise<void> {
    this.#attempt += 1
    this.#services.preferences.clearOngoingCall()
    this.#dispatch({ kind: 'leave' })
    await this.#drop()
  }

  /** Frees devices and network when the page turns elsewhere; the call stays resumable. */
  close(): void {
    this.#attempt += 1
    this.devices.stop()
    void this.#drop()
  }

  /** Plays the sound a browser held back. Call from inside the tap. */
  unlockAudio(): void {
    this.#session?.unlockAudio()
  }

  /** Switches low data on or off, for this call and the next ones. */
  toggleLowData(): void {
    this.data.toggle()
    if (!this.#session) return
    this.#session.limit(this.data.limit_kbps)
    this.#inform(this.data.on.value ? 'lowDataOn' : 'lowDataOff')
  }

  /** Turns a device on or off during the call. */
  async toggle(kind: DeviceKind): Promise<void> {
    if (this.phase.value.kind !== 'inCall' || this.busy.value !== null) return
    if (this.role.value === 'listener' && this.name.value.trim() === '') {
      this.nameWantedFor.value = kind
      return
    }
    const attempt = this.#attempt
    this.busy.value = kind
    this.notice.value = null
    let notice: Notice | null = null
    try {
      await this.#turn(kind)
    } catch (thrown) {
      notice =
        thrown instanceof CallError
          ? { kind: 'error', code: thrown.code }
          : captureNotice(kind, thrown)
    }
    if (attempt !== this.#attempt) return
    batch(() => {
      this.busy.value = null
      this.notice.value = notice
    })
    this.#rememberDevices()
  }

  /** The name typed for `nameWantedFor`; null closes the question. */
  async answerName(name: string | null): Promise<void> {
    const kind = this.nameWantedFor.value
    this.nameWantedFor.value = null
    if (name === null || name.trim() === '' || kind === null) return
    this.setName(name)
    await this.toggle(kind)
  }

  async #turn(kind: DeviceKind): Promise<void> {
    if (this.#session?.has(kind)) {
      const on = kind === 'microphone' ? this.microphoneOn.value : this.cameraOn.value
      await this.#session.setOn(kind, !on)
      return
    }
    const attempt = this.#attempt
    const track = await this.#capture(kind)
    try {
      if (this.role.value === 'listener') await this.#upgrade()
      if (attempt !== this.#attempt || !this.#session) throw new CallError('connection_lost')
      await this.#publish(this.#session, kind, track)
    } catch (thrown) {
      track.stop()
      throw thrown instanceof CallError ? thrown : new CallError('media_connection_failed')
    }
  }

  async #upgrade(): Promise<void> {
    const attempt = this.#attempt
    this.upgrading.value = true
    try {
      const session = this.#open(await this.#services.loadEngine())
      await this.#connect(session, await this.#admit('speaker'))
      if (attempt !== this.#attempt) {
        await session.leave()
        throw new CallError('connection_lost')
      }
      const listening = this.#session
      this.#session = session
      session.limit(this.data.limit_kbps) // may have been switched meanwhile
      this.role.value = 'speaker'
      this.#saveOngoing()
      session.unlockAudio()
      await listening?.leave()
    } finally {
      this.upgrading.value = false
    }
  }

  async #enter(role: Role, prepare: () => Promise<CapturedTracks>): Promise<void> {
    this.#attempt += 1
    const attempt = this.#attempt
    batch(() => {
      this.role.value = role
      this.notice.value = null
      this.audioBlocked.value = false
      this.#dispatch({ kind: 'join' })
    })
    // With the engine here already, sound is unlocked within the tap itself.
    const ready = this.#services.loadedEngine()
    let session = ready && this.#open(ready)
    session?.unlockAudio()
    const preparing = prepare()
    // Asked for while the engine loads: two waits on a slow network become one.
    const admission = this.#admit(role)
    try {
      session ??= this.#open((await Promise.all([this.#services.loadEngine(), admission]))[0])
      if (attempt === this.#attempt) {
        this.#session = session
        const admitted = await admission
        if (attempt === this.#attempt) await this.#connect(session, admitted)
      }
    } catch (thrown) {
      void preparing.then(stopAll)
      if (attempt === this.#attempt) this.#refused(thrown)
      return
    }
    if (attempt !== this.#attempt) {
      void preparing.then(stopAll)
      await session.leave()
      return
    }
    session.unlockAudio()
    this.#dispatch({ kind: 'connected' })
    this.#saveOngoing()
    await this.#bringIn(session, preparing)
  }

  #refused(thrown: unknown): void {
    this.#session = null
    this.#dispatch({ kind: 'refused', error: errorCodeOf(thrown) })
  }

  /** Publishes devices as soon as they are open; their buttons wait until then. */
  async #bringIn(session: Session, preparing: Promise<CapturedTracks>): Promise<void> {
    this.busy.value = deviceKinds.find((kind) => this.#wanted[kind]) ?? null
    const tracks = await preparing
    for (const kind of deviceKinds) {
      const track = tracks[kind]
      if (!track) continue
      try {
        await this.#publish(session, kind, track)
      } catch {
        track.stop()
        if (session === this.#session) {
          this.notice.value = { kind: 'error', code: 'media_connection_failed' }
        }
      }
    }
    if (session !== this.#session) return
    this.busy.value = null
    this.#rememberDevices()
  }

  /** Publishes; once more if the connection was lost meanwhile and has come back. */
  async #publish(session: Session, kind: DeviceKind, track: MediaStreamTrack): Promise<void> {
    try {
      await session.publish(kind, track)
    } catch (thrown) {
      await until(() => this.phase.value.kind !== 'reconnecting')
      if (session !== this.#session || track.readyState === 'ended') throw thrown
      await session.publish(kind, track)
    }
  }

  #admit(role: Role): Promise<Admission> {
    const { api } = this.#services
    return api.join(this.conference, role, this.name.value.trim(), this.data.limit_kbps)
  }

  async #connect(session: Session, { url, token, title }: Admission): Promise<void> {
    if (title !== null) this.title.value = title
    await session.connect(url, token)
  }

  /** Opens the wanted devices again; `silently` leaves out those that would prompt. */
  async #reopen(how: 'asking' | 'silently'): Promise<CapturedTracks> {
    const tracks: CapturedTracks = {}
    for (const kind of deviceKinds) {
      if (!this.#wanted[kind]) continue
      if (how === 'silently' && !(await this.#services.capture.isAllowed(kind))) {
        this.#inform('devicesStayedOff')
        continue
      }
      try {
        tracks[kind] = await this.#capture(kind)
      } catch (thrown) {
        this.notice.value = captureNotice(kind, thrown)
      }
    }
    return tracks
  }

  async #capture(kind: DeviceKind): Promise<MediaStreamTrack> {
    this.prompting.value = true
    try {
      return await this.#services.capture.open(kind)
    } finally {
      this.prompting.value = false
    }
  }

  #open(engine: Engine): Session {
    const ifCurrent = (act: () => void) => {
      if (this.#session === session) act()
    }
    const events: SessionEvents = {
      people: (people, count) =>
        ifCurrent(() => {
          batch(() => {
            this.people.value = people
            this.count.value = count
          })
          this.#rememberDevices()
        }),
      interrupted: () => ifCurrent(() => this.#dispatch({ kind: 'interrupted' })),
      restored: () => ifCurrent(() => this.#restored()),
      disconnected: (error) => ifCurrent(() => this.#disconnected(error)),
      audioBlocked: (blocked) =>
        ifCurrent(() => {
          this.audioBlocked.value = blocked
        }),
      spent: (bytes) => this.#spent(bytes),
    }
    const session: Session = engine.open(events)
    session.limit(this.data.limit_kbps)
    return session
  }

  #disconnected(error: ErrorCode): void {
    batch(() => {
      this.#session = null
      this.busy.value = null
      this.people.value = this.people.value.map(withoutPictures)
      this.#dispatch({ kind: 'disconnected', error })
    })
    if (isFinal(error)) this.#services.preferences.clearOngoingCall()
    if (error === 'server_stopping') setTimeout(() => void this.retryIfLost(), comeBackDelay_ms())
  }

  /** Also of a session just left: it has cost what it has cost. */
  #spent(bytes: number): void {
    this.data.spend(bytes)
    if (this.phase.value.kind === 'inCall') this.#saveOngoing()
  }

  #restored(): void {
    if (this.phase.value.kind !== 'reconnecting') return
    this.#dispatch({ kind: 'restored' })
    this.#inform('reconnected')
  }

  #inform(message: TextKey): void {
    const notice: Notice = { kind: 'info', message }
    this.notice.value = notice
    setTimeout(() => {
      if (this.notice.value === notice) this.notice.value = null
    }, INFO_DURATION_MS)
  }

  async #drop(): Promise<void> {
    const session = this.#session
    batch(() => {
      this.#session = null
      this.people.value = []
      this.busy.value = null
    })
    await session?.leave()
  }

  #dispatch(event: CallEvent): void {
    this.phase.value = nextPhase(this.phase.value, event)
  }

  #rememberDevices(): void {
    // While devices are being opened what is on says nothing about what is wanted.
    if (this.phase.value.kind !== 'inCall' || this.busy.value !== null) return
    const [microphone, camera] = [this.microphoneOn.value, this.cameraOn.value]
    if (microphone === this.#wanted.microphone && camera === this.#wanted.camera) return
    this.#wanted = { microphone, camera }
    this.#saveOngoing()
  }

  #saveOngoing(): void {
    const { conference } = this
    const role = this.role.value
    const spent_bytes = this.data.spent_bytes.value
    this.#services.preferences.saveOngoingCall({ conference, role, spent_bytes, ...this.#wanted })
  }
}

function stopAll(tracks: CapturedTracks): void {
  for (const track of Object.values(tracks)) track.stop()
}
