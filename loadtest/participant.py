"""One participant: signalling in Python, media in the swarm.

A session is a reader that reacts to what the server says. It offers once, with all tracks, and
answers every offer of the server; the swarm does the rest.
"""

import asyncio
import ipaddress
import json
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import aiohttp
from livekit.protocol import models, rtc

from loadtest import description
from loadtest.description import ReceivedTrack, SentEncoding, SentTrack
from loadtest.errors import LoadTestError
from loadtest.scenario import Group, Media
from loadtest.signal import JOIN_TIMEOUT_S, Signal
from loadtest.swarm import Swarm, TransportInfo, new_ssrc
from signalling.sdp import SdpError

_SOURCES = {
    "camera": models.CAMERA,
    "microphone": models.MICROPHONE,
    "screen_share": models.SCREEN_SHARE,
}
LARGE, SMALL = (1280, 720), (320, 180)


class State(Enum):
    """A participant's life."""

    NEW = auto()
    JOINING = auto()
    READY = auto()
    LEFT = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Environment:
    """What all participants of a run share. `clips` are numbers of the swarm by media name."""

    session: aiohttp.ClientSession
    base: str
    swarm: Swarm
    fingerprint: str
    media: Mapping[str, Media]
    clips: Mapping[str, Sequence[int]]


@dataclass(slots=True)
class _Stream:
    number: int
    track: ReceivedTrack


