"""Tells a room's members about one another, at a cost that does not grow with each join.

It reads the room's events. People who publish, and their changes, are told at once, as long as they
do not change faster than their pace (`sfu.pace`); then the latest is told when it is due. Listeners
who come and go are collected and told together: the larger the room, the longer the interval, so
that the number of messages a second stays bounded. Whom members have been told of is known here,
and so whose departure they have to be told.
"""

from collections import deque
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final, Protocol

from sfu import limits
from sfu.clock import Cancellable, Clock
from sfu.events import (
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    RoomClosed,
    RoomEvent,
    RoomUpdated,
    TrackEnded,
    TrackPublished,
)
from sfu.members import Members
from sfu.notices import (
    ParticipantsChanged,
    ParticipantSnapshot,
    ParticipantState,
    RoomChanged,
    RoomSnapshot,
)

BATCH_PER_MEMBER_S: Final = 0.003
BATCH_MIN_S: Final = 0.05
BATCH_MAX_S: Final = 3.0
SMALL_ROOM: Final = 16
"""Up to so many members are told of a newcomer at once: waiting would save little, and SDKs show no
sender for what a newcomer says on a data channel before they know it."""
COUNTS_EVERY_S: Final = 5.0
"""The numbers of a room are told at most this often."""


DEPARTED_KEPT_S: Final = 60.0
"""So long a client may be away without knowing it, and come back to its session."""


class Numbered(Protocol):
    """A room, of which members are told the numbers."""

    def snapshot(self) -> RoomSnapshot: ...


