"""VP9 and AV1 with spatial layers between two Chromiums: what is asked for is what comes."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.browsers import ChromiumTab, chromium, chromium_tab
from tests.support.livekit_js import VIDEO, join
from tests.support.server import Server

LAYERS_TIMEOUT_S = 30
FULL_WIDTH = 640

PUBLISH = """async ([codec, mode]) => {
  const track = await LivekitClient.createLocalVideoTrack({
    resolution: { width: 640, height: 360, frameRate: 15 },
  });
  await room.localParticipant.publishTrack(track, {
    videoCodec: codec, scalabilityMode: mode, backupCodec: false, source: 'camera',
    videoEncoding: { maxBitrate: 600_000, maxFramerate: 15 },
  });
}"""

ASK = """(quality) => {
  for (const participant of room.remoteParticipants.values())
    for (const publication of participant.videoTrackPublications.values())
      publication.setVideoQuality(quality);
}"""


async def sees(tab: ChromiumTab, *, full: bool) -> dict[str, Any]:
    """Waits for pictures of the full width, or smaller ones, and for ten more of them.

    How many spatial layers there are below the full one is Chromium's choice.
    """
    deadline = asyncio.get_running_loop().time() + LAYERS_TIMEOUT_S
    video: dict[str, Any] | None = None
    frames: int | None = None
    while asyncio.get_running_loop().time() < deadline:
        video = await tab.evaluate(VIDEO)
        if video is not None and (video["width"] == FULL_WIDTH) is full and video["width"]:
            frames = video["frames"] if frames is None else frames
            if video["frames"] >= frames + 10:
                return video
        else:
            frames = None
        await asyncio.sleep(0.2)
    pytest.fail(f"no {'full' if full else 'small'} pictures: {json.dumps(video)}")


async def bytes_per_frame(tab: ChromiumTab, seconds: float) -> float:
    """Not a second: a machine that is too slow for the large pictures shows fewer of them."""
    before = await tab.evaluate(VIDEO)
    await asyncio.sleep(seconds)
    after = await tab.evaluate(VIDEO)
    return float(after["bytes"] - before["bytes"]) / (after["frames"] - before["frames"])


@pytest.mark.timeout(150)  # three changes of layers, each with software encoders
@pytest.mark.parametrize(("codec", "mode"), [("vp9", "L3T3_KEY"), ("av1", "L3T3")])
async def test_a_viewer_gets_the_layer_that_it_asks_for(
    server: Server, codec: str, mode: str
) -> None:
    async with chromium() as browser:
        alice, bob = await chromium_tab(browser), await chromium_tab(browser)
        await join(alice, server, "alice", media=False)
        await join(bob, server, "bob", media=False)
        await alice.page.evaluate(PUBLISH, [codec, mode])
        video = await sees(bob, full=True)
        assert video["codec"].lower() == f"video/{codec}"
        await bob.page.evaluate(ASK, 0)
        await sees(bob, full=False)
        low = await bytes_per_frame(bob, 3)
        await bob.page.evaluate(ASK, 2)
        await sees(bob, full=True)
        # Measured last, as the publisher's bitrate grows at first.
        high = await bytes_per_frame(bob, 3)
        assert low < high * 0.8, f"{low} and {high} bytes a frame"
