// The call engine over livekit-client. The only module that imports it, so that
// it stays in a chunk of its own, fetched when somebody is about to join.

import {
  ConnectionError,
  ConnectionErrorReason,
  ConnectionState,
  DisconnectReason,
  LocalAudioTrack,
  LocalVideoTrack,
  type Participant,
  type RemoteTrack,
  type RemoteTrackPublication,
  RemoteVideoTrack,
  Room,
  RoomEvent,
  setLogLevel,
  Track,
  TrackEvent,
  VideoQuality,
} from 'livekit-client'
import { captureErrorOf } from '../media/capture'
import { CallError, type ErrorCode } from '../state/errors'
import { countWebSockets, DataMeter, takeSignalling_bytes } from './data_meter'
import type { DeviceKind, Engine, Person, Picture, Session, SessionEvents } from './engine'
import { reconnectDelay_ms } from './reconnect_delay'

/** Events come in bursts (a join publishes two tracks); one update serves a burst. */
const PEOPLE_UPDATE_DELAY_MS = 40

/** What the server knows as the data saver's bound: a decimal number, or empty. */
const LIMIT_ATTRIBUTE = 'kinguicall.downlink_limit_kbps'

/** Often enough to see a call cost something, too seldom to cost anything itself. */
const MEASURE_EVERY_MS = 5000
/** A picture that is to be shown is by then. */
const SHOWN_WITHIN_MS = 1000
/** So long leaving waits for what the last seconds have cost. */
const LAST_MEASURE_MS = 300

const sourceOf: Record<DeviceKind, Track.Source> = {
  microphone: Track.Source.Microphone,
  camera: Track.Source.Camera,
}

const peopleEvents = [
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantNameChanged,
  RoomEvent.ParticipantPermissionsChanged,
  RoomEvent.TrackSubscribed,
  RoomEvent.TrackUnsubscribed,
  RoomEvent.TrackMuted,
  RoomEvent.TrackUnmuted,
  RoomEvent.TrackUnpublished,
  RoomEvent.LocalTrackPublished,
  RoomEvent.LocalTrackUnpublished,
  RoomEvent.ActiveSpeakersChanged,
  RoomEvent.Connected,
  RoomEvent.Reconnected,
] as const

function newRoom(): Room {
  return new Room({
    adaptiveStream: true,
    dynacast: true,
    // Our servers speak the dual mode; trying the other first costs a round trip.
    singlePeerConnection: false,
    reconnectPolicy: {
      nextRetryDelayInMs: ({ retryCount, elapsedMs }) => reconnectDelay_ms(retryCount, elapsedMs),
    },
    publishDefaults: { videoCodec: 'vp8', simulcast: true, dtx: true },
  })
}

const pictures = new WeakMap<Track, Picture>()

/** One stable handle for each track, so that views attach once. */
function pictureOf(track: Track | undefined): Picture | null {
  if (!track) return null
  let picture = pictures.get(track)
  if (!picture) {
    picture = {
      id: track.mediaStreamID,
      attach: (element) => void track.attach(element),
      detach: (element) => void track.detach(element),
    }
    pictures.set(track, picture)
  }
  return picture
}

function shownPicture(participant: Participant, source: Track.Source): Picture | null {
  const publication = participant.getTrackPublication(source)
  return publication && !publication.isMuted ? pictureOf(publication.videoTrack) : null
}

/** A camera that is not to be received is not shown either: the engine then asks for none. */
function personOf(participant: Participant, saving: boolean): Person {
  return {
    identity: participant.identity,
    name: participant.name ?? '',
    isLocal: participant.isLocal,
    canSpeak: participant.permissions?.canPublish ?? participant.trackPublications.size > 0,
    isSpeaking: participant.isSpeaking,
    lastSpokeAt_ms: participant.lastSpokeAt?.getTime() ?? 0,
    microphoneOn: participant.isMicrophoneEnabled,
    camera: saving && !participant.isLocal ? null : shownPicture(participant, Track.Source.Camera),
    screen: shownPicture(participant, Track.Source.ScreenShare),
  }
}

function connectErrorCode(thrown: unknown): ErrorCode {
  if (!(thrown instanceof ConnectionError)) return 'media_connection_failed'
  switch (thrown.reason) {
    case ConnectionErrorReason.NotAllowed:
      return 'token_rejected'
    case ConnectionErrorReason.ServerUnreachable:
    case ConnectionErrorReason.Timeout:
    case ConnectionErrorReason.WebSocket:
    case ConnectionErrorReason.ServiceNotFound:
      return 'unreachable'
    default:
      return 'media_connection_failed'
  }
}

