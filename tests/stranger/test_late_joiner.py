"""Somebody joins long after a stream has begun: its sequence numbers have wrapped meanwhile.

A decryption that does not follow the rollover counter, or numbers that a late subscription takes
over from the publisher, show as a join that succeeds without a picture.
"""

import asyncio

from livekit.protocol import models

from tests.support.browsers import RECEIVED, ChromiumTab, chromium, chromium_tab
from tests.support.livekit_client import MediaClient, Picture, until
from tests.support.livekit_js import join
from tests.support.packet_source import PacketSource
from tests.support.server import Server

SEQUENCE_NUMBERS = 65_536
PACKETS, PER_SECOND = 70_000, 14_000.0
DECODES_WITHIN_S = 1.0


async def test_a_late_joiner_sees_the_video(server: Server) -> None:
    """After 70 000 packets and, another one, after 140 000."""
    token = server.token(server.room, "alice")
    async with MediaClient.connect(server.ws_url, token) as alice, chromium() as browser:
        await alice.publish(Picture(), models.CAMERA)
        await until(lambda: alice.publisher.connectionState == "connected")
        source = await PacketSource.take_over(alice.publisher.getSenders()[0])
        for wraps, identity in enumerate(("bob", "carol"), start=1):
            await source.send(PACKETS, per_second=PER_SECOND)
            assert accepted(server) > wraps * SEQUENCE_NUMBERS, "the server has not kept up"
            source.hand_back(Picture())
            tab = await chromium_tab(browser)
            await join(tab, server, identity, media=False)
            await expect_picture(tab, within_s=DECODES_WITHIN_S)
            await tab.page.close()
            await source.take_back()


def accepted(server: Server) -> float:
    """Datagrams received and not dropped."""
    samples = server.metrics()
    received = "kinguicall_packets_received_total"
    dropped = "kinguicall_dropped_total"
    return sum(v for name, v in samples.items() if name.startswith(received)) - sum(
        v for name, v in samples.items() if name.startswith(dropped)
    )


async def expect_picture(tab: ChromiumTab, *, within_s: float) -> None:
    """A frame is decoded so soon after the connection is up."""
    async with asyncio.timeout(within_s):
        while not any(stream["frames"] for stream in await tab.evaluate(RECEIVED)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
