"""What is counted and written down of a room's events."""

import logging
from typing import Any, cast

import pytest

from sfu.node import Node
from sfu.values import EndReason, RoomOptions, TrackSource
from tests.sfu.test_node import Measurements
from tests.support.node import ManualClock, Seat


def test_rooms_participants_and_tracks_are_counted() -> None:
    node = Node(cast("Any", Measurements()), ManualClock())
    room = node.room("hall", RoomOptions())
    ada, _ = Seat(room, "ada"), Seat(room, "bo", active=False)
    ada.publish("TR_1", TrackSource.SCREEN_SHARE)
    room.leave(ada.participant, EndReason.CONNECTION_TIMEOUT)
    room.close(EndReason.ROOM_DELETED)
    journal = node.journal
    assert (journal.rooms_opened, journal.rooms_closed) == (1, {"room_deleted": 1})
    assert journal.participants_active == 1
    assert journal.tracks_published == {"screen_share": 1}


def test_no_name_is_written_down(caplog: pytest.LogCaptureFixture) -> None:
    node = Node(cast("Any", Measurements()), ManualClock())
    with caplog.at_level(logging.DEBUG):
        room = node.room("the secret hall", RoomOptions())
        ada = Seat(room, "ada lovelace")
        room.leave(ada.participant, EndReason.CLIENT_INITIATED)
        room.close(EndReason.ROOM_CLOSED)
    for name in ("secret", "lovelace"):
        assert name not in caplog.text
    informed = [it.getMessage() for it in caplog.records if it.levelno >= logging.INFO]
    assert informed == [
        f"room {room.sid} has opened",
        f"room {room.sid} has closed: ROOM_CLOSED",
    ]
    assert f"{ada.participant.sid} has left {room.sid}: CLIENT_INITIATED" in caplog.text
