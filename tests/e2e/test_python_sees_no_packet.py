"""Ten thousand packets pass through the server, and Python does not hear of them.

What Python does on its own in the meantime (pings, timers) is measured first and subtracted.
"""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from livekit.protocol import models

from tests.support.livekit_client import MediaClient, Picture, until
from tests.support.packet_source import PacketSource
from tests.support.server import ROOT, Server, running_server

PACKETS, PER_SECOND = 10_000, 2_500.0
SECONDS = PACKETS / PER_SECOND + 1
COUNTER = ROOT / "tests" / "support" / "call_counter"


@pytest.fixture
def counting_server(private_network: None, tmp_path: Path) -> Iterator[Server]:
    environment = {"PYTHONPATH": str(COUNTER), "CALL_COUNTER_FILE": str(tmp_path / "calls.json")}
    with running_server(tmp_path, **environment) as server:
        yield server


class CallCount:
    """Counts the server's Python calls between entering and leaving."""

    def __init__(self, server: Server, file: Path) -> None:
        self._server = server
        self._file = file
        self.calls: Counter[str] = Counter()

    async def __aenter__(self) -> "CallCount":
        self._file.unlink(missing_ok=True)
        self._server.process.send_signal(signal.SIGUSR1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.process.send_signal(signal.SIGUSR2)
        await until(self._file.exists)
        self.calls = Counter(json.loads(self._file.read_text()))


async def test_python_sees_no_packet(counting_server: Server, tmp_path: Path) -> None:
    server, file = counting_server, tmp_path / "calls.json"
    async with (
        MediaClient.connect(server.ws_url, server.token(server.room, "alice")) as alice,
        MediaClient.connect(server.ws_url, server.token(server.room, "bob")) as bob,
    ):
        picture = await alice.publish(Picture(), models.CAMERA)
        await bob.received(picture.sid, frames=5)
        source = await PacketSource.take_over(alice.publisher.getSenders()[0])
        await asyncio.sleep(2)

        async with CallCount(server, file) as idle:
            await asyncio.sleep(SECONDS)
        before = forwarded(server)
        async with CallCount(server, file) as busy:
            await source.send(PACKETS, per_second=PER_SECOND)
            await asyncio.sleep(1)
        passed = forwarded(server) - before

    assert passed >= PACKETS
    surplus = busy.calls - idle.calls
    assert surplus.total() <= PACKETS / 100, surplus.most_common(10)


def forwarded(server: Server) -> float:
    samples = server.metrics().items()
    return sum(value for name, value in samples if "media_packets_forwarded" in name)
