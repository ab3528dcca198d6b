"""livekit-client for browsers, unmodified, in Chromium: publishes, receives, sends data."""

import asyncio
import json
from typing import Any

from playwright.async_api import Route

from tests.support.browsers import (
    RECEIVED,
    ChromiumTab,
    chromium,
    chromium_tab,
)
from tests.support.server import ROOT, Server

LIBRARY = ROOT / "tests/e2e/node_modules/livekit-client/dist/livekit-client.umd.js"
CONNECT = """async ([url, token]) => {
  const { Room, RoomEvent } = LivekitClient;
  const room = new Room();
  globalThis.room = room;
  globalThis.data = [];
  globalThis.tracks = [];
  room.on(RoomEvent.DataReceived, (payload, participant, kind) =>
    data.push(`${participant?.identity}: ${new TextDecoder().decode(payload)}`));
  room.on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
    document.body.append(track.attach());
    tracks.push(`${participant.identity} ${publication.source}`);
  });
  await room.connect(url, token);
  await room.localParticipant.enableCameraAndMicrophone();
}"""
SAY = """async (text) => {
  const bytes = new TextEncoder().encode(text);
  await room.localParticipant.publishData(bytes, { reliable: true });
  await room.localParticipant.publishData(bytes, { reliable: false });
}"""


async def blank_page(route: Route) -> None:
    await route.fulfill(content_type="text/html", body="<!doctype html><title>stranger</title>")


async def join(tab: ChromiumTab, server: Server, identity: str) -> None:
    # A page of the server's own origin, but empty: the library is the only client here.
    await tab.page.route("**/stranger", blank_page)
    await tab.goto(f"{server.url}/stranger")
    await tab.page.add_script_tag(path=LIBRARY)
    await tab.page.evaluate(CONNECT, [server.ws_url, server.token("strangers", identity)])


async def wait_for_media(tab: ChromiumTab, timeout_s: float) -> list[dict[str, Any]]:
    """Until one video has 100 frames and one audio has energy; the last statistics either way."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        received: list[dict[str, Any]] = await tab.evaluate(RECEIVED)
        video = any(entry["frames"] >= 100 for entry in received)
        audio = any(entry["kind"] == "audio" and entry["energy"] > 0 for entry in received)
        if (video and audio) or asyncio.get_running_loop().time() > deadline:
            return received
        await asyncio.sleep(0.2)


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
