"""livekit-client's end-to-end encryption in Chromium: the server forwards what it cannot read.

Frames are encrypted before they are packets; what tells a key frame stays clear.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from playwright.async_api import Browser

from tests.support.browsers import ChromiumTab, chromium, chromium_tab
from tests.support.livekit_js import LIBRARY, open_page
from tests.support.server import Server

TIMEOUT_S = 15
WORKER = LIBRARY.with_name("livekit-client.e2ee.worker.js")

JOIN = """async ([url, token, key, codec, worker]) => {
  const { ExternalE2EEKeyProvider, Room, RoomEvent, createLocalTracks } = LivekitClient;
  const keyProvider = new ExternalE2EEKeyProvider();
  await keyProvider.setKey(key);
  const script = URL.createObjectURL(new Blob([worker], { type: 'text/javascript' }));
  globalThis.room = new Room({ encryption: { keyProvider, worker: new Worker(script) } });
  room.on(RoomEvent.TrackSubscribed, (track) => document.body.append(track.attach()));
  await room.setE2EEEnabled(true);
  await room.connect(url, token);
  if (!codec) return;
  const tracks = await createLocalTracks({
    audio: true, video: { resolution: { width: 640, height: 360, frameRate: 15 } },
  });
  for (const track of tracks)
    await room.localParticipant.publishTrack(track, { videoCodec: codec, backupCodec: false });
}"""

ASK = """(quality) => {
  for (const participant of room.remoteParticipants.values())
    for (const publication of participant.videoTrackPublications.values())
      publication.setVideoQuality(quality);
}"""

STREAMS = """(async () => {
  const streams = [];
  for (const connection of peerConnections) {
    const stats = await connection.getStats();
    stats.forEach((entry) => {
      if (entry.type !== 'inbound-rtp') return;
      streams.push({
        codec: stats.get(entry.codecId)?.mimeType.toLowerCase() ?? '',
        packets: entry.packetsReceived,
        frames: entry.framesDecoded ?? 0,
        width: entry.frameWidth ?? 0,
        energy: entry.totalAudioEnergy ?? 0,
      });
    });
  }
  return streams;
})()"""


@dataclass(frozen=True)
class Stream:
    """A stream that arrives, and what has been made of it."""

    codec: str
    packets: int
    frames: int
    width: int
    energy: float


async def join(
    browser: Browser, server: Server, identity: str, key: str, codec: str | None = None
) -> ChromiumTab:
    """A tab that encrypts and decrypts with `key`, and publishes if it has a codec."""
    tab = await chromium_tab(browser)
    await open_page(tab, server)
    token = server.token(server.room, identity)
    arguments = [server.ws_url, token, key, codec, WORKER.read_text()]
    await tab.page.evaluate(JOIN, arguments)
    return tab


async def expect(tab: ChromiumTab, wanted: Callable[[Stream], bool], count: int = 1) -> None:
    """Waits until so many streams are as wanted."""
    deadline = asyncio.get_running_loop().time() + TIMEOUT_S
    while sum(map(wanted, streams := await received(tab))) < count:
        assert asyncio.get_running_loop().time() < deadline, streams
        await asyncio.sleep(0.1)


async def received(tab: ChromiumTab) -> list[Stream]:
    return [Stream(**stream) for stream in await tab.evaluate(STREAMS)]


def is_large(codec: str) -> Callable[[Stream], bool]:
    return lambda one: one.codec == codec and one.width == 640 and one.frames >= 20


async def test_who_has_the_key_sees_and_hears_and_nobody_else(server: Server) -> None:
    """VP8 one way and H.264 the other, and the switch to a smaller layer of each."""
    async with chromium() as browser:
        alice = await join(browser, server, "alice", "the key", "vp8")
        bob = await join(browser, server, "bob", "the key", "h264")
        carol = await join(browser, server, "carol", "another key")
        for tab, codec in ((alice, "video/h264"), (bob, "video/vp8")):
            await expect(tab, is_large(codec))
            await expect(tab, lambda one: one.energy > 0)
            await tab.page.evaluate(ASK, 0)
            await expect(tab, lambda one: 0 < one.width < 640)
        await expect(carol, lambda one: one.packets >= 50, count=4)
        for stream in await received(carol):
            assert stream.frames == 0, stream
            assert stream.energy == 0, stream
