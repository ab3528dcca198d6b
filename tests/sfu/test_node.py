"""The node turns the engine's measurements into what rooms understand."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sfu import memory
from sfu.node import QUALITY_EVERY_S, MediaOwner, Node, NodeStoppingError
from sfu.notices import QualityReport
from sfu.values import ConnectionQuality, EndReason, RoomOptions
from tests.support.node import ManualClock, Seat


class Measurements:
    """What the node needs of an engine: numbers, as the test sets them."""

    def __init__(self) -> None:
        self.core = self
        self.transports: list[SimpleNamespace] = []
        self.tracks: list[SimpleNamespace] = []
        self.tell_levels: Any = None

    def watch_levels(self, handler: Any) -> None:
        self.tell_levels = handler

    def stats(self) -> SimpleNamespace:
        return SimpleNamespace(shards=[], tracks=self.tracks, transports=self.transports)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def engine() -> Measurements:
    return Measurements()


@pytest.fixture
def node(clock: ManualClock, engine: Measurements) -> Node:
    return Node(cast("Any", engine), clock)


def transport(loss: float, round_trip_ms: float = 30.0) -> SimpleNamespace:
    return SimpleNamespace(transport_id=7, fraction_lost=loss, round_trip_ms=round_trip_ms)


def reported(seat: Seat) -> list[QualityReport]:
    return [report for notice in seat.sink.qualities for report in notice.reports]


def test_a_room_is_made_once_and_forgotten_when_it_closes(node: Node, clock: ManualClock) -> None:
    room = node.room("hall", RoomOptions(empty_timeout_s=5))
    assert node.room("hall", RoomOptions()) is room
    clock.advance(6)
    assert node.list_rooms() == ()
    assert node.room("hall", RoomOptions()).sid != room.sid


def test_the_loudest_of_somebodys_tracks_counts(node: Node, engine: Measurements) -> None:
    room = node.room("hall", RoomOptions())
    seat = Seat(room, "ada")
    for engine_track in (1, 2):
        node.own_track(engine_track, MediaOwner(room, seat.participant))
    engine.tell_levels(SimpleNamespace(levels=[(1, 0.1, 0.5), (2, 0.8, 0.9), (99, 1.0, 1.0)]))
    (speaker,) = seat.sink.speakers
    assert speaker.participant_sid == seat.participant.sid
    assert speaker.level > 0.5


def test_quality_is_told_when_it_changes(
    node: Node, engine: Measurements, clock: ManualClock
) -> None:
    room = node.room("hall", RoomOptions())
    seat = Seat(room, "ada")
    node.own_transport(7, MediaOwner(room, seat.participant))
    engine.transports = [transport(0.0)]
    clock.advance(4 * QUALITY_EVERY_S)
    assert [report.quality for report in reported(seat)] == [ConnectionQuality.EXCELLENT]
    engine.transports = [transport(0.4)]
    clock.advance(2 * QUALITY_EVERY_S)
    assert reported(seat)[-1].quality is ConnectionQuality.POOR


def test_loss_on_the_way_up_counts_as_recent(
    node: Node, engine: Measurements, clock: ManualClock
) -> None:
    room = node.room("hall", RoomOptions())
    seat = Seat(room, "ada")
    node.own_track(3, MediaOwner(room, seat.participant))
    for packets, lost in ((1000, 0), (1500, 500), (2500, 500)):
        engine.tracks = [SimpleNamespace(track_id=3, layers=[(0, packets, 0, lost, 0)])]
        clock.advance(QUALITY_EVERY_S)
    steps = [report.quality for report in reported(seat)]
    assert steps == [
        ConnectionQuality.EXCELLENT,
        ConnectionQuality.POOR,
        ConnectionQuality.EXCELLENT,
    ]


def test_a_lost_connection_is_told_until_it_is_back(
    node: Node, engine: Measurements, clock: ManualClock
) -> None:
    room = node.room("hall", RoomOptions())
    seat = Seat(room, "ada")
    owner = MediaOwner(room, seat.participant)
    node.own_transport(7, owner)
    engine.transports = [transport(0.0)]
    clock.advance(QUALITY_EVERY_S)
    node.connection_lost(owner)
    clock.advance(3 * QUALITY_EVERY_S)
    assert reported(seat)[-1].quality is ConnectionQuality.LOST
    node.connection_back(owner)
    clock.advance(QUALITY_EVERY_S)
    assert reported(seat)[-1].quality is ConnectionQuality.EXCELLENT


def test_a_stopping_node_ends_its_rooms_and_takes_nobody(node: Node) -> None:
    seat = Seat(node.room("hall", RoomOptions()), "ada")
    node.stop()
    assert seat.sink.end is EndReason.SERVER_SHUTDOWN
    assert node.list_rooms() == ()
    with pytest.raises(NodeStoppingError):
        node.room("hall", RoomOptions())


def test_memory_is_given_back_after_many_have_left(
    node: Node, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[float] = []
    monkeypatch.setattr(memory._core, "release_free_memory", lambda: released.append(clock.time()))
    seat = Seat(node.room("hall", RoomOptions()), "ada")
    for transport_id in range(2 * memory.FEW):
        node.own_transport(transport_id, MediaOwner(seat.room, seat.participant))
    clock.advance(3 * QUALITY_EVERY_S)
    assert released == []
    for transport_id in range(memory.FEW):
        node.disown_transport(transport_id)
    clock.advance(3 * QUALITY_EVERY_S)
    assert len(released) == 1
