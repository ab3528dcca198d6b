"""Rooms: who is told what and when, and invariants under any order of events."""

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sfu import limits
from sfu.announcer import SMALL_ROOM
from sfu.notices import ParticipantState, QualityReport
from sfu.participant import JoinOptions, Participant
from sfu.permissions import SubscriptionPermission, TrackPermission
from sfu.rights import DeniedError, RoomClosedError, RoomFullError
from sfu.room import Room
from sfu.subscriptions import Subscriptions
from sfu.track import PublishedTrack
from sfu.values import Admission, ConnectionQuality, EndReason, Permissions, TrackSource
from tests.support.node import ManualClock, RecordingSink, Seat, make_room

pytestmark = pytest.mark.usefixtures("no_logged_fault")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_track_is_announced_before_anybody_receives_it(clock: ManualClock) -> None:
    room = make_room(clock)
    publisher, listener = Seat(room, "ada"), Seat(room, "bo")
    track = publisher.publish("TR_1")
    assert listener.sink.log[-2:] == ["update ada ACTIVE 1", "want TR_1"]
    room.unpublish(publisher.participant, track.sid)
    assert listener.sink.receiving == {}
    assert publisher.sink.log[-1] == "ended TR_1"


def test_a_late_joiner_receives_what_is_there(clock: ManualClock) -> None:
    room = make_room(clock)
    publisher = Seat(room, "ada")
    publisher.publish("TR_1")
    late = Seat(room, "cy")
    assert list(late.sink.receiving) == ["TR_1"]
    assert late.sink.known[publisher.participant.sid].tracks[0].sid == "TR_1"


def test_a_small_room_knows_a_newcomer_before_it_can_say_anything(clock: ManualClock) -> None:
    room = make_room(clock)
    first = Seat(room, "ada")
    newcomer = Seat(room, "bo")
    assert first.sink.known[newcomer.participant.sid].state is ParticipantState.ACTIVE


def test_listeners_are_told_of_together_and_publishers_at_once(clock: ManualClock) -> None:
    room = make_room(clock)
    first = Seat(room, "ada")
    for number in range(SMALL_ROOM - 1):
        Seat(room, f"early-{number}")
    clock.advance(5)
    first.sink.updates.clear()
    for number in range(50):
        Seat(room, f"listener-{number}")
    assert first.sink.updates == []
    clock.advance(3)
    assert len(first.sink.updates) == 1
    assert len(first.sink.updates[0].participants) == 50
    Seat(room, "speaker").publish("TR_1")
    assert first.sink.updates[-1].participants[0].identity == "speaker"


def test_one_update_is_encoded_once_for_everybody(clock: ManualClock) -> None:
    room = make_room(clock)
    seats = [Seat(room, f"p{number}") for number in range(5)]
    seats[0].publish("TR_1")
    encoded = 0

    def encode(_: object) -> tuple[bytes, ...]:
        nonlocal encoded
        encoded += 1
        return (b"bytes",)

    notices = [seat.sink.updates[-1] for seat in seats]
    assert [notice.rendered(encode) for notice in notices] == [(b"bytes",)] * 5
    assert encoded == 1


def test_the_same_identity_replaces_the_old_session_quietly(clock: ManualClock) -> None:
    room = make_room(clock)
    watcher, old = Seat(room, "bo"), Seat(room, "ada")
    old.publish("TR_1")
    new = Seat(room, "ada", active=False)
    assert old.sink.end is EndReason.DUPLICATE_IDENTITY
    assert watcher.sink.receiving == {}
    clock.advance(3)
    states = [one.state for one in watcher.sink.known.values() if one.identity == "ada"]
    assert ParticipantState.DISCONNECTED not in states
    assert new.participant.sid in watcher.sink.known
    assert old.participant.sid != new.participant.sid


def test_a_replaced_session_that_fails_does_not_leave_a_ghost(clock: ManualClock) -> None:
    room = make_room(clock)
    watcher = Seat(room, "bo")
    Seat(room, "ada").publish("TR_1")
    new = Seat(room, "ada", active=False)
    room.leave(new.participant, EndReason.SIGNAL_CLOSE)
    clock.advance(3)
    assert watcher.sink.known[new.participant.sid].state is ParticipantState.DISCONNECTED


def test_who_was_seen_and_comes_back_hidden_is_told_as_gone(clock: ManualClock) -> None:
    room = make_room(clock)
    watcher = Seat(room, "bo")
    old = Seat(room, "ada")
    old.publish("TR_1")
    clock.advance(3)
    hidden = Seat(room, "ada", Permissions(hidden=True))
    assert "ada" not in watcher.sink.roster
    room.leave(hidden.participant, EndReason.CLIENT_INITIATED)
    clock.advance(10)
    assert watcher.sink.roster == {"bo"}
    assert watcher.sink.known[old.participant.sid].state is ParticipantState.DISCONNECTED
    assert hidden.participant.sid not in watcher.sink.known
    assert room.view(Seat(room, "cy").participant).others == (watcher.participant.snapshot(),)


