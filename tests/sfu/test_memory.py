"""When memory is given back, and what is let go of before."""

import gc
import sys

from sfu.memory import FEW, MemoryKeeper, release, settle


def releases(*counts: int) -> list[int]:
    """At which of the looks memory was released."""
    at: list[int] = []
    keeper = MemoryKeeper(lambda: at.append(look))
    for look, connections in enumerate(counts):  # noqa: B007 - read by the keeper's callback
        keeper.grown(connections)
        keeper.look(connections)
    return at


def test_a_look_after_half_have_left() -> None:
    assert releases(100, 60, 51, 50, 50, 50) == [4]


def test_once_more_for_each_half() -> None:
    assert releases(100, 40, 30, 15, 0, 0, 0) == [2, 4]
    assert releases(100, 0, 0, 0, 100, 0, 0) == [2, 6]


def test_after_a_crowd_that_no_look_has_seen() -> None:
    releases: list[bool] = []
    keeper = MemoryKeeper(lambda: releases.append(True))
    keeper.grown(100)
    keeper.look(0)
    keeper.look(0)
    assert releases == [True]


def test_not_for_a_few() -> None:
    assert releases(FEW - 1, 0, 0, 0) == []


def test_not_while_they_come_and_go() -> None:
    assert releases(*(100, 70, 90, 60) * 10) == []


def test_the_interpreter_lets_go_of_names_that_were_looked_up_once() -> None:
    name = "-".join(("made", "for", "one", "look-up"))
    references = sys.getrefcount(name)
    assert getattr(MemoryKeeper(), name, None) is None
    release()
    assert sys.getrefcount(name) == references


def test_what_is_there_at_the_start_is_not_looked_through_again() -> None:
    try:
        settle()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < gc.get_freeze_count()
    finally:
        gc.unfreeze()
