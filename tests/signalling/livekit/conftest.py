"""The signalling of a node with its engine, in the test's own process, on loopback."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest

from sfu import _core
from sfu.engine import Engine
from sfu.node import Node
from signalling.http.accept import Acceptor
from signalling.http.addresses import Proxies
from signalling.http.app import Endpoints, make_app, make_runner
from signalling.http.connection import Visits
from signalling.http.door import Door
from signalling.http.health import Health
from signalling.http.metrics import Census, HttpCounts, Metrics
from signalling.http.rtc import RtcEndpoint
from signalling.http.static import WebClient
from signalling.livekit.context import SessionSettings
from signalling.livekit.room_service import RoomService
from signalling.tokens import KeyRing

API_KEY, API_SECRET = "devkey", "a-secret-that-is-long-enough-for-hs256"


@dataclass
class Edge:
    """A running node as tests reach it."""

    node: Node
    url: str

    def token(self, identity: str, room: str = "hall", **extra: object) -> str:
        """A token with LiveKit's claims; `extra` goes into its `video` grant."""
        claims: dict[str, object] = {}
        for name in ("kind", "metadata", "attributes", "roomConfig", "name"):
            if name in extra:
                claims[name] = extra.pop(name)
        video = {"roomJoin": True, "room": room} | extra
        payload = {"iss": API_KEY, "sub": identity, "exp": int(time.time()) + 600}
        return jwt.encode({**payload, **claims, "video": video}, API_SECRET, algorithm="HS256")


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    keys = KeyRing({API_KEY: API_SECRET})
    with Engine(_core.Engine(udp_port=0, bind_addresses=["127.0.0.1"])) as engine:
        node = Node(engine, asyncio.get_running_loop())
        rtc = RtcEndpoint(node, keys, SessionSettings(issue_token=keys.refresh))
        door = Door()
        endpoints = Endpoints(
            protocols=(rtc, RoomService(node, keys)),
            health=Health(lambda: not node.stopping),
            metrics=Metrics(engine.core.stats, lambda: Census(0, 0)),
            web_client=WebClient(Path("nowhere")),
            visits=Visits(door, Proxies()),
            counts=HttpCounts(door),
        )
        runner = make_runner(make_app(endpoints), door)
        await runner.setup()
        acceptor = Acceptor(runner)
        port = await acceptor.listen("127.0.0.1", 0)
        yield Edge(node, f"ws://127.0.0.1:{port}")
        await acceptor.close()
        node.stop()
        await runner.cleanup()
