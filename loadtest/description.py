"""A client's half of session descriptions, reduced to what the swarm can do.

The subscriber's connection is offered by the server and answered by `answer`; the publisher's is
offered by `offer`. Both are bundled on one transport and never change what they have said before.
Parsing and writing are those of `signalling.sdp`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from loadtest.swarm import CodecSpec, Kind, Role, TransportInfo
from signalling.codecs import BY_NAME
from signalling.sdp import SdpError, parse, serialise
from signalling.sdp import codecs as known
from signalling.sdp.model import (
    Codec,
    Direction,
    Fingerprint,
    Group,
    HeaderExtension,
    MediaSection,
    Msid,
    Rid,
    SessionDescription,
    Setup,
    Simulcast,
    SimulcastAlternative,
    Ssrc,
    SsrcGroup,
    Transport,
)
from signalling.sdp.transport import is_data_section, remote_transport

_EXTENSIONS = {known.MID, known.TRANSPORT_CC, known.ABS_CAPTURE_TIME}
_FEEDBACK = {"nack", "nack pli", "ccm fir", "transport-cc", "goog-remb"}
_PROTOCOL = "UDP/TLS/RTP/SAVPF"
_H264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
_OPUS = "minptime=10;useinbandfec=1"


def _offered(payload_type: int, name: str, *more: Any) -> Codec:
    known = BY_NAME[name]
    return Codec(payload_type, known.encoding, known.clock_rate_hz, known.channels, *more)


_OFFERED = {
    "opus": (_offered(111, "opus", _OPUS, ("nack",)), None),
    "vp8": (_offered(96, "vp8"), 97),
    "h264": (_offered(108, "h264", _H264), 109),
}
_VIDEO_FEEDBACK = ("transport-cc", "ccm fir", "nack", "nack pli")


@dataclass(frozen=True, slots=True)
class Remote:
    """The server's side of a transport: the arguments of `Swarm.set_remote`."""

    ice_ufrag: str
    ice_password: str
    fingerprint_sha256: str
    dtls_role: Role
    candidates: tuple[tuple[str, int], ...]
    controlling: bool


@dataclass(frozen=True, slots=True)
class ReceivedTrack:
    """A section that the server sends in."""

    mid: str
    track_sid: str
    kind: Kind
    codec: CodecSpec
    ssrc: int
    rtx_ssrc: int | None
    nack: bool


@dataclass(frozen=True, slots=True)
class Offered:
    """What a server's offer means. `remb` tells that it wants no transport feedback but REMB."""

    description: SessionDescription
    remote: Remote
    tracks: tuple[ReceivedTrack, ...]
    extensions: tuple[tuple[int, str], ...]
    remb: bool
    data: bool


@dataclass(frozen=True, slots=True)
class SentEncoding:
    rid: str | None
    ssrc: int
    rtx_ssrc: int | None


@dataclass(frozen=True, slots=True)
class SentTrack:
    """A track to publish. `codec` is "opus", "vp8" or "h264"."""

    mid: str
    cid: str
    codec: str
    encodings: tuple[SentEncoding, ...]

    @property
    def kind(self) -> Kind:
        return BY_NAME[self.codec].kind


@dataclass(frozen=True, slots=True)
class Answered:
    """What a server's answer agreed to, by mid. A track that it refused is absent."""

    remote: Remote
    codecs: dict[str, CodecSpec]
    extensions: tuple[tuple[int, str], ...]


def candidate(line: str) -> tuple[str, int] | None:
    """Address and port of a UDP candidate ("candidate:1 1 udp ..."), or None."""
    parts = line.removeprefix("a=").split()
    if len(parts) < 8 or parts[2].lower() != "udp" or parts[1] != "1" or parts[7] == "relay":
        return None
    return (parts[4], int(parts[5])) if parts[5].isdigit() else None


def read_offer(text: str) -> Offered:
    """Reads a server's offer. Raises SdpError."""
    description = parse(text)
    tracks: list[ReceivedTrack] = []
    extensions: set[tuple[int, str]] = set()
    feedback: set[str] = set()
    for section in description.media:
        if section.kind in ("audio", "video") and section.direction.sends and not section.rejected:
            track = _received(section)
            if track is not None:
                tracks.append(track)
                extensions.update((e.id, e.uri) for e in section.extensions if _usable(e))
                feedback.update(f for codec in section.codecs for f in codec.feedback)
    return Offered(
        description,
        _remote(description, "client", offered=True),
        tuple(tracks),
        tuple(sorted(extensions)),
        "goog-remb" in feedback and "transport-cc" not in feedback,
        any(is_data_section(section) for section in description.media),
    )


