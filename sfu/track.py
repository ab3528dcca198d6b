"""A published track: what its publisher announced, and how the engine knows it.

`TrackInfo` is an immutable snapshot that updates carry; `PublishedTrack` is the living object that
subscriptions hold on to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sfu import limits
from sfu.codec_plan import BackupCodecPolicy, CodecPlan
from sfu.demand import TrackDemand
from sfu.values import CodecRole, SubscriptionSettings, TrackKind, TrackSource, VideoQuality

ALL_TEMPORAL_LAYERS: Final = 255
PRIORITY_MAX: Final = 255
PRIORITY_DEFAULT: Final = 1
_NOMINAL_FPS: Final = 30
_NOMINAL_SCREEN_FPS: Final = 15
"""Frame rates are not announced; these are what clients capture with unless told otherwise."""


@dataclass(frozen=True, slots=True)
class VideoLayer:
    """One step of a simulcast ladder, as announced."""

    quality: VideoQuality
    width: int = 0
    height: int = 0
    bitrate_bps: int = 0
    ssrc: int = 0
    rid: str = ""
    spatial_layer: int = 0


@dataclass(frozen=True, slots=True)
class TrackCodec:
    """One codec that a track is published with."""

    mime_type: str
    """Such as "video/VP8"."""
    cid: str = ""
    layers: tuple[VideoLayer, ...] = ()
    layer_mode: int = 0
    mid: str = ""
    sdp_cid: str = ""
    """The track id seen in the description, if it was not `cid`."""


@dataclass(frozen=True, slots=True)
class TrackInfo:
    """What everybody in the room is told about a track."""

    sid: str
    kind: TrackKind
    source: TrackSource
    name: str = ""
    muted: bool = False
    width: int = 0
    height: int = 0
    codecs: tuple[TrackCodec, ...] = ()
    """By `CodecRole`: the primary one, then the backup, if there is one."""
    stereo: bool = False
    disable_dtx: bool = False
    disable_red: bool = False
    encryption: int = 0
    stream: str = ""
    audio_features: tuple[int, ...] = ()
    backup_codec_policy: BackupCodecPolicy = BackupCodecPolicy.PREFER_REGRESSION
    packet_trailer_features: tuple[int, ...] = ()
    """What the publisher appends to its frames; passed on untouched."""

    @property
    def size_bytes(self) -> int:
        """About what it takes to tell somebody."""
        # The layers of the primary codec are told twice, as older clients look elsewhere.
        layers = sum(len(codec.layers) for codec in self.codecs) + len(self.layers)
        texts = limits.utf8_bytes(self.name, self.stream, *(one.cid for one in self.codecs))
        return 100 + texts + 50 * len(self.codecs) + 25 * layers

    @property
    def mime_type(self) -> str:
        """Of the primary codec."""
        return self.codecs[0].mime_type if self.codecs else ""

    @property
    def layers(self) -> tuple[VideoLayer, ...]:
        """Of the primary codec."""
        return self.codecs[0].layers if self.codecs else ()


@dataclass(frozen=True, slots=True)
class TrackPayload:
    """A payload type that the publisher may send."""

    payload_type: int
    format: str
    """Encoding name in lower case, with whatever else makes two payload types interchangeable."""
    clock_rate_hz: int


@dataclass(frozen=True, slots=True)
class Rendition:
    """A track in one of its codecs: a section, which the engine knows as a track of its own."""

    engine_track_id: int
    payloads: tuple[TrackPayload, ...]


@dataclass(slots=True, eq=False)
class PublishedTrack:
    """A track whose section has been negotiated."""

    info: TrackInfo
    publisher_sid: str
    publisher_identity: str
    renditions: dict[CodecRole, Rendition]
    """The primary one always, the backup once it is there."""
    subscriber_seen: bool = False
    """Its publisher has been told that somebody receives it."""
    demand: TrackDemand | None = None
    """Kept by the room while a video track is published in it."""
    plan: CodecPlan | None = None
    """Likewise, if the track has a backup codec."""
    held: bool = False
    """Others are not told of it yet: its publisher has made them receive too much (`sfu.pace`)."""

    @property
    def sid(self) -> str:
        """`TR_...`"""
        return self.info.sid

    def role_of(self, engine_track_id: int) -> CodecRole | None:
        """Which of the codecs the engine knows by this number."""
        for role, rendition in self.renditions.items():
            if rendition.engine_track_id == engine_track_id:
                return role
        return None

    def quality_for(
        self, settings: SubscriptionSettings, role: CodecRole = CodecRole.PRIMARY
    ) -> VideoQuality | None:
        """The step of a codec's ladder that `settings` need, None if they need nothing."""
        if settings.disabled:
            return None
        ladder = sorted(layer.quality for layer in self._layers(role))
        if not ladder:
            return VideoQuality.HIGH
        # The top of a shorter ladder is asked for as the highest quality that there is.
        index = self.engine_layer(settings, role)
        return VideoQuality.HIGH if index == len(ladder) - 1 else ladder[index]

    def engine_layer(
        self, settings: SubscriptionSettings, role: CodecRole = CodecRole.PRIMARY
    ) -> int:
        """The highest layer of a codec to send for `settings`."""
        return wanted_layer(self._layers(role), settings)

    def engine_temporal_layer(self, settings: SubscriptionSettings) -> int:
        """The highest temporal layer to send for `settings`."""
        return wanted_temporal_layer(self.info.source, settings)

    def engine_priority(self, settings: SubscriptionSettings) -> int:
        """Whose turn it is when not everything fits: what the client says, else screens first."""
        if settings.priority:
            return min(settings.priority, PRIORITY_MAX)
        return PRIORITY_MAX if self.info.source is TrackSource.SCREEN_SHARE else PRIORITY_DEFAULT

    def _layers(self, role: CodecRole) -> tuple[VideoLayer, ...]:
        codecs = self.info.codecs
        return codecs[role].layers if role < len(codecs) else ()


def wanted_layer(layers: Sequence[VideoLayer], settings: SubscriptionSettings) -> int:
    """Index of the wanted layer in a ladder that the engine counts from the lowest, 0.

    A size, if given, picks the smallest layer that covers it; otherwise the quality does: the
    highest announced step that is not above it.
    """
    ladder = sorted(layers, key=lambda layer: layer.quality)
    if not ladder:
        return int(settings.quality)
    if settings.width > 0 and settings.height > 0 and all(layer.width for layer in ladder):
        for index, layer in enumerate(ladder):
            if layer.width >= settings.width and layer.height >= settings.height:
                return index
        return len(ladder) - 1
    below = [index for index, layer in enumerate(ladder) if layer.quality <= settings.quality]
    return below[-1] if below else 0


def wanted_temporal_layer(source: TrackSource, settings: SubscriptionSettings) -> int:
    """The highest temporal layer to send for a frame rate, if one is asked for.

    Streams have three temporal layers at most, each of which doubles the frame rate. Where a stream
    has fewer, more frames are sent than were asked for, never less.
    """
    screen = source is TrackSource.SCREEN_SHARE
    full = _NOMINAL_SCREEN_FPS if screen else _NOMINAL_FPS
    if settings.fps <= 0 or settings.fps * 2 > full:
        return ALL_TEMPORAL_LAYERS
    return 0 if settings.fps * 4 <= full else 1
