"""The publisher peer connection: the client offers, the server answers.

Tracks begin and end with offers. A section that sends and belongs to an announcement becomes a
published track, or the backup codec of one; what is in a section that does not send any more has
ended.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from livekit.protocol import rtc

from sfu import _core
from sfu.engine import TransportEvent
from sfu.node import MediaOwner
from sfu.rights import DeniedError
from sfu.track import PublishedTrack, Rendition, TrackInfo, TrackPayload
from sfu.values import CodecRole, TrackKind, TrackSource
from signalling.livekit import outbound
from signalling.livekit.announcements import (
    Announcement,
    Announcements,
    RefusedError,
    kind_of,
    source_of,
)
from signalling.livekit.context import Context, local_transport
from signalling.sdp import (
    Answer,
    AnswerPolicy,
    MediaSection,
    PublishedSection,
    RemoteTransport,
    SectionPolicy,
    SessionDescription,
    make_answer,
    parse,
)

_NAMES = {
    "opus": "audio/opus",
    "red": "audio/red",
    "vp8": "video/VP8",
    "h264": "video/H264",
    "vp9": "video/VP9",
    "av1": "video/AV1",
}


@dataclass(slots=True)
class _Published:
    cid: str
    track_id: str
    """As the description names it."""
    track: PublishedTrack
    role: CodecRole
    engine_track_id: int


class Publisher:
    """`on_event` is told of the transport's events, `on_open` once it exists."""

    def __init__(
        self,
        context: Context,
        on_event: Callable[[TransportEvent], None],
        on_open: Callable[[], None],
        near_transport: Callable[[], int | None],
    ) -> None:
        self._context = context
        self._on_event = on_event
        self._on_open = on_open
        self._near_transport = near_transport
        self._announcements = Announcements()
        self._published: dict[str, _Published] = {}
        self._info: _core.TransportInfo | None = None
        self._remote: RemoteTransport | None = None
        self._session_id = secrets.randbits(62)
        self._version = 0

    @property
    def transport_id(self) -> int | None:
        """None until the client has offered."""
        return None if self._info is None else self._info.transport_id

    # --- announcing ------------------------------------------------------------------------

    def add_track(self, request: rtc.AddTrackRequest) -> None:
        """Accepts an announcement, at once, or refuses it with a `request_response`."""
        try:
            published = self._track(request.sid)
            if published is None:
                self._context.room.check_publish(
                    self._context.participant, kind_of(request), source_of(request)
                )
            announcement = self._announcements.add(
                request, self._cids(), None if published is None else published.info
            )
        except (DeniedError, RefusedError) as refusal:
            self._context.send(
                outbound.request_response(refusal.reason, str(refusal), add_track=request)
            )
            return
        self._context.send(outbound.track_published(announcement.cid, announcement.info))

    def set_muted(self, sid: str, muted: bool) -> bool:
        """Mutes a track, published or to come. Returns False if there is none."""
        context = self._context
        return self._announcements.set_muted(sid, muted) or context.room.set_muted(
            context.participant, sid, muted
        )

    def knows(self, sid: str) -> bool:
        """Whether a track with this sid is published."""
        return self._track(sid) is not None

    # --- negotiating -----------------------------------------------------------------------

    def receive_offer(self, sdp: str, offer_id: int) -> None:
        """Answers an offer and makes what it says true. Raises SdpError."""
        offer = parse(sdp)
        self._end_stopped(offer)
        claims = self._claim(offer)
        answer = self._answer(offer, claims)
        started = [
            self._start(section, claims[section.mid])
            for section in answer.sections
            if section.mid in claims
        ]
        self._context.send(outbound.answer(answer.text, offer_id))
        for tell in started:
            # Whoever could not even take the answer has left, and everything is closed.
            with contextlib.suppress(DeniedError):
                tell()

    def close(self) -> None:
        """Closes the transport with everything on it."""
        for entry in self._published.values():
            self._context.node.disown_track(entry.engine_track_id)
            self._context.engine.forget_track(entry.engine_track_id)
        self._published.clear()
        if self._info is not None:
            self._context.node.disown_transport(self._info.transport_id)
            self._context.engine.close_transport(self._info.transport_id)

    def track_ended(self, sid: str) -> None:
        """The room has ended one of the tracks."""
        self._announcements.forget(sid)
        for mid, entry in list(self._published.items()):
            if entry.track.sid == sid:
                self._end_section(mid, entry)
        while (queued := self._announcements.next_queued(self._cids())) is not None:
            self.add_track(queued)

    def _cids(self) -> frozenset[str]:
        return frozenset(entry.cid for entry in self._published.values())

    def _end_section(self, mid: str, entry: _Published) -> None:
        del self._published[mid]
        self._context.node.disown_track(entry.engine_track_id)
        self._context.engine.unpublish(entry.engine_track_id)

    def _track(self, sid: str) -> PublishedTrack | None:
        return next((it.track for it in self._published.values() if it.track.sid == sid), None)

    def _end_stopped(self, offer: SessionDescription) -> None:
        for mid, entry in list(self._published.items()):
            section = offer.section(mid)
            stopped = section is None or section.rejected or not section.direction.sends
            # A section may also be used again for another track in the same offer.
            if not stopped and (section is None or not self._taken_over(section, entry)):
                continue
            room, participant = self._context.room, self._context.participant
            if entry.role is CodecRole.PRIMARY:
                room.unpublish(participant, entry.track.sid)
            elif mid in self._published:
                room.drop_backup(participant, entry.track)
                self._end_section(mid, entry)

    def _taken_over(self, section: MediaSection, entry: _Published) -> bool:
        track_id = section.track_id
        return track_id != entry.track_id and self._announcements.announced(track_id)

    def _claim(self, offer: SessionDescription) -> dict[str, Announcement]:
        """The announcements of the sections that are new."""
        new = [
            section
            for section in offer.media
            if section.kind in ("audio", "video")
            and section.mid
            and section.mid not in self._published
            and section.direction.sends
            and not section.rejected
        ]
        found = self._announcements.take([(_kind(section), section.track_id) for section in new])
        claims: dict[str, Announcement] = {}
        for section, announcement in zip(new, found, strict=True):
            if announcement is not None and self._allows(announcement, claims.values()):
                claims[section.mid] = announcement
        return claims

    def _allows(self, announcement: Announcement, others: Iterable[Announcement]) -> bool:
        """Asks once more: rights and numbers may have changed since it was announced."""
        if announcement.role is not CodecRole.PRIMARY:
            return True
        info = announcement.info
        coming = [other.info for other in others if other.role is CodecRole.PRIMARY]
        try:
            self._context.room.check_publish(
                self._context.participant, info.kind, info.source, coming
            )
        except DeniedError as denied:
            self._context.send(outbound.request_response(denied.reason, denied.text))
            self._context.send(outbound.track_unpublished(info.sid))
            return False
        return True

    def _answer(self, offer: SessionDescription, claims: dict[str, Announcement]) -> Answer:
        engine = self._context.engine
        infos = {mid: (entry.track.info, entry.role) for mid, entry in self._published.items()}
        infos |= {mid: (one.info, one.role) for mid, one in claims.items()}
        policy = AnswerPolicy({mid: _section_policy(*info) for mid, info in infos.items()})
        opened = self._info is None
        info = self._info or self._open()
        self._version += 1
        answer = self._make_answer(offer, info, policy)
        if answer.remote is not None and self._restarted(answer.remote):
            info = self._info = engine.ask(engine.core.restart_ice, info.transport_id)
            answer = self._make_answer(offer, info, policy)
        if answer.remote is not None and answer.remote != self._remote:
            self._remote = answer.remote
            engine.order(
                engine.core.set_remote,
                info.transport_id,
                ice_ufrag=answer.remote.ice_ufrag,
                ice_password=answer.remote.ice_password,
                fingerprint_sha256=answer.remote.fingerprint_sha256,
                dtls_role=answer.remote.dtls_role,
            )
        if opened:
            self._on_open()
        return answer

    def _make_answer(
        self, offer: SessionDescription, info: _core.TransportInfo, policy: AnswerPolicy
    ) -> Answer:
        local = local_transport(
            self._context.engine, info.ice_ufrag, info.ice_password, info.candidates
        )
        return make_answer(offer, local, policy, session_id=self._session_id, version=self._version)

    def _restarted(self, remote: RemoteTransport) -> bool:
        return self._remote is not None and self._remote.ice_ufrag != remote.ice_ufrag

    def _open(self) -> _core.TransportInfo:
        context = self._context
        engine = context.engine
        info = engine.ask(engine.core.open_transport, near_transport=self._near_transport())
        self._info = info
        context.engine.watch_transport(info.transport_id, self._on_event)
        context.node.own_transport(info.transport_id, MediaOwner(context.room, context.participant))
        return info

    def _start(self, section: PublishedSection, announcement: Announcement) -> Callable[[], None]:
        """Lets the engine receive a section. Returns what tells the room of it."""
        context = self._context
        rendition = self._receive(section, announcement.info)
        info = _negotiated_info(announcement, section)
        track = self._track(info.sid)
        if announcement.role is CodecRole.PRIMARY or track is None:
            track = PublishedTrack(
                info=info,
                publisher_sid=context.participant.sid,
                publisher_identity=context.participant.identity,
                renditions={CodecRole.PRIMARY: rendition},
            )
            tell = partial(context.room.publish, context.participant, track)
            context.engine.watch_track(
                rendition.engine_track_id, partial(self._layer_started, track)
            )
        else:
            info = replace(track.info, codecs=info.codecs)
            tell = partial(context.room.add_backup, context.participant, track, rendition, info)
        self._published[section.mid] = _Published(
            announcement.cid,
            section.track_id,
            track,
            announcement.role,
            rendition.engine_track_id,
        )
        return tell

    def _receive(self, section: PublishedSection, announced: TrackInfo) -> Rendition:
        context, info = self._context, self._info or self._open()
        engine_track_id = context.engine.ask(
            context.engine.core.publish,
            info.transport_id,
            kind=section.kind,
            mid=section.mid,
            codecs=[
                _core.CodecSpec(
                    codec.payload_type, codec.codec, codec.clock_rate_hz, codec.rtx_payload_type
                )
                for codec in section.codecs
            ],
            extensions=section.extensions,
            rids=section.rids,
            ssrcs=section.ssrcs,
            nack=section.nack,
            microphone_of=self._microphone_of(announced),
        )
        context.node.own_track(engine_track_id, MediaOwner(context.room, context.participant))
        return Rendition(
            engine_track_id,
            tuple(
                TrackPayload(codec.payload_type, codec.format, codec.clock_rate_hz)
                for codec in section.codecs
            ),
        )

    def _microphone_of(self, info: TrackInfo) -> int | None:
        """What a shared screen plays is not speech, and is not to be cut off by it."""
        speech = info.kind is TrackKind.AUDIO and info.source is not TrackSource.SCREEN_SHARE_AUDIO
        return self._context.room.engine_room_id if speech else None

    def _layer_started(self, track: PublishedTrack, event: _core.LayerStarted) -> None:
        """Corrects the announced codec by the one that is sent."""
        for payload in track.renditions[CodecRole.PRIMARY].payloads:
            if payload.payload_type == event.payload_type:
                info = _with_mime(track.info, _mime(payload.format))
                self._context.room.update_track(self._context.participant, info)


