"""How fast one participant makes others receive something: a budget, and what waits for it."""

import itertools
from collections.abc import Callable

import pytest

from sfu.limits import (
    OFFER_BYTES,
    OFFERS_TOGETHER_S,
    PACE_BURST_BYTES,
    PACE_BYTES_PER_S,
    PACES_KEPT_MAX,
    SECTION_BYTES,
)
from sfu.pace import Pace, Paces, Welcome
from tests.support.node import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def note(done: list[str], text: str) -> Callable[[], None]:
    return lambda: done.append(text)


def test_what_fits_is_done_at_once(clock: ManualClock) -> None:
    pace, done = Pace(clock, Welcome(clock)), []
    for number in range(10):
        pace.do("told", lambda: PACE_BURST_BYTES // 10, note(done, str(number)))
    assert done == [str(number) for number in range(10)]
    assert clock.armed == 0


def test_of_what_waits_only_the_latest_is_done_when_there_is_budget(clock: ManualClock) -> None:
    pace, done = Pace(clock, Welcome(clock)), []
    pace.spend(PACE_BURST_BYTES)
    for number in range(100):
        pace.do("told", lambda: 1_000, note(done, str(number)))
    clock.advance(1_000 / PACE_BYTES_PER_S - 0.1)
    assert done == []
    clock.advance(0.2)
    assert done == ["99"]
    clock.advance(60)
    assert done == ["99"]
    assert clock.armed == 0


def test_what_costs_more_than_fits_needs_the_whole_budget(clock: ManualClock) -> None:
    pace, done = Pace(clock, Welcome(clock)), []
    pace.do("told", lambda: 3 * PACE_BURST_BYTES, note(done, "first"))
    assert done == ["first"]
    pace.do("told", lambda: 3 * PACE_BURST_BYTES, note(done, "second"))
    full_again_s = 3 * PACE_BURST_BYTES / PACE_BYTES_PER_S
    clock.advance(full_again_s - 1)
    assert done == ["first"]
    clock.advance(2)
    assert done == ["first", "second"]


def test_different_things_wait_beside_each_other_and_can_be_withdrawn(clock: ManualClock) -> None:
    pace, done = Pace(clock, Welcome(clock)), []
    pace.spend(PACE_BURST_BYTES)
    for key in ("a", "b", "c"):
        pace.do(key, lambda: 500, note(done, key))
    pace.withdraw("b")
    clock.advance(60)
    assert done == ["a", "c"]


def test_what_costs_nothing_never_waits_for_budget(clock: ManualClock) -> None:
    pace, done = Pace(clock, Welcome(clock)), []
    pace.spend(10 * PACE_BURST_BYTES)
    pace.do("free", lambda: 0, note(done, "free"))
    assert done == ["free"]


def test_an_interval_holds_whoever_asks_all_the_time(clock: ManualClock) -> None:
    pace, times = Pace(clock, Welcome(clock)), []
    for _ in range(100):
        pace.do("rules", lambda: 0, lambda: times.append(clock.now), every_s=0.5)
        clock.advance(0.05)
    assert len(times) == 10
    assert min(after - before for before, after in itertools.pairwise(times)) >= 0.5


def test_an_action_may_ask_again(clock: ManualClock) -> None:
    pace, done = Pace(clock, Welcome(clock)), []
    pace.spend(PACE_BURST_BYTES)

    def again() -> None:
        done.append("once")
        pace.do("told", lambda: 500, note(done, "again"))

    pace.do("told", lambda: 500, again)
    clock.advance(1.1)
    assert done == ["once"]
    clock.advance(1.1)
    assert done == ["once", "again"]


def test_tracks_that_come_together_come_in_one_offer(clock: ManualClock) -> None:
    pace = Pace(clock, Welcome(clock))
    assert pace.offer_bytes(1) == OFFER_BYTES + SECTION_BYTES
    pace.offers()
    assert pace.offer_bytes(2) == 2 * SECTION_BYTES
    clock.advance(OFFERS_TOGETHER_S + 0.01)
    assert pace.offer_bytes(1) == OFFER_BYTES + SECTION_BYTES


def test_nothing_is_done_for_somebody_who_has_gone(clock: ManualClock) -> None:
    pace, done = Pace(clock, Welcome(clock)), []
    pace.spend(PACE_BURST_BYTES)
    pace.do("told", lambda: 500, note(done, "late"))
    pace.close()
    clock.advance(60)
    assert done == []
    assert clock.armed == 0


def test_who_comes_back_goes_on_with_what_was_left(clock: ManualClock) -> None:
    paces = Paces(clock)
    pace = paces.take("ada")
    pace.spend(PACE_BURST_BYTES)
    paces.leave("ada", pace)
    assert not paces.take("ada").affords(1)
    assert paces.take("bo").affords(PACE_BURST_BYTES)


def test_budgets_of_those_who_left_are_kept_until_they_are_full_or_too_many(
    clock: ManualClock,
) -> None:
    paces = Paces(clock)
    for number in range(PACES_KEPT_MAX + 5):
        pace = paces.take(f"guest-{number}")
        pace.spend(1)
        paces.leave(f"guest-{number}", pace)
    assert len(paces) == PACES_KEPT_MAX
    clock.advance(1)
    paces.leave("ada", paces.take("ada"))
    assert len(paces) == 1
