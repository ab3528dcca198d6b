"""What happens in rooms, as one stream of immutable facts.

Whoever wants to know reads the stream: the announcer tells members, others count, log, and later
fill a registry or call webhooks. A room has a stream of its own and passes every event on to its
node's. Events carry snapshots, so that what is read later, or on another machine, is what was. A
reader that fails harms neither the room nor the other readers; it must not change rooms while it
reads, as the readers after it would be told in another order.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sfu.notices import ParticipantSnapshot, RoomSnapshot
from sfu.track import TrackInfo
from sfu.values import EndReason

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RoomOpened:
    """A room has been made."""

    room: RoomSnapshot


@dataclass(frozen=True, slots=True)
class RoomUpdated:
    """A room's metadata has changed. Its numbers change with the other events."""

    room: RoomSnapshot


@dataclass(frozen=True, slots=True)
class RoomClosed:
    """A room has ended. Everybody has left it before, as the events before this one say."""

    room: RoomSnapshot
    reason: EndReason


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """A participant has gone; its tracks have ended before."""

    room_sid: str
    participant: ParticipantSnapshot
    """Disconnected, with the reason."""
    was_publisher: bool
    replaced: bool
    """By a session of the same identity, which joins next."""


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    """A participant has been let in. It takes part once it is ACTIVE."""

    room_sid: str
    participant: ParticipantSnapshot
    replaces: ParticipantLeft | None = None


@dataclass(frozen=True, slots=True)
class ParticipantChanged:
    """State, properties, rights, or what is told of a track."""

    room_sid: str
    before: ParticipantSnapshot
    participant: ParticipantSnapshot


@dataclass(frozen=True, slots=True)
class TrackPublished:
    """A participant sends a further track."""

    room_sid: str
    participant: ParticipantSnapshot
    track: TrackInfo


@dataclass(frozen=True, slots=True)
class TrackEnded:
    """A participant sends a track no more, or has gone."""

    room_sid: str
    participant: ParticipantSnapshot
    track: TrackInfo


RoomEvent = (
    RoomOpened
    | RoomUpdated
    | RoomClosed
    | ParticipantJoined
    | ParticipantChanged
    | ParticipantLeft
    | TrackPublished
    | TrackEnded
)
Reader = Callable[[RoomEvent], None]


class EventStream:
    """Readers are called in the order in which they came, those of `onward` after them."""

    def __init__(self, onward: "EventStream | None" = None) -> None:
        self._onward = onward
        self._readers: tuple[Reader, ...] = ()

    def subscribe(self, reader: Reader) -> Callable[[], None]:
        """Calls `reader` with every event from now on. Returns what ends that."""
        self._readers = (*self._readers, reader)

        def unsubscribe() -> None:
            self._readers = tuple(one for one in self._readers if one is not reader)

        return unsubscribe

    def publish(self, event: RoomEvent) -> None:
        """Tells every reader. Never fails."""
        for reader in self._readers:
            try:
                reader(event)
            except Exception:
                log.exception("a reader of events failed on %s", type(event).__name__)
        if self._onward is not None:
            self._onward.publish(event)