def test_a_hidden_session_in_the_place_of_a_listener_stays_unknown(clock: ManualClock) -> None:
    room = make_room(clock)
    watcher, _ = Seat(room, "bo"), Seat(room, "ada")
    clock.advance(3)
    hidden = Seat(room, "ada", Permissions(hidden=True))
    room.leave(hidden.participant, EndReason.CLIENT_INITIATED)
    clock.advance(3)
    assert watcher.sink.roster == {"bo"}
    assert hidden.participant.sid not in watcher.sink.known


def test_a_hidden_session_is_not_told_that_it_has_gone_itself(clock: ManualClock) -> None:
    room = make_room(clock)
    Seat(room, "ada")
    clock.advance(3)
    hidden, watcher = Seat(room, "ada", Permissions(hidden=True)), Seat(room, "bo")
    clock.advance(3)
    assert hidden.sink.roster == {"ada", "bo"}
    room.tell_again(hidden.participant)
    assert hidden.sink.roster == {"ada", "bo"}
    assert watcher.sink.roster == {"bo"}


def test_a_room_stays_open_for_somebody_alone_who_replaces_the_own_session(
    clock: ManualClock,
) -> None:
    room = make_room(clock, departure_timeout_s=5)
    Seat(room, "ada")
    Seat(room, "ada")
    clock.advance(60)
    assert not room.closed


def test_leaving_is_told_with_its_reason(clock: ManualClock) -> None:
    room = make_room(clock)
    watcher, other = Seat(room, "bo"), Seat(room, "ada")
    room.leave(other.participant, EndReason.CLIENT_INITIATED)
    clock.advance(3)
    gone = watcher.sink.known[other.participant.sid]
    assert (gone.state, gone.end_reason) == (
        ParticipantState.DISCONNECTED,
        EndReason.CLIENT_INITIATED,
    )


def test_hidden_participants_are_told_to_nobody_else(clock: ManualClock) -> None:
    room = make_room(clock)
    watcher = Seat(room, "bo")
    hidden = Seat(room, "recorder", Permissions(hidden=True))
    hidden.publish("TR_h")
    clock.advance(10)
    assert hidden.participant.sid not in watcher.sink.known
    assert watcher.sink.receiving == {}
    assert room.view(watcher.participant).others == ()
    assert hidden.sink.known[hidden.participant.sid].state is ParticipantState.ACTIVE
    assert room.snapshot().participants == 1


def test_a_publisher_decides_who_receives(clock: ManualClock) -> None:
    room = make_room(clock)
    publisher, bo, cy = Seat(room, "ada"), Seat(room, "bo"), Seat(room, "cy")
    publisher.publish("TR_1")
    only_cy = TrackPermission(participant_identity="cy", all_tracks=True)
    room.set_subscription_permission(
        publisher.participant, SubscriptionPermission(False, (only_cy,))
    )
    assert (bo.sink.receiving, list(cy.sink.receiving)) == ({}, ["TR_1"])
    assert bo.sink.allowed == [(publisher.participant.sid, "TR_1", False)]
    assert cy.sink.allowed == []
    late = Seat(room, "di")
    assert late.sink.receiving == {}
    room.set_subscription_permission(publisher.participant, SubscriptionPermission())
    assert list(bo.sink.receiving) == ["TR_1"]


def test_losing_the_right_to_publish_ends_tracks(clock: ManualClock) -> None:
    room = make_room(clock)
    publisher, watcher = Seat(room, "ada"), Seat(room, "bo")
    publisher.publish("TR_c", TrackSource.CAMERA)
    publisher.publish("TR_s", TrackSource.SCREEN_SHARE)
    camera_only = Permissions(can_publish_sources=frozenset({TrackSource.CAMERA}))
    room.set_permissions(publisher.participant, camera_only)
    assert list(watcher.sink.receiving) == ["TR_c"]
    assert publisher.sink.log[-1] == "credentials"
    told = watcher.sink.known[publisher.participant.sid].permissions
    assert told == camera_only


def test_somebody_who_may_not_subscribe_receives_nothing(clock: ManualClock) -> None:
    room = make_room(clock)
    Seat(room, "ada").publish("TR_1")
    assert Seat(room, "bo", Permissions(can_subscribe=False)).sink.receiving == {}


