"""`SessionDescription` to text, in the order of lines that browsers write (RFC 8829, section 5).

`parse(serialise(description)) == description` holds for every description that `parse` returns.
"""

from collections.abc import Iterator

from signalling.sdp.model import (
    Codec,
    MediaSection,
    SessionDescription,
    SimulcastStreams,
    Transport,
)


def serialise(description: SessionDescription) -> str:
    """The description as text, each line ended by CRLF."""
    lines = list(_session(description))
    for section in description.media:
        lines.extend(_section(section))
    return "\r\n".join(lines) + "\r\n"


def _session(description: SessionDescription) -> Iterator[str]:
    yield "v=0"
    yield f"o={description.origin}"
    yield f"s={description.name}"
    if description.connection:
        yield f"c={description.connection}"
    yield from (f"b={bandwidth}" for bandwidth in description.bandwidths)
    yield f"t={description.timing}"
    if description.ice_lite:
        yield "a=ice-lite"
    for group in description.groups:
        yield "a=group:" + " ".join((group.semantics, *group.mids))
    if description.extmap_allow_mixed:
        yield "a=extmap-allow-mixed"
    yield from _transport(description.transport)
    yield from (f"a={attribute}" for attribute in description.other)


def _section(section: MediaSection) -> Iterator[str]:
    yield f"m={section.kind} {section.port} {section.protocol} {' '.join(section.formats)}".rstrip()
    if section.connection:
        yield f"c={section.connection}"
    yield from (f"b={bandwidth}" for bandwidth in section.bandwidths)
    yield from (f"a={candidate}" for candidate in section.candidates)
    if section.end_of_candidates:
        yield "a=end-of-candidates"
    yield from _transport(section.transport)
    if section.mid:
        yield f"a=mid:{section.mid}"
    yield from _media(section)
    if section.sctp_port is not None:
        yield f"a=sctp-port:{section.sctp_port}"
    if section.max_message_size is not None:
        yield f"a=max-message-size:{section.max_message_size}"
    yield from (f"a={attribute}" for attribute in section.other)


def _transport(transport: Transport) -> Iterator[str]:
    if transport.ice_ufrag:
        yield f"a=ice-ufrag:{transport.ice_ufrag}"
    if transport.ice_pwd:
        yield f"a=ice-pwd:{transport.ice_pwd}"
    if transport.ice_options:
        yield "a=ice-options:" + " ".join(transport.ice_options)
    for fingerprint in transport.fingerprints:
        yield f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}"
    if transport.setup is not None:
        yield f"a=setup:{transport.setup}"


def _media(section: MediaSection) -> Iterator[str]:
    if section.extmap_allow_mixed:
        yield "a=extmap-allow-mixed"
    for extension in section.extensions:
        direction = f"/{extension.direction}" if extension.direction is not None else ""
        yield f"a=extmap:{extension.id}{direction} {extension.uri} {extension.attributes}".rstrip()
    yield f"a={section.direction}"
    yield from (f"a=msid:{msid.stream} {msid.track}".rstrip() for msid in section.msids)
    if section.rtcp_mux:
        yield "a=rtcp-mux"
    if section.rtcp_rsize:
        yield "a=rtcp-rsize"
    for codec in section.codecs:
        yield from _codec(codec)
    yield from _streams(section)


def _streams(section: MediaSection) -> Iterator[str]:
    for rid in section.rids:
        yield f"a=rid:{rid.id} {rid.direction} {rid.restrictions}".rstrip()
    if section.simulcast is not None:
        lists = (("send", section.simulcast.send), ("recv", section.simulcast.recv))
        yield "a=simulcast:" + " ".join(f"{way} {_listed(ids)}" for way, ids in lists if ids)
    for group in section.ssrc_groups:
        yield "a=ssrc-group:" + " ".join((group.semantics, *map(str, group.ssrcs)))
    for ssrc in section.ssrcs:
        if not ssrc.attributes:
            yield f"a=ssrc:{ssrc.id}"
        for name, value in ssrc.attributes:
            yield f"a=ssrc:{ssrc.id} {name}:{value}" if value else f"a=ssrc:{ssrc.id} {name}"


def _codec(codec: Codec) -> Iterator[str]:
    channels = f"/{codec.channels}" if codec.channels > 1 else ""
    yield f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate_hz}{channels}"
    for feedback in codec.feedback:
        yield f"a=rtcp-fb:{codec.payload_type} {feedback}"
    if codec.parameters:
        yield f"a=fmtp:{codec.payload_type} {codec.parameters}"


def _listed(streams: SimulcastStreams) -> str:
    return ";".join(
        ",".join(f"{'~' if item.paused else ''}{item.rid}" for item in alternatives)
        for alternatives in streams
    )
