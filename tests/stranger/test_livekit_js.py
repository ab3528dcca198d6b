"""livekit-client for browsers, unmodified, in Chromium: publishes, receives, sends data."""

import asyncio
import json
from typing import Any

from tests.support.browsers import RECEIVED, chromium, chromium_tab
from tests.support.livekit_js import LISTENER, join, wait_for_media
from tests.support.server import Server

SAY = """async (text) => {
  const bytes = new TextEncoder().encode(text);
  await room.localParticipant.publishData(bytes, { reliable: true });
  await room.localParticipant.publishData(bytes, { reliable: false });
}"""

SAY_MUCH = """async (count) => {
  for (let number = 0; number < count; number++) {
    const message = new Uint8Array(60000);
    new DataView(message.buffer).setUint32(0, number);
    await room.localParticipant.publishData(message, { reliable: true });
  }
}"""

COUNT_MESSAGES = """() => {
  globalThis.numbers = [];
  room.on('dataReceived', (payload) =>
    numbers.push(new DataView(payload.buffer, payload.byteOffset).getUint32(0)));
}"""

RECONNECT = """(scenario) => new Promise((resolve, reject) => {
  room.once('reconnected', resolve);
  setTimeout(() => reject(new Error('not reconnected')), 15000);
  room.simulateScenario(scenario);
})"""

# SRTP profile and DTLS role of the browser's own transports.
PROTECTION = """(async () => {
  const found = [];
  for (const connection of peerConnections)
    (await connection.getStats()).forEach((entry) => {
      if (entry.type === 'transport') found.push([entry.srtpCipher, entry.dtlsRole]);
    });
  return found;
})()"""


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


async def test_many_large_messages_arrive_in_order(server: Server) -> None:
    """24 MB as fast as the library gives them away."""
    async with chromium() as browser:
        alice, bob = await chromium_tab(browser), await chromium_tab(browser)
        await join(alice, server, "alice", media=False)
        await join(bob, server, "bob", media=False)
        await bob.page.evaluate(COUNT_MESSAGES)
        await alice.page.evaluate(SAY_MUCH, 400)
        await bob.page.wait_for_function("numbers.length === 400", timeout=60000)
        assert await bob.evaluate("numbers") == list(range(400))


async def test_a_listener_gets_short_tags_and_keeps_them(server: Server) -> None:
    """The server leads the handshake of who finds voices alone, whatever comes later."""
    async with chromium() as browser:
        alice, bob = await chromium_tab(browser), await chromium_tab(browser)
        await join(alice, server, "alice", media=False)
        await alice.page.evaluate("room.localParticipant.setMicrophoneEnabled(true)")
        await join(bob, server, "bob", media=False, grants=LISTENER)
        await bob.page.wait_for_function("tracks.length === 1", timeout=10000)
        short_tags = [["SRTP_AES128_CM_HMAC_SHA1_80", "server"]]
        assert await bob.evaluate(PROTECTION) == short_tags

        await alice.page.evaluate("room.localParticipant.setCameraEnabled(true)")
        before = _frames(await wait_for_media(bob, 20))
        await bob.page.evaluate(RECONNECT, "signal-reconnect")
        await alice.page.evaluate(SAY, "hello from alice")
        await asyncio.sleep(2)
        assert _frames(await bob.evaluate(RECEIVED)) > before + 10
        assert await bob.evaluate("data") == ["alice: hello from alice"] * 2
        assert await bob.evaluate(PROTECTION) == short_tags


async def test_leaving_is_seen_by_the_other(server: Server) -> None:
    async with chromium() as browser:
        alice, bob = await chromium_tab(browser), await chromium_tab(browser)
        await join(alice, server, "alice")
        await join(bob, server, "bob")
        await bob.page.evaluate("room.disconnect()")
        await alice.page.wait_for_function("room.remoteParticipants.size === 0", timeout=5000)


async def test_a_closed_socket_is_resumed(server: Server) -> None:
    """The library comes back to its session by itself, and media goes on without a break."""
    async with chromium() as browser:
        alice, bob = await chromium_tab(browser), await chromium_tab(browser)
        await join(alice, server, "alice")
        await join(bob, server, "bob")
        before = _frames(await wait_for_media(alice, 20))
        sid = await bob.evaluate("room.localParticipant.sid")
        await bob.page.evaluate(RECONNECT, "signal-reconnect")
        assert await bob.evaluate("room.localParticipant.sid") == sid
        await asyncio.sleep(2)
        assert _frames(await alice.evaluate(RECEIVED)) > before + 10
        assert await alice.evaluate("room.remoteParticipants.size") == 1


async def test_a_session_that_cannot_be_resumed_is_started_anew(server: Server) -> None:
    """The scenario fails the first attempt to resume, so the library joins and publishes again."""
    async with chromium() as browser:
        alice, bob = await chromium_tab(browser), await chromium_tab(browser)
        await join(alice, server, "alice")
        await join(bob, server, "bob")
        await wait_for_media(alice, 20)
        await bob.page.evaluate(RECONNECT, "resume-reconnect")
        received = await wait_for_media(alice, 20)
        assert _frames(received) >= 100, json.dumps(received)
        assert await alice.evaluate("room.remoteParticipants.size") == 1


def _frames(received: list[dict[str, Any]]) -> int:
    return max((entry["frames"] for entry in received), default=0)


ONLY_VP9 = """() => {
  const { addTransceiver } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.addTransceiver = function (...how) {
    const transceiver = addTransceiver.apply(this, how);
    const { codecs } = RTCRtpReceiver.getCapabilities('video');
    transceiver.setCodecPreferences(codecs.filter((one) => /vp9|rtx/i.test(one.mimeType)));
    return transceiver;
  };
}"""

PUBLISH_CAMERA = """() => new Promise((resolve, reject) => {
  room.localParticipant.once('localTrackUnpublished', (one) => resolve(one.source));
  room.localParticipant.setCameraEnabled(true, undefined, { videoCodec: 'vp8' }).catch(reject);
  setTimeout(() => reject(new Error('still published')), 10000);
})"""


async def test_a_camera_whose_codec_is_not_served_is_not_left_published(server: Server) -> None:
    """It is announced as VP8, and offered in a codec that is served only where it is announced."""
    async with chromium() as browser:
        tab = await chromium_tab(browser)
        await join(tab, server, "alice", media=False)
        await tab.page.evaluate(ONLY_VP9)
        assert await tab.page.evaluate(PUBLISH_CAMERA) == "camera"
        assert await tab.evaluate("room.localParticipant.videoTrackPublications.size") == 0