def test_speakers_are_told_to_those_who_hear_them(clock: ManualClock) -> None:
    room = make_room(clock)
    publisher, listener = Seat(room, "ada"), Seat(room, "bo")
    deaf = Seat(room, "cy", options=JoinOptions(auto_subscribe=False))
    publisher.publish("TR_1")
    room.hear({publisher.participant.sid: (0.5, 1.0)})
    for seat in (publisher, listener):
        assert [(one.participant_sid, one.active) for one in seat.sink.speakers] == [
            (publisher.participant.sid, True)
        ]
    assert deaf.sink.speakers == []
    clock.advance(2)
    assert listener.sink.speakers[-1].active is False
    assert len(listener.sink.speakers) == 2


def test_quality_is_told_to_those_whom_it_concerns(clock: ManualClock) -> None:
    room = make_room(clock)
    publisher, listener = Seat(room, "ada"), Seat(room, "bo")
    publisher.publish("TR_1")
    report = QualityReport(listener.participant.sid, ConnectionQuality.POOR, 2.0)
    room.report_quality((report,))
    assert listener.sink.qualities[0].reports == (report,)
    assert publisher.sink.qualities == []
    report = QualityReport(publisher.participant.sid, ConnectionQuality.POOR, 2.0)
    room.report_quality((report,))
    assert [seat.sink.qualities[-1].reports for seat in (publisher, listener)] == [(report,)] * 2


