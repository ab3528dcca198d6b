"""The codecs, header extensions and feedback that this server negotiates.

`match` recognises an offered payload type; `SUBSCRIBER_TYPES` numbers the payload types of our own
offers. A codec that is absent here is left out of every answer, so a client falls back to one that
is present.
"""

from dataclasses import dataclass
from enum import StrEnum

from signalling.codecs import BY_NAME, Kind, ServedCodec, find
from signalling.sdp.model import Codec, HeaderExtension

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RTP_STREAM_ID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RTP_STREAM_ID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
DEPENDENCY_DESCRIPTOR = (
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

PUBLISHER_EXTENSIONS: dict[str, frozenset[str]] = {
    "audio": frozenset({MID, RTP_STREAM_ID, AUDIO_LEVEL, ABS_CAPTURE_TIME}),
    "video": frozenset(
        {MID, RTP_STREAM_ID, REPAIRED_RTP_STREAM_ID, TRANSPORT_CC, ABS_CAPTURE_TIME}
    ),
}
# Our offers: SSRCs are signalled, so no MID; levels travel by signalling.
SUBSCRIBER_EXTENSIONS: tuple[HeaderExtension, ...] = (
    HeaderExtension(1, ABS_CAPTURE_TIME),
    HeaderExtension(2, TRANSPORT_CC),
)
# In addition, for tracks whose layers show nowhere else.
SCALABLE_EXTENSIONS: tuple[HeaderExtension, ...] = (HeaderExtension(12, DEPENDENCY_DESCRIPTOR),)
TRANSPORT_CC_FEEDBACK = "transport-cc"

PUBLISHER_FEEDBACK: dict[str, tuple[str, ...]] = {
    "audio": ("nack",),
    "video": ("transport-cc", "ccm fir", "nack", "nack pli"),
}
SUBSCRIBER_FEEDBACK: dict[str, tuple[str, ...]] = {
    "audio": (TRANSPORT_CC_FEEDBACK, "nack"),
    "video": (TRANSPORT_CC_FEEDBACK, "goog-remb", "ccm fir", "nack", "nack pli"),
}


class Format(StrEnum):
    """A codec with the parameters that make two payload types interchangeable."""

    OPUS = "opus"
    RED = "red"
    VP8 = "vp8"
    H264_SINGLE_NAL = "h264/0"
    H264 = "h264/1"
    VP9 = "vp9"
    AV1 = "av1"

    @property
    def codec(self) -> str:
        """The lower-case encoding name, as the engine and mime types have it."""
        return self.value.partition("/")[0]

    @property
    def served(self) -> ServedCodec:
        """What is known of the codec whatever its parameters."""
        return BY_NAME[self.codec]

    @property
    def kind(self) -> Kind:
        return self.served.kind

    @property
    def scalable(self) -> bool:
        """Its streams have spatial layers, which the dependency descriptor describes."""
        return self.served.scalable

    @property
    def needs_descriptor(self) -> bool:
        """Layers of its streams, temporal ones included, show in the dependency descriptor only."""
        return self.scalable or self in (Format.H264, Format.H264_SINGLE_NAL)


@dataclass(frozen=True, slots=True)
class NegotiatedCodec:
    """One payload type that both sides agreed on; the arguments of the engine's `CodecSpec`."""

    payload_type: int
    format: Format
    clock_rate_hz: int
    rtx_payload_type: int | None = None

    @property
    def codec(self) -> str:
        return self.format.codec


def formats_of(mime_type: str) -> tuple[Format, ...]:
    """The formats of a codec such as "video/H264", the most capable first."""
    name = mime_type.partition("/")[2].lower()
    return tuple(sorted((item for item in Format if item.codec == name), reverse=True))


@dataclass(frozen=True, slots=True)
class SubscriberType:
    """How our offers describe a format."""

    codec: Codec
    rtx_payload_type: int | None = None


_H264_PARAMETERS = "level-asymmetry-allowed=1;packetization-mode={};profile-level-id=42e01f"


def _offered(item: Format, payload_type: int, parameters: str = "") -> SubscriberType:
    """Video is followed by its retransmissions' payload type."""
    codec = item.served
    described = Codec(payload_type, codec.encoding, codec.clock_rate_hz, codec.channels, parameters)
    return SubscriberType(described, payload_type + 1 if codec.kind == "video" else None)


SUBSCRIBER_TYPES: dict[Format, SubscriberType] = {
    Format.OPUS: _offered(Format.OPUS, 111, "minptime=10;useinbandfec=1"),
    Format.RED: _offered(Format.RED, 63, "111/111"),
    Format.VP8: _offered(Format.VP8, 96),
    Format.H264_SINGLE_NAL: _offered(Format.H264_SINGLE_NAL, 125, _H264_PARAMETERS.format(0)),
    Format.H264: _offered(Format.H264, 108, _H264_PARAMETERS.format(1)),
    Format.VP9: _offered(Format.VP9, 98, "profile-id=0"),
    Format.AV1: _offered(Format.AV1, 35),
}


def match(kind: str, codec: Codec) -> Format | None:
    """The format of an offered payload type, or None if this server does not negotiate it.

    H.264 is taken in its baseline profiles only, VP9 and AV1 in their main ones: every receiver of
    the codec decodes them, and so a publisher's stream never has to be withheld from a subscriber.
    """
    encoding = codec.encoding
    served = find(kind, encoding)
    if served is None or codec.clock_rate_hz != served.clock_rate_hz:
        return None
    if served.kind == "audio":
        return Format(encoding) if codec.channels == served.channels else None
    if encoding == "vp8":
        return Format.VP8
    if encoding == "h264":
        # Absent parameters mean baseline and single NAL unit mode (RFC 6184, section 8.1).
        if not (codec.parameter("profile-level-id") or "42000a").lower().startswith("42"):
            return None
        modes = {"0": Format.H264_SINGLE_NAL, "1": Format.H264}
        return modes.get(codec.parameter("packetization-mode") or "0")
    if encoding == "vp9" and (codec.parameter("profile-id") or "0") == "0":
        return Format.VP9
    if encoding == "av1" and (codec.parameter("profile") or "0") == "0":
        return Format.AV1
    return None


def rtx_payload_types(codecs: tuple[Codec, ...]) -> dict[int, Codec]:
    """The retransmission format of each payload type (RFC 4588, `apt`)."""
    rtx: dict[int, Codec] = {}
    for codec in codecs:
        apt = codec.parameter("apt") if codec.encoding == "rtx" else None
        if apt is not None and apt.isascii() and apt.isdigit() and len(apt) <= 3:
            rtx.setdefault(int(apt), codec)
    return rtx
