"""The subscriber's peer connection: our offers, and what each answer means for the engine.

m-sections never move and never disappear (RFC 8829, section 5.2.2). A section whose track has gone
is offered as inactive and becomes free once the client has agreed; then another track of the same
kind may use it. The data section is always the first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from signalling.sdp import codecs as known
from signalling.sdp.codecs import SUBSCRIBER_TYPES, Format, Kind, NegotiatedCodec
from signalling.sdp.errors import SdpError
from signalling.sdp.grammar import SECTIONS_MAX
from signalling.sdp.model import (
    Codec,
    Direction,
    Group,
    HeaderExtension,
    MediaSection,
    Msid,
    SessionDescription,
    Setup,
    Ssrc,
    SsrcGroup,
    Transport,
)
from signalling.sdp.serialise import serialise
from signalling.sdp.transport import (
    MAX_MESSAGE_SIZE_BYTES,
    SCTP_PORT,
    LocalTransport,
    RemoteTransport,
    remote_transport,
)

_DATA_MID = "0"
_PROTOCOL = "UDP/TLS/RTP/SAVPF"


@dataclass(frozen=True, slots=True)
class OfferedTrack:
    """A published track on its way to one subscriber.

    `formats` are those that it may come in, the preferred one first. `stream_id` is
    `PA_publisher|TR_track` or what the protocol asks for; `cname` is common to the tracks that play
    in step.
    """

    track_sid: str
    stream_id: str
    kind: Kind
    formats: tuple[Format, ...]
    ssrc: int
    rtx_ssrc: int | None
    cname: str
    stereo: bool = False


@dataclass(frozen=True, slots=True)
class AcceptedSection:
    """A track that the subscriber receives: the arguments of `Engine.subscribe`.

    `codecs` is what each of the track's formats leaves as; one that the client does not take is
    absent.
    """

    mid: str
    track: OfferedTrack
    codecs: dict[Format, NegotiatedCodec]
    extensions: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class SubscriberAnswer:
    """`rejected` are tracks that the client will not receive; their sections are given up."""

    remote: RemoteTransport
    accepted: tuple[AcceptedSection, ...]
    rejected: tuple[OfferedTrack, ...]
    data: bool


class _State(Enum):
    """A section's life. Transitions happen in `SubscriberSections` only."""

    ACTIVE = auto()  # carries a track
    VACATED = auto()  # its track has gone, the client does not know yet
    FREE = auto()  # agreed to be inactive, may be used again
    DEAD = auto()  # rejected by the client, stays at port 0


@dataclass(slots=True)
class _Slot:
    mid: str
    kind: Kind
    track: OfferedTrack | None
    state: _State = _State.ACTIVE
    # Formats of the first use, which an inactive section repeats.
    codecs: tuple[Codec, ...] = field(default_factory=tuple)


