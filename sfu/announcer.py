"""Tells a room's members about one another, at a cost that does not grow with each join.

People who publish, and their changes, are told at once. Listeners who come and go are collected
and told together: the larger the room, the longer the interval, so that the number of messages a
second stays bounded.
"""

from collections.abc import Callable, Iterable
from typing import Final

from sfu.clock import Cancellable, Clock
from sfu.notices import ParticipantsChanged, RoomChanged, RoomSnapshot
from sfu.participant import Participant

BATCH_PER_MEMBER_S: Final = 0.003
BATCH_MIN_S: Final = 0.05
BATCH_MAX_S: Final = 3.0
COUNTS_EVERY_S: Final = 5.0
"""The numbers of a room are told at most this often."""


class Announcer:
    """`recipients` are the members that may be told something now."""

    def __init__(
        self,
        clock: Clock,
        recipients: Callable[[], Iterable[Participant]],
        size: Callable[[], int],
        room: Callable[[], RoomSnapshot],
    ) -> None:
        self._clock = clock
        self._recipients = recipients
        self._size = size
        self._room = room
        self._pending: dict[str, Participant] = {}
        """By identity: of two sessions with one identity only the later one is told of."""
        self._batch_timer: Cancellable | None = None
        self._counts_timer: Cancellable | None = None
        self._counts_told: tuple[int, int] = (0, 0)

    def participant(self, participant: Participant) -> None:
        """Tells everybody: a publisher at once, others with the next batch.

        A hidden participant is told to itself only.
        """
        if participant.hidden:
            notice = ParticipantsChanged((participant.snapshot(),))
            participant.sink.participants_changed(notice)
            return
        participant.announced = True
        if participant.is_publisher:
            self.at_once(participant)
            return
        self._pending[participant.identity] = participant
        if self._batch_timer is None:
            delay = min(max(self._size() * BATCH_PER_MEMBER_S, BATCH_MIN_S), BATCH_MAX_S)
            self._batch_timer = self._clock.call_later(delay, self._flush)

    def at_once(self, participant: Participant) -> None:
        """Tells everybody without waiting. The participant is not hidden."""
        self._pending.pop(participant.identity, None)
        participant.announced = True
        self._send(ParticipantsChanged((participant.snapshot(),)))

    def withdraw(self, identity: str) -> bool:
        """Says nothing more of a session that another one replaces, or of its departure.

        Returns whether there was something to say.
        """
        return self._pending.pop(identity, None) is not None

    def room(self) -> None:
        """Tells everybody about the room, at once."""
        self._send_room()

    def counts(self) -> None:
        """The number of members or publishers has changed."""
        if self._counts_timer is None:
            self._counts_timer = self._clock.call_later(COUNTS_EVERY_S, self._counts_due)

    def close(self) -> None:
        """Ends every timer."""
        for timer in (self._batch_timer, self._counts_timer):
            if timer is not None:
                timer.cancel()
        self._batch_timer = self._counts_timer = None
        self._pending.clear()

    def _flush(self) -> None:
        self._batch_timer = None
        pending, self._pending = self._pending, {}
        if pending:
            self._send(ParticipantsChanged(tuple(one.snapshot() for one in pending.values())))

    def _counts_due(self) -> None:
        self._counts_timer = None
        room = self._room()
        if (room.participants, room.publishers) != self._counts_told:
            self._send_room()

    def _send(self, notice: ParticipantsChanged) -> None:
        for participant in self._recipients():
            participant.sink.participants_changed(notice)

    def _send_room(self) -> None:
        notice = RoomChanged(self._room())
        self._counts_told = (notice.room.participants, notice.room.publishers)
        for participant in self._recipients():
            participant.sink.room_changed(notice)
