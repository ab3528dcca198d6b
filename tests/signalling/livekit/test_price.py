"""What one speaker of any kind makes each listener receive, in bytes, over half a minute.

The room is real, and so are the messages; time is moved by hand. A listener's offers are counted by
their size when they would be made. Whatever was held back is told in the end, and the first change
of anything is told at once.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from sfu import _core
from sfu.engine import Engine
from sfu.limits import (
    METADATA_BYTES_MAX,
    NEWCOMERS_BURST_BYTES,
    NEWCOMERS_BYTES_PER_S,
    OFFER_BYTES,
    OFFERS_TOGETHER_S,
    SECTION_BYTES,
)
from sfu.node import Node
from sfu.notices import ParticipantsChanged, RoomChanged
from sfu.permissions import SubscriptionPermission, TrackPermission
from sfu.room import Room
from sfu.track import PublishedTrack, Rendition, TrackCodec, TrackInfo, TrackPayload
from sfu.values import (
    CodecRole,
    EndReason,
    Permissions,
    SubscriptionSettings,
    TrackKind,
    TrackSource,
)
from signalling.livekit import outbound, topics
from tests.signalling.livekit.test_inbound import join
from tests.support.livekit_client import until
from tests.support.node import ManualClock, RecordingSink, Seat, make_room

SECONDS = 30
PER_SECOND = 100
LISTENERS = 4
LIMIT_BPS = 8_000
SPEAKER = Permissions(can_update_metadata=True)
LISTENER = Permissions(can_publish=False)


@dataclass
class Counting(RecordingSink):
    """Counts the bytes of what would go over the link."""

    clock: ManualClock = field(default_factory=ManualClock)
    bytes: int = 0
    _offer_due: float = float("-inf")

    def participants_changed(self, notice: ParticipantsChanged) -> None:
        super().participants_changed(notice)
        self.bytes += sum(map(len, topics.PARTICIPANTS.whole(notice)))

    def room_changed(self, notice: RoomChanged) -> None:
        super().room_changed(notice)
        self.bytes += sum(map(len, topics.ROOM.whole(notice)))

    def subscription_allowed(self, publisher_sid: str, track_sid: str, allowed: bool) -> None:
        super().subscription_allowed(publisher_sid, track_sid, allowed)
        encoded = outbound.subscription_permission_update(publisher_sid, track_sid, allowed)
        self.bytes += len(encoded)

    def track_wanted(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        super().track_wanted(track, settings)
        self._offer()

    def track_unwanted(self, track: PublishedTrack) -> None:
        super().track_unwanted(track)
        self._offer()

    def _offer(self) -> None:
        if self.clock.now >= self._offer_due:
            self._offer_due = self.clock.now + OFFERS_TOGETHER_S
            self.bytes += OFFER_BYTES
        self.bytes += SECTION_BYTES


class Hall:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.room: Room = make_room(self.clock)
        self.speaker = Seat(self.room, "mallory", SPEAKER)
        self.track = self.speaker.publish("TR_0")
        self.listeners = [self._listener(f"listener-{n}") for n in range(LISTENERS)]
        self.clock.advance(60)
        for sink in self.sinks:
            sink.bytes = 0

    def _listener(self, identity: str) -> Seat:
        return Seat(self.room, identity, LISTENER, sink=Counting(clock=self.clock))

    @property
    def sinks(self) -> Iterator[Counting]:
        for seat in self.listeners:
            assert isinstance(seat.sink, Counting)
            yield seat.sink

    def told(self) -> set[object]:
        """What listeners know of the speaker."""
        sid = self.speaker.participant.sid
        return {
            (one.name, one.metadata, one.attributes, one.tracks)
            for one in (sink.known[sid] for sink in self.sinks)
        }

    def truth(self) -> object:
        one = self.speaker.participant.snapshot()
        return (one.name, one.metadata, one.attributes, one.tracks)


def mute(hall: Hall, step: int) -> None:
    hall.room.set_muted(hall.speaker.participant, "TR_0", muted=step % 2 == 0)


def rename(hall: Hall, step: int) -> None:
    hall.room.update_own_properties(hall.speaker.participant, name=f"name {step}")


def metadata(hall: Hall, step: int) -> None:
    text = f"{step:05}" + "m" * (METADATA_BYTES_MAX - 5)
    hall.room.update_own_properties(hall.speaker.participant, metadata=text)


def attributes(hall: Hall, step: int) -> None:
    patch = {f"key-{step % 20}": str(step)}
    hall.room.update_own_properties(hall.speaker.participant, attributes=patch)


def resize(hall: Hall, step: int) -> None:
    info = replace(hall.speaker.participant.tracks["TR_0"].info, width=step + 1)
    hall.room.update_track(hall.speaker.participant, info)


def forbid(hall: Hall, step: int) -> None:
    rules = SubscriptionPermission(all_participants=step % 2 == 1)
    hall.room.set_subscription_permission(hall.speaker.participant, rules)


def take_turns(hall: Hall, step: int) -> None:
    """One half of the listeners may receive, then the other."""
    entries = tuple(
        TrackPermission(participant_identity=f"listener-{n}", all_tracks=True)
        for n in range(step % 2, LISTENERS, 2)
    )
    rules = SubscriptionPermission(False, entries)
    hall.room.set_subscription_permission(hall.speaker.participant, rules)


def publish(hall: Hall, step: int) -> None:
    if step % 2:
        hall.room.unpublish(hall.speaker.participant, f"TR_{step}")
    else:
        hall.speaker.publish(f"TR_{step + 1}")


def come_again(hall: Hall, step: int) -> None:
    """With all the texts that a token may carry, and a track."""
    if step % 20 == 0:
        text = f"{step:05}" + "m" * (METADATA_BYTES_MAX - 5)
        hall.speaker = Seat(hall.room, "mallory", SPEAKER, metadata=text)
        hall.track = hall.speaker.publish(f"TR_{step}")


def leave_and_come_again(hall: Hall, step: int) -> None:
    if step % 20 == 0:
        hall.room.leave(hall.speaker.participant, EndReason.CLIENT_INITIATED)
    come_again(hall, step)


def everything(hall: Hall, step: int) -> None:
    kinds = (mute, rename, metadata, attributes, resize, forbid, take_turns)
    kinds[step % len(kinds)](hall, step // len(kinds))
    publish(hall, step)


KINDS = (
    mute,
    rename,
    metadata,
    attributes,
    resize,
    forbid,
    take_turns,
    publish,
    come_again,
    leave_and_come_again,
    everything,
)


@pytest.mark.parametrize("kind", KINDS)
def test_no_listener_is_made_to_receive_more(kind: Callable[[Hall, int], None]) -> None:
    hall = Hall()
    for step in range(SECONDS * PER_SECOND):
        kind(hall, step)
        hall.clock.advance(1 / PER_SECOND)
    worst_bps = max(sink.bytes for sink in hall.sinks) * 8 / SECONDS
    assert worst_bps <= LIMIT_BPS
    hall.clock.advance(120)
    assert hall.told() == {hall.truth()}
    for seat, sink in zip(hall.listeners, hall.sinks, strict=True):
        allowed = {
            sid
            for sid in hall.speaker.participant.tracks
            if hall.speaker.participant.subscription_permission.allows(
                sid, sid=seat.participant.sid, identity=seat.participant.identity
            )
        }
        assert set(sink.receiving) == allowed


@pytest.mark.parametrize("kind", [mute, rename, attributes, resize])
def test_the_first_changes_are_told_at_once(kind: Callable[[Hall, int], None]) -> None:
    hall = Hall()
    for step in range(8):
        kind(hall, step)
        assert hall.told() == {hall.truth()}


def test_what_a_publisher_forbids_stops_at_once_and_always() -> None:
    hall = Hall()
    for step in range(100):
        forbid(hall, 1)
        forbid(hall, 0)
        assert all(sink.receiving == {} for sink in hall.sinks), step
        hall.clock.advance(0.2)


def test_four_tracks_that_come_with_a_join_are_there_at_once() -> None:
    room = make_room(ManualClock())
    listener, speaker = Seat(room, "bo"), Seat(room, "ada")
    for source in (TrackSource.CAMERA, TrackSource.SCREEN_SHARE) * 2:
        speaker.publish(f"TR_{len(speaker.participant.tracks)}", source)
    assert len(listener.sink.receiving) == 4


def test_a_change_reaches_the_one_who_makes_it_at_once() -> None:
    """Clients wait for their own new name, for five seconds."""
    hall = Hall()
    for step in itertools.islice(itertools.count(), 200):
        rename(hall, step)
        own = hall.speaker.sink.known[hall.speaker.participant.sid]
        assert own.name == f"name {step}"


async def test_an_offer_is_not_larger_than_its_price() -> None:
    with Engine(_core.Engine(udp_port=0)) as engine:
        node = Node(engine, asyncio.get_running_loop())
        speaker, _ = join(node, "ada")
        _, link = join(node, "bo")
        track = PublishedTrack(
            info=TrackInfo(
                "TR_VC23456789ABCD",
                TrackKind.VIDEO,
                TrackSource.CAMERA,
                codecs=(TrackCodec("video/VP8"),),
            ),
            publisher_sid=speaker.participant_sid,
            publisher_identity="ada",
            renditions={CodecRole.PRIMARY: Rendition(1, (TrackPayload(96, "vp8", 90_000),))},
        )
        # Before the listener's first offer is due, so that it carries the track.
        speaker.context.room.publish(speaker.context.participant, track)
        await until(lambda: link.messages[-1].WhichOneof("message") == "offer")
        sdp = link.messages[-1].offer.sdp
        assert track.sid in sdp
        assert len(sdp) <= OFFER_BYTES + SECTION_BYTES
        node.stop()


def test_newcomers_under_ever_new_names_are_bounded_together() -> None:
    hall, seconds = Hall(), 600
    for step in range(seconds * 5):
        guest = Seat(hall.room, f"guest-{step}", SPEAKER, metadata="m" * METADATA_BYTES_MAX)
        guest.publish(f"TR_guest_{step}")
        hall.clock.advance(0.2)
        hall.room.leave(guest.participant, EndReason.CLIENT_INITIATED)
    worst = max(sink.bytes for sink in hall.sinks)
    assert (worst - NEWCOMERS_BURST_BYTES) / seconds <= 2 * NEWCOMERS_BYTES_PER_S


def test_a_hundred_who_begin_a_conference_are_seen_at_once() -> None:
    clock = ManualClock()
    room = make_room(clock)
    listener = Seat(room, "bo")
    for number in range(100):
        speaker = Seat(room, f"speaker-{number}")
        speaker.publish(f"TR_{number}_camera")
        speaker.publish(f"TR_{number}_screen", TrackSource.SCREEN_SHARE)
        assert len(listener.sink.receiving) == 2 * (number + 1)
        clock.advance(0.1)


def test_a_speaker_who_comes_among_many_listeners_is_seen_at_once() -> None:
    clock = ManualClock()
    room = make_room(clock)
    first = Seat(room, "listener", LISTENER)
    for number in range(600):
        Seat(room, f"listener-{number}", LISTENER)
        clock.advance(0.05)
    Seat(room, "speaker").publish("TR_camera")
    assert set(first.sink.receiving) == {"TR_camera"}
