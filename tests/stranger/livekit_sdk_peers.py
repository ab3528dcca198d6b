"""Two participants of the LiveKit Python SDK in one room; prints what each received, as JSON.

A program of its own, because the SDK's native threads would outlive a test inside pytest.
Usage: livekit_sdk_peers.py WS_URL TOKEN_A TOKEN_B
"""

import asyncio
import dataclasses
import json
import sys
from dataclasses import dataclass, field

import numpy as np
from livekit import rtc

TIMEOUT_S = 25
VIDEO_FRAMES, AUDIO_FRAMES = 100, 200
WIDTH, HEIGHT = 640, 360
SAMPLE_RATE_HZ, AUDIO_FRAME_SAMPLES = 48_000, 480


@dataclass
class Received:
    """What one participant got from the other."""

    video_frames: int = 0
    video_size: tuple[int, int] = (0, 0)
    audio_frames: int = 0
    audio_peak: int = 0
    data: list[str] = field(default_factory=list)
    participants: list[str] = field(default_factory=list)

    def is_complete(self) -> bool:
        return (
            self.video_frames >= VIDEO_FRAMES
            and self.audio_frames >= AUDIO_FRAMES
            and self.audio_peak > 0
            and len(self.data) == 2
        )


class Peer:
    """Publishes a moving picture and a tone, counts what arrives."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.received = Received()
        self.tasks: list[asyncio.Task[None]] = []
        self.room.on("track_subscribed", self._on_track)
        self.room.on("data_received", self._on_data)
        self.room.on(
            "participant_connected", lambda p: self.received.participants.append(p.identity)
        )

    async def start(self, url: str, token: str) -> None:
        await self.room.connect(url, token)
        self.received.participants += list(self.room.remote_participants)
        video, audio = rtc.VideoSource(WIDTH, HEIGHT), rtc.AudioSource(SAMPLE_RATE_HZ, 1)
        publish = self.room.local_participant.publish_track
        camera, microphone = rtc.TrackSource.SOURCE_CAMERA, rtc.TrackSource.SOURCE_MICROPHONE
        await publish(
            rtc.LocalVideoTrack.create_video_track("camera", video),
            rtc.TrackPublishOptions(source=camera),
        )
        await publish(
            rtc.LocalAudioTrack.create_audio_track("microphone", audio),
            rtc.TrackPublishOptions(source=microphone),
        )
        self.tasks += [
            asyncio.create_task(send_picture(video)),
            asyncio.create_task(send_tone(audio)),
        ]

    async def say(self, text: str) -> None:
        for reliable in (True, False):
            kind = "reliable" if reliable else "lossy"
            await self.room.local_participant.publish_data(f"{kind} {text}", reliable=reliable)

    def _on_track(self, track: rtc.Track, *_: object) -> None:
        count = self._count_video if track.kind == rtc.TrackKind.KIND_VIDEO else self._count_audio
        self.tasks.append(asyncio.create_task(count(track)))

    async def _count_video(self, track: rtc.Track) -> None:
        async for event in rtc.VideoStream(track):
            self.received.video_frames += 1
            self.received.video_size = (event.frame.width, event.frame.height)

    async def _count_audio(self, track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track):
            self.received.audio_frames += 1
            samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.int32)
            self.received.audio_peak = max(self.received.audio_peak, int(np.abs(samples).max()))

    def _on_data(self, packet: rtc.DataPacket) -> None:
        assert packet.participant is not None
        self.received.data.append(f"{packet.participant.identity}: {packet.data.decode()}")

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.room.disconnect()


async def send_picture(source: rtc.VideoSource) -> None:
    picture = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
    shift = 0
    while True:
        shift += 4
        picture[:, :, 0] = (np.arange(WIDTH) + shift) % 256
        picture[:, :, 1] = 128
        frame = rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.RGBA, picture.tobytes())
        source.capture_frame(frame)
        await asyncio.sleep(1 / 20)


async def send_tone(source: rtc.AudioSource) -> None:
    position = 0
    while True:
        time_s = (position + np.arange(AUDIO_FRAME_SAMPLES)) / SAMPLE_RATE_HZ
        tone = (np.sin(2 * np.pi * 440 * time_s) * 8000).astype(np.int16)
        position += AUDIO_FRAME_SAMPLES
        frame = rtc.AudioFrame(tone.tobytes(), SAMPLE_RATE_HZ, 1, AUDIO_FRAME_SAMPLES)
        await source.capture_frame(frame)


async def main(url: str, token_a: str, token_b: str) -> None:
    peers = [Peer(), Peer()]
    for peer, token in zip(peers, (token_a, token_b), strict=True):
        await peer.start(url, token)
    for peer in peers:
        await peer.say("hello")
    deadline = asyncio.get_running_loop().time() + TIMEOUT_S
    while not all(peer.received.is_complete() for peer in peers):
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.1)
    print(json.dumps([dataclasses.asdict(peer.received) for peer in peers]))
    for peer in peers:
        await peer.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
