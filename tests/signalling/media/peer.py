"""A participant without a protocol: an aiortc peer offers, and the media layer answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from sfu import ids
from sfu.node import Node
from sfu.participant import JoinOptions
from sfu.room import Room
from sfu.track import PublishedTrack, TrackCodec, TrackInfo
from sfu.values import (
    Admission,
    CodecRole,
    EndReason,
    SubscriptionFailure,
    SubscriptionSettings,
    TrackKind,
    TrackSource,
)
from signalling.media.answering import Answering
from signalling.media.connection import Connection, Member
from signalling.media.receiving import Announcement, Receiving
from signalling.media.sending import Sending
from signalling.sdp import AnswerSections, SessionDescription, parse, serialise
from tests.support.livekit_client import _forget_sockets, _settled, until
from tests.support.node import RecordingSink


def _bundled() -> RTCPeerConnection:
    """aiortc never connects two sections of one kind where each begins with its transport."""
    policy = RTCBundlePolicy.MAX_BUNDLE
    return RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=policy))


SOURCES = {"audio": TrackSource.MICROPHONE, "video": TrackSource.CAMERA}


class MediaSink(RecordingSink):
    """Does what a session does with the room's wishes."""

    peer: "Peer"

    def track_wanted(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        super().track_wanted(track, settings)
        self.peer.sending.want(track, settings)

    def track_unwanted(self, track: PublishedTrack) -> None:
        super().track_unwanted(track)
        self.peer.sending.unwant(track)

    def codec_chosen(self, track: PublishedTrack, role: CodecRole | None) -> None:
        super().codec_chosen(track, role)
        self.peer.sending.choose_codec(track, role)

    def own_track_ended(self, track_sid: str) -> None:
        super().own_track_ended(track_sid)
        self.peer.receiving.track_ended(track_sid)


@dataclass
class Peer:
    """`pc` is the client; the rest is the server's side of it."""

    room: Room
    sink: MediaSink
    connection: Connection
    receiving: Receiving
    sections: AnswerSections
    pc: RTCPeerConnection = field(default_factory=_bundled)
    frames: dict[str, int] = field(default_factory=dict)
    """Decoded, by the track's id as the answer named it."""
    failed: list[tuple[str, SubscriptionFailure]] = field(default_factory=list)
    waiting: list[tuple[str, int]] = field(default_factory=list)
    called_for: asyncio.Event = field(default_factory=asyncio.Event)
    """The server wants another offer."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sending = Sending(self.connection, self.sections, self, self.called_for.set)
        self.answering = Answering(self.connection, self.receiving, self.sections, self.sending)
        self.pc.on("track", self._on_track)

    @classmethod
    @contextlib.asynccontextmanager
    async def join(cls, node: Node, room: Room, identity: str) -> AsyncIterator["Peer"]:
        sink = MediaSink()
        participant = room.join(Admission(identity, room.name), JoinOptions(), sink)
        connection = Connection(Member(node, room, participant), lambda event: None)
        peer = sink.peer = cls(room, sink, connection, Receiving(connection), AnswerSections())
        room.mark_joined(participant)
        room.start_subscriptions(participant)
        try:
            yield peer
        finally:
            room.leave(participant, EndReason.CLIENT_INITIATED)
            peer.answering.close()
            for task in peer._tasks:
                task.cancel()
            await asyncio.gather(*peer._tasks, return_exceptions=True)
            await peer.pc.close()
            _forget_sockets()

    async def negotiate(self) -> SessionDescription:
        """Offers, with the sections that the server lacks, and applies the answer. Returns that."""
        await _settled(self.pc)
        self.called_for.clear()
        for kind, count in self.sections.missing().items():
            for _ in range(count):
                self.pc.addTransceiver(kind, direction="recvonly")
        await self.pc.setLocalDescription(await self.pc.createOffer())
        # What aiortc starts then would otherwise find the answer half applied.
        await until(lambda: not any(map(_is_connecting, asyncio.all_tasks())))
        offer = parse(self.pc.localDescription.sdp)
        self.receiving.end_stopped(offer)
        announcements = {
            section.mid: _announcement(section.kind, section.track_id)
            for section in self.receiving.new_sections(offer)
        }
        answer = self.answering.answer(offer, announcements, lambda answer: None)
        # Of sections with one transport aiortc keeps only what the last one says of candidates.
        first, *others = answer.description.media
        repeated = [replace(section, candidates=first.candidates) for section in others]
        text = serialise(replace(answer.description, media=(first, *repeated)))
        await self.pc.setRemoteDescription(RTCSessionDescription(text, "answer"))
        return answer.description

    # --- signalling.media.stream.Listener --------------------------------------------------

    def subscription_failed(self, track_sid: str, failure: SubscriptionFailure) -> None:
        self.failed.append((track_sid, failure))

    def stream_paused(self, track: PublishedTrack, paused: bool) -> None:
        pass

    def waits_for_section(self, track_sid: str, limit: int) -> None:
        self.waiting.append((track_sid, limit))

    # --- the client ------------------------------------------------------------------------

    def _on_track(self, track: MediaStreamTrack) -> None:
        self.frames[track.id] = 0
        self._tasks.append(asyncio.create_task(self._count(track)))

    async def _count(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.frames[track.id] += 1


def _is_connecting(task: asyncio.Task[object]) -> bool:
    return "RTCPeerConnection.__connect" in repr(task.get_coro())


def _announcement(kind: str, track_id: str) -> Announcement:
    audio = kind == "audio"
    track_kind = TrackKind.AUDIO if audio else TrackKind.VIDEO
    source = SOURCES[kind]
    codecs = (TrackCodec("audio/opus" if audio else "video/VP8", track_id),)
    sid = ids.track_sid(track_kind, source)
    return Announcement(track_id, TrackInfo(sid, track_kind, source, codecs=codecs))
