"""The sessions of this process, by whom they belong to.

A client that has lost its WebSocket is brought back to its session from here, whoever holds that;
the room knows of no session that could be resumed. Also what all links share.
"""

from typing import Generic, Protocol, TypeVar

from signalling.counters import SignallingCounters, watch_lag
from signalling.livekit.link import Turns
from signalling.livekit.states import SessionState


class Resumable(Protocol):
    """A session as it is looked up."""

    @property
    def participant_sid(self) -> str: ...

    @property
    def state(self) -> SessionState: ...

    @property
    def held_bytes(self) -> int:
        """What waits for its client."""

    @property
    def sent_bytes(self) -> int:
        """What its client was sent."""


S = TypeVar("S", bound=Resumable)


class Sessions(Generic[S]):
    """Made inside a running event loop."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.counters = SignallingCounters()
        self._open: dict[tuple[str, str], S] = {}
        """By room and identity: of two sessions the later one."""
        watch_lag(self.counters)

    def add(self, room: str, identity: str, session: S) -> None:
        """A participant has come."""
        self._open[room, identity] = session

    def remove(self, room: str, identity: str, session: S) -> None:
        """It has gone; it may have been replaced before."""
        if self._open.get((room, identity)) is session:
            del self._open[room, identity]

    def find(self, room: str, identity: str, participant_sid: str) -> S | None:
        """The session that its client may come back to."""
        session = self._open.get((room, identity))
        if session is None or session.participant_sid != participant_sid:
            return None
        return session if session.state in (SessionState.ACTIVE, SessionState.DETACHED) else None

    @property
    def held_bytes(self) -> int:
        """What waits in all outboxes."""
        return sum(session.held_bytes for session in self._open.values())

    @property
    def sent_bytes(self) -> int:
        """What all clients were sent."""
        present = sum(session.sent_bytes for session in self._open.values())
        return self.counters.sent_bytes + present