def _usable(extension: HeaderExtension) -> bool:
    return extension.uri in _EXTENSIONS and extension.id <= 14


def _received(section: MediaSection) -> ReceivedTrack | None:
    codec = next((c for c in section.codecs if c.encoding in _OFFERED), None)
    if codec is None or not section.ssrcs:
        return None
    repair = known.rtx_payload_types(section.codecs).get(codec.payload_type)
    pair = next((g.ssrcs for g in section.ssrc_groups if g.semantics == "FID"), ())
    return ReceivedTrack(
        section.mid,
        section.track_id,
        "audio" if section.kind == "audio" else "video",
        CodecSpec(
            codec.payload_type,
            codec.encoding,
            codec.clock_rate_hz,
            repair.payload_type if repair else None,
        ),
        pair[0] if pair else section.ssrcs[0].id,
        pair[1] if len(pair) > 1 and repair else None,
        "nack" in codec.feedback,
    )


def _remote(description: SessionDescription, role: Role, *, offered: bool) -> Remote:
    live = next((s for s in description.media if not s.rejected), None)
    if live is None:
        raise SdpError("nothing was accepted", expected="a section that is not rejected")
    transport = remote_transport(description, live, role)
    lines = (line for section in description.media for line in section.candidates)
    found = dict.fromkeys(c for c in map(candidate, lines) if c is not None)
    return Remote(
        transport.ice_ufrag,
        transport.ice_password,
        transport.fingerprint_sha256,
        role,
        tuple(found),
        # Lite servers never control (RFC 8445, section 6.1.1); full ones do if they offered.
        description.ice_lite or not offered,
    )


def _local(info: TransportInfo, fingerprint: str, setup: Setup) -> Transport:
    return Transport(
        ice_ufrag=info.ice_ufrag,
        ice_pwd=info.ice_password,
        fingerprints=(Fingerprint("sha-256", fingerprint),),
        setup=setup,
    )


def answer(offered: Offered, info: TransportInfo, fingerprint: str) -> str:
    """The answer to an offer: receives all that the swarm understands."""
    local = _local(info, fingerprint, Setup.ACTIVE)
    wanted = {track.mid for track in offered.tracks}
    media = _with_candidates(
        [
            _answer_section(section, local, section.mid in wanted)
            for section in offered.description.media
        ],
        info,
    )
    bundle = tuple(section.mid for section in media if not section.rejected)
    return serialise(SessionDescription(groups=(Group("BUNDLE", bundle),), media=media))


def _with_candidates(
    sections: Sequence[MediaSection], info: TransportInfo
) -> tuple[MediaSection, ...]:
    """Candidates go into the section that the others share the transport of (RFC 9143)."""
    first = next((i for i, section in enumerate(sections) if not section.rejected), -1)
    candidates = tuple(info.candidates)
    return tuple(
        replace(section, candidates=candidates, end_of_candidates=True) if i == first else section
        for i, section in enumerate(sections)
    )


def _answer_section(section: MediaSection, local: Transport, wanted: bool) -> MediaSection:
    if section.rejected:
        return replace(section, candidates=(), ssrcs=(), ssrc_groups=(), msids=())
    if is_data_section(section):
        return replace(section, transport=local, candidates=(), end_of_candidates=False, other=())
    kept = tuple(c for c in section.codecs if c.encoding in _OFFERED or c.encoding == "rtx")
    kept = tuple(
        replace(c, feedback=tuple(f for f in c.feedback if f in _FEEDBACK))
        for c in (kept or section.codecs)
    )
    return MediaSection(
        kind=section.kind,
        port=9,
        protocol=section.protocol,
        formats=tuple(str(codec.payload_type) for codec in kept),
        mid=section.mid,
        direction=Direction.RECVONLY if wanted else Direction.INACTIVE,
        codecs=kept,
        extensions=tuple(e for e in section.extensions if _usable(e)),
        transport=local,
        rtcp_mux=True,
        rtcp_rsize=section.rtcp_rsize,
    )