class SubscriberSections:
    """The m-sections of one subscriber's peer connection.

    Not for concurrent offers: between `offer` and `accept` the caller may add and remove tracks,
    which then need another offer, but must not offer again. `reuse_sections` is off for clients
    that mishandle a reused section (Safari). `short_tags` is on for clients that make SRTP tags
    shorter when we are the DTLS client: if the first offer is about voices alone, we ask to be.
    """

    def __init__(
        self, session_id: int, *, reuse_sections: bool = True, short_tags: bool = False
    ) -> None:
        self._session_id = session_id
        self._version = 0
        self._reuse = reuse_sections
        self._short_tags = short_tags
        self._setup = Setup.ACTPASS
        self._slots: list[_Slot] = []
        self._by_track: dict[str, _Slot] = {}
        self._offered: tuple[tuple[_Slot, OfferedTrack | None], ...] | None = None

    @property
    def offering(self) -> bool:
        """An offer waits for its answer."""
        return self._offered is not None

    def add(self, track: OfferedTrack) -> str:
        """Gives a track a section; returns its mid.

        Raises SdpError if the track is there already, if none of its codecs can be offered, or if
        the description would grow beyond what a peer has to accept.
        """
        if track.track_sid in self._by_track:
            raise SdpError("track is offered already", got=track.track_sid)
        codecs = tuple(_offered_codecs(track))
        if not codecs:
            raise SdpError("track has no codec that can be offered", got=track.track_sid)
        slot = self._free_slot(track.kind)
        if slot is None:
            if len(self._slots) + 2 > SECTIONS_MAX:
                raise SdpError("too many sections", expected=f"at most {SECTIONS_MAX}")
            slot = _Slot(str(len(self._slots) + 1), track.kind, track)
            self._slots.append(slot)
        slot.track, slot.codecs, slot.state = track, codecs, _State.ACTIVE
        self._by_track[track.track_sid] = slot
        return slot.mid

    def remove(self, track_sid: str) -> bool:
        """Takes a track's section away from it; False if it has none."""
        slot = self._by_track.pop(track_sid, None)
        if slot is None:
            return False
        slot.track, slot.state = None, _State.VACATED
        return True

    def mid_to_track(self) -> dict[str, str]:
        """Track sid by mid, as `SessionDescription.mid_to_track_id` of the protocol wants it."""
        return {slot.mid: sid for sid, slot in self._by_track.items()}

    def offer(self, local: LocalTransport) -> str:
        """The text of the next offer. Raises RuntimeError if the last one is unanswered."""
        if self._offered is not None:
            raise RuntimeError("an offer is outstanding")
        self._offered = tuple((slot, slot.track) for slot in self._slots)
        if self._version == 0 and self._short_tags and {s.kind for s in self._slots} == {"audio"}:
            self._setup = Setup.ACTIVE  # to the end: the first handshake is the only one
        self._version += 1
        transport = local.attributes(self._setup)
        media = [_data_section(local, transport)]
        media += [_media_section(slot, transport) for slot in self._slots]
        bundle = tuple(section.mid for section in media if not section.rejected)
        description = SessionDescription(
            origin=f"- {self._session_id} {self._version} IN IP4 127.0.0.1",
            groups=(Group("BUNDLE", bundle),),
            ice_lite=True,
            # Dependency descriptors with a structure need the two-byte form (RFC 8285).
            extmap_allow_mixed=True,
            other=("msid-semantic: WMS *",),
            media=tuple(media),
        )
        return serialise(description)

    def withdraw(self) -> None:
        """Forgets the outstanding offer, for a client that starts over."""
        self._offered = None

    def accept(self, answer: SessionDescription) -> SubscriberAnswer:
        """Applies the answer to the outstanding offer.

        Tracks removed since the offer are left out of the result. Raises SdpError, and keeps the
        offer outstanding, if there is none or if the answer does not fit it.
        """
        if self._offered is None:
            raise SdpError("answer without an offer", repeats=False)
        self._check_fit(answer, self._offered)
        data = answer.media[0]
        role: Literal["client", "server"] = (
            "client" if answer.transport_of(data).setup is Setup.PASSIVE else "server"
        )
        remote = remote_transport(answer, data, role)
        offered, self._offered = self._offered, None
        accepted: list[AcceptedSection] = []
        rejected: list[OfferedTrack] = []
        for (slot, track), section in zip(offered, answer.media[1:], strict=True):
            codecs = _accepted_codecs(track, section) if track else {}
            current = slot.track is track
            rejected.extend(self._settle(slot, track, section, bool(codecs)))
            if track is None or not current:
                continue
            if codecs:
                extensions = _accepted_extensions(section)
                accepted.append(AcceptedSection(slot.mid, track, codecs, extensions))
            else:
                rejected.append(track)
        return SubscriberAnswer(remote, tuple(accepted), tuple(rejected), not data.rejected)

    def _check_fit(
        self, answer: SessionDescription, offered: tuple[tuple[_Slot, OfferedTrack | None], ...]
    ) -> None:
        mids = [_DATA_MID, *(slot.mid for slot, _ in offered)]
        if len(answer.media) != len(mids):
            raise SdpError(
                "answer does not fit",
                expected=f"{len(mids)} sections",
                got=len(answer.media),
                repeats=False,
            )
        for mid, section in zip(mids, answer.media, strict=True):
            # A rejected section may lack its mid (RFC 8829, section 5.3.1).
            if section.mid != mid and not (section.rejected and not section.mid):
                raise SdpError(
                    "answer does not fit", expected=f"mid {mid}", got=section.mid, repeats=False
                )
        if answer.media[0].rejected:
            raise SdpError("answer does not fit", expected="an accepted data section")

    def _settle(
        self, slot: _Slot, track: OfferedTrack | None, section: MediaSection, accepted: bool
    ) -> tuple[OfferedTrack, ...]:
        """Moves a section to the state that the answer puts it in.

        Returns the track that has nowhere to go, if there is one.
        """
        later = slot.track if slot.track is not track else None
        if section.rejected:
            self._drop(slot)
            slot.state = _State.DEAD
            if later is not None and len(self._slots) + 2 > SECTIONS_MAX:
                return (later,)
            if later is not None:
                self.add(later)  # took the section while the offer was out; move it elsewhere
        elif track is None and later is None:
            slot.state = _State.FREE
        elif later is None and slot.track is track and not accepted:
            self._drop(slot)
            slot.state = _State.VACATED
        return ()

    def _drop(self, slot: _Slot) -> None:
        if slot.track is not None:
            self._by_track.pop(slot.track.track_sid, None)
            slot.track = None

    def _free_slot(self, kind: Kind) -> _Slot | None:
        if not self._reuse:
            return None
        return next((s for s in self._slots if s.kind == kind and s.state is _State.FREE), None)


