"""Our offers to a subscriber, and what its answers mean.

A section keeps its place for as long as the peer connection lives. One whose track has gone becomes
inactive and is used again, or is given up: at port 0 on both sides its place goes to a new section
with a mid of its own (RFC 8829, section 5.2.2). The data section is always the first.
"""

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Literal

from sfu.limits import SDP_SECTIONS_MAX
from signalling.codecs import Kind
from signalling.sdp import outgoing
from signalling.sdp.errors import SdpError
from signalling.sdp.model import (
    Codec,
    Direction,
    Group,
    MediaSection,
    SessionDescription,
    Setup,
    Transport,
)
from signalling.sdp.outgoing import AcceptedSection, OfferedTrack, SectionsFullError
from signalling.sdp.serialise import serialise
from signalling.sdp.transport import (
    MAX_MESSAGE_SIZE_BYTES,
    SCTP_PORT,
    LocalTransport,
    RemoteTransport,
    remote_transport,
)

TRACKS_MAX = SDP_SECTIONS_MAX - 1
_DATA_MID = "0"
_PROTOCOL = "UDP/TLS/RTP/SAVPF"


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
    RETIRED = auto()  # nothing for it to carry, the client does not know yet that it is given up
    DEAD = auto()  # at port 0 on both sides: a new section may take its place