def _kind(section: MediaSection) -> TrackKind:
    return TrackKind.AUDIO if section.kind == "audio" else TrackKind.VIDEO


def _section_policy(info: TrackInfo, role: CodecRole) -> SectionPolicy:
    announced = info.codecs[role]
    codec = announced.mime_type.partition("/")[2].lower()
    return SectionPolicy(
        codec=codec,
        # Not every subscriber decodes these: one that does not has to be told. Where there is a
        # backup, it has to be known which codec is which.
        codec_only=codec in ("vp9", "av1") or len(info.codecs) > 1,
        dtx=not info.disable_dtx,
        stereo=info.stereo,
        # Encrypted frames cannot be taken out of redundancy for subscribers that lack it.
        red=info.kind is TrackKind.AUDIO and not info.disable_red and not info.encryption,
        rids=tuple(
            layer.rid
            for layer in sorted(announced.layers, key=lambda layer: layer.quality)
            if layer.rid
        ),
    )


def _negotiated_info(announcement: Announcement, section: PublishedSection) -> TrackInfo:
    codecs = list(announcement.info.codecs)
    announced = codecs[announcement.role]
    negotiated = codecs[announcement.role] = replace(
        announced,
        mime_type=_mime(section.codecs[0].format),
        mid=section.mid,
        sdp_cid=section.track_id if section.track_id != announced.cid else "",
    )
    if announcement.role is CodecRole.PRIMARY and negotiated.mime_type != announced.mime_type:
        # The client cannot send it, and the backup was for that codec.
        del codecs[1:]
    return replace(announcement.info, codecs=tuple(codecs))


def _with_mime(info: TrackInfo, mime: str) -> TrackInfo:
    first, *others = info.codecs
    if first.mime_type == mime:
        return info
    return replace(info, codecs=(replace(first, mime_type=mime), *others))


def _mime(codec_format: str) -> str:
    return _NAMES[codec_format.partition("/")[0]]
