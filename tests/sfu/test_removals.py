"""Whoever was put out of a room does not come back with a token from before."""

from typing import Any, cast

import pytest

from sfu import limits
from sfu.events import RoomClosed, RoomOpened
from sfu.node import Node, RemovedError
from sfu.removals import AHEAD_S, FORGET_AFTER_S, Removals
from sfu.values import Admission, EndReason, RoomOptions
from tests.sfu.test_node import Measurements
from tests.support.node import ManualClock

NOW = 1_700_000_000
FOR_EVER = 1 << 40


class Time:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def removals(time: Time) -> Removals:
    return Removals(time)


def closed(name: str) -> RoomClosed:
    return RoomClosed(cast("Any", Named(name)), EndReason.ROOM_CLOSED)


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


def test_tokens_from_before_do_not_count_and_later_ones_do(removals: Removals) -> None:
    removals.revoke("hall", "ada")
    for issued_at_s, refused in ((0, True), (NOW, True), (NOW + AHEAD_S, False)):
        assert removals.refuse("hall", "ada", issued_at_s) is refused
    assert not removals.refuse("hall", "bo", 0)
    assert not removals.refuse("other", "ada", 0)


def test_a_removal_with_a_time_counts_from_that_time(removals: Removals) -> None:
    removals.revoke("hall", "ada", NOW - 100)
    assert removals.refuse("hall", "ada", NOW - 101)
    assert not removals.refuse("hall", "ada", NOW - 100)


def test_a_ban_outlasts_another_removal_and_is_taken_back_by_a_time_that_is_past(
    removals: Removals,
) -> None:
    removals.revoke("hall", "ada", FOR_EVER)
    removals.revoke("hall", "ada")
    assert removals.refuse("hall", "ada", NOW + 365 * 24 * 3600)
    removals.revoke("hall", "ada", 1)
    assert not removals.refuse("hall", "ada", NOW)


def test_removals_last_as_long_as_the_room_and_a_day(removals: Removals, time: Time) -> None:
    removals.revoke("hall", "ada", FOR_EVER)
    time.now += 10 * FORGET_AFTER_S
    assert removals.refuse("hall", "ada", NOW)
    removals.read(closed("hall"))
    time.now += FORGET_AFTER_S - 1
    assert removals.refuse("hall", "ada", NOW)
    time.now += 2
    assert not removals.refuse("hall", "ada", NOW)


def test_a_room_that_opens_again_keeps_its_removals(removals: Removals, time: Time) -> None:
    removals.revoke("hall", "ada", FOR_EVER)
    removals.read(closed("hall"))
    removals.read(RoomOpened(cast("Any", Named("hall"))))
    time.now += 2 * FORGET_AFTER_S
    assert removals.refuse("hall", "ada", NOW)


def test_memory_is_bounded_by_room_and_by_rooms(removals: Removals) -> None:
    for number in range(limits.REMOVALS_PER_ROOM_MAX + 1):
        removals.revoke("hall", f"p{number}")
    assert not removals.refuse("hall", "p0", 0)
    assert removals.refuse("hall", "p1", 0)
    removals.read(closed("hall"))
    for number in range(limits.REMOVALS_ROOMS_MAX):
        removals.revoke(f"room-{number}", "ada")
        removals.read(closed(f"room-{number}"))
    assert not removals.refuse("hall", "p1", 0)
    assert removals.refuse("room-0", "ada", 0)


def test_a_node_lets_nobody_in_whom_its_room_has_put_out() -> None:
    node = Node(cast("Any", Measurements()), ManualClock())
    node.room("hall", RoomOptions())
    node.removals.revoke("hall", "ada", FOR_EVER)
    with pytest.raises(RemovedError):
        node.check_admission(Admission("ada", "hall", issued_at_s=NOW))
    node.check_admission(Admission("bo", "hall", issued_at_s=NOW))