@dataclass(slots=True, eq=False)
class Participant:
    """Times are those of `time.monotonic()`."""

    environment: Environment
    identity: str
    group: Group
    state: State = State.NEW
    failure: str = ""
    started_at: float = 0.0
    joined_at: float | None = None
    """When the server's first message came."""
    pauses: int = 0
    """How often the server said that a stream is paused for want of bandwidth."""
    subscriber: TransportInfo | None = None
    publisher: TransportInfo | None = None
    _signal: Signal | None = None
    _reader: asyncio.Task[None] | None = None
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _streams: dict[str, _Stream] = field(default_factory=dict)
    _next_stream: int = 0
    _sent: list[SentTrack] = field(default_factory=list)
    _waits_for: set[str] = field(default_factory=set)
    _sids: dict[str, int] = field(default_factory=dict)
    """Which of `_sent` a published track's sid stands for."""
    _has_answer: bool = False
    _seen_offer: bool = False

    async def join(self, token: str) -> None:
        """Connects and negotiates. Raises LoadTestError if that fails."""
        self.state, self.started_at = State.JOINING, time.monotonic()
        env = self.environment
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                self._signal = await Signal.connect(
                    env.session, env.base, token, auto_subscribe=self.group.subscribe
                )
                self._reader = asyncio.create_task(self._read(self._signal))
                ready = asyncio.create_task(self._ready.wait())
                await asyncio.wait({self._reader, ready}, return_when=asyncio.FIRST_COMPLETED)
                ready.cancel()
        except TimeoutError:
            self._fail("did not join in time")
        except LoadTestError as error:
            self._fail(str(error))
        if self.state is not State.READY:
            self._fail("the server closed the session while it was joined")
            raise LoadTestError(f"{self.identity}: {self.failure}")

    def _fail(self, reason: str) -> None:
        if self.state is not State.FAILED:
            self.state, self.failure = State.FAILED, reason

    async def leave(self) -> None:
        """Says goodbye and closes the transports. What was measured stays in the swarm."""
        if self.state is State.READY:
            self.state = State.LEFT
        if self._signal is not None:
            await self._signal.send(leave=rtc.LeaveRequest(reason=models.CLIENT_INITIATED))
            await self._signal.close()
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        for info in (self.publisher, self.subscriber):
            if info is not None:
                self.environment.swarm.close_transport(info.transport_id)

    async def ping(self) -> None:
        """A client's sign of life, every few seconds."""
        if self._signal is not None and self.state is State.READY:
            now_ms = int(time.time() * 1_000)
            await self._signal.send(ping_req=rtc.Ping(timestamp=now_ms))

    async def change_layout(self, chance: random.Random) -> None:
        """Shows other videos than before: one large, some small, the others not at all."""
        layout = self.group.layout
        videos = [s for s in self._streams.values() if s.track.kind == "video"]
        if layout is None or self._signal is None or self.subscriber is None:
            return
        chance.shuffle(videos)
        for place, stream in enumerate(videos):
            is_shown = place < layout.shown
            width, height = LARGE if place == 0 else SMALL
            settings = rtc.UpdateTrackSettings(
                track_sids=[stream.track.track_sid],
                disabled=not is_shown,
                width=width if is_shown else 0,
                height=height if is_shown else 0,
            )
            transport = self.subscriber.transport_id
            self.environment.swarm.set_watched(transport, stream.number, is_shown)
            await self._signal.send(track_setting=settings)

    # --- what the server says --------------------------------------------------------------

    async def _read(self, signal: Signal) -> None:
        try:
            async for case, message in signal.messages():
                await self._react(signal, case, message)
                if case == "leave":
                    return
        except SdpError as error:
            self._fail(f"the server's description cannot be used: {error}")
        except OSError as error:
            self._fail(f"no socket for another peer: {error.strerror}")
        if self.state is State.READY:
            self._fail("the server closed the session")

    async def _react(self, signal: Signal, case: str, message: Any) -> None:
        if case == "join":
            self.joined_at = time.monotonic()
            await self._announce(signal)
        elif case == "track_published":
            await self._published(signal, message)
        elif case == "offer":
            await self._answer(signal, message)
        elif case == "answer":
            self._apply_answer(message)
        elif case == "trickle":
            self._add_candidate(message)
        elif case == "subscribed_quality_update":
            self._follow_demand(message)
        elif case == "stream_state_update":
            states = message.stream_states
            self.pauses += sum(state.state == rtc.PAUSED for state in states)
        elif case == "leave":
            self._fail(f"the server sent the participant away (reason {int(message.reason)})")
        self._check_ready()

    def _check_ready(self) -> None:
        if self.state is State.JOINING and self.joined_at is not None:
            published = not self.group.publish or self._has_answer
            if published and (self._seen_offer or not self.group.subscribe):
                self.state = State.READY
                self._ready.set()

    # --- publishing ------------------------------------------------------------------------

    async def _announce(self, signal: Signal) -> None:
        for index, name in enumerate(self.group.publish):
            media = self.environment.media[name]
            cid = f"{self.identity}-{name}"
            encodings = tuple(
                SentEncoding(rid, new_ssrc(), new_ssrc() if media.is_video else None)
                for rid in (media.rids or (None,))
            )
            self._sent.append(SentTrack(str(index), cid, media.codec, encodings))
            self._waits_for.add(cid)
            await signal.send(add_track=_add_track(media, cid))

    async def _published(self, signal: Signal, message: Any) -> None:
        self._waits_for.discard(message.cid)
        for index, track in enumerate(self._sent):
            if track.cid == message.cid:
                self._sids[message.track.sid] = index
        if self._waits_for or self.publisher is not None:
            return
        env = self.environment
        self.publisher = env.swarm.open_transport(data_channels=False)
        text = description.offer(self._sent, self.publisher, env.fingerprint, 1)
        await signal.send(offer=rtc.SessionDescription(type="offer", sdp=text, id=1))

    def _apply_answer(self, message: Any) -> None:
        if self.publisher is None or self._has_answer:
            return
        answered = description.read_answer(message.sdp)
        env, number = self.environment, self.publisher.transport_id
        env.swarm.set_extensions(number, answered.extensions, remb=False)
        # Talkers of one clip must not all speak and pause together.
        offset_ms = random.Random(self.identity).randrange(6_000)  # noqa: S311
        for index, (name, track) in enumerate(zip(self.group.publish, self._sent, strict=True)):
            codec = answered.codecs.get(track.mid)
            if codec is None:
                self._fail(f"the server does not take {track.codec}")
                return
            encodings = [
                (clip, e.rid, e.ssrc, e.rtx_ssrc)
                for clip, e in zip(env.clips[name], track.encodings, strict=True)
            ]
            env.swarm.send(
                number,
                index,
                mid=track.mid,
                codec=codec,
                encodings=encodings,
                offset_ms=offset_ms,
            )
        self._set_remote(self.publisher, answered.remote)
        self._has_answer = True

    def _follow_demand(self, message: Any) -> None:
        """Dynacast: encodings that nobody watches are not sent."""
        index = self._sids.get(message.track_sid)
        if index is None or self.publisher is None:
            return
        codec = self._sent[index].codec
        lists = [c.qualities for c in message.subscribed_codecs if c.codec.lower() == codec]
        enabled = [q.enabled for q in (lists[0] if lists else message.subscribed_qualities)]
        encodings = len(self._sent[index].encodings)
        for number in range(encodings):
            active = any(enabled) if encodings == 1 else number < len(enabled) and enabled[number]
            self.environment.swarm.set_encoding_active(
                self.publisher.transport_id, index, number, active
            )

    # --- subscribing -----------------------------------------------------------------------

    async def _answer(self, signal: Signal, message: Any) -> None:
        offered = description.read_offer(message.sdp)
        env = self.environment
        is_first = self.subscriber is None
        info = self.subscriber or env.swarm.open_transport(data_channels=offered.data)
        self.subscriber = info
        if is_first and self.group.link is not None:
            link = self.group.link
            env.swarm.set_link(
                info.transport_id,
                loss=link.loss,
                rate_bps=link.rate_bps,
                queue_ms=link.queue_ms,
                delay_ms=link.delay_ms,
            )
        env.swarm.set_extensions(info.transport_id, offered.extensions, remb=offered.remb)
        self._receive(info, {track.mid: track for track in offered.tracks})
        text = description.answer(offered, info, env.fingerprint)
        await signal.send(answer=rtc.SessionDescription(type="answer", sdp=text, id=message.id))
        if is_first:
            self._set_remote(info, offered.remote)
        self._seen_offer = True

    def _receive(self, info: TransportInfo, tracks: Mapping[str, ReceivedTrack]) -> None:
        swarm = self.environment.swarm
        for mid, stream in list(self._streams.items()):
            if tracks.get(mid) != stream.track:
                swarm.stop_receiving(info.transport_id, stream.number)
                del self._streams[mid]
        for mid, track in tracks.items():
            if mid in self._streams:
                continue
            self._streams[mid] = _Stream(self._next_stream, track)
            swarm.receive(
                info.transport_id,
                self._next_stream,
                kind=track.kind,
                codec=track.codec,
                ssrc=track.ssrc,
                rtx_ssrc=track.rtx_ssrc,
                nack=track.nack,
            )
            self._next_stream += 1

    def _set_remote(self, info: TransportInfo, remote: description.Remote) -> None:
        self.environment.swarm.set_remote(
            info.transport_id,
            ice_ufrag=remote.ice_ufrag,
            ice_password=remote.ice_password,
            fingerprint_sha256=remote.fingerprint_sha256,
            dtls_role=remote.dtls_role,
            candidates=[c for c in remote.candidates if _is_usable(c)],
            controlling=remote.controlling,
        )

    def _add_candidate(self, message: Any) -> None:
        info = self.subscriber if message.target == rtc.SUBSCRIBER else self.publisher
        try:
            line = json.loads(message.candidateInit).get("candidate") or ""
        except (ValueError, AttributeError):
            return
        found = description.candidate(line)
        if info is not None and found is not None and _is_usable(found):
            self.environment.swarm.add_candidate(info.transport_id, *found)


def _is_usable(candidate: tuple[str, int]) -> bool:
    """Names ("...local") are for browsers, link-local addresses for those on the link."""
    try:
        return not ipaddress.ip_address(candidate[0]).is_link_local
    except ValueError:
        return False


def _add_track(media: Media, cid: str) -> rtc.AddTrackRequest:
    request = rtc.AddTrackRequest(
        cid=cid,
        name=media.name,
        type=models.VIDEO if media.is_video else models.AUDIO,
        source=_SOURCES[media.source],
        disable_red=True,
    )
    if media.is_video:
        top = media.layers[-1]
        request.width, request.height = top.width, top.height
        # With a single encoding there is one layer, and it is the best.
        first = 0 if len(media.layers) > 1 else int(models.HIGH)
        for quality, layer in enumerate(media.layers, first):
            request.layers.append(
                models.VideoLayer(
                    quality=quality,  # type: ignore[arg-type]
                    width=layer.width,
                    height=layer.height,
                    bitrate=layer.bitrate_bps,
                )
            )
        request.simulcast_codecs.append(rtc.SimulcastCodec(codec=media.codec, cid=cid))
    return request