def offer(tracks: Sequence[SentTrack], info: TransportInfo, fingerprint: str, version: int) -> str:
    """An offer to send `tracks`, which may only grow from one version to the next."""
    local = _local(info, fingerprint, Setup.ACTPASS)
    media = _with_candidates([_sent_section(track, local) for track in tracks], info)
    return serialise(
        SessionDescription(
            origin=f"- 1 {version} IN IP4 127.0.0.1",
            groups=(Group("BUNDLE", tuple(track.mid for track in tracks)),),
            other=("msid-semantic: WMS *",),
            media=media,
        )
    )


def _sent_section(track: SentTrack, local: Transport) -> MediaSection:
    codec, rtx = _OFFERED[track.codec]
    codecs: tuple[Codec, ...] = (codec,)
    uris = [known.MID, known.AUDIO_LEVEL, known.ABS_CAPTURE_TIME]
    if rtx is not None:
        codecs = (
            replace(codec, feedback=_VIDEO_FEEDBACK),
            Codec(rtx, "rtx", codec.clock_rate_hz, 1, f"apt={codec.payload_type}"),
        )
        uris = [known.MID, known.TRANSPORT_CC, known.ABS_CAPTURE_TIME]
    rids = tuple(encoding.rid for encoding in track.encodings if encoding.rid)
    if rids:
        uris += [known.RTP_STREAM_ID, known.REPAIRED_RTP_STREAM_ID]
    ids = {uri: number for number, uri in enumerate(_EXTENSION_ORDER, 1)}
    layers = tuple((SimulcastAlternative(rid),) for rid in rids)
    return MediaSection(
        kind=track.kind,
        port=9,
        protocol=_PROTOCOL,
        formats=tuple(str(c.payload_type) for c in codecs),
        mid=track.mid,
        direction=Direction.SENDONLY,
        msids=(Msid("swarm", track.cid),),
        codecs=codecs,
        extensions=tuple(HeaderExtension(ids[uri], uri) for uri in uris),
        rids=tuple(Rid(rid, "send") for rid in rids),
        simulcast=Simulcast(send=layers) if layers else None,
        ssrcs=() if rids else tuple(_ssrcs(track)),
        ssrc_groups=() if rids else _groups(track),
        transport=local,
        rtcp_mux=True,
        rtcp_rsize=True,
    )


# A bundle has one meaning for each number.
_EXTENSION_ORDER = (
    known.MID,
    known.AUDIO_LEVEL,
    known.TRANSPORT_CC,
    known.ABS_CAPTURE_TIME,
    known.RTP_STREAM_ID,
    known.REPAIRED_RTP_STREAM_ID,
)


def _ssrcs(track: SentTrack) -> list[Ssrc]:
    attributes = (("cname", "swarm"), ("msid", f"swarm {track.cid}"))
    numbers = [n for e in track.encodings for n in (e.ssrc, e.rtx_ssrc) if n is not None]
    return [Ssrc(number, attributes) for number in numbers]


def _groups(track: SentTrack) -> tuple[SsrcGroup, ...]:
    return tuple(
        SsrcGroup("FID", (e.ssrc, e.rtx_ssrc)) for e in track.encodings if e.rtx_ssrc is not None
    )


def read_answer(text: str) -> Answered:
    """Reads a server's answer. Raises SdpError."""
    description = parse(text)
    live = next((s for s in description.media if not s.rejected), None)
    setup = description.transport_of(live).setup if live else None
    # "active" is the server's part, then the handshake is ours to wait for.
    remote = _remote(description, "server" if setup is Setup.ACTIVE else "client", offered=False)
    codecs: dict[str, CodecSpec] = {}
    extensions: set[tuple[int, str]] = set()
    for section in description.media:
        if section.rejected or not section.direction.receives:
            continue
        codec = next((c for c in section.codecs if c.encoding in _OFFERED), None)
        if codec is not None:
            repair = known.rtx_payload_types(section.codecs).get(codec.payload_type)
            codecs[section.mid] = CodecSpec(
                codec.payload_type,
                codec.encoding,
                codec.clock_rate_hz,
                repair.payload_type if repair else None,
            )
            extensions.update((e.id, e.uri) for e in section.extensions if e.id <= 14)
    return Answered(remote, codecs, tuple(sorted(extensions)))
