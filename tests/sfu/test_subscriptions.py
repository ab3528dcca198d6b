"""Wishes: declarative, kept for tracks to come, and bounded."""

import pytest

from sfu.limits import WISHES_MAX
from sfu.participant import JoinOptions
from sfu.subscriptions import NOT_FOUND_AFTER_S
from sfu.values import SubscriptionFailure, SubscriptionSettings, VideoQuality
from tests.support.node import ManualClock, Seat, make_room


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_wish_comes_true_when_the_track_appears(clock: ManualClock) -> None:
    room = make_room(clock)
    listener = Seat(room, "bo", options=JoinOptions(auto_subscribe=False))
    room.request_subscription(listener.participant, ["TR_1"], True)
    clock.advance(NOT_FOUND_AFTER_S - 1)
    Seat(room, "ada").publish("TR_1")
    assert list(listener.sink.receiving) == ["TR_1"]
    clock.advance(NOT_FOUND_AFTER_S)
    assert listener.sink.failed == []


def test_a_track_that_never_appears_is_reported_after_a_minute(clock: ManualClock) -> None:
    room = make_room(clock)
    listener = Seat(room, "bo")
    room.request_subscription(listener.participant, ["TR_none"], True)
    clock.advance(NOT_FOUND_AFTER_S - 1)
    assert listener.sink.failed == []
    clock.advance(2)
    assert listener.sink.failed == [("TR_none", SubscriptionFailure.TRACK_NOT_FOUND)]


def test_unsubscribing_cancels_the_automatic_subscription(clock: ManualClock) -> None:
    room = make_room(clock)
    listener = Seat(room, "bo")
    room.request_subscription(listener.participant, ["TR_1"], False)
    Seat(room, "ada").publish("TR_1")
    assert listener.sink.receiving == {}
    room.request_subscription(listener.participant, ["TR_1"], True)
    assert list(listener.sink.receiving) == ["TR_1"]


def test_settings_are_kept_for_a_track_to_come(clock: ManualClock) -> None:
    room = make_room(clock)
    listener = Seat(room, "bo", options=JoinOptions(default_quality=VideoQuality.LOW))
    wanted = SubscriptionSettings(quality=VideoQuality.MEDIUM)
    listener.participant.subscriptions.set_settings("TR_1", wanted)
    publisher = Seat(room, "ada")
    publisher.publish("TR_1")
    publisher.publish("TR_2")
    assert listener.sink.receiving["TR_1"] == wanted
    assert listener.sink.receiving["TR_2"].quality is VideoQuality.LOW
    paused = SubscriptionSettings(disabled=True)
    listener.participant.subscriptions.set_settings("TR_2", paused)
    assert listener.sink.receiving["TR_2"] == paused


def test_hearing_somebody_ends_with_the_last_track(clock: ManualClock) -> None:
    room = make_room(clock)
    publisher, listener = Seat(room, "ada"), Seat(room, "bo")
    publisher.publish("TR_1")
    publisher.publish("TR_2")
    sid = publisher.participant.sid
    room.unpublish(publisher.participant, "TR_1")
    assert listener.participant.subscriptions.hears(sid)
    room.unpublish(publisher.participant, "TR_2")
    assert not listener.participant.subscriptions.hears(sid)


def test_a_client_cannot_make_the_server_remember_without_end(clock: ManualClock) -> None:
    room = make_room(clock)
    listener = Seat(room, "bo")
    names = [f"TR_{number}" for number in range(WISHES_MAX + 500)]
    room.request_subscription(listener.participant, names, True)
    clock.advance(NOT_FOUND_AFTER_S + 1)
    assert len(listener.sink.failed) == WISHES_MAX
