"""Which simulcast layer a subscriber gets for what its screen asks."""

import pytest

from sfu.track import (
    PublishedTrack,
    TrackInfo,
    VideoLayer,
    wanted_layer,
    wanted_temporal_layer,
)
from sfu.values import SubscriptionSettings, TrackKind, TrackSource, VideoQuality

LOW, MEDIUM, HIGH = VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH
LADDER = (VideoLayer(LOW, 320, 180), VideoLayer(MEDIUM, 640, 360), VideoLayer(HIGH, 1280, 720))


@pytest.mark.parametrize(
    ("layers", "quality", "layer"),
    [
        (LADDER, LOW, 0),
        (LADDER, MEDIUM, 1),
        (LADDER, HIGH, 2),
        (LADDER[:2], HIGH, 1),
        (LADDER[:2], MEDIUM, 1),
        ((LADDER[0], LADDER[2]), MEDIUM, 0),
        ((LADDER[2],), LOW, 0),
        (LADDER[::-1], LOW, 0),
        ((), HIGH, 2),
    ],
)
def test_quality_picks_the_highest_step_not_above_it(
    layers: tuple[VideoLayer, ...], quality: VideoQuality, layer: int
) -> None:
    assert wanted_layer(layers, SubscriptionSettings(quality=quality)) == layer


@pytest.mark.parametrize(
    ("width", "height", "layer"),
    [(100, 60, 0), (320, 180, 0), (321, 180, 1), (640, 400, 2), (1920, 1080, 2)],
)
def test_a_size_picks_the_smallest_layer_that_covers_it(
    width: int, height: int, layer: int
) -> None:
    wanted = SubscriptionSettings(quality=LOW, width=width, height=height)
    assert wanted_layer(LADDER, wanted) == layer


def test_quality_decides_where_no_sizes_were_announced() -> None:
    unsized = (VideoLayer(LOW), VideoLayer(HIGH))
    assert wanted_layer(unsized, SubscriptionSettings(quality=LOW, width=999, height=999)) == 0


@pytest.mark.parametrize(
    ("source", "fps", "highest"),
    [
        (TrackSource.CAMERA, 0, 255),
        (TrackSource.CAMERA, 30, 255),
        (TrackSource.CAMERA, 16, 255),
        (TrackSource.CAMERA, 15, 1),
        (TrackSource.CAMERA, 8, 1),
        (TrackSource.CAMERA, 7, 0),
        (TrackSource.SCREEN_SHARE, 15, 255),
        (TrackSource.SCREEN_SHARE, 7, 1),
        (TrackSource.SCREEN_SHARE, 1, 0),
    ],
)
def test_half_the_frame_rate_leaves_out_the_top_temporal_layer(
    source: TrackSource, fps: int, highest: int
) -> None:
    assert wanted_temporal_layer(source, SubscriptionSettings(fps=fps)) == highest


@pytest.mark.parametrize(
    ("source", "asked", "priority"),
    [
        (TrackSource.CAMERA, 0, 1),
        (TrackSource.SCREEN_SHARE, 0, 255),
        (TrackSource.SCREEN_SHARE, 7, 7),
        (TrackSource.CAMERA, 1_000, 255),
    ],
)
def test_screens_come_first_unless_the_client_says_otherwise(
    source: TrackSource, asked: int, priority: int
) -> None:
    info = TrackInfo("TR_a", TrackKind.VIDEO, source)
    track = PublishedTrack(info, "PA_a", "ada", 1, 1, ())
    assert track.engine_priority(SubscriptionSettings(priority=asked)) == priority