class Departures:
    """Those who have gone lately."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: deque[tuple[float, ParticipantSnapshot]] = deque(maxlen=limits.DEPARTURES_MAX)

    def __iter__(self) -> Iterator[ParticipantSnapshot]:
        since = self._clock.time() - DEPARTED_KEPT_S
        return iter([one for gone_at, one in self._kept if gone_at >= since])

    def note(self, participant: ParticipantSnapshot) -> None:
        """Somebody goes."""
        self._kept.append((self._clock.time(), participant))


class Announcer:
    """`read` takes every event of the room."""

    def __init__(self, clock: Clock, members: Members, room: Numbered) -> None:
        self._clock = clock
        self._members = members
        self._room = room
        self._told: set[str] = set()
        """Identities that members know of, or are about to be told of."""
        self._pending: dict[str, ParticipantSnapshot] = {}
        """By identity: of two sessions with one identity only the later one is told of."""
        self._departures = Departures(clock)
        self._batch_timer: Cancellable | None = None
        self._counts_timer: Cancellable | None = None
        self._counts_told: tuple[int, int] = (0, 0)
        self._closed = False

    @property
    def told_of(self) -> AbstractSet[str]:
        """Identities that members know, or are about to be told of."""
        return self._told

    def departed(self) -> tuple[ParticipantSnapshot, ...]:
        """Those who have gone lately and not come back, for a client that may not know."""
        return tuple(one for one in self._departures if one.identity not in self._told)

    def read(self, event: RoomEvent) -> None:
        """Tells what members have to know of it."""
        if self._closed:
            return  # everybody is told that the room has ended, nobody of each other
        match event:
            case ParticipantJoined():
                self._joined(event.participant, event.replaces)
                self._counts()
            case ParticipantChanged():
                self._changed(event.before, event.participant)
            case ParticipantLeft(replaced=False):
                self._left(event.participant, at_once=event.was_publisher)
                self._counts()
            case TrackPublished():
                self._participant(event.participant)
                self._counts()
            case TrackEnded() if event.participant.state is not ParticipantState.DISCONNECTED:
                self._participant(event.participant, at_once=True)
                self._counts()
            case RoomUpdated():
                self._send_room(event.room)
            case RoomClosed():
                self.close()

    def close(self) -> None:
        """Ends every timer, and says nothing more."""
        self._closed = True
        for timer in (self._batch_timer, self._counts_timer):
            if timer is not None:
                timer.cancel()
        self._batch_timer = self._counts_timer = None
        self._pending.clear()

    # --- one event -------------------------------------------------------------------------

    def _joined(self, participant: ParticipantSnapshot, replaces: ParticipantLeft | None) -> None:
        """Members are told of it when it is active, unless they know the identity already.

        A departure that nobody has been told of yet is none, if the same person is back. Clients
        learn from the new sid that the old session has gone, with its tracks.
        """
        if participant.identity not in self._told:
            return
        was_publisher = replaces is not None and replaces.was_publisher
        if not participant.hidden:
            self._paced(participant, at_once=was_publisher)
        elif replaces is not None:
            self._left(replaces.participant, at_once=was_publisher)

    def _changed(self, before: ParticipantSnapshot, participant: ParticipantSnapshot) -> None:
        if participant.state is ParticipantState.JOINED is not before.state:
            # It is being told of the room, and of itself: of no earlier state afterwards.
            pending = self._pending.get(participant.identity)
            if pending is not None and pending.sid == participant.sid:
                self._pending[participant.identity] = participant
            return
        self._to_itself(participant)
        if participant.hidden:
            return
        if participant.state is ParticipantState.ACTIVE or participant.identity in self._told:
            pending = self._pending.get(participant.identity)
            if pending is not None and pending.sid == participant.sid:
                del self._pending[participant.identity]  # it would be older
            self._paced(participant)

    def _left(self, participant: ParticipantSnapshot, *, at_once: bool) -> None:
        # A hidden one may have the identity of one whose departure is still to be told.
        if participant.identity in self._told and not participant.hidden:
            # Who it was members know: its texts are neither sent nor kept once more.
            bare = replace(participant, name="", metadata="", attributes=())
            self._departures.note(bare)
            self._queue(bare, at_once=at_once)

    def _paced(self, participant: ParticipantSnapshot, *, at_once: bool = False) -> None:
        """Tells everybody, now or when the participant's budget allows it, as it is then."""
        member = self._members.with_sid(participant.sid)
        if member is None:
            self._participant(participant, at_once=at_once)  # its own node has paced it
            return

        def tell() -> None:
            self._participant(member.snapshot(), at_once=at_once)

        member.pace.do("told", lambda: member.snapshot().size_bytes, tell)

    def _participant(self, participant: ParticipantSnapshot, *, at_once: bool = False) -> None:
        """Tells everybody: a publisher or a small room's newcomer at once, others in a batch.

        A hidden participant is told to itself only.
        """
        if participant.hidden:
            self._to_itself(participant)
            return
        is_new = participant.identity not in self._told and len(self._members) <= SMALL_ROOM
        self._told.add(participant.identity)
        self._queue(participant, at_once=at_once or is_new or bool(participant.tracks))

    def _to_itself(self, participant: ParticipantSnapshot) -> None:
        member = self._members.listener(participant.sid)
        if member is not None:
            member.sink.participants_changed(ParticipantsChanged((participant,)))

    # --- sending ---------------------------------------------------------------------------

    def _queue(self, participant: ParticipantSnapshot, *, at_once: bool) -> None:
        member = self._members.with_sid(participant.sid)
        if member is not None:
            member.pace.withdraw("told")  # it would be older
        if at_once:
            self._pending.pop(participant.identity, None)
            self._send((participant,))
            return
        self._pending[participant.identity] = participant
        if self._batch_timer is None:
            size = len(self._members)
            delay = min(max(size * BATCH_PER_MEMBER_S, BATCH_MIN_S), BATCH_MAX_S)
            self._batch_timer = self._clock.call_later(delay, self._flush)

    def _flush(self) -> None:
        self._batch_timer = None
        pending, self._pending = self._pending, {}
        if pending:
            self._send(tuple(pending.values()))

    def _send(self, participants: tuple[ParticipantSnapshot, ...]) -> None:
        gone = {it.identity for it in participants if it.state is ParticipantState.DISCONNECTED}
        self._told -= gone
        notice = ParticipantsChanged(participants)
        for member in self._members.listening():
            if member.identity not in gone:
                member.sink.participants_changed(notice)
                continue
            # A hidden session that has taken the identity over: to it, that is itself.
            others = tuple(one for one in participants if one.identity != member.identity)
            if others:
                member.sink.participants_changed(ParticipantsChanged(others))

    def _counts(self) -> None:
        """The number of members or publishers has changed."""
        if self._counts_timer is None:
            self._counts_timer = self._clock.call_later(COUNTS_EVERY_S, self._counts_due)

    def _counts_due(self) -> None:
        self._counts_timer = None
        room = self._room.snapshot()
        if (room.participants, room.publishers) != self._counts_told:
            self._send_room(room)

    def _send_room(self, room: RoomSnapshot) -> None:
        notice = RoomChanged(room)
        self._counts_told = (room.participants, room.publishers)
        for member in self._members.listening():
            member.sink.room_changed(notice)
