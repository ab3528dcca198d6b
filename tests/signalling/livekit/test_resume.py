"""What a client may do after it has come back, and what is known of the rights it has."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sfu.values import Permissions, TrackSource
from signalling.grants import Claims, Grants
from signalling.livekit.context import Context
from signalling.livekit.credentials import ARRIVED_AFTER_S, Credentials
from signalling.livekit.resume import narrowed, narrowed_grants
from tests.support.node import ManualClock

SPEAKER = Permissions(can_publish=True, can_update_metadata=True)
LISTENER = Permissions(can_publish=False, can_publish_data=False)
MICROPHONE = Permissions(can_publish_sources=frozenset({TrackSource.MICROPHONE}))


@pytest.mark.parametrize(
    ("current", "known", "token", "allowed"),
    [
        (SPEAKER, SPEAKER, SPEAKER, set(TrackSource)),
        (SPEAKER, SPEAKER, LISTENER, set()),
        (SPEAKER, LISTENER, LISTENER, set(TrackSource)),
        (LISTENER, SPEAKER, SPEAKER, set()),
        (SPEAKER, SPEAKER, MICROPHONE, {TrackSource.MICROPHONE}),
        (MICROPHONE, SPEAKER, SPEAKER, {TrackSource.MICROPHONE}),
        (MICROPHONE, MICROPHONE, LISTENER, set()),
    ],
)
def test_sources_that_may_be_published_after_a_resume(
    current: Permissions, known: Permissions, token: Permissions, allowed: set[TrackSource]
) -> None:
    left = narrowed(current, known, token)
    assert left.sources == allowed


@pytest.mark.parametrize("right", ["can_subscribe", "can_publish_data", "can_update_metadata"])
def test_each_right_is_lost_with_the_token_and_given_by_none(right: str) -> None:
    has = replace(SPEAKER, **cast("Any", {right: True}))
    lacks = replace(SPEAKER, **cast("Any", {right: False}))
    assert not getattr(narrowed(has, has, lacks), right)
    assert not getattr(narrowed(lacks, has, has), right)
    assert getattr(narrowed(has, lacks, lacks), right)
    assert getattr(narrowed(has, has, has), right)


def test_what_others_know_of_somebody_is_not_changed_by_a_token() -> None:
    hidden = replace(SPEAKER, hidden=True, agent=True)
    left = narrowed(hidden, hidden, SPEAKER)
    assert (left.hidden, left.agent) == (True, True)
    assert not narrowed(SPEAKER, SPEAKER, hidden).hidden


def test_a_refreshed_token_has_no_grant_that_only_one_of_the_two_had() -> None:
    admin = Grants(room="r", room_join=True, room_admin=True, room_create=True)
    assert not narrowed_grants(admin, Grants(room="r", room_join=True)).room_admin
    assert not narrowed_grants(Grants(room="r", room_join=True), admin).room_create
    assert narrowed_grants(admin, admin).room_admin


class Wire:
    """A context whose latest state is written when a test says so."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.participant = SimpleNamespace(
            permissions=LISTENER, name="", metadata="", attributes={}
        )
        self.waiting: Callable[[], bytes] | None = None

    def latest(self, _key: Hashable, encode: Callable[[], bytes]) -> None:
        self.waiting = encode

    def write(self) -> None:
        assert self.waiting is not None
        self.waiting()


def test_a_right_is_known_when_its_token_must_have_arrived() -> None:
    wire = Wire()
    claims = Claims("ada", Grants(room="r", room_join=True))
    credentials = Credentials(cast("Context", wire), claims, lambda claims: claims.identity)
    wire.participant.permissions = SPEAKER
    credentials.push()
    wire.clock.advance(60)
    credentials.heard()
    assert credentials.known == LISTENER, "not written yet"
    wire.write()
    wire.clock.advance(ARRIVED_AFTER_S / 2)
    credentials.heard()
    assert credentials.known == LISTENER, "it may have been sent before the token arrived"
    wire.clock.advance(ARRIVED_AFTER_S)
    credentials.heard()
    assert credentials.known == SPEAKER
    credentials.close()
    assert wire.clock.armed == 0