def _data_section(local: LocalTransport, transport: Transport) -> MediaSection:
    return MediaSection(
        kind="application",
        port=9,
        protocol="UDP/DTLS/SCTP",
        formats=("webrtc-datachannel",),
        mid=_DATA_MID,
        transport=transport,
        candidates=local.candidates,
        end_of_candidates=True,
        sctp_port=SCTP_PORT,
        max_message_size=MAX_MESSAGE_SIZE_BYTES,
    )


def _media_section(slot: _Slot, transport: Transport) -> MediaSection:
    dead = slot.state is _State.DEAD
    section = MediaSection(
        kind=slot.kind,
        port=0 if dead else 9,
        protocol=_PROTOCOL,
        formats=tuple(str(codec.payload_type) for codec in slot.codecs),
        mid=slot.mid,
        direction=Direction.INACTIVE,
    )
    if dead:
        return section
    track = slot.track
    return MediaSection(
        kind=slot.kind,
        port=9,
        protocol=_PROTOCOL,
        formats=section.formats,
        mid=slot.mid,
        direction=Direction.INACTIVE if track is None else Direction.SENDONLY,
        msids=(Msid(track.stream_id, track.track_sid),) if track else (),
        codecs=slot.codecs,
        extensions=_offered_extensions(track),
        ssrcs=tuple(_ssrcs(track)) if track else (),
        ssrc_groups=_ssrc_groups(track) if track else (),
        transport=transport,
        rtcp_mux=True,
        rtcp_rsize=True,
    )


def _offered_extensions(track: OfferedTrack | None) -> tuple[HeaderExtension, ...]:
    if track is not None and any(item.needs_descriptor for item in track.formats):
        return known.SUBSCRIBER_EXTENSIONS + known.SCALABLE_EXTENSIONS
    return known.SUBSCRIBER_EXTENSIONS


def _ssrcs(track: OfferedTrack) -> Iterator[Ssrc]:
    attributes = (("cname", track.cname), ("msid", f"{track.stream_id} {track.track_sid}"))
    yield Ssrc(track.ssrc, attributes)
    if track.rtx_ssrc is not None:
        yield Ssrc(track.rtx_ssrc, attributes)


def _ssrc_groups(track: OfferedTrack) -> tuple[SsrcGroup, ...]:
    if track.rtx_ssrc is None:
        return ()
    return (SsrcGroup("FID", (track.ssrc, track.rtx_ssrc)),)


def _offered_codecs(track: OfferedTrack) -> Iterator[Codec]:
    """The track's formats under our payload types, each followed by its RTX."""
    feedback = known.SUBSCRIBER_FEEDBACK[track.kind]
    for item in dict.fromkeys(track.formats):
        entry = SUBSCRIBER_TYPES[item]
        parameters = entry.codec.parameters
        if item is Format.OPUS and track.stereo:
            # "stereo" asks the client to decode two channels, "sprop-stereo" promises them.
            parameters += ";stereo=1;sprop-stereo=1"
        codec = entry.codec
        yield Codec(
            codec.payload_type,
            codec.name,
            codec.clock_rate_hz,
            codec.channels,
            parameters,
            feedback,
        )
        if entry.rtx_payload_type is not None and track.rtx_ssrc is not None:
            apt = f"apt={codec.payload_type}"
            yield Codec(entry.rtx_payload_type, "rtx", codec.clock_rate_hz, 1, apt)


def _accepted_codecs(track: OfferedTrack, section: MediaSection) -> dict[Format, NegotiatedCodec]:
    """The track's formats that the answer can carry; none if it receives nothing.

    Redundant audio can be carried as the codec that it wraps: the engine unwraps it.
    """
    if section.rejected or not section.direction.receives:
        return {}
    rtx = known.rtx_payload_types(section.codecs)
    by_format: dict[Format, NegotiatedCodec] = {}
    for codec in section.codecs:
        found = known.match(section.kind, codec)
        if found is not None:
            repair = rtx.get(codec.payload_type)
            by_format.setdefault(
                found,
                NegotiatedCodec(
                    codec.payload_type,
                    found,
                    codec.clock_rate_hz,
                    repair.payload_type if repair and track.rtx_ssrc is not None else None,
                ),
            )
    if Format.OPUS in by_format:
        by_format.setdefault(Format.RED, by_format[Format.OPUS])
    return {item: by_format[item] for item in track.formats if item in by_format}


def _accepted_extensions(section: MediaSection) -> tuple[tuple[int, str], ...]:
    """What the engine may write. Sequence numbers for feedback only if feedback will come."""
    offered = {
        extension.uri for extension in known.SUBSCRIBER_EXTENSIONS + known.SCALABLE_EXTENSIONS
    }
    feedback = {item.lower() for codec in section.codecs for item in codec.feedback}
    if known.TRANSPORT_CC_FEEDBACK not in feedback:
        offered.discard(known.TRANSPORT_CC)
    return tuple(
        (extension.id, extension.uri)
        for extension in section.extensions
        if extension.uri in offered and extension.id <= 14
    )
