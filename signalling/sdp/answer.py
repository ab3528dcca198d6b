"""The answer to a client's offer, and what its sections mean for the engine.

An answer keeps the order, the mids and the payload types of the offer (RFC 8829, section 5.3.1).
A section in which the client sends becomes a published track, one in which it receives may carry a
track to it. A section nobody announced becomes inactive rather than rejected, so that the client
can use it once it has announced a track; only a section that cannot be served gets port 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Literal

from signalling.sdp import incoming, outgoing
from signalling.sdp.incoming import PublishedSection, SectionPolicy
from signalling.sdp.model import (
    Codec,
    Direction,
    Group,
    HeaderExtension,
    MediaSection,
    Rid,
    SessionDescription,
    Setup,
    Simulcast,
    SimulcastAlternative,
)
from signalling.sdp.outgoing import AcceptedSection, OfferedTrack
from signalling.sdp.serialise import serialise
from signalling.sdp.streams import section_rids
from signalling.sdp.transport import (
    MAX_MESSAGE_SIZE_BYTES,
    SCTP_PORT,
    LocalTransport,
    RemoteTransport,
    bundled_sections,
    is_data_section,
    remote_transport,
)


@dataclass(frozen=True, slots=True)
class AnswerPolicy:
    """The sections by mid that are wanted, and those that a track goes out on.

    Those that are `retired` are given up, every other media section becomes inactive.
    """

    sections: Mapping[str, SectionPolicy] = field(default_factory=dict)
    sends: Mapping[str, OfferedTrack] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()


class Refusal(Enum):
    """Why a section has port 0 in the answer."""

    NO_COMMON_CODEC = auto()
    NO_TRANSPORT = auto()
    """Outside the BUNDLE group, or its RTCP has a port of its own."""
    NOT_SERVED = auto()
    """Neither audio, video nor data channels."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`remote` is None if every section was rejected. `data` tells if data channels were agreed.

    `sections` are what is received, `sending` what goes out, and `refused` why, by mid, a section
    that was offered cannot be used.
    """

    description: SessionDescription
    remote: RemoteTransport | None
    sections: tuple[PublishedSection, ...]
    data: bool
    sending: tuple[AcceptedSection, ...] = ()
    refused: Mapping[str, Refusal] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return serialise(self.description)


def make_answer(
    offer: SessionDescription,
    local: LocalTransport,
    policy: AnswerPolicy,
    *,
    session_id: int,
    version: int,
) -> Answer:
    """Answers an offer. `version` has to grow by one with each answer of a peer connection.

    Raises SdpError if the offer lacks ICE credentials or a sha-256 fingerprint.
    """
    answers = [
        _answer_section(section, policy, served)
        for section, served in zip(offer.media, bundled_sections(offer), strict=True)
    ]
    media = [one.section for one in answers]
    first = next((index for index, section in enumerate(media) if not section.rejected), None)
    remote = None
    if first is not None:
        setup = _our_setup(offer, offer.media[first])
        role: Literal["client", "server"] = "client" if setup is Setup.ACTIVE else "server"
        remote = remote_transport(offer, offer.media[first], role)
        media = [
            _with_transport(section, local, setup, i == first) for i, section in enumerate(media)
        ]
    bundle = tuple(section.mid for section in media if section.mid and not section.rejected)
    description = SessionDescription(
        origin=f"- {session_id} {version} IN IP4 127.0.0.1",
        groups=(Group("BUNDLE", bundle),) if offer.bundle else (),
        ice_lite=True,
        extmap_allow_mixed=offer.extmap_allow_mixed,
        other=("msid-semantic: WMS *",),
        media=tuple(media),
    )
    return Answer(
        description,
        remote,
        sections=tuple(one.published for one in answers if one.published is not None),
        data=any(is_data_section(section) and not section.rejected for section in media),
        sending=tuple(one.sending for one in answers if one.sending is not None),
        refused={one.section.mid: one.refusal for one in answers if one.refusal is not None},
    )


def _our_setup(offer: SessionDescription, section: MediaSection) -> Setup:
    """Passive unless the client insists on being passive (RFC 5763, section 5)."""
    passive = offer.transport_of(section).setup is Setup.PASSIVE
    return Setup.ACTIVE if passive else Setup.PASSIVE


def _with_transport(
    section: MediaSection, local: LocalTransport, setup: Setup, first: bool
) -> MediaSection:
    if section.rejected:
        return section
    return replace(
        section,
        transport=local.attributes(setup),
        candidates=local.candidates if first else (),
        end_of_candidates=first,
    )


@dataclass(frozen=True, slots=True)
class _Answered:
    """One section of the answer, and what it means."""

    section: MediaSection
    published: PublishedSection | None = None
    sending: AcceptedSection | None = None
    refusal: Refusal | None = None


def _answer_section(section: MediaSection, policy: AnswerPolicy, served: bool) -> _Answered:
    if section.rejected or section.mid in policy.retired:
        return _Answered(_rejected(section))
    if is_data_section(section) and served:
        return _Answered(_data_section(section))
    if section.kind not in ("audio", "video") and not is_data_section(section):
        return _Answered(_rejected(section), refusal=Refusal.NOT_SERVED)
    if not served or not section.rtcp_mux:
        return _Answered(_rejected(section), refusal=Refusal.NO_TRANSPORT)
    wanted = policy.sections.get(section.mid)
    receives = wanted is not None and section.direction.sends
    track = policy.sends.get(section.mid) if section.direction.receives else None
    if track is not None and not receives:
        return _sent_section(section, track)
    chosen = incoming.choose_codecs(section, wanted or SectionPolicy())
    if not chosen:
        return _Answered(_rejected(section), refusal=Refusal.NO_COMMON_CODEC)
    rids = section_rids(section, wanted.rids if wanted else ())
    layers = tuple((SimulcastAlternative(rid),) for rid in rids.offered)
    answered = replace(
        _agreed(section, chosen, incoming.choose_extensions(section, chosen)),
        direction=Direction.RECVONLY if receives else Direction.INACTIVE,
        # Also while inactive: a browser that sees no rid in an answer gives up its layers for good.
        rids=tuple(Rid(rid, "recv") for rid in rids.offered),
        simulcast=Simulcast(recv=layers) if layers and section.simulcast else None,
    )
    if not receives:
        return _Answered(answered)
    published = incoming.published_section(section, answered, rids)
    codecs = outgoing.accepted_codecs(track, answered) if track is not None else {}
    if track is None or not codecs:
        return _Answered(answered, published)
    both = outgoing.with_track(replace(answered, direction=Direction.SENDRECV), track)
    extensions = outgoing.accepted_extensions(answered)
    return _Answered(both, published, AcceptedSection(section.mid, track, codecs, extensions))


def _sent_section(section: MediaSection, track: OfferedTrack) -> _Answered:
    """A section in which the client receives a track, under its own numbers."""
    chosen = outgoing.answered_codecs(track, section)
    if not chosen:
        # Another track may be for it.
        idle = incoming.choose_codecs(section, SectionPolicy())
        if not idle:
            return _Answered(_rejected(section), refusal=Refusal.NO_COMMON_CODEC)
        return _Answered(_agreed(section, idle, incoming.choose_extensions(section, idle)))
    answered = _agreed(section, chosen, outgoing.answered_extensions(track, section))
    answered = outgoing.with_track(replace(answered, direction=Direction.SENDONLY), track)
    return _Answered(
        answered,
        sending=AcceptedSection(
            section.mid,
            track,
            outgoing.accepted_codecs(track, answered),
            outgoing.accepted_extensions(answered),
        ),
    )


def _agreed(
    section: MediaSection, codecs: Sequence[Codec], extensions: tuple[HeaderExtension, ...]
) -> MediaSection:
    """An inactive section with what was chosen of the offered one."""
    return MediaSection(
        kind=section.kind,
        port=9,
        protocol=section.protocol,
        formats=tuple(str(codec.payload_type) for codec in codecs),
        mid=section.mid,
        direction=Direction.INACTIVE,
        codecs=tuple(codecs),
        extensions=extensions,
        extmap_allow_mixed=section.extmap_allow_mixed,
        rtcp_mux=True,
        rtcp_rsize=section.rtcp_rsize,
    )


def _data_section(section: MediaSection) -> MediaSection:
    return MediaSection(
        kind=section.kind,
        port=9,
        protocol=section.protocol,
        formats=section.formats,
        mid=section.mid,
        sctp_port=SCTP_PORT,
        max_message_size=MAX_MESSAGE_SIZE_BYTES,
    )


def _rejected(section: MediaSection) -> MediaSection:
    """Port 0 with the offered formats, of which at least one has to stay (RFC 3264, section 6)."""
    return MediaSection(
        kind=section.kind,
        port=0,
        protocol=section.protocol,
        formats=section.formats,
        mid=section.mid,
        direction=Direction.INACTIVE,
    )
