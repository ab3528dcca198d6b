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
  Room,
  RoomEvent,
  setLogLevel,
  Track,
} from 'livekit-client'
import { captureErrorOf } from '../media/capture'
import { CallError, type ErrorCode } from '../state/errors'
import type { DeviceKind, Engine, Person, Picture, Session, SessionEvents } from './engine'
import { reconnectDelay_ms } from './reconnect_delay'

/** Events come in bursts (a join publishes two tracks); one update serves a burst. */
const PEOPLE_UPDATE_DELAY_MS = 40

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

function personOf(participant: Participant): Person {
  return {
    identity: participant.identity,
    name: participant.name ?? '',
    isLocal: participant.isLocal,
    canSpeak: participant.permissions?.canPublish ?? participant.trackPublications.size > 0,
    isSpeaking: participant.isSpeaking,
    lastSpokeAt_ms: participant.lastSpokeAt?.getTime() ?? 0,
    microphoneOn: participant.isMicrophoneEnabled,
    camera: shownPicture(participant, Track.Source.Camera),
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

class LiveKitSession implements Session {
  readonly #room = newRoom()
  readonly #events: SessionEvents
  #state: 'new' | 'connected' | 'ended' = 'new'
  #peopleTimer: ReturnType<typeof setTimeout> | null = null

  constructor(events: SessionEvents) {
    this.#events = events
    const room = this.#room
    for (const event of peopleEvents) room.on(event, () => this.#schedulePeople())
    room
      .on(RoomEvent.TrackSubscribed, playAudio)
      .on(RoomEvent.TrackUnsubscribed, stopAudio)
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
    this.#schedulePeople()
  }

  async publish(kind: DeviceKind, media: MediaStreamTrack): Promise<void> {
    // `false`: the engine may stop and reopen the device, so that muting a
    // camera turns its light off.
    const constraints = media.getConstraints()
    const track =
      kind === 'microphone'
        ? new LocalAudioTrack(media, constraints, false)
        : new LocalVideoTrack(media, constraints, false)
    await this.#room.localParticipant.publishTrack(track, { source: sourceOf[kind] })
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

  async leave(): Promise<void> {
    this.#end()
    await this.#room.disconnect()
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
  }

  #schedulePeople(): void {
    if (this.#state !== 'connected' || this.#peopleTimer !== null) return
    this.#peopleTimer = setTimeout(() => this.#reportPeople(), PEOPLE_UPDATE_DELAY_MS)
  }

  #reportPeople(): void {
    this.#peopleTimer = null
    const remote = [...this.#room.remoteParticipants.values()]
    const speakers = remote.map(personOf).filter((person) => person.canSpeak || person.screen)
    this.#events.people([personOf(this.#room.localParticipant), ...speakers], remote.length + 1)
  }
}

function playAudio(track: RemoteTrack): void {
  if (track.kind === Track.Kind.Audio) track.attach()
}

function stopAudio(track: RemoteTrack): void {
  if (track.kind === Track.Kind.Audio) for (const element of track.detach()) element.remove()
}

// Its default tells the console about every negotiation.
setLogLevel('warn')

export const liveKitEngine: Engine = { open: (events) => new LiveKitSession(events) }
