"""The participants of a room who have their session on this node."""

from collections.abc import Iterator

from sfu.notices import ParticipantState
from sfu.participant import Participant


class Members:
    """By identity and by sid."""

    def __init__(self) -> None:
        self._by_identity: dict[str, Participant] = {}
        self._by_sid: dict[str, Participant] = {}

    def __len__(self) -> int:
        return len(self._by_identity)

    def __iter__(self) -> Iterator[Participant]:
        return iter(tuple(self._by_identity.values()))

    def add(self, participant: Participant) -> None:
        """Takes a participant in, whose identity is free."""
        self._by_identity[participant.identity] = participant
        self._by_sid[participant.sid] = participant

    def remove(self, participant: Participant) -> None:
        """Takes a participant out."""
        del self._by_identity[participant.identity]
        del self._by_sid[participant.sid]

    def find(self, identity: str) -> Participant | None:
        """The one of that identity."""
        return self._by_identity.get(identity)

    def with_sid(self, sid: str) -> Participant | None:
        """The one with that `PA_...`."""
        return self._by_sid.get(sid)

    def listening(self) -> list[Participant]:
        """Those who may be told something: they have been told of the room."""
        return [one for one in self._by_identity.values() if _listens(one)]

    def listener(self, sid: str) -> Participant | None:
        """The one with that sid, if it may be told something."""
        participant = self._by_sid.get(sid)
        return participant if participant is not None and _listens(participant) else None


def _listens(participant: Participant) -> bool:
    return participant.state is not ParticipantState.JOINING
