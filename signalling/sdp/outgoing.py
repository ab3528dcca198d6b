"""Sections on which this server sends: what they say of a track, and what the peer has agreed to.

The same for an offer of ours and for an answer, in which the payload types and the numbers of the
header extensions are the peer's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from signalling.codecs import Kind
from signalling.sdp import codecs as known
from signalling.sdp.codecs import SUBSCRIBER_TYPES, Format, NegotiatedCodec
from signalling.sdp.model import (
    Codec,
    Direction,
    HeaderExtension,
    MediaSection,
    Msid,
    Ssrc,
    SsrcGroup,
)

EXTENSION_ID_MAX = 14
"""The engine writes the one-byte form (RFC 8285)."""


class SectionsFullError(Exception):
    """A description has as many sections as a peer has to accept: `limit`.

    `soon` tells that the next exchange of descriptions makes room.
    """

    def __init__(self, limit: int, *, soon: bool = False) -> None:
        super().__init__(f"a connection has at most {limit} sections for tracks")
        self.limit = limit
        self.soon = soon


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


def with_track(section: MediaSection, track: OfferedTrack) -> MediaSection:
    """The section with the track's stream and SSRCs."""
    attributes = (("cname", track.cname), ("msid", f"{track.stream_id} {track.track_sid}"))
    ssrcs = [track.ssrc] + ([track.rtx_ssrc] if track.rtx_ssrc is not None else [])
    return replace(
        section,
        msids=(Msid(track.stream_id, track.track_sid),),
        ssrcs=tuple(Ssrc(ssrc, attributes) for ssrc in ssrcs),
        ssrc_groups=(SsrcGroup("FID", tuple(ssrcs)),) if track.rtx_ssrc is not None else (),
    )


def offered_codecs(track: OfferedTrack) -> Iterator[Codec]:
    """The track's formats under our payload types, each followed by its RTX."""
    feedback = known.SUBSCRIBER_FEEDBACK[track.kind]
    for item in dict.fromkeys(track.formats):
        entry = SUBSCRIBER_TYPES[item]
        codec = entry.codec
        parameters = codec.parameters + (_stereo(track) if item is Format.OPUS else "")
        yield replace(codec, parameters=parameters, feedback=feedback)
        if entry.rtx_payload_type is not None and track.rtx_ssrc is not None:
            apt = f"apt={codec.payload_type}"
            yield Codec(entry.rtx_payload_type, "rtx", codec.clock_rate_hz, 1, apt)


def answered_codecs(track: OfferedTrack, section: MediaSection) -> tuple[Codec, ...]:
    """Those of the peer's payload types that the track may leave as, each followed by its RTX."""
    rtx = known.rtx_payload_types(section.codecs)
    wanted = carried_as(track.formats)
    chosen: list[Codec] = []
    matches = [(codec, known.match(section.kind, codec)) for codec in section.codecs]
    for item in wanted:
        codec = next((codec for codec, found in matches if found is item), None)
        if codec is None:
            continue
        offered = {one.lower() for one in codec.feedback}
        feedback = tuple(one for one in known.SUBSCRIBER_FEEDBACK[track.kind] if one in offered)
        parameters = codec.parameters
        if item is Format.OPUS:
            parameters = SUBSCRIBER_TYPES[item].codec.parameters + _stereo(track)
        chosen.append(replace(codec, parameters=parameters, feedback=feedback))
        if codec.payload_type in rtx and track.rtx_ssrc is not None:
            repair = rtx[codec.payload_type]
            chosen.append(replace(repair, parameters=f"apt={codec.payload_type}", feedback=()))
    return tuple(chosen)


def carried_as(formats: Iterable[Format]) -> tuple[Format, ...]:
    """The formats that a track may leave in. The engine unwraps redundant audio (RFC 2198)."""
    listed = dict.fromkeys(formats)
    if Format.RED in listed:
        listed.setdefault(Format.OPUS)
    return tuple(listed)


def accepted_codecs(track: OfferedTrack, section: MediaSection) -> dict[Format, NegotiatedCodec]:
    """The track's formats that an answered section can carry; none if nothing is received."""
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


def offered_extensions(track: OfferedTrack | None) -> tuple[HeaderExtension, ...]:
    """What our offers list for a track, or for a section without one."""
    if track is not None and any(item.needs_descriptor for item in track.formats):
        return known.SUBSCRIBER_EXTENSIONS + known.SCALABLE_EXTENSIONS
    return known.SUBSCRIBER_EXTENSIONS


def answered_extensions(track: OfferedTrack, section: MediaSection) -> tuple[HeaderExtension, ...]:
    """Those of the peer's header extensions that are written for a track."""
    wanted = {extension.uri for extension in offered_extensions(track)}
    chosen: dict[str, HeaderExtension] = {}
    for extension in section.extensions:
        usable = extension.id <= EXTENSION_ID_MAX and extension.direction in _ANSWERED
        if extension.uri in wanted and usable:
            direction = _ANSWERED[extension.direction]
            chosen.setdefault(
                extension.uri, HeaderExtension(extension.id, extension.uri, direction)
            )
    return tuple(chosen.values())


# As the peer receives, it may offer an extension for that direction alone.
_ANSWERED = {
    None: None,
    Direction.SENDRECV: Direction.SENDRECV,
    Direction.RECVONLY: Direction.SENDONLY,
}


def accepted_extensions(section: MediaSection) -> tuple[tuple[int, str], ...]:
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
        if extension.uri in offered and extension.id <= EXTENSION_ID_MAX
    )


def _stereo(track: OfferedTrack) -> str:
    # "stereo" asks the client to decode two channels, "sprop-stereo" promises them.
    return ";stereo=1;sprop-stereo=1" if track.stereo else ""