def test_the_qualities_of_many_listeners_cost_no_search_each(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = make_room(clock)
    seats = [Seat(room, f"p{number}") for number in range(50)]
    seats[0].publish("TR_1")
    hears, looks = Subscriptions.hears, 0

    def counted(subscriptions: Subscriptions, sid: str) -> bool:
        nonlocal looks
        looks += 1
        return hears(subscriptions, sid)

    monkeypatch.setattr(Subscriptions, "hears", counted)
    poor = [QualityReport(it.participant.sid, ConnectionQuality.POOR, 2.0) for it in seats]
    room.report_quality(tuple(poor))
    assert looks <= len(seats)
    for seat, own in zip(seats[1:], poor[1:], strict=True):
        assert {one for it in seat.sink.qualities for one in it.reports} == {poor[0], own}


def test_a_join_costs_the_tracks_and_not_the_members(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = make_room(clock)
    for number in range(5):
        Seat(room, f"speaker-{number}").publish(f"TR_{number}")
    for number in range(50):
        Seat(room, f"listener-{number}")
    clock.advance(10)
    looked, written = [], []
    reconsider, snapshot = Subscriptions.reconsider, Participant.changed

    def looks(subscriptions: Subscriptions, track: PublishedTrack) -> None:
        looked.append(track.sid)
        reconsider(subscriptions, track)

    def writes(participant: Participant) -> None:
        written.append(participant.identity)
        snapshot(participant)

    monkeypatch.setattr(Subscriptions, "reconsider", looks)
    monkeypatch.setattr(Participant, "changed", writes)
    Seat(room, "late")
    assert sorted(looked) == [f"TR_{number}" for number in range(5)]
    assert set(written) == {"late"}


def test_the_first_subscriber_is_told_once(clock: ManualClock) -> None:
    room = make_room(clock)
    publisher, first, second = Seat(room, "ada"), Seat(room, "bo"), Seat(room, "cy")
    track = publisher.publish("TR_1")
    room.track_bound(track, first.participant)
    room.track_bound(track, second.participant)
    assert publisher.sink.log.count("subscribed TR_1") == 1


def test_numbers_are_told_at_most_every_five_seconds(clock: ManualClock) -> None:
    room = make_room(clock)
    watcher = Seat(room, "ada")
    for number in range(20):
        Seat(room, f"p{number}")
        clock.advance(0.2)
    clock.advance(5)
    assert len(watcher.sink.rooms) == 1
    assert watcher.sink.rooms[0].room.participants == 21


def test_a_room_that_nobody_joins_closes_and_one_that_all_left_sooner(clock: ManualClock) -> None:
    unused = make_room(clock, empty_timeout_s=30)
    used = make_room(clock, empty_timeout_s=30, departure_timeout_s=5)
    seat = Seat(used, "ada")
    clock.advance(29)
    assert not unused.closed
    clock.advance(2)
    assert unused.closed
    assert not used.closed
    used.leave(seat.participant, EndReason.CLIENT_INITIATED)
    clock.advance(4)
    assert not used.closed
    clock.advance(2)
    assert used.closed
    with pytest.raises(RoomClosedError):
        used.join(Admission("bo", "hall"), JoinOptions(), RecordingSink())


def test_a_full_room_takes_only_those_who_come_back(clock: ManualClock) -> None:
    room = make_room(clock, max_participants=1)
    Seat(room, "ada")
    with pytest.raises(RoomFullError):
        Seat(room, "bo")
    Seat(room, "ada")
    assert room.size == 1


def tracks_of(room: Room) -> dict[str, PublishedTrack]:
    return {track.sid: track for track in room.list_tracks()}


def speaking_to(seat: Seat) -> set[str]:
    """Sids of those who speak, as the seat's client believes."""
    latest = {one.participant_sid: one.active for one in seat.sink.speakers}
    return {sid for sid, active in latest.items() if active}


IDENTITIES = ("ada", "bo", "cy", "di")


class RoomMachine(RuleBasedStateMachine):
    """Any order of joins, publications, wishes and departures keeps what clients rely on."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.room = make_room(self.clock, departure_timeout_s=10_000)
        self.seats: dict[str, Seat] = {}
        self.wishes: dict[tuple[str, str], bool] = {}
        self.serial = 0

    @rule(
        identity=st.sampled_from(IDENTITIES),
        automatic=st.booleans(),
        active=st.booleans(),
        hidden=st.sampled_from((False, False, True)),
    )
    def join(self, identity: str, automatic: bool, active: bool, hidden: bool) -> None:
        options = JoinOptions(auto_subscribe=automatic)
        rights = Permissions(hidden=hidden)
        self.seats[identity] = Seat(self.room, identity, rights, options=options, active=active)
        self.wishes = {key: wish for key, wish in self.wishes.items() if key[0] != identity}

    @precondition(lambda self: self.seats)
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        self.serial += 1
        seat = self.pick(data)
        if len(seat.participant.tracks) < limits.TRACKS_PER_PARTICIPANT_MAX:
            seat.publish(f"TR_{self.serial}", TrackSource.UNKNOWN)
        else:
            with pytest.raises(DeniedError):
                seat.publish(f"TR_{self.serial}", TrackSource.UNKNOWN)

    @precondition(lambda self: self.room.list_tracks())
    @rule(data=st.data())
    def unpublish(self, data: st.DataObject) -> None:
        track = data.draw(st.sampled_from(sorted(tracks_of(self.room))))
        owner = self.room.participant(self.room.find(track).publisher_sid)
        assert owner is not None
        self.room.unpublish(owner, track)
        self.wishes = {key: wish for key, wish in self.wishes.items() if key[1] != track}

    @precondition(lambda self: self.room.list_tracks())
    @rule(data=st.data(), subscribe=st.booleans())
    def wish(self, data: st.DataObject, subscribe: bool) -> None:
        seat = self.pick(data)
        track = data.draw(st.sampled_from(sorted(tracks_of(self.room))))
        self.room.request_subscription(seat.participant, [track], subscribe)
        self.wishes[seat.participant.identity, track] = subscribe

    @precondition(lambda self: self.seats)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        seat = self.pick(data)
        del self.seats[seat.participant.identity]
        gone = set(seat.participant.tracks)
        self.room.leave(seat.participant, EndReason.CLIENT_INITIATED)
        self.wishes = {
            key: wish
            for key, wish in self.wishes.items()
            if key[0] != seat.participant.identity and key[1] not in gone
        }

    @precondition(lambda self: self.seats)
    @rule(data=st.data())
    def speak(self, data: st.DataObject) -> None:
        self.room.hear({self.pick(data).participant.sid: (0.5, 1.0)})

    @rule(seconds=st.floats(0.01, 10))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def everybody_receives_exactly_what_is_wanted(self) -> None:
        for identity, seat in self.seats.items():
            wanted = {
                sid
                for sid, track in tracks_of(self.room).items()
                if track.publisher_identity != identity
                and self.wishes.get((identity, sid), seat.participant.subscriptions.automatic)
            }
            assert set(seat.sink.receiving) == wanted

    @invariant()
    def whoever_is_received_has_been_announced(self) -> None:
        for seat in self.seats.values():
            for sid in seat.sink.receiving:
                publisher = self.room.find(sid).publisher_sid
                assert sid in {info.sid for info in seat.sink.known[publisher].tracks}

    @invariant()
    def nobody_is_thought_to_speak_who_is_not_heard(self) -> None:
        for seat in self.seats.values():
            for sid in speaking_to(seat):
                assert sid == seat.participant.sid or seat.participant.subscriptions.hears(sid)

    def teardown(self) -> None:
        self.clock.advance(10)
        for seat in self.seats.values():
            assert speaking_to(seat) == set(), "all have been silent for long"
        for seat in self.seats.values():
            view = self.room.view(seat.participant)
            present = {one.identity for one in (view.participant, *view.others)}
            assert seat.sink.roster == present <= self.seats.keys()
        self.room.close(EndReason.ROOM_DELETED)
        assert self.clock.armed == 0, "a closed room leaves no timer behind"

    def pick(self, data: st.DataObject) -> Seat:
        return self.seats[data.draw(st.sampled_from(sorted(self.seats)))]


TestRoomMachine = RoomMachine.TestCase
TestRoomMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
