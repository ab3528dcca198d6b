"""A session description as values (RFC 8866, RFC 8829).

Everything is frozen, so a description can be kept, compared and derived from with
`dataclasses.replace`. What this package does not interpret is kept verbatim in `other`; the order
of lines inside a section is not part of the model.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Direction(StrEnum):
    """Direction of a section from the describing side (RFC 3264, section 5.1)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)


class Setup(StrEnum):
    """Role in the DTLS handshake (RFC 4145, section 4; RFC 5763, section 5)."""

    ACTPASS = "actpass"
    ACTIVE = "active"
    PASSIVE = "passive"
    HOLDCONN = "holdconn"


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type: `a=rtpmap` with its `a=fmtp` and `a=rtcp-fb` lines."""

    payload_type: int
    name: str
    clock_rate_hz: int
    channels: int = 1
    parameters: str = ""
    feedback: tuple[str, ...] = ()

    @property
    def encoding(self) -> str:
        """The encoding name in lower case, as codecs are compared (RFC 4855)."""
        return self.name.lower()

    def parameter(self, name: str) -> str | None:
        """The value of one format parameter, or None if it is absent."""
        for item in self.parameters.split(";"):
            key, _, value = item.partition("=")
            if key.strip().lower() == name:
                return value.strip()
        return None


@dataclass(frozen=True, slots=True)
class HeaderExtension:
    """`a=extmap` (RFC 8285, section 8)."""

    id: int
    uri: str
    direction: Direction | None = None
    attributes: str = ""


@dataclass(frozen=True, slots=True)
class Msid:
    """`a=msid` (RFC 8830): the stream ("-" for none) and the track, which may be absent."""

    stream: str
    track: str = ""


@dataclass(frozen=True, slots=True)
class Rid:
    """`a=rid` (RFC 8851). `direction` is "send" or "recv"."""

    id: str
    direction: str
    restrictions: str = ""


@dataclass(frozen=True, slots=True)
class SimulcastAlternative:
    """One identifier in a simulcast list; `paused` is the "~" before it."""

    rid: str
    paused: bool = False


SimulcastStreams = tuple[tuple[SimulcastAlternative, ...], ...]


@dataclass(frozen=True, slots=True)
class Simulcast:
    """`a=simulcast` (RFC 8853): streams in order of preference, each with its alternatives."""

    send: SimulcastStreams = ()
    recv: SimulcastStreams = ()


@dataclass(frozen=True, slots=True)
class Ssrc:
    """The `a=ssrc` lines of one SSRC (RFC 5576): (attribute, value) in order."""

    id: int
    attributes: tuple[tuple[str, str], ...] = ()

    def attribute(self, name: str) -> str | None:
        return next((value for key, value in self.attributes if key == name), None)


@dataclass(frozen=True, slots=True)
class SsrcGroup:
    """`a=ssrc-group` (RFC 5576), such as FID or SIM."""

    semantics: str
    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`a=fingerprint` (RFC 8122): algorithm in lower case, value as upper-case "AB:CD:..."."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class Transport:
    """The ICE and DTLS attributes of one level (session or section)."""

    ice_ufrag: str = ""
    ice_pwd: str = ""
    ice_options: tuple[str, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: Setup | None = None


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One m-section. `codecs` follow the order of the m-line; formats without one stay formats."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    mid: str = ""
    direction: Direction = Direction.SENDRECV
    msids: tuple[Msid, ...] = ()
    codecs: tuple[Codec, ...] = ()
    extensions: tuple[HeaderExtension, ...] = ()
    extmap_allow_mixed: bool = False
    rids: tuple[Rid, ...] = ()
    simulcast: Simulcast | None = None
    ssrcs: tuple[Ssrc, ...] = ()
    ssrc_groups: tuple[SsrcGroup, ...] = ()
    transport: Transport = field(default_factory=Transport)
    candidates: tuple[str, ...] = ()
    end_of_candidates: bool = False
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    sctp_port: int | None = None
    max_message_size: int | None = None
    connection: str = "IN IP4 0.0.0.0"
    bandwidths: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    @property
    def rejected(self) -> bool:
        """Port 0 without `a=bundle-only` (RFC 8829, section 5.3.1; RFC 9143, section 6)."""
        return self.port == 0 and "bundle-only" not in self.other

    @property
    def track_id(self) -> str:
        """The sender's track id, from `a=msid` or the older per-SSRC form; empty if unknown."""
        for msid in self.msids:
            if msid.track:
                return msid.track
        for ssrc in self.ssrcs:
            _, _, track = (ssrc.attribute("msid") or "").partition(" ")
            if track:
                return track
        return ""


@dataclass(frozen=True, slots=True)
class Group:
    """`a=group` (RFC 5888), such as BUNDLE."""

    semantics: str
    mids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description, session level first."""

    origin: str = "- 0 0 IN IP4 127.0.0.1"
    name: str = "-"
    timing: str = "0 0"
    connection: str = ""
    groups: tuple[Group, ...] = ()
    transport: Transport = field(default_factory=Transport)
    ice_lite: bool = False
    extmap_allow_mixed: bool = False
    bandwidths: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    media: tuple[MediaSection, ...] = ()

    @property
    def bundle(self) -> tuple[str, ...]:
        """Mids of the first BUNDLE group, empty without one."""
        for group in self.groups:
            if group.semantics == "BUNDLE":
                return group.mids
        return ()

    def section(self, mid: str) -> MediaSection | None:
        return next((section for section in self.media if section.mid == mid), None)

    def transport_of(self, section: MediaSection) -> Transport:
        """The section's transport attributes, completed from the session level."""
        own, session = section.transport, self.transport
        return Transport(
            ice_ufrag=own.ice_ufrag or session.ice_ufrag,
            ice_pwd=own.ice_pwd or session.ice_pwd,
            ice_options=own.ice_options or session.ice_options,
            fingerprints=own.fingerprints or session.fingerprints,
            setup=own.setup or session.setup,
        )
