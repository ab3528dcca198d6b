"""A session that fails costs the others nothing, and the room keeps its order."""

import logging
from typing import NoReturn

import pytest

from sfu.engine import EngineBusyError
from sfu.room import Room
from sfu.values import EndReason
from tests.support.node import ManualClock, Seat, make_room


def fail(*_what: object, **_named: object) -> NoReturn:
    raise ValueError("a fault of ours")


def busy(*_what: object, **_named: object) -> NoReturn:
    raise EngineBusyError("the media thread does not keep up with its commands")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def room(clock: ManualClock) -> Room:
    return make_room(clock)


@pytest.mark.parametrize("method", ["participants_changed", "track_wanted", "codec_chosen"])
def test_a_sink_that_fails_is_ended_alone_and_from_the_loop(
    room: Room,
    clock: ManualClock,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    speaker = Seat(room, "ada")
    before, broken, after = (Seat(room, name) for name in ("bo", "cy", "di"))
    monkeypatch.setattr(broken.sink, method, fail)
    track = speaker.publish("TR_1")
    for seat in (before, broken, after):
        seat.participant.subscriptions.codecs_accepted(track, frozenset({0}))  # type: ignore[arg-type]
    for seat in (before, after):
        assert list(seat.sink.receiving) == ["TR_1"]
        assert len(seat.sink.known[speaker.participant.sid].tracks) == 1
    assert room.member("cy") is broken.participant, "not in the middle of telling the others"
    clock.advance(0.01)
    assert room.member("cy") is None
    assert broken.sink.end is EndReason.MEDIA_FAILURE
    assert {room.member(name) for name in ("bo", "di")} == {before.participant, after.participant}
    assert broken.participant.sid in caplog.text
    assert "ada" not in caplog.text


def test_a_busy_engine_ends_the_session_that_needed_it(
    room: Room,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    speaker, listener = Seat(room, "ada"), Seat(room, "bo")
    monkeypatch.setattr(listener.sink, "track_wanted", busy)
    with caplog.at_level(logging.WARNING):
        speaker.publish("TR_1")
        clock.advance(0.01)
    assert room.member("bo") is None
    assert listener.sink.end is EndReason.MEDIA_FAILURE
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_session_that_even_fails_to_end_leaves_the_room(
    room: Room, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaker, listener = Seat(room, "ada"), Seat(room, "bo")
    for method in ("track_wanted", "ended"):
        monkeypatch.setattr(listener.sink, method, fail)
    speaker.publish("TR_1")
    clock.advance(0.01)
    assert room.member("bo") is None
    assert room.member("ada") is speaker.participant
