"""Whom members are told of, and what somebody who was away has missed."""

import pytest

from sfu import limits
from sfu.announcer import DEPARTED_KEPT_S
from sfu.notices import ParticipantState
from sfu.permissions import SubscriptionPermission
from sfu.room import Room
from sfu.values import EndReason, Permissions
from tests.support.node import ManualClock, Seat, make_room

pytestmark = pytest.mark.usefixtures("no_logged_fault")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def room(clock: ManualClock) -> Room:
    return make_room(clock)


class Away:
    """Somebody whose link is lost: nothing that is told meanwhile arrives."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._known = (dict(seat.sink.known), set(seat.sink.roster), list(seat.sink.allowed))

    def come_back(self, room: Room) -> None:
        sink = self._seat.sink
        sink.known, sink.roster, sink.allowed = self._known
        view = room.view(self._seat.participant)
        for one in (view.participant, *view.others):
            sink.known[one.sid] = one
            sink.roster.add(one.identity)
        room.tell_again(self._seat.participant)


def test_who_was_away_learns_who_has_gone_and_who_has_come(room: Room, clock: ManualClock) -> None:
    listener, gone, stays = Seat(room, "ada"), Seat(room, "bo"), Seat(room, "cy")
    replaced = Seat(room, "di")
    clock.advance(3)
    away = Away(listener)
    room.leave(gone.participant, EndReason.CLIENT_INITIATED)
    room.leave(replaced.participant, EndReason.CLIENT_INITIATED)
    clock.advance(3)
    back, new = Seat(room, "di"), Seat(room, "ed")
    clock.advance(3)
    away.come_back(room)
    assert listener.sink.roster == {"ada", "cy", "di", "ed"}
    known = listener.sink.known
    assert known[gone.participant.sid].state is ParticipantState.DISCONNECTED
    for seat in (stays, back, new):
        assert known[seat.participant.sid].state is ParticipantState.ACTIVE


def test_departures_are_kept_for_a_while_and_without_texts(room: Room, clock: ManualClock) -> None:
    listener, gone = Seat(room, "ada"), Seat(room, "bo")
    room.update_participant(gone.participant, metadata="m" * limits.METADATA_BYTES_MAX)
    clock.advance(3)
    room.leave(gone.participant, EndReason.CLIENT_INITIATED)
    clock.advance(3)
    listener.sink.updates.clear()
    room.tell_again(listener.participant)
    (notice,) = listener.sink.updates
    assert [(one.identity, one.metadata) for one in notice.participants] == [("bo", "")]
    clock.advance(DEPARTED_KEPT_S)
    listener.sink.updates.clear()
    room.tell_again(listener.participant)
    assert listener.sink.updates == []


def test_nobody_hears_of_hidden_ones_who_have_gone(room: Room, clock: ManualClock) -> None:
    listener, hidden = Seat(room, "ada"), Seat(room, "bo", Permissions(hidden=True))
    room.leave(hidden.participant, EndReason.CLIENT_INITIATED)
    clock.advance(3)
    room.tell_again(listener.participant)
    assert hidden.participant.sid not in listener.sink.known


def test_who_was_away_learns_what_may_be_received_again(room: Room) -> None:
    publisher, listener = Seat(room, "ada"), Seat(room, "bo")
    publisher.publish("TR_1")
    sid = publisher.participant.sid
    room.set_subscription_permission(publisher.participant, SubscriptionPermission(False))
    assert listener.sink.allowed == [(sid, "TR_1", False)]
    away = Away(listener)
    room.set_subscription_permission(publisher.participant, SubscriptionPermission())
    away.come_back(room)
    assert listener.sink.allowed == [(sid, "TR_1", False), (sid, "TR_1", True)]


def test_who_changes_while_its_transport_connects_is_told_of_itself_alone(
    room: Room, clock: ManualClock
) -> None:
    watcher, joining = Seat(room, "ada"), Seat(room, "bo", active=False)
    room.update_participant(joining.participant, name="Bo")
    clock.advance(3)
    assert joining.sink.known[joining.participant.sid].name == "Bo"
    assert joining.participant.sid not in watcher.sink.known
    room.mark_active(joining.participant)
    clock.advance(3)
    assert watcher.sink.known[joining.participant.sid].name == "Bo"


def test_a_departure_does_not_repeat_what_members_know(room: Room, clock: ManualClock) -> None:
    listener = Seat(room, "ada")
    gone = Seat(room, "bo", metadata="m" * limits.METADATA_BYTES_MAX)
    clock.advance(3)
    room.leave(gone.participant, EndReason.CLIENT_INITIATED)
    clock.advance(3)
    told = listener.sink.known[gone.participant.sid]
    assert told.state is ParticipantState.DISCONNECTED
    assert told.metadata == ""
