"""Text to `SessionDescription`.

One small function for each attribute that is understood, looked up by name; every other attribute
is kept verbatim. Attributes that decide where media goes (payload types, identifiers, credentials)
are checked strictly, decoration is not, because real clients differ there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sfu.limits import (
    SDP_FEEDBACK_MAX,
    SDP_FORMATS_MAX,
    SDP_ICE_OPTIONS_MAX,
    SDP_RIDS_MAX,
    SDP_SSRCS_MAX,
)
from signalling.sdp import grammar
from signalling.sdp.errors import SdpError
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
    SimulcastStreams,
    Ssrc,
    SsrcGroup,
    Transport,
)

# Static payload types that may come without a=rtpmap (RFC 3551, table 4).
_STATIC = {0: ("PCMU", 8_000), 8: ("PCMA", 8_000), 9: ("G722", 8_000), 13: ("CN", 8_000)}


def parse(text: str) -> SessionDescription:
    """Reads a description. Raises SdpError, and nothing else, for whatever text."""
    raw = grammar.split(text)
    if not raw.lines or raw.lines[0] != ("v", "0"):
        raise SdpError("not a session description", expected='"v=0" first', got=text[:40])
    session = _Level()
    for letter, value in raw.lines:
        session.read(letter, value)
    media = tuple(_section(section, session.direction) for section in raw.sections)
    _check_mids(media)
    return SessionDescription(
        origin=session.fields.get("o", "- 0 0 IN IP4 127.0.0.1"),
        name=session.fields.get("s", "-"),
        timing=session.fields.get("t", "0 0"),
        connection=session.fields.get("c", ""),
        groups=tuple(session.groups),
        transport=session.transport(),
        ice_lite="ice-lite" in session.flags,
        extmap_allow_mixed="extmap-allow-mixed" in session.flags,
        bandwidths=tuple(session.bandwidths),
        other=tuple(session.other),
        media=media,
    )


def _check_mids(media: tuple[MediaSection, ...]) -> None:
    seen = set()
    for section in media:
        if section.mid and section.mid in seen:
            raise SdpError("mid used twice", expected="one section each", got=section.mid)
        seen.add(section.mid)


def _section(raw: grammar.RawSection, default: Direction) -> MediaSection:
    kind, port, protocol, formats = _media_line(raw.media)
    level = _Level(direction=default)
    for letter, value in raw.lines:
        level.read(letter, value)
    rtp = "RTP/" in protocol
    return MediaSection(
        kind=kind,
        port=port,
        protocol=protocol,
        formats=formats,
        mid=level.mid,
        direction=level.direction,
        msids=tuple(level.msids),
        codecs=level.codecs(formats) if rtp else (),
        extensions=tuple(level.extensions.values()),
        extmap_allow_mixed="extmap-allow-mixed" in level.flags,
        rids=tuple(level.rids.values()),
        simulcast=level.simulcast,
        ssrcs=tuple(Ssrc(ssrc, tuple(pairs)) for ssrc, pairs in level.ssrcs.items()),
        ssrc_groups=tuple(level.ssrc_groups),
        transport=level.transport(),
        candidates=tuple(level.candidates),
        end_of_candidates="end-of-candidates" in level.flags,
        rtcp_mux="rtcp-mux" in level.flags,
        rtcp_rsize="rtcp-rsize" in level.flags,
        sctp_port=level.sctp_port,
        max_message_size=level.max_message_size,
        connection=level.fields.get("c", ""),
        bandwidths=tuple(level.bandwidths),
        other=tuple(level.other),
    )


def _media_line(value: str) -> tuple[str, int, str, tuple[str, ...]]:
    parts = value.split()
    if len(parts) < 3:
        raise SdpError("malformed m-line", expected="kind, port, protocol, formats", got=value)
    kind, port, protocol, *formats = parts
    if len(formats) > SDP_FORMATS_MAX:
        raise SdpError("too many formats", expected=f"at most {SDP_FORMATS_MAX}")
    if len(set(formats)) != len(formats):
        raise SdpError("format listed twice", expected="distinct formats", got=value)
    for part in protocol.split("/"):
        grammar.token(part, "protocol")
    for item in formats:
        grammar.token(item, "format")
    number = grammar.number(port.partition("/")[0], "port", 65_535)
    # Names of media types are not case-sensitive (RFC 4855, section 3).
    return grammar.token(kind, "media kind").lower(), number, protocol, tuple(formats)


@dataclass(slots=True)
class _Level:
    """What has been read of one level."""

    fields: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    other: list[str] = field(default_factory=list)
    bandwidths: list[str] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    mid: str = ""
    direction: Direction = Direction.SENDRECV
    msids: list[Msid] = field(default_factory=list)
    rtpmaps: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    parameters: dict[int, str] = field(default_factory=dict)
    feedback: dict[str, list[str]] = field(default_factory=dict)
    extensions: dict[int, HeaderExtension] = field(default_factory=dict)
    rids: dict[str, Rid] = field(default_factory=dict)
    simulcast: Simulcast | None = None
    ssrcs: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    ssrc_groups: list[SsrcGroup] = field(default_factory=list)
    ice_ufrag: str = ""
    ice_pwd: str = ""
    ice_options: tuple[str, ...] = ()
    fingerprints: list[Fingerprint] = field(default_factory=list)
    setup: Setup | None = None
    candidates: list[str] = field(default_factory=list)
    sctp_port: int | None = None
    max_message_size: int | None = None

    def read(self, letter: str, value: str) -> None:
        if letter == "b":
            self.bandwidths.append(value)
        elif letter != "a":
            self.fields.setdefault(letter, value)
        elif value in _FLAGS:
            self.flags.add(value)
        elif value in _DIRECTIONS:
            self.direction = _DIRECTIONS[value]
        else:
            name, colon, rest = value.partition(":")
            reader = _READERS.get(name) if colon else None
            if reader is None:
                self.other.append(value)
            else:
                reader(self, rest.strip(" "))

    def transport(self) -> Transport:
        return Transport(
            self.ice_ufrag, self.ice_pwd, self.ice_options, tuple(self.fingerprints), self.setup
        )

    def codecs(self, formats: tuple[str, ...]) -> tuple[Codec, ...]:
        """The codecs of an RTP section, in the order of its formats."""
        codecs = []
        for_all = tuple(self.feedback.get("*", ()))
        for text in formats:
            payload_type = grammar.number(text, "payload type", 127)
            mapping = self.rtpmaps.get(payload_type)
            if mapping is None and payload_type in _STATIC:
                mapping = (*_STATIC[payload_type], 1)
            if mapping is None:
                continue
            name, clock_rate_hz, channels = mapping
            feedback = for_all
            if own := self.feedback.get(str(payload_type)):
                feedback = tuple(dict.fromkeys((*for_all, *own)))[:SDP_FEEDBACK_MAX]
            codecs.append(
                Codec(
                    payload_type,
                    name,
                    clock_rate_hz,
                    channels,
                    self.parameters.get(payload_type, ""),
                    feedback,
                )
            )
        return tuple(codecs)


_FLAGS = frozenset(
    {"rtcp-mux", "rtcp-rsize", "ice-lite", "extmap-allow-mixed", "end-of-candidates"}
)
_DIRECTIONS = {direction.value: direction for direction in Direction}


def _read_group(level: _Level, value: str) -> None:
    semantics, *mids = grammar.items(value, "group") or [""]
    grammar.token(semantics, "group semantics")
    level.groups.append(Group(semantics, tuple(grammar.token(mid, "mid") for mid in mids)))


def _read_mid(level: _Level, value: str) -> None:
    if len(value) > 64:
        raise SdpError("mid too long", expected="at most 64 characters", got=value)
    level.mid = grammar.token(value, "mid")


def _read_msid(level: _Level, value: str) -> None:
    parts = value.split(None, 2)
    if parts and len(level.msids) < SDP_RIDS_MAX:
        level.msids.append(Msid(parts[0], parts[1] if len(parts) > 1 else ""))


def _read_rtpmap(level: _Level, value: str) -> None:
    payload_type, _, encoding = value.partition(" ")
    name, *numbers = encoding.strip(" ").split("/")
    if not 1 <= len(numbers) <= 2:
        raise SdpError("malformed rtpmap", expected="name/clock rate[/channels]", got=value)
    channels = grammar.number(numbers[1], "channels", 255, 1) if len(numbers) == 2 else 1
    rate_hz = grammar.number(numbers[0], "clock rate", 0xFFFF_FFFF, 1)
    mapping = (grammar.token(name, "encoding name"), rate_hz, channels)
    level.rtpmaps.setdefault(grammar.number(payload_type, "payload type", 127), mapping)


def _read_fmtp(level: _Level, value: str) -> None:
    payload_type, _, parameters = value.partition(" ")
    if not payload_type.isdigit():
        level.other.append(f"fmtp:{value}")  # data channels of old clients name a format here
        return
    level.parameters.setdefault(
        grammar.number(payload_type, "payload type", 65_535), parameters.strip(" ")
    )


def _read_feedback(level: _Level, value: str) -> None:
    payload_type, _, feedback = value.partition(" ")
    feedback = " ".join(grammar.items(feedback, "rtcp-fb", 8))
    if payload_type != "*":
        payload_type = str(grammar.number(payload_type, "payload type", 127))
    known = level.feedback.setdefault(payload_type, [])
    if feedback and feedback not in known and len(known) < SDP_FEEDBACK_MAX:
        known.append(feedback)


def _read_extmap(level: _Level, value: str) -> None:
    identifier, uri, attributes = (*value.split(None, 2), "", "", "")[:3]
    number, slash, direction = identifier.partition("/")
    if slash and direction not in _DIRECTIONS:
        raise SdpError("malformed extmap", expected="a direction after the slash", got=value)
    if not uri:
        raise SdpError("malformed extmap", expected="id and URI", got=value)
    key = grammar.number(number, "extmap id", 4_351, 1)
    extension = HeaderExtension(
        key, uri, _DIRECTIONS[direction] if slash else None, " ".join(attributes.split())
    )
    if level.extensions.setdefault(key, extension).uri != uri:
        raise SdpError("extmap id used twice", expected="one URI for each", got=value)


def _read_rid(level: _Level, value: str) -> None:
    identifier, direction, restrictions = (*value.split(None, 2), "", "", "")[:3]
    if direction not in ("send", "recv"):
        raise SdpError("malformed rid", expected="send or recv", got=value)
    if len(level.rids) == SDP_RIDS_MAX:
        raise SdpError("too many rids", expected=f"at most {SDP_RIDS_MAX}")
    rid = Rid(grammar.rid_token(identifier), direction, " ".join(restrictions.split()))
    level.rids.setdefault(rid.id, rid)


def _read_simulcast(level: _Level, value: str) -> None:
    parts = grammar.items(value, "simulcast", 4)
    if len(parts) not in (2, 4):
        raise SdpError("malformed simulcast", expected="direction and list", got=value)
    lists: dict[str, SimulcastStreams] = {}
    for direction, streams in zip(parts[::2], parts[1::2], strict=True):
        if direction not in ("send", "recv") or direction in lists:
            raise SdpError("malformed simulcast", expected="send or recv, once", got=value)
        # Drafts before RFC 8853, and the Firefox of their time, wrote "rid=" before the list.
        lists[direction] = _simulcast_streams(streams.removeprefix("rid="))
    level.simulcast = Simulcast(lists.get("send", ()), lists.get("recv", ()))


def _simulcast_streams(text: str) -> SimulcastStreams:
    if text.count(";") + text.count(",") >= SDP_RIDS_MAX:
        raise SdpError("too many simulcast streams", expected=f"at most {SDP_RIDS_MAX}")
    return tuple(
        tuple(
            SimulcastAlternative(grammar.rid_token(item.removeprefix("~")), item.startswith("~"))
            for item in alternatives.split(",")
        )
        for alternatives in text.split(";")
    )


def _read_ssrc(level: _Level, value: str) -> None:
    number, _, attribute = value.partition(" ")
    ssrc = grammar.number(number, "SSRC", 0xFFFF_FFFF)
    if ssrc not in level.ssrcs and len(level.ssrcs) == SDP_SSRCS_MAX:
        raise SdpError("too many SSRCs", expected=f"at most {SDP_SSRCS_MAX} in a section")
    name, _, content = attribute.strip(" ").partition(":")
    pairs = level.ssrcs.setdefault(ssrc, [])
    if name := name.strip(" "):
        pairs.append((name, content))


def _read_ssrc_group(level: _Level, value: str) -> None:
    semantics, *ssrcs = grammar.items(value, "ssrc-group", SDP_SSRCS_MAX) or [""]
    if len(level.ssrc_groups) == SDP_SSRCS_MAX:
        raise SdpError("too many ssrc-groups", expected=f"at most {SDP_SSRCS_MAX} in a section")
    group = tuple(grammar.number(ssrc, "SSRC", 0xFFFF_FFFF) for ssrc in ssrcs)
    level.ssrc_groups.append(SsrcGroup(grammar.token(semantics, "group semantics"), group))


def _read_ice_ufrag(level: _Level, value: str) -> None:
    level.ice_ufrag = grammar.ice_chars(value, "ice-ufrag", 4)


def _read_ice_pwd(level: _Level, value: str) -> None:
    level.ice_pwd = grammar.ice_chars(value, "ice-pwd", 22)


def _read_ice_options(level: _Level, value: str) -> None:
    level.ice_options = tuple(value.split(None, SDP_ICE_OPTIONS_MAX)[:SDP_ICE_OPTIONS_MAX])


def _read_fingerprint(level: _Level, value: str) -> None:
    algorithm, digest = (*grammar.items(value, "fingerprint", 2), "", "")[:2]
    if len(level.fingerprints) < 16:
        level.fingerprints.append(
            Fingerprint(
                grammar.token(algorithm, "fingerprint algorithm").lower(),
                grammar.fingerprint_value(digest),
            )
        )


def _read_setup(level: _Level, value: str) -> None:
    try:
        level.setup = Setup(value)
    except ValueError:
        raise SdpError(
            "malformed setup", expected="actpass, active or passive", got=value
        ) from None


def _read_candidate(level: _Level, value: str) -> None:
    level.candidates.append(f"candidate:{value}")


def _read_sctp_port(level: _Level, value: str) -> None:
    level.sctp_port = grammar.number(value, "sctp-port", 65_535)


def _read_max_message_size(level: _Level, value: str) -> None:
    level.max_message_size = grammar.number(value, "max-message-size", (1 << 63) - 1)


_READERS: dict[str, Callable[[_Level, str], None]] = {
    "candidate": _read_candidate,
    "extmap": _read_extmap,
    "fingerprint": _read_fingerprint,
    "fmtp": _read_fmtp,
    "group": _read_group,
    "ice-options": _read_ice_options,
    "ice-pwd": _read_ice_pwd,
    "ice-ufrag": _read_ice_ufrag,
    "max-message-size": _read_max_message_size,
    "mid": _read_mid,
    "msid": _read_msid,
    "rid": _read_rid,
    "rtcp-fb": _read_feedback,
    "rtpmap": _read_rtpmap,
    "sctp-port": _read_sctp_port,
    "setup": _read_setup,
    "simulcast": _read_simulcast,
    "ssrc": _read_ssrc,
    "ssrc-group": _read_ssrc_group,
}
