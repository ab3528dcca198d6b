"""Connections accepted elsewhere are served like any other, with TLS and without."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector, web

from signalling.http.accept import Acceptor
from signalling.http.app import make_runner
from signalling.http.connection import Runner
from signalling.http.door import Door
from tests.support.certificates import write_certificate


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    async def who(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.scheme} {request.remote}")

    app = web.Application()
    app.router.add_get("/who", who)
    runner = make_runner(app, Door())
    await runner.setup()
    yield runner
    await runner.cleanup()


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    file = tmp_path / "both.pem"
    write_certificate(file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


async def accept_all(listener: socket.socket, acceptor: Acceptor) -> None:
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        acceptor.adopt(connection.detach())


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_requests_are_answered(runner: Runner, tls: ssl.SSLContext, scheme: str) -> None:
    acceptor = Acceptor(runner, tls if scheme == "https" else None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        accepting = asyncio.create_task(accept_all(listener, acceptor))
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/who"
        async with ClientSession(connector=TCPConnector(ssl=False)) as client:
            for _ in range(2):
                async with client.get(url) as answer:
                    assert await answer.text() == f"{scheme} 127.0.0.1"
        accepting.cancel()
    await acceptor.close()


async def test_a_handshake_that_never_ends_is_dropped_at_the_end(
    runner: Runner, tls: ssl.SSLContext
) -> None:
    acceptor = Acceptor(runner, tls)
    ours, theirs = socket.socketpair()
    with theirs:
        acceptor.adopt(ours.detach())
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            await acceptor.close()
        theirs.settimeout(2)
        assert theirs.recv(10) == b""
    late, peer = socket.socketpair()
    with peer:
        acceptor.adopt(late.detach())
        assert peer.recv(10) == b""
