"""Test media: what encoders make of it begins with a key frame and tells its loudness."""

from loadtest import media
from loadtest.scenario import Media, VideoLayer
from loadtest.swarm import Swarm

LAYER = VideoLayer(160, 90, 100_000)


def test_every_codec_gives_a_clip_that_the_swarm_takes() -> None:
    swarm = Swarm()
    try:
        for codec in ("vp8", "h264"):
            (clip,) = media.clips(Media("m", codec, "camera", (LAYER,), fps=10))
            assert len(clip.frames) == 10 * media.CLIP_S
            assert len(clip.frames[0][2]) > len(clip.frames[1][2])
            assert 50_000 < clip.bitrate_bps < 200_000
            swarm.add_clip(clip.codec, clip.clock_rate_hz, clip.duration_ticks, clip.frames)
    finally:
        swarm.stop()


def test_a_talker_pauses_and_silence_is_told_as_such() -> None:
    (clip,) = media.clips(Media("m", "opus", "microphone", talk_share=0.5, frame_ms=60))
    silent = [level for _, level, _ in clip.frames if level == 127]
    assert len(silent) == len(clip.frames) / 2
    assert all(5 < level < 30 for _, level, _ in clip.frames if level != 127)
    assert [timestamp for timestamp, _, _ in clip.frames[:3]] == [0, 2_880, 5_760]
