"""Everything that happens in a room is told to whoever reads, as it was, in order."""

import logging
from typing import Any, cast

import pytest

from sfu.events import (
    EventStream,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    RoomClosed,
    RoomEvent,
    RoomOpened,
    RoomUpdated,
    TrackEnded,
    TrackPublished,
)
from sfu.node import Node
from sfu.notices import ParticipantState
from sfu.values import EndReason, Permissions, RoomOptions
from tests.sfu.test_node import Measurements
from tests.support.node import ManualClock, RecordingSink, Seat

pytestmark = pytest.mark.usefixtures("no_logged_fault")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def node(clock: ManualClock) -> Node:
    return Node(cast("Any", Measurements()), clock)


@pytest.fixture
def events(node: Node) -> list[RoomEvent]:
    read: list[RoomEvent] = []
    node.events.subscribe(read.append)
    return read


def test_a_life_is_told_from_the_opening_to_the_end(node: Node, events: list[RoomEvent]) -> None:
    room = node.room("hall", RoomOptions())
    ada = Seat(room, "ada")
    ada.publish("TR_1")
    room.set_metadata("topic")
    room.unpublish(ada.participant, "TR_1")
    room.leave(ada.participant, EndReason.CLIENT_INITIATED)
    room.close(EndReason.ROOM_DELETED)
    assert [type(event) for event in events] == [
        RoomOpened,
        ParticipantJoined,
        ParticipantChanged,
        ParticipantChanged,
        TrackPublished,
        RoomUpdated,
        TrackEnded,
        ParticipantLeft,
        RoomClosed,
    ]
    joined, active = events[1], events[3]
    assert isinstance(joined, ParticipantJoined)
    assert isinstance(active, ParticipantChanged)
    assert joined.participant.state is ParticipantState.JOINING, "as it was, not as it is"
    assert (active.before.state, active.participant.state) == (
        ParticipantState.JOINED,
        ParticipantState.ACTIVE,
    )
    left, closed = events[-2:]
    assert isinstance(left, ParticipantLeft)
    assert left.participant.end_reason is EndReason.CLIENT_INITIATED
    assert isinstance(closed, RoomClosed)
    assert (closed.room.name, closed.room.metadata) == ("hall", "topic")
    assert closed.reason is EndReason.ROOM_DELETED


def test_the_tracks_of_somebody_who_goes_end_first(node: Node, events: list[RoomEvent]) -> None:
    room = node.room("hall", RoomOptions())
    ada = Seat(room, "ada")
    ada.publish("TR_1")
    room.close(EndReason.ROOM_DELETED)
    ended, left, closed = events[-3:]
    assert isinstance(ended, TrackEnded)
    assert ended.track.sid == "TR_1"
    assert isinstance(left, ParticipantLeft)
    assert left.was_publisher
    assert isinstance(closed, RoomClosed)


def test_a_session_that_replaces_another_says_so(node: Node, events: list[RoomEvent]) -> None:
    room = node.room("hall", RoomOptions())
    old = Seat(room, "ada")
    new = Seat(room, "ada", active=False)
    left = next(event for event in events if isinstance(event, ParticipantLeft))
    joined = next(
        event
        for event in events
        if isinstance(event, ParticipantJoined) and event.participant.sid == new.participant.sid
    )
    assert (left.participant.sid, left.replaced) == (old.participant.sid, True)
    assert joined.replaces is left


def test_a_reader_that_fails_harms_neither_the_room_nor_other_readers(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    read: list[RoomEvent] = []

    def fail(_event: RoomEvent) -> None:
        raise RuntimeError("a reader's own fault")

    room = node.room("hall", RoomOptions())
    room.events.subscribe(fail)
    end = room.events.subscribe(read.append)
    with caplog.at_level(logging.ERROR):
        watcher, ada = Seat(room, "bo"), Seat(room, "ada")
        ada.publish("TR_1")
    assert list(watcher.sink.receiving) == ["TR_1"]
    assert isinstance(read[-1], TrackPublished)
    assert "a reader of events failed on TrackPublished" in caplog.text
    end()
    room.leave(ada.participant, EndReason.CLIENT_INITIATED)
    assert isinstance(read[-1], TrackPublished)


def test_a_room_tells_its_readers_before_those_of_its_node() -> None:
    order: list[str] = []
    onward = EventStream()
    onward.subscribe(lambda _event: order.append("node"))
    stream = EventStream(onward)
    stream.subscribe(lambda _event: order.append("room"))
    stream.publish(RoomUpdated(cast("Any", None)))
    assert order == ["room", "node"]


def test_nothing_is_told_of_somebody_who_has_gone(node: Node, events: list[RoomEvent]) -> None:
    room = node.room("hall", RoomOptions())
    ada = Seat(room, "ada")
    room.leave(ada.participant, EndReason.CLIENT_INITIATED)
    told = len(events)
    room.update_participant(ada.participant, name="Ada")
    room.set_permissions(ada.participant, Permissions(can_publish=False))
    room.expel(ada.participant, EndReason.PARTICIPANT_REMOVED)
    assert len(events) == told
    assert isinstance(ada.sink, RecordingSink)
    assert ada.sink.end is None
