"""What a room tells its members: immutable snapshots, and the notices that carry them.

One notice goes to many sessions, so it keeps its serialised form: whoever sends it first encodes
it, the others send the same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from sfu import limits
from sfu.track import TrackInfo
from sfu.values import ConnectionQuality, EndReason, ParticipantKind, Permissions


class ParticipantState(IntEnum):
    """A participant is in one of these states, in this order."""

    JOINING = 0
    """Known to the room, not yet answered."""
    JOINED = 1
    """Has been told about the room; its transports connect."""
    ACTIVE = 2
    """Its primary transport is connected."""
    DISCONNECTED = 3
    """Final."""


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What a client said about itself that other clients need to know."""

    client_protocol: int = 0
    capabilities: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class Renderable:
    """Something that is encoded at most once, by a function of the wire's choice."""

    _rendered: tuple[bytes, ...] | None = field(default=None, init=False, repr=False)

    def rendered(self, encode: Callable[[Self], tuple[bytes, ...]]) -> tuple[bytes, ...]:
        """The encoded form, made by `encode` the first time."""
        if self._rendered is None:
            self._rendered = encode(self)
        return self._rendered


@dataclass(slots=True, eq=False)
class ParticipantSnapshot(Renderable):
    """A participant at one version. Treated as immutable."""

    sid: str
    identity: str
    name: str
    state: ParticipantState
    kind: ParticipantKind
    metadata: str
    attributes: tuple[tuple[str, str], ...]
    permissions: Permissions
    joined_at_ms: int
    version: int
    tracks: tuple[TrackInfo, ...]
    client: ClientFacts
    end_reason: EndReason

    @property
    def size_bytes(self) -> int:
        """About what it takes to tell somebody."""
        texts = limits.utf8_bytes(self.identity, self.name, self.metadata)
        attributes = limits.attributes_bytes(self.attributes)
        return 200 + texts + attributes + sum(track.size_bytes for track in self.tracks)

    @property
    def hidden(self) -> bool:
        """Others are never told of it."""
        return self.permissions.hidden

    @property
    def counts(self) -> bool:
        """Is one of the people whose number the room tells."""
        return self.kind.counts_as_person and not self.hidden


@dataclass(frozen=True, slots=True)
class RoomSnapshot:
    """A room as its members see it."""

    sid: str
    name: str
    empty_timeout_s: int
    departure_timeout_s: int
    max_participants: int
    metadata: str
    created_at_ms: int
    participants: int
    publishers: int


@dataclass(frozen=True, slots=True)
class RoomView:
    """What a participant is told when it joins."""

    room: RoomSnapshot
    participant: ParticipantSnapshot
    others: tuple[ParticipantSnapshot, ...]


@dataclass(slots=True, eq=False)
class ParticipantsChanged(Renderable):
    """Participants have come, changed or gone."""

    participants: tuple[ParticipantSnapshot, ...]


@dataclass(slots=True, eq=False)
class RoomChanged(Renderable):
    """The room's metadata or numbers have changed."""

    room: RoomSnapshot


@dataclass(frozen=True, slots=True)
class Speaker:
    """How loud somebody speaks, 0.0 to 1.0 in eighths."""

    participant_sid: str
    level: float
    active: bool


@dataclass(slots=True, eq=False)
class SpeakersChanged(Renderable):
    """Changes only: a silent speaker is told once."""

    speakers: tuple[Speaker, ...]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """How well one participant's connection does; `score` is a mean opinion score, 1 to 5."""

    participant_sid: str
    quality: ConnectionQuality
    score: float


@dataclass(slots=True, eq=False)
class QualityChanged(Renderable):
    """Changes only."""

    reports: tuple[QualityReport, ...]