@dataclass(slots=True)
class _Slot:
    """The place of a section in the description."""

    mid: str
    kind: Kind
    track: OfferedTrack | None
    state: _State = _State.ACTIVE
    # Formats of the first use, which an inactive section repeats.
    codecs: tuple[Codec, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class _Offered:
    """What the outstanding offer says of a place."""

    slot: _Slot
    mid: str
    track: OfferedTrack | None
    dead: bool


class SubscriberSections:
    """The m-sections of one subscriber's peer connection.

    Not for concurrent offers: between `offer` and `accept` the caller may add and remove tracks,
    which then need another offer, but must not offer again. `reuse_sections` is off for clients
    that mishandle another track in the same section (WebKit): they get a new section, in the place
    of one that was given up. `short_tags` is on for clients that make SRTP tags shorter when we are
    the DTLS client: if the first offer is about voices alone, we ask to be.
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
        self._mids = 0
        self._by_track: dict[str, _Slot] = {}
        self._offered: tuple[_Offered, ...] | None = None

    @property
    def offering(self) -> bool:
        """An offer waits for its answer."""
        return self._offered is not None

    def add(self, track: OfferedTrack) -> str:
        """Gives a track a section; returns its mid.

        Raises SdpError if the track is there already or if none of its codecs can be offered, and
        SectionsFullError if the description would grow beyond what a peer has to accept.
        """
        if track.track_sid in self._by_track:
            raise SdpError("track is offered already", got=track.track_sid)
        codecs = tuple(outgoing.offered_codecs(track))
        if not codecs:
            raise SdpError("track has no codec that can be offered", got=track.track_sid)
        slot = self._slot_for(track.kind)
        slot.track, slot.codecs, slot.state = track, codecs, _State.ACTIVE
        self._by_track[track.track_sid] = slot
        return slot.mid

    def remove(self, track_sid: str) -> bool:
        """Takes a track's section away from it; False if it has none."""
        slot = self._by_track.pop(track_sid, None)
        if slot is None:
            return False
        slot.track = None
        slot.state = _State.VACATED if self._reuse else _State.RETIRED
        return True

    def mid_to_track(self) -> dict[str, str]:
        """Track sid by mid, as `SessionDescription.mid_to_track_id` of the protocol wants it."""
        return {slot.mid: sid for sid, slot in self._by_track.items()}

    def offer(self, local: LocalTransport) -> str:
        """The text of the next offer. Raises RuntimeError if the last one is unanswered."""
        if self._offered is not None:
            raise RuntimeError("an offer is outstanding")
        if self._version == 0 and self._short_tags and {s.kind for s in self._slots} == {"audio"}:
            self._setup = Setup.ACTIVE  # to the end: the first handshake is the only one
        self._version += 1
        transport = local.attributes(self._setup)
        media = [_data_section(local, transport)]
        media += [_media_section(slot, transport) for slot in self._slots]
        self._offered = tuple(
            _Offered(slot, slot.mid, slot.track, section.rejected)
            for slot, section in zip(self._slots, media[1:], strict=True)
        )
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
        _check_fit(answer, self._offered)
        data = answer.media[0]
        role: Literal["client", "server"] = (
            "client" if answer.transport_of(data).setup is Setup.PASSIVE else "server"
        )
        remote = remote_transport(answer, data, role)
        offered, self._offered = self._offered, None
        accepted: list[AcceptedSection] = []
        rejected: list[OfferedTrack] = []
        for was, section in zip(offered, answer.media[1:], strict=True):
            track = was.track
            receives = not section.rejected and section.direction.receives
            codecs = outgoing.accepted_codecs(track, section) if track and receives else {}
            current = was.slot.track is track
            rejected.extend(self._settle(was, section, bool(codecs)))
            if track is None or not current:
                continue
            if codecs:
                extensions = outgoing.accepted_extensions(section)
                accepted.append(AcceptedSection(was.mid, track, codecs, extensions))
            else:
                rejected.append(track)
        return SubscriberAnswer(remote, tuple(accepted), tuple(rejected), not data.rejected)

    def _settle(
        self, was: _Offered, section: MediaSection, accepted: bool
    ) -> tuple[OfferedTrack, ...]:
        """Moves a section to the state that the answer puts it in.

        Returns the track that has nowhere to go, if there is one.
        """
        slot, track = was.slot, was.track
        if slot.mid != was.mid:
            return ()  # another section has taken its place meanwhile
        later = slot.track if slot.track is not track else None
        if was.dead or section.rejected:
            self._drop(slot)
            slot.state = _State.DEAD
            if later is not None:
                return self._move(later)  # took the section while the offer was out
        elif track is None and later is None and slot.state is not _State.RETIRED:
            slot.state = _State.FREE
        elif later is None and slot.track is track and not accepted:
            self._drop(slot)
            slot.state = _State.VACATED if self._reuse else _State.RETIRED
        return ()

    def _move(self, track: OfferedTrack) -> tuple[OfferedTrack, ...]:
        try:
            self.add(track)
        except SectionsFullError:
            return (track,)
        return ()

    def _drop(self, slot: _Slot) -> None:
        if slot.track is not None:
            self._by_track.pop(slot.track.track_sid, None)
            slot.track = None

    def _slot_for(self, kind: Kind) -> _Slot:
        free = self._find(_State.FREE, kind)
        if free is not None:
            return free
        dead = self._find(_State.DEAD, kind) or self._find(_State.DEAD)
        if dead is None and len(self._slots) >= TRACKS_MAX:
            # Sections of the other kind are in the way: the next offer gives one of them up.
            spare = self._find(_State.FREE)
            if spare is not None:
                spare.state = _State.RETIRED
            leaving = self._find(_State.VACATED) or self._find(_State.RETIRED)
            raise SectionsFullError(TRACKS_MAX, soon=leaving is not None)
        self._mids += 1
        if dead is None:
            dead = _Slot(str(self._mids), kind, None)
            self._slots.append(dead)
        dead.mid, dead.kind = str(self._mids), kind
        return dead

    def _find(self, state: _State, kind: Kind | None = None) -> _Slot | None:
        fitting = (slot for slot in self._slots if kind is None or slot.kind == kind)
        return next((slot for slot in fitting if slot.state is state), None)


def _check_fit(answer: SessionDescription, offered: tuple[_Offered, ...]) -> None:
    mids = [_DATA_MID, *(was.mid for was in offered)]
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
    dead = slot.state in (_State.RETIRED, _State.DEAD)
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
    section = replace(
        section,
        codecs=slot.codecs,
        extensions=outgoing.offered_extensions(slot.track),
        transport=transport,
        rtcp_mux=True,
        rtcp_rsize=True,
    )
    if slot.track is None:
        return section
    return outgoing.with_track(replace(section, direction=Direction.SENDONLY), slot.track)
