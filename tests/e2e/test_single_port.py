"""Two media threads behind one UDP port: people on both see and hear each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browsers import chromium, chromium_tab
from tests.support.livekit_js import join, wait_for_media
from tests.support.server import Server, running_server


@pytest.fixture
def server(private_network: None, tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path, "--media-threads=2", "--single-udp-port") as running:
        yield running


async def test_people_on_both_threads_lose_nothing(server: Server) -> None:
    async with chromium() as browser:
        tabs = [await chromium_tab(browser) for _ in range(3)]
        for number, tab in enumerate(tabs):
            await join(tab, server, f"guest-{number}")
        for tab in tabs:
            received = await wait_for_media(tab, 20)
            assert any(entry["frames"] >= 100 for entry in received), received
            assert any(entry["energy"] > 0 for entry in received), received
            assert sum(entry["lost"] for entry in received) <= 0, received
        found = server.metrics()
        for thread in ("0", "1"):
            assert found[f'kinguicall_transports{{thread="{thread}"}}'] > 0
        dropped = {name: value for name, value in found.items() if "kinguicall_dropped" in name}
        for reason in ("unknown_source", "hand_over_full", "shard_queue_full"):
            lost = [value for name, value in dropped.items() if reason in name]
            assert sum(lost) == 0, dropped
