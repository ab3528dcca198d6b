"""A small LiveKit client for tests: signalling over a WebSocket, media by aiortc.

`SignalClient` only speaks the protocol and remembers what came. `MediaClient` adds the two peer
connections: it answers the server's offers, publishes aiortc tracks and counts what it receives.
"""

import asyncio
import contextlib
import fractions
import gc
import json
import time
import warnings
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame
from livekit.protocol import models, rtc

TIMEOUT_S = 10.0
RATE_HZ, FRAME_SAMPLES = 48_000, 960


class SignalClosedError(Exception):
    """The server has closed the WebSocket."""


class SignalClient:
    """One WebSocket. `received` holds every response in order of arrival."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.received: list[rtc.SignalResponse] = []
        self.text_frames = 0
        self.handlers: dict[str, Callable[[Any], Any]] = {}
        self.participants: dict[str, models.ParticipantInfo] = {}
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, url: str, token: str, **query: object) -> AsyncIterator["SignalClient"]:
        """Connects to `url` ("ws://host:port"). Raises aiohttp.WSServerHandshakeError."""
        options = {"access_token": token, "protocol": 17, "sdk": "python", **query}
        async with aiohttp.ClientSession() as session:
            address = f"{url}/rtc?{urlencode(options)}"
            socket = await session.ws_connect(address, max_msg_size=0)
            client = cls(socket)
            try:
                yield client
            finally:
                client._reader.cancel()
                await socket.close()
                await asyncio.gather(client._reader, return_exceptions=True)

    async def send(self, **case: Any) -> None:
        """Sends one request, such as `mute=rtc.MuteTrackRequest(...)`."""
        await self.socket.send_bytes(rtc.SignalRequest(**case).SerializeToString())

    async def leave(self) -> None:
        await self.send(leave=rtc.LeaveRequest(reason=models.CLIENT_INITIATED))

    def all(self, case: str) -> list[Any]:
        """Everything of this case that has come so far."""
        return [getattr(r, case) for r in self.received if r.WhichOneof("message") == case]

    async def expect(
        self,
        case: str,
        wanted: Callable[[Any], bool] = lambda _: True,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """The first response of this case that fits, past or to come."""

        def found() -> Any:
            return next((message for message in self.all(case) if wanted(message)), None)

        async with asyncio.timeout(timeout_s), self._news:
            while (message := found()) is None:
                if self._reader.done():
                    raise SignalClosedError(f"no {case}; close code {self.socket.close_code}")
                await self._news.wait()
        return message

    async def expect_participant(
        self,
        identity: str,
        wanted: Callable[[models.ParticipantInfo], bool] = lambda _: True,
        timeout_s: float = TIMEOUT_S,
    ) -> models.ParticipantInfo:
        """Waits until the latest state of a participant fits."""

        def found() -> models.ParticipantInfo | None:
            known = reversed(self.participants.values())
            return next((one for one in known if one.identity == identity and wanted(one)), None)

        async with asyncio.timeout(timeout_s), self._news:
            while (participant := found()) is None:
                await self._news.wait()
        return participant

    async def closed(self, timeout_s: float = TIMEOUT_S) -> int | None:
        """Waits for the server to close the socket; returns the close code."""
        async with asyncio.timeout(timeout_s):
            await asyncio.wait([self._reader])
        return self.socket.close_code

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.text_frames += 1
                if message.type is aiohttp.WSMsgType.BINARY:
                    await self._take(rtc.SignalResponse.FromString(message.data))
        finally:
            async with self._news:
                self._news.notify_all()

    async def _take(self, response: rtc.SignalResponse) -> None:
        case = response.WhichOneof("message")
        assert case is not None, "an empty or unknown response"
        if case == "join":
            self._remember([response.join.participant, *response.join.other_participants])
        if case == "update":
            self._remember(response.update.participants)
        async with self._news:
            self.received.append(response)
            self._news.notify_all()
        if case in self.handlers:
            result = self.handlers[case](getattr(response, case))
            if asyncio.iscoroutine(result):
                await result

    def _remember(self, participants: Any) -> None:
        for one in participants:
            known = self.participants.get(one.sid)
            if known is None or known.version <= one.version:
                self.participants[one.sid] = one


def _connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


@dataclass
class ReceivedTrack:
    """What has come of one subscribed track."""

    sid: str
    kind: str
    frames: int = 0
    size: tuple[int, int] = (0, 0)
    peak: int = 0


@dataclass
class MediaClient:
    """`signal` with both peer connections. Made by `MediaClient.connect`."""

    signal: SignalClient
    subscriber: RTCPeerConnection = field(default_factory=_connection)
    publisher: RTCPeerConnection = field(default_factory=_connection)
    tracks: dict[str, ReceivedTrack] = field(default_factory=dict)
    data: list[tuple[str, models.DataPacket]] = field(default_factory=list)
    channels: dict[str, RTCDataChannel] = field(default_factory=dict)
    """Opened here, to send on, by label."""
    listening: set[str] = field(default_factory=set)
    """Labels of the channels that the server has opened, to receive on."""
    _offer_id: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, url: str, token: str, **query: object) -> AsyncIterator["MediaClient"]:
        async with SignalClient.connect(url, token, **query) as signal:
            client = cls(signal)
            client._listen()
            signal.handlers["offer"] = client._answer
            try:
                await signal.expect("join")
                yield client
            finally:
                for task in client._tasks:
                    task.cancel()
                await asyncio.gather(*client._tasks, return_exceptions=True)
                await client.subscriber.close()
                await client.publisher.close()
                _forget_sockets()

    @property
    def sid(self) -> str:
        sid: str = self.signal.all("join")[0].participant.sid
        return sid

    async def connected(self) -> None:
        """Waits until the subscriber connection is up, with its data channels."""
        await until(lambda: self.subscriber.connectionState == "connected")
        await until(lambda: {"_reliable", "_lossy"} <= self.listening)

    async def publish(
        self, track: MediaStreamTrack, source: int, **announced: Any
    ) -> models.TrackInfo:
        """Announces and sends a track; returns what the server made of it."""
        audio = track.kind == "audio"
        await self.signal.send(
            add_track=rtc.AddTrackRequest(
                cid=track.id,
                name=track.kind,
                type=models.AUDIO if audio else models.VIDEO,
                source=source,
                **announced,
            )
        )
        published = await self.signal.expect("track_published", lambda r: r.cid == track.id)
        self.publisher.addTrack(track)
        await self.negotiate()
        return published.track

    async def unpublish(self, track: MediaStreamTrack) -> None:
        """Stops sending a track, as clients do: by a new offer without it."""
        for transceiver in self.publisher.getTransceivers():
            if transceiver.sender.track is track:
                transceiver.sender.replaceTrack(None)
                transceiver.direction = "inactive"
        await self.negotiate()

    async def open_channels(self) -> None:
        """Opens the two data channels on the publisher connection."""
        self.channels["_reliable"] = self.publisher.createDataChannel("_reliable")
        self.channels["_lossy"] = self.publisher.createDataChannel(
            "_lossy", ordered=False, maxRetransmits=0
        )
        await self.negotiate()
        await until(lambda: all(c.readyState == "open" for c in self.channels.values()))

    def send_data(self, payload: bytes, *, reliable: bool = True, **packet: Any) -> None:
        """Sends a user packet."""
        message = models.DataPacket(user=models.UserPacket(payload=payload), **packet)
        label = "_reliable" if reliable else "_lossy"
        self.channels[label].send(message.SerializeToString())

    async def negotiate(self) -> None:
        """Offers on the publisher connection and applies the answer."""
        await _settled(self.publisher)
        await self.publisher.setLocalDescription(await self.publisher.createOffer())
        self._offer_id += 1
        description = self.publisher.localDescription
        await self.signal.send(
            offer=rtc.SessionDescription(type="offer", sdp=description.sdp, id=self._offer_id)
        )
        answer = await self.signal.expect("answer", lambda a: a.id == self._offer_id)
        await self.publisher.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))

    async def received(self, sid: str, frames: int = 1, timeout_s: float = TIMEOUT_S) -> None:
        """Waits until so many frames of a track have been decoded."""
        await until(lambda: sid in self.tracks and self.tracks[sid].frames >= frames, timeout_s)

    def _listen(self) -> None:
        @self.subscriber.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            received = ReceivedTrack(track.id, track.kind)
            self.tracks[track.id] = received
            self._tasks.append(asyncio.create_task(_count(track, received)))

        @self.subscriber.on("datachannel")
        def on_channel(channel: RTCDataChannel) -> None:
            self.listening.add(channel.label)

            @channel.on("message")
            def on_message(message: bytes) -> None:
                self.data.append((channel.label, models.DataPacket.FromString(message)))

    async def _answer(self, offer: rtc.SessionDescription) -> None:
        await _settled(self.subscriber)
        await self.subscriber.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await self.subscriber.setLocalDescription(await self.subscriber.createAnswer())
        sdp = self.subscriber.localDescription.sdp
        await self.signal.send(answer=rtc.SessionDescription(type="answer", sdp=sdp, id=offer.id))
        candidate = json.dumps({"candidate": "", "sdpMid": "0", "sdpMLineIndex": 0})
        await self.signal.send(
            trickle=rtc.TrickleRequest(candidateInit=candidate, target=rtc.SUBSCRIBER)
        )


def _forget_sockets() -> None:
    """aiortc leaves sockets open that it gathered for sections which were bundled later."""
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


async def _settled(connection: RTCPeerConnection) -> None:
    """aiortc never starts what a second description adds while the first one still connects."""
    transports = {t.receiver.transport for t in connection.getTransceivers() if t.currentDirection}
    if connection.sctp is not None and connection.sctp.mid is not None:
        transports.add(connection.sctp.transport)
    await until(lambda: all(t.state not in {"new", "connecting"} for t in transports))


class Tone(MediaStreamTrack):
    """A sine at 440 Hz."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._position = 0
        self._started = time.monotonic()

    async def recv(self) -> AudioFrame:
        due = self._started + self._position / RATE_HZ
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        time_s = (self._position + np.arange(FRAME_SAMPLES)) / RATE_HZ
        samples = (np.sin(2 * np.pi * 440 * time_s) * 10_000).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        frame.pts = self._position
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        self._position += FRAME_SAMPLES
        return frame


