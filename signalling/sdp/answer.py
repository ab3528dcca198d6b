"""The answer to a publisher's offer, and what its sections mean for the engine.

An answer keeps the order, the mids and the payload types of the offer (RFC 8829, section 5.3.1).
A section nobody announced becomes inactive rather than rejected, so that the client can use it
once it has announced a track; only a section that cannot be served at all gets port 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from signalling.sdp import codecs as known
from signalling.sdp.codecs import Format, Kind, NegotiatedCodec
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
from signalling.sdp.serialise import serialise
from signalling.sdp.streams import SectionRids, section_rids, section_ssrcs
from signalling.sdp.transport import (
    MAX_MESSAGE_SIZE_BYTES,
    SCTP_PORT,
    LocalTransport,
    RemoteTransport,
    bundled_sections,
    is_data_section,
    remote_transport,
)

STEREO_BITRATE_BPS = 510_000


@dataclass(frozen=True, slots=True)
class SectionPolicy:
    """What the publisher announced for a section.

    `codec` (lower case, such as "h264") goes to the front of the list; with `codec_only` the other
    ones are left out. VP9 and AV1 are negotiated only if they are this codec. `red` puts redundant
    audio first. `rids` gives the order of the layers, lowest first; when empty it is taken from
    their names.
    """

    codec: str = ""
    codec_only: bool = False
    dtx: bool = True
    stereo: bool = False
    red: bool = False
    rids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerPolicy:
    """The wanted sections by mid; every other media section becomes inactive."""

    sections: Mapping[str, SectionPolicy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublishedSection:
    """An accepted section that sends media: the arguments of `Engine.publish`.

    `codecs` are in order of preference. `rids` and `ssrcs` (media SSRC, RTX SSRC or None) are
    ordered lowest layer first and may each be empty. `track_id` is the client's track id, empty if
    the offer does not tell it.
    """

    mid: str
    kind: Kind
    track_id: str
    codecs: tuple[NegotiatedCodec, ...]
    extensions: tuple[tuple[int, str], ...]
    rids: tuple[str, ...]
    ssrcs: tuple[tuple[int, int | None], ...]
    nack: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """`remote` is None if every section was rejected. `data` tells if data channels were agreed."""

    description: SessionDescription
    remote: RemoteTransport | None
    sections: tuple[PublishedSection, ...]
    data: bool

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
    first = next((index for index, answer in enumerate(answers) if not answer[0].rejected), None)
    remote = None
    media = [section for section, _ in answers]
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
    published = tuple(section for _, section in answers if section is not None)
    data = any(is_data_section(section) and not section.rejected for section in media)
    return Answer(description, remote, published, data)


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


def _answer_section(
    section: MediaSection, policy: AnswerPolicy, served: bool
) -> tuple[MediaSection, PublishedSection | None]:
    if section.rejected or not served:
        return _rejected(section), None
    if is_data_section(section):
        return _data_section(section), None
    if section.kind not in ("audio", "video") or not section.rtcp_mux:
        return _rejected(section), None
    wanted = policy.sections.get(section.mid)
    chosen = _choose_codecs(section, wanted or SectionPolicy())
    if not chosen:
        return _rejected(section), None
    receives = wanted is not None and section.direction.sends
    rids = section_rids(section, wanted.rids if wanted else ())
    layers = tuple((SimulcastAlternative(rid),) for rid in rids.offered)
    answered = MediaSection(
        kind=section.kind,
        port=9,
        protocol=section.protocol,
        formats=tuple(str(codec.payload_type) for codec in chosen),
        mid=section.mid,
        direction=Direction.RECVONLY if receives else Direction.INACTIVE,
        codecs=tuple(chosen),
        extensions=_choose_extensions(section, chosen),
        extmap_allow_mixed=section.extmap_allow_mixed,
        # Also while inactive: a browser that sees no rid in an answer gives up its layers for good.
        rids=tuple(Rid(rid, "recv") for rid in rids.offered),
        simulcast=Simulcast(recv=layers) if layers and section.simulcast else None,
        rtcp_mux=True,
        rtcp_rsize=section.rtcp_rsize,
    )
    return answered, _published(section, answered, rids) if receives else None


def _published(
    section: MediaSection, answered: MediaSection, rids: SectionRids
) -> PublishedSection:
    return PublishedSection(
        mid=section.mid,
        kind="audio" if section.kind == "audio" else "video",
        track_id=section.track_id,
        codecs=_negotiated(answered),
        extensions=tuple((extension.id, extension.uri) for extension in answered.extensions),
        rids=rids.lowest_first,
        ssrcs=section_ssrcs(section, rids),
        nack=any("nack" in codec.feedback for codec in answered.codecs),
    )


def _choose_codecs(section: MediaSection, wanted: SectionPolicy) -> list[Codec]:
    """The answer's payload types, each followed by its RTX, in order of preference."""
    rtx = known.rtx_payload_types(section.codecs)
    matches = [(codec, known.match(section.kind, codec)) for codec in section.codecs]
    usable: list[tuple[Codec, Format]] = [
        (codec, found)
        for codec, found in matches
        if found and found is not Format.RED and (not found.scalable or found.codec == wanted.codec)
    ]
    usable.sort(key=lambda item: item[1].codec != wanted.codec)
    if wanted.codec_only and usable and usable[0][1].codec == wanted.codec:
        usable = [item for item in usable if item[1].codec == wanted.codec]
    opus_types = {str(codec.payload_type) for codec, found in usable if found is Format.OPUS}
    if wanted.red:
        usable[:0] = [
            (codec, found)
            for codec, found in matches
            # Redundancy of anything but Opus could not be read by the subscribers (RFC 2198).
            if found is Format.RED and opus_types.issuperset(codec.parameters.split("/"))
        ]
    chosen = []
    for codec, found in usable:
        chosen.append(_answer_codec(section.kind, codec, found, wanted))
        if codec.payload_type in rtx and section.kind == "video":
            repair = rtx[codec.payload_type]
            chosen.append(replace(repair, parameters=f"apt={codec.payload_type}", feedback=()))
    return chosen


