"""Connections accepted elsewhere are served like any other, with TLS and without."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from signalling.http.adopted import Adopter


@pytest.fixture
async def runner() -> AsyncIterator[web.AppRunner]:
    async def who(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.scheme} {request.remote}")

    app = web.Application()
    app.router.add_get("/who", who)
    runner = web.AppRunner(app)
    await runner.setup()
    yield runner
    await runner.cleanup()


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(hours=1))
    pem = serialization.Encoding.PEM
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(pem)
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path / "both.pem"
    file.write_bytes(certificate + secret)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


async def accept_all(listener: socket.socket, adopter: Adopter) -> None:
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        adopter.adopt(connection.detach())


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_requests_are_answered(
    runner: web.AppRunner, tls: ssl.SSLContext, scheme: str
) -> None:
    adopter = Adopter(runner, tls if scheme == "https" else None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        accepting = asyncio.create_task(accept_all(listener, adopter))
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/who"
        async with ClientSession(connector=TCPConnector(ssl=False)) as client:
            for _ in range(2):
                async with client.get(url) as answer:
                    assert await answer.text() == f"{scheme} 127.0.0.1"
        accepting.cancel()
    await adopter.close()


async def test_a_handshake_that_never_ends_is_dropped_at_the_end(
    runner: web.AppRunner, tls: ssl.SSLContext
) -> None:
    adopter = Adopter(runner, tls)
    ours, theirs = socket.socketpair()
    with theirs:
        adopter.adopt(ours.detach())
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            await adopter.close()
        theirs.settimeout(2)
        assert theirs.recv(10) == b""
    late, peer = socket.socketpair()
    with peer:
        adopter.adopt(late.detach())
        assert peer.recv(10) == b""
