"""What a connection may take before its client has shown a token, and who gives way to whom."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from sfu import limits
from signalling.http import cors, door
from signalling.http.addresses import Proxies
from signalling.http.connection import Visits, vouch
from signalling.http.door import Door, Reason, Stage
from tests.support.http import serving
from tests.support.livekit_client import until

STRANGERS = Proxies(())
"""Nobody is a proxy, so the tests' own connections are counted by their address."""
Open = Callable[[], Awaitable["Peer"]]


class Peer:
    """A connection that says what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, path: str = "/", *headers: str) -> int:
        await self.send("\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode())
        return await self.status()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def status(self) -> int:
        async with asyncio.timeout(5):
            self.head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"Content-Length: (\d+)", self.head)
            self.body = await self._reader.readexactly(int(length[1]) if length else 0)
            return int(self.head.split()[1])

    async def ended(self) -> bool:
        """Waits until the server has closed."""
        async with asyncio.timeout(5):
            try:
                return not await self._reader.read(1)
            except ConnectionError:
                return True

    def close(self) -> None:
        self._writer.transport.abort()


async def at_stage(entrance: Door, stage: Stage, count: int) -> None:
    """Waits until so many connections have come to it."""
    await until(lambda: len(entrance._stages[stage]) == count, 5)


@pytest.fixture
async def entrance() -> Door:
    return Door()


class Handlers:
    """`arrived` gets an entry for each request for `/wait`, which waits for `blocked`."""

    def __init__(self) -> None:
        self.blocked = asyncio.Event()
        self._arrived: asyncio.Queue[None] = asyncio.Queue()

    async def arrival(self) -> None:
        async with asyncio.timeout(5):
            await self._arrived.get()

    async def wait(self, request: web.Request) -> web.Response:
        if "token" in request.query:
            vouch(request)
        self._arrived.put_nowait(None)
        await self.blocked.wait()
        return web.Response()


@pytest.fixture
async def handlers() -> Handlers:
    return Handlers()


def application(entrance: Door, handlers: Handlers, proxies: Proxies) -> web.Application:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    @web.middleware
    async def count(request: web.Request, handler: Callable[..., Awaitable[web.StreamResponse]]):  # type: ignore[no-untyped-def]
        return await Visits(entrance, proxies).middleware(request, handler)

    app = web.Application(middlewares=[count])
    app.on_response_prepare.append(cors.add_headers)
    app.router.add_get("/", answer)
    app.router.add_get("/wait", handlers.wait)
    return app


@pytest.fixture(params=[STRANGERS], ids=["strangers"])
async def connect(
    entrance: Door, handlers: Handlers, request: pytest.FixtureRequest
) -> AsyncIterator[Open]:
    peers: list[Peer] = []
    app = application(entrance, handlers, request.param)
    async with serving(app, entrance, request.param) as port:

        async def open_one() -> Peer:
            peers.append(Peer(*await asyncio.open_connection("127.0.0.1", port)))
            return peers[-1]

        yield open_one
        handlers.blocked.set()
        for peer in peers:
            peer.close()


async def test_a_head_is_bounded_as_a_whole(connect: Open, entrance: Door) -> None:
    """Each of its lines is short, and their number is not reached."""
    peer = await connect()
    await peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    line = b"x: " + b"y" * 30_000 + b"\r\n"
    for _ in range(limits.HTTP_HEAD_BYTES_MAX // len(line) + 1):
        await peer.send(line)
    assert await peer.status() == 431
    assert await peer.ended()
    assert entrance.ended == {Reason.HEAD: 1}
    assert entrance.waiting == 0


async def test_all_heads_together_are_bounded(
    connect: Open, entrance: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that has been coming for the longest time gives way."""
    monkeypatch.setattr(limits, "HTTP_HEADS_BYTES_MAX", 100_000)
    slow, slower = await connect(), await connect()
    for peer in (slow, slower):
        assert await peer.ask() == 200
        await peer.send(b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 45_000)
    quick = await connect()
    assert await quick.ask("/", "x: " + "y" * 20_000) == 200
    assert await slow.ended()
    await slower.send(b"\r\n\r\n")
    assert await slower.status() == 200
    assert entrance.ended == {Reason.HEAD: 1}


