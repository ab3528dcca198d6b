"""Bad input at the HTTP port and on signalling WebSockets, before and after authentication.

A session that gets a malformed message is closed with a reason, so every message after
authentication costs a join of its own: there whole samples are sent, and a fixed choice of
truncations; all truncations go against the message handlers in the unit tests.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp
import pytest
from livekit.protocol import rtc as proto

from tests.support import corpora
from tests.support.server import Server

TRUNCATIONS_AFTER_JOIN = 1500
PARALLEL = 8
SHORT = 64


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def test_raw_bytes_instead_of_http(server: Server) -> None:
    """Every sample and every short prefix as the first bytes of a connection."""
    limit = asyncio.Semaphore(PARALLEL)

    async def send(data: bytes) -> None:
        async with limit:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            try:
                writer.write(data)
                writer.write_eof()
                await asyncio.wait_for(reader.read(), 5)
            except ConnectionError:
                pass  # the server may hang up before it has read all
            finally:
                writer.close()

    everything = [*corpora.samples(), *corpora.truncations(longest=SHORT)]
    await asyncio.gather(*(send(data) for data in everything))
    assert server.is_running()
    assert server.get("/healthz")[0] == 200


async def test_samples_as_tokens_and_queries(server: Server, http: aiohttp.ClientSession) -> None:
    for sample in corpora.samples():
        value = quote(sample[:4000])
        for query in (f"access_token={value}", f"join_request={value}", value):
            async with http.get(f"/rtc?{query}") as response:
                assert 400 <= response.status < 500, (response.status, query[:80])
        async with http.get(
            "/rtc/validate", headers={"Authorization": f"Bearer {sample[:4000].hex()}"}
        ) as response:
            assert response.status == 401


async def close_reason(http: aiohttp.ClientSession, server: Server, message: bytes) -> int | None:
    """Joins, sends one message, and says how the server closed the session (None: it did not)."""
    token = server.token("hostile", f"attacker-{random.getrandbits(64):x}")
    async with http.ws_connect("/rtc", params={"access_token": token, "protocol": "15"}) as socket:
        await socket.receive_bytes(timeout=5)
        await socket.send_bytes(message)
        ping = proto.SignalRequest(ping=1)
        await socket.send_bytes(ping.SerializeToString())
        while True:
            answer = await socket.receive(timeout=5)
            if answer.type is not aiohttp.WSMsgType.BINARY:
                return socket.close_code
            if proto.SignalResponse.FromString(answer.data).WhichOneof("message") == "pong":
                return None


async def test_samples_after_joining(server: Server, http: aiohttp.ClientSession) -> None:
    """As whole messages, and as session descriptions inside well-formed ones."""
    chosen = random.Random(1).sample(list(corpora.truncations()), TRUNCATIONS_AFTER_JOIN)
    offers = [
        proto.SignalRequest(
            offer=proto.SessionDescription(type="offer", sdp=sample.decode("latin-1"))
        ).SerializeToString()
        for sample in corpora.samples("sdp")
    ]
    limit = asyncio.Semaphore(PARALLEL)

    async def send(message: bytes) -> None:
        async with limit:
            code = await close_reason(http, server, message)
            assert code in {None, 1000, 1003, 1007, 1008, 1009}, (code, message[:80])

    await asyncio.gather(*(send(message) for message in [*corpora.samples(), *chosen, *offers]))
    assert server.is_running()
    assert server.get("/healthz")[0] == 200
