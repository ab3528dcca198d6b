"""livekit-client for browsers, unmodified, in Chromium: publishes, receives, sends data."""

import asyncio
import json

from tests.support.browsers import RECEIVED, chromium, chromium_tab
from tests.support.livekit_js import join, wait_for_media
from tests.support.server import Server

SAY = """async (text) => {
  const bytes = new TextEncoder().encode(text);
  await room.localParticipant.publishData(bytes, { reliable: true });
  await room.localParticipant.publishData(bytes, { reliable: false });
}"""


async def test_two_tabs_exchange_media_and_data(server: Server) -> None:
    async with chromium() as browser:
        alice, bob = await chromium_tab(browser), await chromium_tab(browser)
        await join(alice, server, "alice")
        await join(bob, server, "bob")

        for tab in (alice, bob):
            received = await wait_for_media(tab, 20)
            assert max((e["frames"] for e in received), default=0) >= 100, json.dumps(received)
            assert max((e["energy"] for e in received), default=0) > 0, json.dumps(received)
        assert sorted(await alice.evaluate("tracks")) == ["bob camera", "bob microphone"]

        await alice.page.evaluate(SAY, "hello from alice")
        await bob.page.evaluate(SAY, "hello from bob")
        await asyncio.sleep(0.5)
        assert await bob.evaluate("data") == ["alice: hello from alice"] * 2
        assert await alice.evaluate("data") == ["bob: hello from bob"] * 2


async def test_leaving_is_seen_by_the_other(server: Server) -> None:
    async with chromium() as browser:
        alice, bob = await chromium_tab(browser), await chromium_tab(browser)
        await join(alice, server, "alice")
        await join(bob, server, "bob")
        await bob.page.evaluate("room.disconnect()")
        await alice.page.wait_for_function("room.remoteParticipants.size === 0", timeout=5000)


async def test_a_closed_socket_is_resumed(server: Server) -> None:
    """The library reconnects by itself and media goes on."""
    async with chromium() as browser:
        alice, bob = await chromium_tab(browser), await chromium_tab(browser)
        await join(alice, server, "alice")
        await join(bob, server, "bob")
        await wait_for_media(alice, 20)
        await bob.page.evaluate(
            """() => new Promise((resolve, reject) => {
              room.once('reconnected', resolve);
              setTimeout(() => reject(new Error('not reconnected')), 15000);
              room.simulateScenario('resume-reconnect');
            })"""
        )
        frames = max(entry["frames"] for entry in await alice.evaluate(RECEIVED))
        await asyncio.sleep(2)
        assert max(entry["frames"] for entry in await alice.evaluate(RECEIVED)) > frames + 10
        assert await alice.evaluate("room.remoteParticipants.size") == 1
