"""Dynacast: a publisher sends what somebody watches, and nothing else."""

from sfu.demand import LOWER_AFTER_S, NONE_AFTER_S, TrackDemand
from sfu.track import TrackCodec, TrackInfo, VideoLayer
from sfu.values import EndReason, SubscriptionSettings, TrackKind, TrackSource, VideoQuality
from tests.support.node import ManualClock, Seat, make_room

LOW, MEDIUM, HIGH = VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH


def test_a_higher_wish_is_told_at_once_and_a_lower_one_when_it_lasts() -> None:
    clock = ManualClock()
    told: list[VideoQuality | None] = []
    demand = TrackDemand(clock, lambda demands: told.extend(demands.values()))
    demand.change(None, LOW)
    clock.advance(LOWER_AFTER_S + NONE_AFTER_S)
    assert told == [LOW]
    demand.change(None, HIGH)
    assert told == [LOW, HIGH]
    demand.change(HIGH, MEDIUM)
    clock.advance(LOWER_AFTER_S - 0.1)
    assert told == [LOW, HIGH]
    clock.advance(0.2)
    assert told == [LOW, HIGH, MEDIUM]


def test_a_viewer_who_returns_in_time_costs_nothing() -> None:
    clock = ManualClock()
    told: list[VideoQuality | None] = []
    demand = TrackDemand(clock, lambda demands: told.extend(demands.values()))
    demand.change(None, HIGH)
    demand.change(HIGH, None)
    clock.advance(NONE_AFTER_S - 1)
    demand.change(None, HIGH)
    clock.advance(60)
    assert told == []


def test_a_track_that_nobody_watches_is_stopped_and_leaves_no_timer() -> None:
    clock = ManualClock()
    room = make_room(clock)
    host = Seat(room, "host")
    track = host.publish("TR_VCx")
    clock.advance(NONE_AFTER_S + 0.1)
    assert host.sink.demands == [("TR_VCx", None)]
    viewer = Seat(room, "viewer")
    assert host.sink.demands[-1] == ("TR_VCx", HIGH)
    viewer.participant.subscriptions.set_settings("TR_VCx", SubscriptionSettings(disabled=True))
    clock.advance(NONE_AFTER_S + 0.1)
    assert host.sink.demands[-1] == ("TR_VCx", None)
    room.unpublish(host.participant, "TR_VCx")
    assert track.demand is None


def test_unmuting_repeats_what_is_wanted() -> None:
    clock = ManualClock()
    room = make_room(clock)
    host, _viewer = Seat(room, "host"), Seat(room, "viewer")
    host.publish("TR_VCx")
    room.set_muted(host.participant, "TR_VCx", muted=True)
    room.set_muted(host.participant, "TR_VCx", muted=False)
    assert host.sink.demands == [("TR_VCx", HIGH)]


def test_a_leaving_viewer_wants_nothing_any_more() -> None:
    clock = ManualClock()
    room = make_room(clock)
    host, viewer = Seat(room, "host"), Seat(room, "viewer")
    track = host.publish("TR_VCx")
    assert track.demand is not None
    assert track.demand.wanted() is HIGH
    room.leave(viewer.participant, EndReason.CLIENT_INITIATED)
    assert track.demand.wanted() is None


def test_sizes_are_translated_by_the_ladder() -> None:
    layers = tuple(
        VideoLayer(quality, width, height)
        for quality, width, height in ((LOW, 320, 180), (MEDIUM, 640, 360), (HIGH, 1280, 720))
    )
    room = make_room(ManualClock())
    track = Seat(room, "host").publish("TR_VCx")
    track.info = TrackInfo(
        "TR_VCx",
        TrackKind.VIDEO,
        TrackSource.CAMERA,
        codecs=(TrackCodec("video/VP8", layers=layers),),
    )
    assert track.quality_for(SubscriptionSettings(width=300, height=160)) is LOW
    assert track.quality_for(SubscriptionSettings(width=600, height=300)) is MEDIUM
    assert track.quality_for(SubscriptionSettings(width=2000, height=900)) is HIGH
    assert track.quality_for(SubscriptionSettings(disabled=True)) is None
