"""The tracks that a client sends on one connection, by the sections that they come in.

Tracks begin and end with descriptions. A section that sends, and for which the protocol knows a
announcement, becomes a published track or the backup codec of one; what is in a section that does
not send any more has ended.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from sfu import _core
from sfu.rights import DeniedError
from sfu.track import PublishedTrack, Rendition, TrackInfo, TrackPayload
from sfu.values import CodecRole, TrackKind, TrackSource
from signalling import codecs
from signalling.media.connection import Connection
from signalling.sdp import (
    MediaSection,
    PublishedSection,
    SectionPolicy,
    SessionDescription,
    is_served,
)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a section is about to carry: a track, or the backup codec of one that is there.

    `cid` is the client's own name for it.
    """

    cid: str
    info: TrackInfo
    role: CodecRole = CodecRole.PRIMARY


@dataclass(slots=True)
class _Received:
    cid: str
    track_id: str
    """As the description names it."""
    track: PublishedTrack
    role: CodecRole
    engine_track_id: int


class Receiving:
    """What comes in on `connection`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._member = connection.member
        self._received: dict[str, _Received] = {}
        """By mid."""

    @property
    def cids(self) -> frozenset[str]:
        """The client's names of what is published."""
        return frozenset(entry.cid for entry in self._received.values())

    def find(self, sid: str) -> PublishedTrack | None:
        """The published track with this sid."""
        return next((it.track for it in self._received.values() if it.track.sid == sid), None)

    def new_sections(self, offer: SessionDescription) -> list[MediaSection]:
        """The sections that send, and of which nothing is received yet.

        Those with a codec that is served come first: the others take no track away from them.
        """
        sections = [
            section
            for section in offer.media
            if section.kind in ("audio", "video")
            and section.mid
            and section.mid not in self._received
            and section.direction.sends
            and not section.rejected
        ]
        return sorted(sections, key=lambda section: not is_served(section))

    def end_stopped(
        self, offer: SessionDescription, is_announced: Callable[[str], bool] = lambda _: False
    ) -> None:
        """Ends what the client does not send any more.

        `is_announced` tells of a track's id whether the client has announced another track by it,
        for which it may use a section again in the same offer.
        """
        for mid, entry in list(self._received.items()):
            section = offer.section(mid)
            stopped = section is None or section.rejected or not section.direction.sends
            if not stopped and section is not None:
                track_id = section.track_id
                stopped = track_id != entry.track_id and is_announced(track_id)
            if not stopped:
                continue
            room, participant = self._member.room, self._member.participant
            if entry.role is CodecRole.PRIMARY:
                room.unpublish(participant, entry.track.sid)
            elif mid in self._received:
                room.drop_backup(participant, entry.track)
                self._end(mid)

    def policies(self, announcements: Mapping[str, Announcement]) -> dict[str, SectionPolicy]:
        """What the answer says of the sections of what is received and of what is to come."""
        infos = {mid: (entry.track.info, entry.role) for mid, entry in self._received.items()}
        infos |= {mid: (one.info, one.role) for mid, one in announcements.items()}
        return {mid: section_policy(*info) for mid, info in infos.items()}

    def begin(self, section: PublishedSection, announcement: Announcement) -> Callable[[], None]:
        """Lets the engine receive a section. Returns what tells the room of it.

        What the room does not take, as its publisher has left or has lost the right meanwhile, ends
        again. Raises EngineBusyError.
        """
        member = self._member
        rendition = self._receive(section, announcement.info)
        info = _negotiated_info(announcement, section)
        track = self.find(info.sid)
        if announcement.role is CodecRole.PRIMARY or track is None:
            track = PublishedTrack(
                info=info,
                publisher_sid=member.participant.sid,
                publisher_identity=member.participant.identity,
                renditions={CodecRole.PRIMARY: rendition},
            )
            tell = partial(member.room.publish, member.participant, track)
            member.engine.watch_track(
                rendition.engine_track_id, partial(self._layer_started, track)
            )
        else:
            info = replace(track.info, codecs=info.codecs)
            tell = partial(member.room.add_backup, member.participant, track, rendition, info)
        self._received[section.mid] = _Received(
            announcement.cid,
            section.track_id,
            track,
            announcement.role,
            rendition.engine_track_id,
        )
        return partial(self._tell, section.mid, tell)

    def track_ended(self, sid: str) -> None:
        """The room has ended one of the tracks."""
        for mid, entry in list(self._received.items()):
            if entry.track.sid == sid:
                self._end(mid)

    def close(self) -> None:
        """The connection is about to be closed, and everything on it."""
        for entry in self._received.values():
            self._member.node.disown_track(entry.engine_track_id)
            self._member.engine.forget_track(entry.engine_track_id)
        self._received.clear()

    def _tell(self, mid: str, tell: Callable[[], None]) -> None:
        try:
            tell()
        except DeniedError:
            if mid in self._received:
                self._end(mid)

    def _end(self, mid: str) -> None:
        entry = self._received.pop(mid)
        self._member.node.disown_track(entry.engine_track_id)
        self._member.engine.unpublish(entry.engine_track_id)

    def _receive(self, section: PublishedSection, announced: TrackInfo) -> Rendition:
        engine = self._member.engine
        engine_track_id = engine.ask(
            engine.core.publish,
            self._connection.opened_id,
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
        self._member.node.own_track(engine_track_id, self._member.owner)
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
        return self._member.room.engine_room_id if speech else None

    def _layer_started(self, track: PublishedTrack, event: _core.LayerStarted) -> None:
        """Corrects the announced codec by the one that is sent."""
        for payload in track.renditions[CodecRole.PRIMARY].payloads:
            if payload.payload_type == event.payload_type:
                info = _with_mime(track.info, _mime(payload.format))
                self._member.room.update_track(self._member.participant, info)


def section_policy(info: TrackInfo, role: CodecRole) -> SectionPolicy:
    """How a section is answered that carries one of the track's codecs."""
    announced = info.codecs[role]
    codec = announced.mime_type.partition("/")[2].lower()
    return SectionPolicy(
        codec=codec,
        # Not every subscriber decodes these: one that does not has to be told. Where there is a
        # backup, it has to be known which codec is which.
        codec_only=codecs.BY_NAME[codec].scalable or len(info.codecs) > 1,
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
    return codecs.BY_NAME[codec_format.partition("/")[0]].mime_type
