"""A hall of listeners who are honest and keep up, and whoever speaks to them.

They have no media: they answer the server's offers, and count what they are told.
"""

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from livekit.protocol import models, rtc

from tests.support.server import Server

FINGERPRINT = ":".join(["AB"] * 32)
_KEPT = ("m=", "c=", "a=mid:", "a=rtcp-mux", "a=rtpmap:", "a=fmtp:", "a=sctp-port:")


def answer_to(offer: str) -> str:
    """An answer that takes everything, from a client that never sends a packet."""
    session, *sections = offer.split("\r\nm=")
    bundle = next(line for line in session.split("\r\n") if line.startswith("a=group:"))
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", bundle]
    for section in sections:
        offered = ("m=" + section).split("\r\n")
        lines += [line for line in offered if line.startswith(_KEPT)]
        if "a=sendonly" in offered:
            lines.append("a=recvonly")
        elif "a=inactive" in offered:
            lines.append("a=inactive")
        lines += [
            "a=ice-ufrag:abcd",
            f"a=ice-pwd:{'p' * 24}",
            f"a=fingerprint:sha-256 {FINGERPRINT}",
            "a=setup:active",
        ]
    return "\r\n".join(lines) + "\r\n"


class Guest:
    """One WebSocket. `sent_bytes` is what the server has sent."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.sent_bytes = 0
        self.cases: Counter[str] = Counter()
        self.participants: dict[str, models.ParticipantInfo] = {}
        self.closed: int | None = None
        self.latest: dict[str, Any] = {}
        self.offer = ""
        """The latest of the server's."""
        self._reader = asyncio.create_task(self._read())

    async def send(self, **case: Any) -> None:
        await self.socket.send_bytes(rtc.SignalRequest(**case).SerializeToString())

    async def leave(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self.socket.close()

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.sent_bytes += len(message.data)
                await self._take(rtc.SignalResponse.FromString(message.data))
        self.closed = self.socket.close_code

    async def _take(self, response: rtc.SignalResponse) -> None:
        case = response.WhichOneof("message") or ""
        self.cases[case] += 1
        self.latest[case] = getattr(response, case)
        if case == "update":
            self.participants |= {one.identity: one for one in response.update.participants}
        if case == "offer":
            self.offer = response.offer.sdp
            sdp = answer_to(self.offer)
            answer = rtc.SessionDescription(type="answer", sdp=sdp, id=response.offer.id)
            with contextlib.suppress(ConnectionError):
                await self.send(answer=answer)


class Speaker(Guest):
    """Publishes microphones that send nothing."""

    _numbers = itertools.count()

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__(socket)
        self._sections: list[tuple[str, bool]] = []
        """Track id of each, and whether it sends."""
        self._offer_id = 0

    async def publish(self) -> None:
        track_id = f"t{next(self._numbers)}"
        await self.send(
            add_track=rtc.AddTrackRequest(
                cid=track_id, name="voice", type=models.AUDIO, source=models.MICROPHONE
            )
        )
        free = next((i for i, (_, sends) in enumerate(self._sections) if not sends), None)
        if free is None:
            self._sections.append((track_id, True))
        else:
            self._sections[free] = (track_id, True)
        await self._offer()

    async def unpublish(self) -> None:
        """The first track that is there."""
        number = next(i for i, (_, sends) in enumerate(self._sections) if sends)
        self._sections[number] = (self._sections[number][0], False)
        await self._offer()

    async def _offer(self) -> None:
        self._offer_id += 1
        mids = " ".join(str(i) for i in range(len(self._sections)))
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=group:BUNDLE {mids}"]
        for mid, (track_id, sends) in enumerate(self._sections):
            lines += [
                "m=audio 9 UDP/TLS/RTP/SAVPF 111",
                "c=IN IP4 0.0.0.0",
                "a=rtpmap:111 opus/48000/2",
                "a=ice-ufrag:abcd",
                f"a=ice-pwd:{'p' * 24}",
                f"a=fingerprint:sha-256 {FINGERPRINT}",
                "a=setup:actpass",
                f"a=mid:{mid}",
                "a=sendonly" if sends else "a=inactive",
                "a=rtcp-mux",
                *([f"a=msid:- {track_id}", f"a=ssrc:{mid + 1} cname:x"] if sends else ()),
            ]
        sdp = "\r\n".join(lines) + "\r\n"
        offer = rtc.SessionDescription(type="offer", sdp=sdp, id=self._offer_id)
        await self.send(offer=offer)


@contextlib.asynccontextmanager
async def hall(server: Server, listeners: int) -> AsyncIterator[tuple[Speaker, list[Guest]]]:
    """A speaker with one microphone, who may change its metadata, and those who hear it."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.ws_url, connector=connector) as http:

        async def connect(token: str) -> aiohttp.ClientWebSocketResponse:
            params = {"access_token": token, "protocol": "17", "sdk": "python"}
            return await http.ws_connect("/rtc", params=params, max_msg_size=0)

        guests: list[Guest] = []
        try:
            for number in range(listeners):
                token = server.token(server.room, f"listener-{number}", canPublish=False)
                guests.append(Guest(await connect(token)))
            name = f"speaker-{random.getrandbits(32):x}"
            token = server.token(server.room, name, canUpdateOwnMetadata=True)
            speaker = Speaker(await connect(token))
            guests.append(speaker)
            await speaker.publish()
            await asyncio.sleep(0)
            yield speaker, guests[:-1]
        finally:
            await asyncio.gather(*(guest.leave() for guest in guests))
