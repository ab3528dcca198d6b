"""A participant of a room, and the rules of its life.

The version of a participant grows by one with every visible change and never restarts while its
sid lives: clients drop an update whose version is below the one that they hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sfu.notices import ClientFacts, ParticipantSnapshot, ParticipantState
from sfu.pace import Pace
from sfu.permissions import SubscriptionPermission
from sfu.ports import SessionSink
from sfu.subscriptions import Subscriptions
from sfu.track import PublishedTrack
from sfu.values import EndReason, ParticipantKind, Permissions, VideoQuality


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """How a session wants to take part."""

    client: ClientFacts = field(default_factory=ClientFacts)
    auto_subscribe: bool = True
    default_quality: VideoQuality = VideoQuality.HIGH


TRANSITIONS: Final[Mapping[ParticipantState, frozenset[ParticipantState]]] = {
    ParticipantState.JOINING: frozenset({ParticipantState.JOINED, ParticipantState.DISCONNECTED}),
    ParticipantState.JOINED: frozenset({ParticipantState.ACTIVE, ParticipantState.DISCONNECTED}),
    ParticipantState.ACTIVE: frozenset({ParticipantState.DISCONNECTED}),
    ParticipantState.DISCONNECTED: frozenset(),
}


@dataclass(slots=True, eq=False)
class Participant:
    """One session's presence in a room. Only its room changes it."""

    sid: str
    identity: str
    kind: ParticipantKind
    permissions: Permissions
    joined_at_ms: int
    sink: SessionSink
    subscriptions: Subscriptions
    pace: Pace
    """Of what it makes others receive."""
    name: str = ""
    metadata: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    client: ClientFacts = field(default_factory=ClientFacts)
    state: ParticipantState = ParticipantState.JOINING
    version: int = 0
    tracks: dict[str, PublishedTrack] = field(default_factory=dict)
    subscription_permission: SubscriptionPermission = field(default_factory=SubscriptionPermission)
    applied_permission: SubscriptionPermission | None = field(
        default_factory=SubscriptionPermission
    )
    """What members have been told of it; None: only what it takes, not yet what it gives."""
    end_reason: EndReason = EndReason.UNKNOWN
    _snapshot: ParticipantSnapshot | None = None

    @property
    def hidden(self) -> bool:
        """Others are never told of it."""
        return self.permissions.hidden

    @property
    def is_publisher(self) -> bool:
        """Has tracks."""
        return bool(self.tracks)

    def enter(self, state: ParticipantState) -> None:
        """Moves to `state`. Raises ValueError if the table does not allow it."""
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"participant cannot go from {self.state.name} to {state.name}")
        self.state = state
        self.changed()

    def changed(self) -> None:
        """Counts a visible change."""
        self.version += 1
        self._snapshot = None

    def snapshot(self) -> ParticipantSnapshot:
        """The participant as it is; the same object until the next change."""
        if self._snapshot is None:
            self._snapshot = ParticipantSnapshot(
                sid=self.sid,
                identity=self.identity,
                name=self.name,
                state=self.state,
                kind=self.kind,
                metadata=self.metadata,
                attributes=tuple(self.attributes.items()),
                permissions=self.permissions,
                joined_at_ms=self.joined_at_ms,
                version=self.version,
                tracks=tuple(track.info for track in self.tracks.values() if not track.held),
                client=self.client,
                end_reason=self.end_reason,
            )
        return self._snapshot