const disconnectErrorCodes: Partial<Record<DisconnectReason, ErrorCode>> = {
  [DisconnectReason.DUPLICATE_IDENTITY]: 'joined_elsewhere',
  [DisconnectReason.SERVER_SHUTDOWN]: 'server_stopping',
  [DisconnectReason.MIGRATION]: 'server_stopping',
  [DisconnectReason.PARTICIPANT_REMOVED]: 'removed',
  [DisconnectReason.ROOM_DELETED]: 'conference_ended',
  [DisconnectReason.ROOM_CLOSED]: 'conference_ended',
}

type Qualities = Parameters<LocalVideoTrack['setPublishingLayers']>[1]

/** A camera of which only the smallest size is sent while saving, if anybody wants it at all. */
class Camera extends LocalVideoTrack {
  #saving = false
  /** What the server has asked for last. */
  #wanted: { readonly isSvc: boolean; readonly qualities: Qualities } | null = null

  override async setPublishingLayers(isSvc: boolean, qualities: Qualities): Promise<void> {
    this.#wanted = { isSvc, qualities }
    const isWanted = qualities.some(({ enabled }) => enabled)
    const smallest = qualities.map((asked) => {
      const given = asked.clone()
      given.enabled = isWanted && asked.quality === VideoQuality.LOW
      return given
    })
    await super.setPublishingLayers(isSvc, this.#saving ? smallest : qualities)
  }

  save(saving: boolean): void {
    this.#saving = saving
    if (!this.#wanted) this.setPublishingQuality(VideoQuality.HIGH)
    else void this.setPublishingLayers(this.#wanted.isSvc, this.#wanted.qualities)
  }
}

class LiveKitSession implements Session {
  readonly #room = newRoom()
  readonly #events: SessionEvents
  #state: 'new' | 'connected' | 'ended' = 'new'
  #peopleTimer: ReturnType<typeof setTimeout> | null = null
  #measureTimer: ReturnType<typeof setInterval> | null = null
  readonly #meter = new DataMeter()
  #measuring: Promise<void> = Promise.resolve()
  /** What is to hold, as the attribute's text. */
  #limit = ''
  /** What the server has been asked for; null when that is not known. */
  #limitAsked: string | null = null

  constructor(events: SessionEvents) {
    this.#events = events
    const room = this.#room
    for (const event of peopleEvents) room.on(event, () => this.#schedulePeople())
    room
      .on(RoomEvent.TrackSubscribed, playAudio)
      .on(RoomEvent.TrackSubscribed, (track) => this.#subscribed(track))
      .on(RoomEvent.TrackUnsubscribed, stopAudio)
      .on(RoomEvent.TrackPublished, (publication) => this.#askFor(publication))
      .on(RoomEvent.SignalConnected, () => this.#joined())
      .on(RoomEvent.Reconnected, () => this.#joined())
      .on(RoomEvent.ConnectionStateChanged, (state) => this.#onConnectionState(state))
      .on(RoomEvent.AudioPlaybackStatusChanged, () => events.audioBlocked(!room.canPlaybackAudio))
      .on(RoomEvent.Disconnected, (reason) => this.#onDisconnected(reason))
  }

  unlockAudio(): void {
    // Refusals arrive as AudioPlaybackStatusChanged.
    void this.#room.startAudio().catch(() => undefined)
  }

  async connect(url: string, token: string): Promise<void> {
    try {
      await this.#room.connect(url, token)
    } catch (thrown) {
      throw new CallError(connectErrorCode(thrown))
    }
    this.#state = 'connected'
    this.#measureTimer = setInterval(() => void this.#measure(), MEASURE_EVERY_MS)
    this.#schedulePeople()
  }

  async publish(kind: DeviceKind, media: MediaStreamTrack): Promise<void> {
    // `false`: the engine may stop and reopen the device, so that muting a
    // camera turns its light off.
    const constraints = media.getConstraints()
    const track =
      kind === 'microphone'
        ? new LocalAudioTrack(media, constraints, false)
        : new Camera(media, constraints, false)
    await this.#room.localParticipant.publishTrack(track, { source: sourceOf[kind] })
    if (track instanceof Camera && this.#limit !== '') track.save(true)
  }

  has(kind: DeviceKind): boolean {
    return this.#room.localParticipant.getTrackPublication(sourceOf[kind])?.track !== undefined
  }

  async setOn(kind: DeviceKind, on: boolean): Promise<void> {
    const track = this.#room.localParticipant.getTrackPublication(sourceOf[kind])?.track
    if (!(track instanceof LocalAudioTrack || track instanceof LocalVideoTrack)) return
    try {
      await (on ? track.unmute() : track.mute())
    } catch (thrown) {
      throw captureErrorOf(kind, thrown)
    }
  }

  limit(limit_kbps: number | null): void {
    const limit = limit_kbps === null ? '' : `${limit_kbps}`
    if (limit === this.#limit) return
    this.#limit = limit
    for (const publication of this.#remoteVideos()) {
      publication.setVideoQuality(limit === '' ? VideoQuality.HIGH : VideoQuality.LOW)
      if (publication.track) this.#hide(publication.track)
    }
    const camera = this.#room.localParticipant.getTrackPublication(Track.Source.Camera)?.track
    if (camera instanceof Camera) camera.save(limit !== '')
    this.#askServer()
    this.#schedulePeople()
  }

  async leave(): Promise<void> {
    this.#end()
    const patience = new Promise((resolve) => setTimeout(resolve, LAST_MEASURE_MS))
    await Promise.race([this.#measure(), patience])
    await this.#room.disconnect()
  }

  /** The server has told everything: what was published before tells no event of its own. */
  #joined(): void {
    this.#limitAsked = this.#room.localParticipant.attributes[LIMIT_ATTRIBUTE] ?? ''
    this.#askServer()
    for (const publication of this.#remoteVideos()) this.#askFor(publication)
  }

  #remoteVideos(): RemoteTrackPublication[] {
    return [...this.#room.remoteParticipants.values()].flatMap((participant) =>
      [...participant.trackPublications.values()].filter(({ kind }) => kind === Track.Kind.Video),
    )
  }

  /** The smallest picture while saving, until it is known whether it is shown at all. */
  #askFor(publication: RemoteTrackPublication): void {
    if (this.#limit === '' || publication.kind !== Track.Kind.Video) return
    publication.setVideoQuality(VideoQuality.LOW)
  }

  /**
   * A picture that no tile shows is not wanted, but the library tells the server so only of one
   * that has been shown before.
   */
  #subscribed(track: RemoteTrack): void {
    if (!(track instanceof RemoteVideoTrack)) return
    if (this.#limit !== '') this.#hide(track)
    else setTimeout(() => track.attachedElements.length === 0 && hide(track), SHOWN_WITHIN_MS)
  }

  /** Cameras have no tile while saving. */
  #hide(track: RemoteTrack): void {
    if (this.#limit !== '' && track.source === Track.Source.Camera) hide(track)
  }

  #askServer(): void {
    if (this.#limitAsked === null || this.#limitAsked === this.#limit) return
    this.#limitAsked = this.#limit
    this.#room.localParticipant
      .setAttributes({ [LIMIT_ATTRIBUTE]: this.#limit })
      // Cameras are not asked for anyway; the next connection tries again.
      .catch(() => undefined)
  }

  /** One after the other: an older report after a newer one would count everything again. */
  #measure(): Promise<void> {
    this.#measuring = this.#measuring.then(async () => {
      let bytes = takeSignalling_bytes()
      const connections = this.#room.engine.pcManager
      for (const connection of [connections?.publisher, connections?.subscriber]) {
        // A connection being closed has nothing to tell any more.
        const report = await connection?.getStats()?.catch(() => null)
        if (connection && report) bytes += this.#meter.grown_bytes(connection, report)
      }
      if (bytes > 0) this.#events.spent(bytes)
    })
    return this.#measuring
  }

  #onConnectionState(state: ConnectionState): void {
    if (this.#state !== 'connected') return
    if (state === ConnectionState.Connected) this.#events.restored()
    else if (state !== ConnectionState.Disconnected) this.#events.interrupted()
  }

  #onDisconnected(reason: DisconnectReason | undefined): void {
    if (this.#state !== 'connected') return
    this.#end()
    const known = reason === undefined ? undefined : disconnectErrorCodes[reason]
    this.#events.disconnected(known ?? 'connection_lost')
  }

  #end(): void {
    this.#state = 'ended'
    if (this.#peopleTimer !== null) clearTimeout(this.#peopleTimer)
    this.#peopleTimer = null
    if (this.#measureTimer !== null) clearInterval(this.#measureTimer)
    this.#measureTimer = null
  }

  #schedulePeople(): void {
    if (this.#state !== 'connected' || this.#peopleTimer !== null) return
    this.#peopleTimer = setTimeout(() => this.#reportPeople(), PEOPLE_UPDATE_DELAY_MS)
  }

  #reportPeople(): void {
    this.#peopleTimer = null
    const remote = [...this.#room.remoteParticipants.values()]
    const speakers = remote
      .map((participant) => personOf(participant, this.#limit !== ''))
      .filter((person) => person.canSpeak || person.screen)
    this.#events.people(
      [personOf(this.#room.localParticipant, false), ...speakers],
      remote.length + 1,
    )
  }
}

function hide(track: RemoteTrack): void {
  if (track instanceof RemoteVideoTrack) track.emit(TrackEvent.VisibilityChanged, false, track)
}

function playAudio(track: RemoteTrack): void {
  if (track.kind === Track.Kind.Audio) track.attach()
}

function stopAudio(track: RemoteTrack): void {
  if (track.kind === Track.Kind.Audio) for (const element of track.detach()) element.remove()
}

// Its default tells the console about every negotiation.
setLogLevel('warn')
countWebSockets(globalThis)

export const liveKitEngine: Engine = { open: (events) => new LiveKitSession(events) }
