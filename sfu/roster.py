"""Who is in a room, as snapshots, wherever the session of each is.

Sessions of this node are `Participant`s (`sfu.members`); the roster knows what everybody may know
of everybody, which is all that another node can say of its part of the room. What is entered here
is told as an event, so members are told in the same way of those who are on other nodes. Numbers
are kept up to date, because a join must not count those who are there.
"""

from collections.abc import Iterator

from sfu.events import (
    EventStream,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    TrackEnded,
    TrackPublished,
)
from sfu.notices import ParticipantSnapshot


class Roster:
    """One snapshot for each identity."""

    def __init__(self, room_sid: str, events: EventStream) -> None:
        self._room_sid = room_sid
        self._events = events
        self._by_identity: dict[str, ParticipantSnapshot] = {}
        self._people: set[str] = set()
        """Identities of those whose number the room tells."""
        self._publishers: set[str] = set()
        """Those of them who have tracks."""

    def __len__(self) -> int:
        """How many participants there are, those who are not counted among the people too."""
        return len(self._by_identity)

    def __iter__(self) -> Iterator[ParticipantSnapshot]:
        return iter(tuple(self._by_identity.values()))

    @property
    def people(self) -> int:
        """How many are told to be there."""
        return len(self._people)

    @property
    def publishers(self) -> int:
        """How many of the people have tracks."""
        return len(self._publishers)

    def find(self, identity: str) -> ParticipantSnapshot | None:
        """The participant of that identity."""
        return self._by_identity.get(identity)

    def enter(
        self, participant: ParticipantSnapshot, replaces: ParticipantLeft | None = None
    ) -> None:
        """Adds a participant, whose identity is free."""
        self._keep(participant)
        self._events.publish(ParticipantJoined(self._room_sid, participant, replaces))

    def update(self, after: ParticipantSnapshot) -> None:
        """A participant has changed. One that has been removed is not entered again."""
        before = self._by_identity.get(after.identity)
        if before is None or before.sid != after.sid or before is after:
            return
        self._keep(after)
        kept = {track.sid for track in after.tracks}
        known = {track.sid for track in before.tracks}
        if kept == known:
            self._events.publish(ParticipantChanged(self._room_sid, before, after))
            return
        for track in before.tracks:
            if track.sid not in kept:
                self._events.publish(TrackEnded(self._room_sid, after, track))
        for track in after.tracks:
            if track.sid not in known:
                self._events.publish(TrackPublished(self._room_sid, after, track))

    def remove(self, gone: ParticipantSnapshot, *, replaced: bool = False) -> ParticipantLeft:
        """Takes a participant out, with its tracks; `gone` is its last snapshot."""
        before = self._by_identity.pop(gone.identity)
        self._people.discard(gone.identity)
        self._publishers.discard(gone.identity)
        for track in before.tracks:
            self._events.publish(TrackEnded(self._room_sid, gone, track))
        left = ParticipantLeft(self._room_sid, gone, bool(before.tracks), replaced)
        self._events.publish(left)
        return left

    def _keep(self, participant: ParticipantSnapshot) -> None:
        identity = participant.identity
        self._by_identity[identity] = participant
        if not participant.counts:
            return
        self._people.add(identity)
        if participant.tracks:
            self._publishers.add(identity)
        else:
            self._publishers.discard(identity)
