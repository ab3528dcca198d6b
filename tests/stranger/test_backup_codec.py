"""A Chromium publishes VP9 with VP8 as its backup, to one that takes both and one that does not."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.browsers import ChromiumTab, chromium, chromium_tab
from tests.support.livekit_js import VIDEO, join
from tests.support.server import Server

TIMEOUT_S = 30
FRAMES = 10

PUBLISH = """async () => {
  const track = await LivekitClient.createLocalVideoTrack({
    resolution: { width: 640, height: 360, frameRate: 15 },
  });
  await room.localParticipant.publishTrack(track, {
    videoCodec: 'vp9', backupCodec: { codec: 'vp8' }, source: 'camera',
  });
}"""

# What a browser that has no VP9 would make of the offer.
WITHOUT_VP9 = """(() => {
  const apply = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    const sdp = description.sdp
      .replace(/^(m=video .*?) 98 99/gm, '$1')
      .replace(/^a=(rtpmap|fmtp|rtcp-fb):9[89] .*\\r\\n/gm, '');
    return apply.call(this, { type: description.type, sdp });
  };
})()"""

SENT = """(async () => {
  const codecs = [];
  for (const connection of peerConnections) {
    const stats = await connection.getStats();
    stats.forEach((entry) => {
      if (entry.type === 'outbound-rtp' && entry.kind === 'video' && entry.active)
        codecs.push(stats.get(entry.codecId)?.mimeType ?? '');
    });
  }
  return [...new Set(codecs)];
})()"""


async def until(tab: ChromiumTab, expression: str, fits: Callable[[Any], bool], what: str) -> Any:
    deadline = asyncio.get_running_loop().time() + TIMEOUT_S
    while not fits(value := await tab.evaluate(expression)):
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"{what}: {json.dumps(value)}")
        await asyncio.sleep(0.2)
    return value


async def sees(tab: ChromiumTab, codec: str) -> None:
    """Waits for pictures in this codec, and for some more."""

    def fits(video: Any) -> bool:
        return video is not None and video["codec"] == codec and video["frames"] > 0

    first = await until(tab, VIDEO, fits, f"no {codec}")
    more = first["frames"] + FRAMES
    await until(
        tab, VIDEO, lambda v: fits(v) and v["frames"] >= more, f"{codec} stopped at {first}"
    )


@pytest.mark.timeout(150)  # three tabs that decode, one of which encodes two codecs
async def test_a_viewer_without_the_codec_gets_the_backup(server: Server) -> None:
    async with chromium() as browser:
        alice, bob, carol = [await chromium_tab(browser) for _ in range(3)]
        await carol.page.add_init_script(WITHOUT_VP9)
        await asyncio.gather(
            *(
                join(tab, server, name, media=False)
                for tab, name in ((alice, "alice"), (bob, "bob"))
            )
        )
        await alice.page.evaluate(PUBLISH)
        await sees(bob, "video/VP9")
        await join(carol, server, "carol", media=False)
        await sees(carol, "video/VP8")
        # One who needs the backup is enough for all to get it: the publisher encodes once.
        await sees(bob, "video/VP8")
        await until(alice, SENT, lambda sent: sent == ["video/VP8"], "VP9 is still sent")
