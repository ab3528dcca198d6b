"""The one table of codecs: what descriptions, announcements, the engine and clients call each of
them. A codec that is absent here is served nowhere.

The names are those of the RTP payload format registrations; what a codec can do is said as far as
something here depends on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["audio", "video"]


@dataclass(frozen=True, slots=True)
class ServedCodec:
    """One codec."""

    kind: Kind
    encoding: str
    """As `a=rtpmap` has it."""
    clock_rate_hz: int
    channels: int = 1
    scalable: bool = False
    """Its streams have spatial layers, which the dependency descriptor describes. Not every
    subscriber decodes it, so it is published by those only who ask for it."""

    @property
    def name(self) -> str:
        """The engine's."""
        return self.encoding.lower()

    @property
    def mime_type(self) -> str:
        """LiveKit's clients compare some of them with case, so this spelling is what they get."""
        return f"{self.kind}/{self.encoding}"


CODECS: Final = (
    ServedCodec("audio", "opus", 48_000, 2),
    ServedCodec("audio", "red", 48_000, 2),
    ServedCodec("video", "VP8", 90_000),
    ServedCodec("video", "H264", 90_000),
    ServedCodec("video", "VP9", 90_000, scalable=True),
    ServedCodec("video", "AV1", 90_000, scalable=True),
)
BY_NAME: Final = {codec.name: codec for codec in CODECS}
OPUS: Final = BY_NAME["opus"]
VP8: Final = BY_NAME["vp8"]
DEFAULTS: Final[Mapping[str, ServedCodec]] = {"audio": OPUS, "video": VP8}
"""What is published by a client that names none, or one that is not served."""


def is_scalable(mime_type: str) -> bool:
    """Whether the codec has spatial layers."""
    return any(codec.scalable for codec in CODECS if codec.mime_type == mime_type)


def find(kind: str, codec: str) -> ServedCodec | None:
    """The codec that a client gives as "vp8" or "video/vp8", in whatever case."""
    prefix, slash, name = codec.lower().rpartition("/")
    found = BY_NAME.get(name)
    if found is None or found.kind != kind or (slash and prefix != kind):
        return None
    return found
