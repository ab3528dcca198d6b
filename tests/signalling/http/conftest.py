"""The whole server in this process, on free ports, as `kinguicall serve` puts it together."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from kinguicall.config import read
from kinguicall.serve import running
from signalling.grants import Claims, Grants
from signalling.tokens import KeyRing

KEYS = KeyRing({"devkey": "a-secret-of-more-than-thirty-two-bytes-for-tests"})


@dataclass(frozen=True)
class Client:
    """An HTTP client of the running server."""

    http: aiohttp.ClientSession
    port: int

    def token(self, room: str = "r", identity: str = "ann", ttl_s: int = 60) -> str:
        return KEYS.mint(Claims(identity, Grants(room=room, room_join=True)), ttl_s)

    async def get(self, path: str, method: str = "GET", **options: object) -> tuple[int, str]:
        """Status and text; every answer has to carry CORS headers."""
        async with self.http.request(method, path, **options) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            return response.status, await response.text()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    settings = read({"port": 0, "udp_port": 0, "tcp_port": 0, "bind": ("127.0.0.1",)})
    async with (
        running(settings, KEYS) as port,
        aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", max_line_size=1 << 20, max_field_size=1 << 20
        ) as http,
    ):
        yield Client(http, port)
