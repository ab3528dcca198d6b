"""ICE and DTLS parameters: ours into a description, the peer's out of one.

All sections of a peer connection share one transport (BUNDLE), and this server is ICE-lite: its
candidates are complete when it describes itself.
"""

from dataclasses import dataclass
from typing import Literal

from signalling.sdp.errors import SdpError
from signalling.sdp.model import (
    Fingerprint,
    MediaSection,
    SessionDescription,
    Setup,
    Transport,
)

SCTP_PORT = 5_000
MAX_MESSAGE_SIZE_BYTES = 64_512
"""Of data messages. The engine passes on 65,535 bytes, which is what a reader takes that announces
nothing, and who a message comes from is written into it twice: with the longest identity less than
the 1,023 bytes that are left."""


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """What the engine's transport announces. `candidates` are values "candidate:1 1 udp ..."."""

    ice_ufrag: str
    ice_password: str
    fingerprint_sha256: str
    candidates: tuple[str, ...]

    def attributes(self, setup: Setup) -> Transport:
        return Transport(
            ice_ufrag=self.ice_ufrag,
            ice_pwd=self.ice_password,
            ice_options=("trickle",),
            fingerprints=(Fingerprint("sha-256", self.fingerprint_sha256),),
            setup=setup,
        )


@dataclass(frozen=True, slots=True)
class RemoteTransport:
    """The arguments of `Engine.set_remote`. `dtls_role` is ours."""

    ice_ufrag: str
    ice_password: str
    fingerprint_sha256: str
    dtls_role: Literal["client", "server"]


def remote_transport(
    description: SessionDescription, section: MediaSection, dtls_role: Literal["client", "server"]
) -> RemoteTransport:
    """Reads the peer's parameters. Raises SdpError if one of them is absent."""
    transport = description.transport_of(section)
    if not transport.ice_ufrag or not transport.ice_pwd:
        raise SdpError("no ICE credentials", expected="a=ice-ufrag and a=ice-pwd")
    digest = next((f.value for f in transport.fingerprints if f.algorithm == "sha-256"), None)
    if digest is None:
        raise SdpError("no usable fingerprint", expected="a=fingerprint:sha-256")
    if len(digest) != 32 * 3 - 1:
        raise SdpError("malformed fingerprint", expected="32 bytes for sha-256", got=digest)
    return RemoteTransport(transport.ice_ufrag, transport.ice_pwd, digest, dtls_role)


def bundled_sections(description: SessionDescription) -> tuple[bool, ...]:
    """Which sections may share the one transport, by position.

    Without a BUNDLE group only the first one that is not rejected can be served, since every other
    one would need a transport of its own.
    """
    bundle = set(description.bundle)
    if bundle:
        return tuple(section.mid in bundle for section in description.media)
    first = next((i for i, section in enumerate(description.media) if not section.rejected), -1)
    return tuple(index == first for index in range(len(description.media)))


def is_data_section(section: MediaSection) -> bool:
    """An SCTP association for data channels (RFC 8841, section 5)."""
    return (
        section.kind == "application"
        and section.protocol.upper().endswith("DTLS/SCTP")
        and len(section.formats) == 1
        and section.formats[0].lower() == "webrtc-datachannel"
    )
