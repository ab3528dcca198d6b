"""A room's roster: snapshots, numbers, and events that follow from what is entered."""

from dataclasses import replace

from sfu.events import (
    EventStream,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    RoomEvent,
    TrackEnded,
    TrackPublished,
)
from sfu.notices import ClientFacts, ParticipantSnapshot, ParticipantState
from sfu.roster import Roster
from sfu.track import TrackInfo
from sfu.values import EndReason, ParticipantKind, Permissions, TrackKind, TrackSource


def remote(identity: str, version: int = 1, tracks: tuple[str, ...] = ()) -> ParticipantSnapshot:
    """What another node says of one of its participants."""
    return ParticipantSnapshot(
        sid=f"PA_{identity}",
        identity=identity,
        name="",
        state=ParticipantState.ACTIVE,
        kind=ParticipantKind.STANDARD,
        metadata="",
        attributes=(),
        permissions=Permissions(),
        joined_at_ms=0,
        version=version,
        tracks=tuple(TrackInfo(sid, TrackKind.AUDIO, TrackSource.MICROPHONE) for sid in tracks),
        client=ClientFacts(),
        end_reason=EndReason.UNKNOWN,
    )


def make_roster() -> tuple[Roster, list[RoomEvent]]:
    stream, read = EventStream(), []
    stream.subscribe(read.append)
    return Roster("RM_1", stream), read


def kinds(events: list[RoomEvent]) -> list[type]:
    return [type(event) for event in events]


def test_events_follow_from_snapshots() -> None:
    roster, events = make_roster()
    roster.enter(remote("ada"))
    roster.update(remote("ada", 2, ("TR_1", "TR_2")))
    roster.update(remote("ada", 3, ("TR_2",)))
    roster.update(remote("ada", 4, ("TR_2",)))
    roster.remove(remote("ada", 5))
    assert kinds(events) == [
        ParticipantJoined,
        TrackPublished,
        TrackPublished,
        TrackEnded,
        ParticipantChanged,
        TrackEnded,
        ParticipantLeft,
    ]
    assert [event.track.sid for event in events if isinstance(event, TrackEnded)] == [
        "TR_1",
        "TR_2",
    ]
    assert len(roster) == 0


def test_an_update_of_another_session_is_none() -> None:
    roster, events = make_roster()
    roster.enter(remote("ada"))
    later = remote("ada", 9)
    later.sid = "PA_other"
    roster.update(later)
    roster.update(remote("bo"))
    assert kinds(events) == [ParticipantJoined]
    assert [one.sid for one in roster] == ["PA_ada"]


def test_machines_and_hidden_ones_are_there_and_not_counted() -> None:
    roster, _ = make_roster()
    agent, hidden = remote("agent", tracks=("TR_1",)), remote("hidden", tracks=("TR_2",))
    agent.kind = ParticipantKind.AGENT
    hidden.permissions = replace(hidden.permissions, hidden=True)
    for one in (agent, hidden, remote("ada", tracks=("TR_3",)), remote("bo")):
        roster.enter(one)
    assert (len(roster), roster.people, roster.publishers) == (4, 2, 1)
    roster.update(remote("ada", 2))
    assert (roster.people, roster.publishers) == (2, 0)
    roster.remove(remote("ada", 3))
    assert (len(roster), roster.people) == (3, 1)
