"""Small values that every part of the node shares. They know no wire protocol.

The numbers of the enums are the ones of the LiveKit schema, so that translating them is a cast.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final, Self


class TrackKind(IntEnum):
    """What a track carries."""

    AUDIO = 0
    VIDEO = 1


class TrackSource(IntEnum):
    """Where a publisher says that a track comes from."""

    UNKNOWN = 0
    CAMERA = 1
    MICROPHONE = 2
    SCREEN_SHARE = 3
    SCREEN_SHARE_AUDIO = 4

    def carries(self, kind: TrackKind) -> bool:
        """Whether a track of this source can be of this kind."""
        if self is TrackSource.UNKNOWN:
            return True
        heard = self in (TrackSource.MICROPHONE, TrackSource.SCREEN_SHARE_AUDIO)
        return heard is (kind is TrackKind.AUDIO)


_UNKNOWN: Final = TrackSource.UNKNOWN


class VideoQuality(IntEnum):
    """A step of a track's simulcast ladder."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2


class CodecRole(IntEnum):
    """What one of a track's codecs is for. The number is its place in the announcement."""

    PRIMARY = 0
    BACKUP = 1
    """For subscribers that cannot decode the primary codec."""


class ParticipantKind(IntEnum):
    """What kind of client a participant is."""

    STANDARD = 0
    INGRESS = 1
    EGRESS = 2
    SIP = 3
    AGENT = 4
    CONNECTOR = 7
    BRIDGE = 8

    @property
    def counts_as_person(self) -> bool:
        """Machines that serve the room are not counted among its participants."""
        return self not in (self.AGENT, self.EGRESS, self.INGRESS)


class ConnectionQuality(IntEnum):
    """How well a participant's connection does."""

    POOR = 0
    GOOD = 1
    EXCELLENT = 2
    LOST = 3


class EndReason(IntEnum):
    """Why a participant left."""

    UNKNOWN = 0
    CLIENT_INITIATED = 1
    DUPLICATE_IDENTITY = 2
    SERVER_SHUTDOWN = 3
    PARTICIPANT_REMOVED = 4
    ROOM_DELETED = 5
    STATE_MISMATCH = 6
    JOIN_FAILURE = 7
    MIGRATION = 8
    SIGNAL_CLOSE = 9
    ROOM_CLOSED = 10
    CONNECTION_TIMEOUT = 14
    MEDIA_FAILURE = 15


class SubscriptionFailure(IntEnum):
    """Why a wanted track cannot be sent."""

    UNKNOWN = 0
    CODEC_UNSUPPORTED = 1
    TRACK_NOT_FOUND = 2


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a participant may do. The defaults are those of a plain token."""

    can_subscribe: bool = True
    can_publish: bool = True
    can_publish_data: bool = True
    can_publish_sources: frozenset[TrackSource] = frozenset()
    """Sources that may be published; empty allows all."""
    can_update_metadata: bool = False
    can_subscribe_metrics: bool = False
    can_manage_agent_session: bool = False
    hidden: bool = False
    """Nobody else is told of this participant."""
    recorder: bool = False
    agent: bool = False

    def allows_publishing(self, source: TrackSource, kind: TrackKind) -> bool:
        """Whether a track of this source and kind may be published.

        Who may publish from some sources only is not taken at its word: a microphone has no
        picture.
        """
        if source not in self.sources:
            return False
        return not self.can_publish_sources or source.carries(kind)

    @property
    def sources(self) -> frozenset[TrackSource]:
        """What may be published."""
        if not self.can_publish:
            return frozenset()
        return self.can_publish_sources or frozenset(TrackSource)

    def limited_to(self, named: Collection[TrackSource | None]) -> Self:
        """These rights, to publish from the named sources only; without a name, from all.

        One that is not known (None) grants nothing, nor does UNKNOWN, which could be anything. If
        no other is named nothing may be published.
        """
        known = frozenset(one for one in named if one is not None and one is not _UNKNOWN)
        can_publish = self.can_publish and (bool(known) or not named)
        return replace(self, can_publish=can_publish, can_publish_sources=known)


@dataclass(frozen=True, slots=True)
class RoomOptions:
    """How a room behaves. They count for the join that creates it."""

    empty_timeout_s: int = 300
    """A room that nobody has joined yet closes after this."""
    departure_timeout_s: int = 20
    """A room that everybody has left closes after this."""
    max_participants: int = 0
    """0 is no limit."""
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who a token lets in, where, and with which rights."""

    identity: str
    room: str
    name: str = ""
    metadata: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    kind: ParticipantKind = ParticipantKind.STANDARD
    permissions: Permissions = field(default_factory=Permissions)
    room_options: RoomOptions = field(default_factory=RoomOptions)
    issued_at_s: int = 0
    """Since when the token counts, in seconds since the epoch; 0: it does not say."""


@dataclass(frozen=True, slots=True)
class SubscriptionSettings:
    """What a subscriber's screen asks of a track."""

    disabled: bool = False
    """Send nothing, but keep the section."""
    quality: VideoQuality = VideoQuality.HIGH
    width: int = 0
    """0: `quality` decides."""
    height: int = 0
    fps: int = 0
    priority: int = 0
