"""Two codecs of one track: who gets which, and what the publisher is told to send."""

import pytest

from sfu.codec_plan import RESTORE_AFTER_S, BackupCodecPolicy
from sfu.demand import NONE_AFTER_S
from sfu.track import PublishedTrack, Rendition, TrackPayload
from sfu.values import CodecRole, EndReason, SubscriptionSettings, VideoQuality
from tests.support.node import ManualClock, Seat, make_room

PRIMARY, BACKUP = CodecRole.PRIMARY, CodecRole.BACKUP
BOTH = frozenset({PRIMARY, BACKUP})
HIGH = VideoQuality.HIGH
SID = "TR_VCx"


class Call:
    """A publisher of VP9 with VP8 as its backup."""

    def __init__(self, policy: BackupCodecPolicy = BackupCodecPolicy.PREFER_REGRESSION) -> None:
        self.clock = ManualClock()
        self.room = make_room(self.clock)
        self.host = Seat(self.room, "host")
        self.track = self.host.publish(SID, codecs=("video/VP9", "video/VP8"), policy=policy)

    def view(self, name: str, *takes: CodecRole) -> Seat:
        """A viewer whose answer has come, and to whom what is there flows."""
        seat = Seat(self.room, name)
        seat.participant.subscriptions.codecs_accepted(self.track, frozenset(takes))
        self.flow(seat)
        return seat

    def flow(self, seat: Seat) -> None:
        """What was chosen flows, if the publisher sends it."""
        role = seat.sink.codecs[SID]
        if role in self.track.renditions:
            seat.participant.subscriptions.codec_flows(SID, role)

    def begin_backup(self) -> None:
        """The publisher does as it was told."""
        payloads = (TrackPayload(96, "vp8", 90_000),)
        self.room.add_backup(
            self.host.participant, self.track, Rendition(2, payloads), self.track.info
        )

    @property
    def told(self) -> tuple[object, ...]:
        """What the publisher should send of the primary codec and the backup."""
        return self.host.sink.demands[-1][1:]


def test_everybody_falls_back_while_somebody_needs_the_backup() -> None:
    call = Call()
    able = call.view("able", *BOTH)
    assert able.sink.codecs == {SID: PRIMARY}
    assert call.host.sink.demands == [], "a publisher that has been told nothing sends the primary"
    old = call.view("old", BACKUP)
    assert call.told == (HIGH, HIGH), "what flows must not stop before the backup is there"
    assert able.sink.codecs == old.sink.codecs == {SID: BACKUP}
    call.begin_backup()
    call.flow(old)
    assert call.told == (HIGH, HIGH)
    call.flow(able)
    assert call.told == (None, HIGH), "nobody is left on the primary"

    late = call.view("late", *BOTH)
    assert late.sink.codecs == {SID: BACKUP}
    assert call.told == (None, HIGH)

    call.room.leave(old.participant, EndReason.CLIENT_INITIATED)
    call.clock.advance(RESTORE_AFTER_S - 1)
    assert able.sink.codecs == {SID: BACKUP}, "it may come back"
    call.clock.advance(2)
    assert able.sink.codecs == late.sink.codecs == {SID: PRIMARY}
    assert call.told == (HIGH, HIGH)
    call.flow(able)
    call.flow(late)
    assert call.told == (HIGH, None)


def test_somebody_who_needs_it_again_in_time_changes_nothing() -> None:
    call = Call()
    able, old = call.view("able", *BOTH), call.view("old", BACKUP)
    call.begin_backup()
    call.room.leave(old.participant, EndReason.CLIENT_INITIATED)
    call.clock.advance(RESTORE_AFTER_S - 1)
    call.view("old", BACKUP)
    call.clock.advance(60)
    assert able.sink.codecs == {SID: BACKUP}
    call.room.unpublish(call.host.participant, SID)
    assert call.track.plan is None
    call.clock.advance(60)
    timers = call.clock.armed
    assert timers == 0, "no timer of the track is left"


def test_with_simulcast_each_gets_the_best_that_it_can_take() -> None:
    call = Call(BackupCodecPolicy.SIMULCAST)
    able, old = call.view("able", *BOTH), call.view("old", BACKUP)
    call.begin_backup()
    call.flow(old)
    assert (able.sink.codecs, old.sink.codecs) == ({SID: PRIMARY}, {SID: BACKUP})
    assert call.told == (HIGH, HIGH)
    low = SubscriptionSettings(quality=VideoQuality.LOW)
    old.participant.subscriptions.set_settings(SID, low)
    call.room.request_subscription(able.participant, [SID], False)
    call.clock.advance(NONE_AFTER_S + 1)
    assert call.told == (None, HIGH), "qualities are counted by codec; there is no ladder"
    call.room.leave(old.participant, EndReason.CLIENT_INITIATED)
    call.clock.advance(NONE_AFTER_S + 1)
    assert call.told == (None, None)


@pytest.mark.parametrize(
    ("policy", "gets", "told"),
    [
        (BackupCodecPolicy.PREFER_REGRESSION, (PRIMARY, PRIMARY, BACKUP), (HIGH, HIGH)),
        (BackupCodecPolicy.REGRESSION, (None, BACKUP, BACKUP), (None, HIGH)),
    ],
)
def test_somebody_who_cannot_take_the_backup(
    policy: BackupCodecPolicy,
    gets: tuple[CodecRole | None, ...],
    told: tuple[VideoQuality | None, ...],
) -> None:
    call = Call(policy)
    odd, able = call.view("odd", PRIMARY), call.view("able", *BOTH)
    old = call.view("old", BACKUP)
    call.begin_backup()
    for seat in (able, old):
        call.flow(seat)
    assert tuple(seat.sink.codecs[SID] for seat in (odd, able, old)) == gets
    assert call.told == told
    call.room.leave(old.participant, EndReason.CLIENT_INITIATED)
    call.clock.advance(RESTORE_AFTER_S + 1)
    assert [seat.sink.codecs[SID] for seat in (odd, able)] == [PRIMARY, PRIMARY]


def test_somebody_who_can_take_neither_is_not_counted() -> None:
    call = Call()
    nobody = call.view("nobody")
    assert nobody.sink.codecs == {SID: None}
    assert call.told == (None, None)


def test_a_backup_that_ends_leaves_the_primary() -> None:
    call = Call()
    able, old = call.view("able", *BOTH), call.view("old", BACKUP)
    call.begin_backup()
    call.flow(able)
    call.flow(old)
    call.room.drop_backup(call.host.participant, call.track)
    assert (able.sink.codecs, old.sink.codecs) == ({SID: PRIMARY}, {SID: None})
    assert call.track.demand is not None
    assert (call.told[0], call.track.demand.wanted(BACKUP)) == (HIGH, None)
    assert len(call.track.info.codecs) == 1
    late = call.view("late", BACKUP)
    assert late.sink.codecs == {SID: None}


def test_a_track_of_one_codec_has_no_plan() -> None:
    clock = ManualClock()
    room = make_room(clock)
    host, viewer = Seat(room, "host"), Seat(room, "viewer")
    track: PublishedTrack = host.publish(SID)
    viewer.participant.subscriptions.codecs_accepted(track, frozenset({PRIMARY}))
    assert (track.plan, viewer.sink.codecs) == (None, {SID: PRIMARY})
    viewer.participant.subscriptions.codecs_accepted(track, frozenset())
    clock.advance(NONE_AFTER_S + 1)
    assert host.sink.demands[-1] == (SID, None), "a client that cannot decode it wants nothing"
