"""livekit-client for browsers, unmodified, on a page of the server that has no scripts."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.support.browsers import RECEIVED, ChromiumTab
from tests.support.server import ROOT, Server

LIBRARY = ROOT / "tests/e2e/node_modules/livekit-client/dist/livekit-client.umd.js"

CONNECT = """async ([url, token, media, options]) => {
  const { Room, RoomEvent } = LivekitClient;
  const room = new Room(options);
  globalThis.room = room;
  globalThis.data = [];
  globalThis.tracks = [];
  room.on(RoomEvent.DataReceived, (payload, participant) =>
    data.push(`${participant?.identity}: ${new TextDecoder().decode(payload)}`));
  room.on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
    document.body.append(track.attach());
    tracks.push(`${participant.identity} ${publication.source}`);
  });
  await room.connect(url, token);
  if (media) await room.localParticipant.enableCameraAndMicrophone();
}"""

VIDEO = """(async () => {
  let found = null;
  for (const connection of peerConnections) {
    const stats = await connection.getStats();
    stats.forEach((entry) => {
      if (entry.type === 'inbound-rtp' && entry.kind === 'video') found = {
        frames: entry.framesDecoded ?? 0, width: entry.frameWidth ?? 0,
        bytes: entry.bytesReceived, codec: stats.get(entry.codecId)?.mimeType ?? '',
      };
    });
  }
  return found;
})()"""
"""JavaScript: what has come of the one video that a tab receives."""


async def open_page(tab: ChromiumTab, server: Server) -> None:
    """A page without scripts, from the server's own address, that has `LivekitClient`."""
    await tab.goto(f"{server.url}/healthz")
    await tab.page.add_script_tag(path=LIBRARY)


LISTENER: Mapping[str, object] = {"canPublish": False}


async def join(
    tab: ChromiumTab,
    server: Server,
    identity: str,
    *,
    media: bool = True,
    grants: Mapping[str, object] | None = None,
    **options: object,
) -> None:
    """Connects to `server.room`; the page then has `room`, `tracks` and `data`.

    `options` are those of livekit-client's `Room`.
    """
    await open_page(tab, server)
    token = server.token(server.room, identity, canUpdateOwnMetadata=True, **(grants or {}))
    await tab.page.evaluate(CONNECT, [server.ws_url, token, media, options])


async def wait_for_media(
    tab: ChromiumTab, timeout_s: float, frames: int = 100
) -> list[dict[str, Any]]:
    """Until one video has `frames` and one audio has energy; the last statistics either way."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        received: list[dict[str, Any]] = await tab.evaluate(RECEIVED)
        video = any(entry["frames"] >= frames for entry in received)
        audio = any(entry["kind"] == "audio" and entry["energy"] > 0 for entry in received)
        if (video and audio) or asyncio.get_running_loop().time() > deadline:
            return received
        await asyncio.sleep(0.2)
