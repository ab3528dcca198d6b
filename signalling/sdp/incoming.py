"""Sections on which a client sends: what of them is received, and how the engine is told.

The payload types and the numbers of the header extensions are the client's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from signalling.codecs import Kind
from signalling.sdp import codecs as known
from signalling.sdp.codecs import Format, NegotiatedCodec
from signalling.sdp.model import Codec, Direction, HeaderExtension, MediaSection
from signalling.sdp.streams import SectionRids, section_ssrcs

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


def is_served(section: MediaSection) -> bool:
    """Whether any of the section's codecs is."""
    return any(known.match(section.kind, codec) for codec in section.codecs)


def published_section(
    section: MediaSection, answered: MediaSection, rids: SectionRids
) -> PublishedSection:
    """What an answered section means for the engine."""
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


def choose_codecs(section: MediaSection, wanted: SectionPolicy) -> list[Codec]:
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


def choose_extensions(
    section: MediaSection, codecs: Sequence[Codec]
) -> tuple[HeaderExtension, ...]:
    """The header extensions that are read, under the client's numbers."""
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
