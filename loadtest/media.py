"""Real media, encoded once before a run: VP8 and H.264 pictures, Opus speech-like sound.

Pictures are a moving pattern with grain, so that encoders spend the bitrate they are given; sound
is a voice-like tone with pauses and tells its level, as speakers' microphones do.
"""

import fractions
from dataclasses import dataclass
from typing import Any

from loadtest.errors import LoadTestError
from loadtest.scenario import Media, VideoLayer

CLIP_S = 3
_VIDEO_RATE_HZ, _AUDIO_RATE_HZ = 90_000, 48_000
_SILENT_DBOV = 127
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "vp8": (
        "libvpx",
        {
            "deadline": "realtime",
            "cpu-used": "12",
            "lag-in-frames": "0",
            "auto-alt-ref": "0",
            "error-resilient": "1",
        },
    ),
    "h264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}),
}


@dataclass(frozen=True, slots=True)
class Clip:
    """The arguments of `Swarm.add_clip`."""

    codec: Any
    clock_rate_hz: int
    duration_ticks: int
    frames: list[tuple[int, int, bytes]]

    @property
    def bitrate_bps(self) -> float:
        """Of the payload."""
        size = sum(len(data) for _, _, data in self.frames)
        return size * 8 * self.clock_rate_hz / self.duration_ticks


def clips(media: Media) -> list[Clip]:
    """One clip for each encoding of a track, lowest layer first. Raises LoadTestError."""
    try:
        if media.is_video:
            return [_video(media, layer) for layer in media.layers]
        return [_audio(media)]
    except ImportError as error:
        raise LoadTestError(
            f"encoding test media needs the package {error.name!r}: "
            "install the dependency group 'loadtest' (uv sync --group loadtest)"
        ) from None


def _video(media: Media, layer: VideoLayer) -> Clip:
    import av
    import numpy as np

    name, options = _ENCODERS[media.codec]
    count = CLIP_S * media.fps
    context: Any = av.CodecContext.create(name, "w")
    context.width, context.height, context.pix_fmt = layer.width, layer.height, "yuv420p"
    context.time_base = fractions.Fraction(1, media.fps)
    context.framerate = fractions.Fraction(media.fps)
    context.bit_rate = layer.bitrate_bps
    context.gop_size = count + 1  # key frames come when they are asked for
    context.options = options | _constant_rate(media.codec, layer.bitrate_bps)
    # Threads of libvpx spin while they wait for each other.
    context.thread_count = 1
    planes = _Planes(np, layer)
    packets = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(planes.at(number), format="yuv420p")
        frame.pts = number
        packets += context.encode(frame)
    packets += context.encode(None)
    ticks = _VIDEO_RATE_HZ // media.fps
    frames = [(p.pts * ticks, 0, bytes(p)) for p in packets]
    return Clip(media.codec, _VIDEO_RATE_HZ, count * ticks, frames)


def _constant_rate(codec: str, bitrate_bps: int) -> dict[str, str]:
    """As in a call: frames of about one size, key frames not much larger than a dozen of them."""
    if codec != "vp8":
        return {}
    rate, buffer = str(bitrate_bps), str(2 * bitrate_bps)
    return {"minrate": rate, "maxrate": rate, "bufsize": buffer, "max-intra-rate": "1500"}


class _Planes:
    """A diagonal gradient that moves, with grain that moves another way, in planes Y, U, V."""

    def __init__(self, np: Any, layer: VideoLayer) -> None:
        self._layer = layer
        width, height = 2 * layer.width, layer.height
        rows = np.arange(height)[:, None] * 120 // height
        columns = np.arange(width)[None, :] * 120 // layer.width % 120
        self._gradient = (20 + rows + columns).astype(np.uint8)
        chance = np.random.default_rng(1)
        self._grain = chance.integers(0, 16, (height, width), dtype=np.uint8)
        self._planes = np.full((height * 3 // 2, layer.width), 128, np.uint8)

    def at(self, number: int) -> Any:
        width, height = self._layer.width, self._layer.height
        one, other = number * 4 % width, -number * 2 % width
        luma = self._gradient[:, one : one + width] + self._grain[:, other : other + width]
        self._planes[:height] = luma
        return self._planes


def _audio(media: Media) -> Clip:
    import av
    import numpy as np

    samples = _AUDIO_RATE_HZ * media.frame_ms // 1_000
    count = 2 * CLIP_S * 1_000 // media.frame_ms
    context: Any = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.format, context.layout = _AUDIO_RATE_HZ, "s16", "mono"
    context.bit_rate = media.bitrate_bps
    context.options = {
        "application": "voip",
        "frame_duration": str(media.frame_ms),
        "vbr": "constrained",
    }
    frames, levels = [], []
    for number in range(count):
        spoken = (number * media.frame_ms % 3_000) < 3_000 * media.talk_share
        sound = _voice(np, number * samples, samples) if spoken else np.zeros(samples)
        levels.append(_level(np, sound))
        frame = av.AudioFrame.from_ndarray(
            sound.astype(np.int16).reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = _AUDIO_RATE_HZ, number * samples
        frames += [bytes(packet) for packet in context.encode(frame)]
    frames += [bytes(packet) for packet in context.encode(None)]
    # The encoder's delay may give one packet more than there were frames.
    timed = [(n * samples, levels[n], data) for n, data in enumerate(frames[:count])]
    return Clip("opus", _AUDIO_RATE_HZ, count * samples, timed)


def _voice(np: Any, start: int, samples: int) -> Any:
    """Harmonics of a wandering pitch under a syllable-like envelope."""
    time_s = (start + np.arange(samples)) / _AUDIO_RATE_HZ
    phase = 2 * np.pi * (140 * time_s + 3 * np.sin(2 * np.pi * 0.7 * time_s))
    tones = sum(np.sin(k * phase) / k for k in range(1, 12))
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time_s)
    return 6_000 * tones * envelope


def _level(np: Any, sound: Any) -> int:
    """In -dBov (RFC 6464): 0 is as loud as can be."""
    power = float(np.mean(sound**2))
    if power < 1:
        return _SILENT_DBOV
    return int(min(_SILENT_DBOV, max(0, round(-10 * np.log10(power / 32_768**2)))))
