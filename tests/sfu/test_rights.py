"""Rights are asked at the room's door, whoever comes to it."""

import pytest

from sfu import limits
from sfu.rights import Denial, DeniedError
from sfu.room import Room
from sfu.track import TrackInfo
from sfu.values import EndReason, Permissions, TrackKind, TrackSource
from tests.support.node import ManualClock, Seat, make_room

pytestmark = pytest.mark.usefixtures("no_logged_fault")

AUDIO, VIDEO = TrackKind.AUDIO, TrackKind.VIDEO
CAMERA, MICROPHONE, UNKNOWN = TrackSource.CAMERA, TrackSource.MICROPHONE, TrackSource.UNKNOWN


@pytest.fixture
def room() -> Room:
    return make_room(ManualClock())


def denial(room: Room, seat: Seat, kind: TrackKind, source: TrackSource) -> Denial | None:
    try:
        room.check_publish(seat.participant, kind, source)
    except DeniedError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("source", "kind", "allowed"),
    [
        (MICROPHONE, AUDIO, True),
        (MICROPHONE, VIDEO, False),
        (CAMERA, VIDEO, False),
        (UNKNOWN, AUDIO, False),
    ],
)
def test_a_right_to_a_microphone_is_none_to_a_picture(
    room: Room, source: TrackSource, kind: TrackKind, allowed: bool
) -> None:
    seat = Seat(room, "ada", Permissions().limited_to([MICROPHONE]))
    assert denial(room, seat, kind, source) == (None if allowed else Denial.NOT_ALLOWED)


def test_a_source_that_is_not_known_grants_nothing(room: Room) -> None:
    for named in ([None], [UNKNOWN], [None, UNKNOWN]):
        assert not Permissions().limited_to(named).can_publish
    some = Permissions().limited_to([None, CAMERA])
    assert some.can_publish_sources == {CAMERA}
    assert Permissions().limited_to([]) == Permissions()
    assert not Permissions(can_publish=False).limited_to([CAMERA]).can_publish


def test_without_a_list_of_sources_a_client_may_call_its_tracks_what_it_likes(room: Room) -> None:
    assert denial(room, Seat(room, "ada"), VIDEO, MICROPHONE) is None


def test_who_lost_the_right_after_announcing_publishes_nothing(room: Room) -> None:
    seat, watcher = Seat(room, "ada"), Seat(room, "bo")
    room.check_publish(seat.participant, VIDEO, CAMERA)
    room.set_permissions(seat.participant, Permissions(can_publish=False))
    with pytest.raises(DeniedError):
        seat.publish("TR_1")
    assert (watcher.sink.receiving, room.list_tracks()) == ({}, ())


def test_who_has_left_publishes_nothing_that_would_stay(room: Room) -> None:
    seat, watcher = Seat(room, "ada"), Seat(room, "bo")
    room.leave(seat.participant, EndReason.SIGNAL_CLOSE)
    with pytest.raises(DeniedError):
        seat.publish("TR_1")
    assert (watcher.sink.receiving, room.list_tracks()) == ({}, ())


def test_a_source_has_a_few_tracks_and_a_participant_not_many_more(room: Room) -> None:
    seat = Seat(room, "ada")
    for number in range(limits.TRACKS_PER_SOURCE_MAX):
        seat.publish(f"TR_c{number}", CAMERA)
    assert denial(room, seat, VIDEO, CAMERA) is Denial.LIMIT_EXCEEDED
    assert denial(room, seat, AUDIO, MICROPHONE) is None
    for number in range(limits.TRACKS_PER_PARTICIPANT_MAX - limits.TRACKS_PER_SOURCE_MAX):
        seat.publish(f"TR_u{number}", UNKNOWN)
    assert denial(room, seat, AUDIO, MICROPHONE) is Denial.LIMIT_EXCEEDED
    room.unpublish(seat.participant, "TR_c0")
    assert denial(room, seat, VIDEO, CAMERA) is None


def test_what_comes_with_the_same_offer_counts(room: Room) -> None:
    seat = Seat(room, "ada")
    coming = [TrackInfo(f"TR_{n}", VIDEO, CAMERA) for n in range(limits.TRACKS_PER_SOURCE_MAX)]
    room.check_publish(seat.participant, VIDEO, CAMERA, coming[1:])
    with pytest.raises(DeniedError):
        room.check_publish(seat.participant, VIDEO, CAMERA, coming)


def test_properties_are_ones_own_to_change_only_with_the_right(room: Room) -> None:
    mute, free = Seat(room, "ada"), Seat(room, "bo", Permissions(can_update_metadata=True))
    with pytest.raises(DeniedError) as error:
        room.update_own_properties(mute.participant, name="Ada")
    assert error.value.reason is Denial.NOT_ALLOWED
    room.update_own_properties(free.participant, name="Bo", attributes={"a": "1", "b": "2"})
    room.update_own_properties(free.participant, attributes={"a": ""})
    assert free.participant.name == "Bo"
    assert free.participant.attributes == {"b": "2"}


def test_what_is_too_large_changes_nothing_at_all(room: Room) -> None:
    seat = Seat(room, "ada", Permissions(can_update_metadata=True))
    before = seat.participant.snapshot()
    for change in (
        {"name": "é" * limits.NAME_BYTES_MAX},
        {"name": "fine", "metadata": "m" * (limits.METADATA_BYTES_MAX + 1)},
        {"name": "fine", "attributes": {"k": "v" * limits.ATTRIBUTES_BYTES_MAX}},
    ):
        with pytest.raises(DeniedError) as error:
            room.update_own_properties(seat.participant, **change)  # type: ignore[arg-type]
        assert error.value.reason is Denial.LIMIT_EXCEEDED
    assert seat.participant.snapshot() is before


def test_the_right_to_send_data_follows_the_permissions(room: Room) -> None:
    seat = Seat(room, "ada")
    assert room.may_send_data(seat.participant)
    room.set_permissions(seat.participant, Permissions(can_publish_data=False))
    assert not room.may_send_data(seat.participant)
