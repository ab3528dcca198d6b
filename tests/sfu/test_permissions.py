"""A publisher's rules: who may receive what, and whom a change of them concerns."""

from collections.abc import Iterable

import pytest

from sfu import limits
from sfu.permissions import Affected, SubscriptionPermission, TrackPermission
from sfu.subscriptions import Subscriptions
from sfu.track import PublishedTrack
from sfu.values import EndReason
from tests.support.node import ManualClock, Seat, make_room

pytestmark = pytest.mark.usefixtures("no_logged_fault")


def only(*entries: TrackPermission) -> SubscriptionPermission:
    return SubscriptionPermission(all_participants=False, entries=entries)


def identities(names: Iterable[str]) -> SubscriptionPermission:
    return only(*(TrackPermission(participant_identity=it, all_tracks=True) for it in names))


@pytest.fixture
def reconsidered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sids of the tracks that anybody's subscriptions look at."""
    looks: list[str] = []
    reconsider = Subscriptions.reconsider

    def counted(subscriptions: Subscriptions, track: PublishedTrack) -> None:
        looks.append(track.sid)
        reconsider(subscriptions, track)

    monkeypatch.setattr(Subscriptions, "reconsider", counted)
    return looks


def test_entries_name_a_session_or_an_identity() -> None:
    rules = only(
        TrackPermission(participant_sid="PA_1", track_sids=frozenset({"TR_1"})),
        TrackPermission(participant_identity="bo", all_tracks=True),
        TrackPermission(participant_sid="PA_1", track_sids=frozenset({"TR_2"})),
    )
    assert rules.allows("TR_1", sid="PA_1", identity="ada")
    assert rules.allows("TR_2", sid="PA_1", identity="ada")
    assert not rules.allows("TR_3", sid="PA_1", identity="ada")
    assert rules.allows("TR_3", sid="PA_9", identity="bo")
    assert not rules.allows("TR_1", sid="PA_9", identity="PA_1")
    assert not rules.allows("TR_1", sid="PA_9", identity="")


def test_a_change_concerns_those_whose_entries_differ() -> None:
    before, after = identities(["ada", "bo"]), identities(["bo", "cy"])
    assert after.changes(before) == Affected(identities=frozenset({"ada", "cy"}))
    assert after.changes(after) == Affected()
    assert after.changes(SubscriptionPermission()) == Affected(everybody=True)
    assert SubscriptionPermission(entries=after.entries).changes(SubscriptionPermission()) == (
        Affected()
    )


def test_a_list_of_strangers_costs_the_members_nothing(reconsidered: list[str]) -> None:
    room = make_room(ManualClock())
    publisher = Seat(room, "ada")
    publisher.publish("TR_1")
    for number in range(50):
        Seat(room, f"listener-{number}")
    room.set_subscription_permission(publisher.participant, identities(["listener-0"]))
    reconsidered.clear()
    strangers = [f"nobody-{n}" for n in range(limits.PERMISSION_ENTRIES_MAX - 2)]
    rules = identities(["listener-0", "listener-7", *strangers])
    room.set_subscription_permission(publisher.participant, rules)
    assert reconsidered == ["TR_1"], "for listener-7 alone"
    room.set_subscription_permission(publisher.participant, identities(["listener-7", *strangers]))
    assert reconsidered == ["TR_1"] * 2


def test_those_who_come_late_are_told_that_they_may_not_receive() -> None:
    room = make_room(ManualClock())
    publisher, early = Seat(room, "ada"), Seat(room, "bo")
    room.set_subscription_permission(publisher.participant, identities([]))
    publisher.publish("TR_1")
    late = Seat(room, "cy")
    for seat in (early, late):
        assert seat.sink.allowed == [(publisher.participant.sid, "TR_1", False)]
        assert seat.sink.receiving == {}
    room.set_subscription_permission(publisher.participant, identities(["cy"]))
    assert late.sink.allowed[-1] == (publisher.participant.sid, "TR_1", True)
    assert list(late.sink.receiving) == ["TR_1"]
    assert len(early.sink.allowed) == 1


def test_a_new_session_of_somebody_refused_is_told_again() -> None:
    room = make_room(ManualClock())
    publisher, old = Seat(room, "ada"), Seat(room, "bo")
    publisher.publish("TR_1")
    room.set_subscription_permission(publisher.participant, identities([]))
    room.leave(old.participant, EndReason.CLIENT_INITIATED)
    assert Seat(room, "bo").sink.allowed == [(publisher.participant.sid, "TR_1", False)]