def _answer_codec(kind: str, codec: Codec, found: Format, wanted: SectionPolicy) -> Codec:
    offered = {item.lower() for item in codec.feedback}
    feedback = tuple(item for item in known.PUBLISHER_FEEDBACK[kind] if item in offered)
    parameters = "" if found is Format.VP8 else codec.parameters
    if found is Format.OPUS:
        parameters = "minptime=10;useinbandfec=1"
        if wanted.dtx:
            parameters += ";usedtx=1"
        if wanted.stereo:
            parameters += f";stereo=1;maxaveragebitrate={STEREO_BITRATE_BPS}"
    return replace(codec, parameters=parameters, feedback=feedback)


def _choose_extensions(
    section: MediaSection, codecs: Sequence[Codec]
) -> tuple[HeaderExtension, ...]:
    wanted = known.PUBLISHER_EXTENSIONS[section.kind]
    formats = [known.match(section.kind, codec) for codec in codecs]
    # H.264 is answered to everybody as a fallback: its descriptors only cost where it comes first.
    preferred = formats[0] if formats else None
    if any(found is not None and found.scalable for found in formats) or (
        preferred is not None and preferred.needs_descriptor
    ):
        wanted |= {known.DEPENDENCY_DESCRIPTOR}
    chosen: dict[str, HeaderExtension] = {}
    for extension in section.extensions:
        # One byte holds the id in a header; ids above that are only placeholders (RFC 8285).
        usable = extension.id <= 255 and extension.direction in _ANSWERED_EXTENSION
        if extension.uri in wanted and usable:
            direction = _ANSWERED_EXTENSION[extension.direction]
            chosen.setdefault(
                extension.uri, HeaderExtension(extension.id, extension.uri, direction)
            )
    return tuple(chosen.values())


# Firefox offers some extensions for one direction only; the answer has to turn it around.
_ANSWERED_EXTENSION = {
    None: None,
    Direction.SENDRECV: Direction.SENDRECV,
    Direction.SENDONLY: Direction.RECVONLY,
}


def _negotiated(section: MediaSection) -> tuple[NegotiatedCodec, ...]:
    rtx = known.rtx_payload_types(section.codecs)
    negotiated = []
    for codec in section.codecs:
        found = known.match(section.kind, codec)
        if found is not None:
            repair = rtx.get(codec.payload_type)
            negotiated.append(
                NegotiatedCodec(
                    codec.payload_type,
                    found,
                    codec.clock_rate_hz,
                    repair.payload_type if repair else None,
                )
            )
    return tuple(negotiated)


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