async def test_a_head_has_to_come_to_its_end(
    connect: Open, entrance: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(door._PATIENCE_S, Stage.HEAD, 0.1)
    idle, slow = await connect(), await connect()
    await slow.send(b"GET / HTTP/1.1\r\n")
    assert await slow.ended()
    assert await idle.ask() == 200  # nothing has begun there, so nothing is late
    assert entrance.ended == {Reason.SLOW: 1}


async def test_an_answer_has_to_be_taken(
    connect: Open, entrance: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(door._PATIENCE_S, Stage.ANSWER, 0.1)
    peer = await connect()
    await peer.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
    assert await peer.ended()
    assert entrance.ended == {Reason.SLOW: 1}


async def test_an_address_replaces_its_quietest_connection(
    connect: Open, entrance: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hall behind one address goes on loading the page, whatever its browsers leave open."""
    monkeypatch.setattr(limits, "CONNECTIONS_PER_ADDRESS_MAX", 3)
    first, second, third = await connect(), await connect(), await connect()
    for peer in (first, second, third, first):
        assert await peer.ask() == 200
    fourth = await connect()
    assert await fourth.ask() == 200
    assert await second.ended()
    assert await first.ask() == 200
    assert await third.ask() == 200
    assert entrance.ended == {Reason.ADDRESS: 1}
    assert entrance.waiting == 3


async def test_those_who_are_being_answered_stay(
    connect: Open, entrance: Door, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS_PER_ADDRESS_MAX", 2)
    busy = [await connect(), await connect()]
    for peer in busy:
        await peer.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        await handlers.arrival()
    refused = await connect()
    assert await refused.ended()
    assert entrance.ended == {Reason.ADDRESS: 1}
    handlers.blocked.set()
    assert [await peer.status() for peer in busy] == [200, 200]


@pytest.mark.parametrize("limit", ["CONNECTIONS_PER_ADDRESS_MAX", "CONNECTIONS_MAX"])
async def test_nobody_keeps_others_out_by_beginning_requests(
    connect: Open, entrance: Door, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """A guest of the hall who means ill has the hall's address, too."""
    monkeypatch.setattr(limits, limit, 2)
    slow = [await connect(), await connect()]
    for count, peer in enumerate(slow):
        await peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        await at_stage(entrance, Stage.HEAD, count + 1)
    guest = await connect()
    assert await guest.ask() == 200
    assert await slow[0].ended()
    assert sum(entrance.ended.values()) == 1


@pytest.mark.parametrize("limit", ["CONNECTIONS_PER_ADDRESS_MAX", "CONNECTIONS_MAX"])
async def test_nobody_keeps_others_out_by_taking_no_answers(
    connect: Open,
    entrance: Door,
    handlers: Handlers,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
) -> None:
    monkeypatch.setattr(limits, limit, 2)
    monkeypatch.setitem(door._YIELDS_AFTER_S, Stage.ANSWER, 0.0)
    slow = [await connect(), await connect()]
    for peer in slow:
        await peer.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        await handlers.arrival()
    guest = await connect()
    assert await guest.ask() == 200
    assert await slow[0].ended()


async def test_all_addresses_together_are_bounded(
    connect: Open, entrance: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS_MAX", 2)
    first, second, third = await connect(), await connect(), await connect()
    assert await first.ended()
    assert [await peer.ask() for peer in (second, third)] == [200, 200]
    assert entrance.ended == {Reason.TOTAL: 1}


async def test_who_has_shown_a_token_takes_no_place(
    connect: Open, entrance: Door, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS_PER_ADDRESS_MAX", 1)
    known = []
    for _ in range(4):
        known.append(await connect())
        await known[-1].send(b"GET /wait?token HTTP/1.1\r\nHost: a\r\n\r\n")
        await handlers.arrival()
    stranger = await connect()
    assert await stranger.ask() == 200
    handlers.blocked.set()
    assert [await peer.status() for peer in known] == [200] * 4
    assert not entrance.ended


@pytest.mark.parametrize("connect", [STRANGERS, Proxies()], indirect=True, ids=["direct", "proxy"])
async def test_who_has_shown_a_token_is_answered_for_as_long_as_it_takes(
    connect: Open, entrance: Door, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is a WebSocket, which lasts for hours."""
    monkeypatch.setitem(door._PATIENCE_S, Stage.ANSWER, 0.1)
    known, stranger = await connect(), await connect()
    await known.send(b"GET /wait?token HTTP/1.1\r\nHost: a\r\n\r\n")
    await handlers.arrival()
    await stranger.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
    assert await stranger.ended()
    assert entrance.waiting == 0
    handlers.blocked.set()
    assert await known.status() == 200


@pytest.mark.parametrize("connect", [Proxies()], indirect=True, ids=["proxy"])
async def test_a_proxys_clients_are_counted_and_not_the_proxy(
    connect: Open, entrance: Door, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS_PER_ADDRESS_MAX", 2)
    one, other = "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2:4711"
    peers = [await connect() for _ in range(5)]
    for peer in peers[:3]:
        await peer.send(f"GET /wait HTTP/1.1\r\nHost: a\r\n{one}\r\n\r\n".encode())
    await handlers.arrival()
    await handlers.arrival()
    assert await peers[2].status() == 503
    assert await peers[3].ask("/", other) == 200
    assert await peers[4].ask("/", one) == 503
    handlers.blocked.set()
    assert [await peer.status() for peer in peers[:2]] == [200, 200]
    assert await peers[4].ask("/", one) == 200


async def test_what_cannot_be_parsed_is_answered_without_a_word_about_the_parser(
    connect: Open, entrance: Door
) -> None:
    for data in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\na\x00b: c\r\n\r\n"):
        peer = await connect()
        await peer.send(data)
        assert await peer.status() == 400
        assert "Server: Kinguicall\r\n" in peer.head
        assert "Access-Control-Allow-Origin: *\r\n" in peer.head
        assert peer.body == b"malformed request"
    assert entrance.ended == {Reason.MALFORMED: 2}
