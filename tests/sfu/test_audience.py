"""What is measured of people: whoever is told of a beginning is told of the end."""

import pytest

from sfu.notices import QualityReport
from sfu.participant import JoinOptions
from sfu.room import Room
from sfu.values import ConnectionQuality, EndReason
from tests.support.node import ManualClock, Seat, make_room

pytestmark = pytest.mark.usefixtures("no_logged_fault")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def room(clock: ManualClock) -> Room:
    return make_room(clock)


def speak(room: Room, seat: Seat) -> None:
    room.hear({seat.participant.sid: (0.5, 1.0)})


def speaking(listener: Seat, speaker: Seat) -> bool | None:
    """What the listener's client believes; None: it has never been told."""
    told = [it for it in listener.sink.speakers if it.participant_sid == speaker.participant.sid]
    return told[-1].active if told else None


def quality(listener: Seat, other: Seat) -> ConnectionQuality | None:
    told = [
        report.quality
        for notice in listener.sink.qualities
        for report in notice.reports
        if report.participant_sid == other.participant.sid
    ]
    return told[-1] if told else None


def report(room: Room, seat: Seat, step: ConnectionQuality) -> None:
    room.report_quality((QualityReport(seat.participant.sid, step, 2.0),))


def test_who_unsubscribes_from_a_speaker_hears_it_no_more(room: Room, clock: ManualClock) -> None:
    speaker, one, other = Seat(room, "ada"), Seat(room, "bo"), Seat(room, "cy")
    speaker.publish("TR_1")
    speak(room, speaker)
    room.request_subscription(one.participant, ["TR_1"], subscribe=False)
    assert (speaking(one, speaker), speaking(other, speaker)) == (False, True)
    clock.advance(2)
    assert speaking(other, speaker) is False
    assert len(one.sink.speakers) == 2


def test_a_track_that_ends_takes_the_speaking_with_it(room: Room, clock: ManualClock) -> None:
    speaker, listener = Seat(room, "ada"), Seat(room, "bo")
    speaker.publish("TR_1")
    speak(room, speaker)
    room.unpublish(speaker.participant, "TR_1")
    assert speaking(listener, speaker) is False
    clock.advance(2)
    assert speaking(speaker, speaker) is False


def test_a_speaker_who_leaves_falls_silent_before_it_is_gone(room: Room) -> None:
    speaker, listener = Seat(room, "ada"), Seat(room, "bo")
    speaker.publish("TR_1")
    speak(room, speaker)
    order: list[str] = []
    sink = listener.sink
    sink.speakers_changed = lambda _notice: order.append("silent")  # type: ignore[method-assign]
    sink.participants_changed = lambda _notice: order.append("gone")  # type: ignore[method-assign]
    room.leave(speaker.participant, EndReason.CLIENT_INITIATED)
    assert order == ["silent", "gone"]


def test_a_speaker_who_is_replaced_falls_silent(room: Room) -> None:
    speaker, listener = Seat(room, "ada"), Seat(room, "bo")
    speaker.publish("TR_1")
    speak(room, speaker)
    Seat(room, "ada")
    assert speaking(listener, speaker) is False


def test_nobody_is_told_of_the_end_of_what_it_never_heard(room: Room, clock: ManualClock) -> None:
    speaker = Seat(room, "ada")
    deaf = Seat(room, "bo", options=JoinOptions(auto_subscribe=False))
    speaker.publish("TR_1")
    speak(room, speaker)
    clock.advance(2)
    room.leave(speaker.participant, EndReason.CLIENT_INITIATED)
    assert deaf.sink.speakers == []


def test_who_comes_while_somebody_speaks_is_told(room: Room, clock: ManualClock) -> None:
    speaker = Seat(room, "ada")
    speaker.publish("TR_1")
    speak(room, speaker)
    late = Seat(room, "bo")
    assert speaking(late, speaker) is True
    clock.advance(2)
    assert speaking(late, speaker) is False


def test_who_was_away_is_told_of_everybody(room: Room, clock: ManualClock) -> None:
    loud, silent, listener = Seat(room, "ada"), Seat(room, "bo"), Seat(room, "cy")
    loud.publish("TR_1")
    silent.publish("TR_2")
    speak(room, loud)
    listener.sink.speakers.clear()
    room.tell_again(listener.participant)
    assert (speaking(listener, loud), speaking(listener, silent)) == (True, False)
    clock.advance(2)
    assert speaking(listener, loud) is False


def test_a_bad_connection_that_recovers_is_told_to_who_knew(room: Room) -> None:
    publisher, one, other = Seat(room, "ada"), Seat(room, "bo"), Seat(room, "cy")
    publisher.publish("TR_1")
    report(room, publisher, ConnectionQuality.POOR)
    room.request_subscription(one.participant, ["TR_1"], subscribe=False)
    report(room, publisher, ConnectionQuality.LOST)
    assert quality(one, publisher) is ConnectionQuality.POOR
    room.unpublish(publisher.participant, "TR_1")
    report(room, publisher, ConnectionQuality.EXCELLENT)
    for seat in (publisher, one, other):
        assert quality(seat, publisher) is ConnectionQuality.EXCELLENT
    told = len(one.sink.qualities)
    report(room, publisher, ConnectionQuality.GOOD)
    assert len(one.sink.qualities) == told, "it does not receive anything"


def test_who_comes_to_a_bad_connection_is_told(room: Room) -> None:
    publisher = Seat(room, "ada")
    publisher.publish("TR_1")
    report(room, publisher, ConnectionQuality.POOR)
    late = Seat(room, "bo")
    assert quality(late, publisher) is ConnectionQuality.POOR
    report(room, publisher, ConnectionQuality.GOOD)
    assert quality(Seat(room, "cy"), publisher) is None