class Picture(MediaStreamTrack):
    """A moving gradient at 15 frames a second."""

    kind = "video"

    def __init__(self, width: int = 320, height: int = 180) -> None:
        super().__init__()
        self._size = width, height
        self._count = 0
        self._started = time.monotonic()

    async def recv(self) -> VideoFrame:
        await asyncio.sleep(max(0.0, self._started + self._count / 15 - time.monotonic()))
        width, height = self._size
        row = ((np.arange(width) + self._count * 8) % 256).astype(np.uint8)
        picture = np.repeat(np.tile(row, (height, 1))[:, :, None], 3, axis=2)
        frame = VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = self._count * 6000
        frame.time_base = fractions.Fraction(1, 90_000)
        self._count += 1
        return frame


async def until(condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
    """Waits for something to become true."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for belongs to others
            await asyncio.sleep(0.02)


async def _count(track: MediaStreamTrack, received: ReceivedTrack) -> None:
    with contextlib.suppress(MediaStreamError):
        while True:
            frame = await track.recv()
            received.frames += 1
            if isinstance(frame, VideoFrame):
                received.size = (frame.width, frame.height)
            elif isinstance(frame, AudioFrame):
                samples = frame.to_ndarray().astype(np.int32)
                received.peak = max(received.peak, int(np.abs(samples).max()))
