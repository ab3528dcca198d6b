"""A real tab behind a narrow and behind a lossy link: the picture goes on, and its size follows.

The tab is a Chromium in a network namespace of its own, so that signalling and media both take the
link. Nothing is asserted of the first seconds after a change. `make network` runs all of them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import network
from tests.support.browsers import ChromiumTab, chromium, chromium_launcher, chromium_tab
from tests.support.livekit_js import join
from tests.support.network import Link
from tests.support.server import Server
from tests.support.watch import Watched, watch, watch_until

WIDTH = 640
SETTLE_S, WATCH_S = 4, 5
LONGEST_GAP_S = 1.0
FULL_RATE_BPS, FULL_RATE_WITHIN_S = 600_000, 25

# A picture with grain, so that the encoder spends what it is given, in three layers. Small enough
# for two cores to encode it beside everything else.
PUBLISH = """async () => {
  const { VideoPreset, createLocalAudioTrack } = LivekitClient;
  const [grain, picture] = [960, 640].map((width) => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [width, width * 9 / 16];
    return canvas.getContext('2d');
  });
  const noise = grain.createImageData(960, 540);
  new Uint32Array(noise.data.buffer).forEach((_, at, pixels) => {
    pixels[at] = 0xff000000 + 0x10101 * Math.floor(104 + 48 * Math.random());
  });
  grain.putImageData(noise, 0, 0);
  setInterval(() => {
    picture.drawImage(grain.canvas, -320 * Math.random(), -180 * Math.random());
  }, 66);
  const [video] = picture.canvas.captureStream(15).getVideoTracks();
  await room.localParticipant.publishTrack(video, {
    source: 'camera', videoCodec: 'vp8', videoEncoding: { maxBitrate: 700_000, maxFramerate: 15 },
    videoSimulcastLayers: [
      new VideoPreset(160, 90, 60_000, 15), new VideoPreset(320, 180, 160_000, 15),
    ],
  });
  await room.localParticipant.publishTrack(await createLocalAudioTrack());
}"""


@contextlib.asynccontextmanager
async def viewer(server: Server, link: Link, folder: Path) -> AsyncIterator[ChromiumTab]:
    """A tab at the far end of the link, which sees somebody's largest picture."""
    launcher = chromium_launcher(folder, link.enter_command)
    async with chromium() as near, chromium(launcher=launcher) as far:
        alice, bob = await chromium_tab(near), await chromium_tab(far)
        await join(alice, server, "alice", media=False)
        await alice.page.evaluate(PUBLISH)
        await join(bob, server.at(network.LINK_ADDRESS), "bob", media=False)
        # The publisher's own estimate grows for some seconds: until then all would fit.
        async with asyncio.timeout(FULL_RATE_WITHIN_S):
            while (await watch(bob, 1)).bitrate_bps < FULL_RATE_BPS:
                pass
        yield bob


async def settle_and_watch(tab: ChromiumTab, condition: str) -> Watched:
    """What is seen once the change is some seconds old: no freeze, and an unbroken voice."""
    settling = await watch(tab, SETTLE_S)
    watched = await watch(tab, WATCH_S)
    print(f"{condition}: {watched}; before: {settling}")
    assert watched.longest_gap_s <= LONGEST_GAP_S, f"{condition}: {watched}"
    assert watched.gained("voice_packets") >= 40 * watched.seconds, f"{condition}: {watched}"
    return watched


@pytest.mark.parametrize("percent", [10, pytest.param(5, marks=pytest.mark.network)])
async def test_loss_does_not_stop_the_picture(
    linked_server: Server, link: Link, tmp_path: Path, percent: int
) -> None:
    async with viewer(linked_server, link, tmp_path) as bob:
        with link.losing(percent):
            await settle_and_watch(bob, f"{percent} % loss")


@pytest.mark.network
async def test_the_picture_follows_what_the_link_carries(
    linked_server: Server, link: Link, tmp_path: Path
) -> None:
    """Down to 300 kbit/s, and back."""
    async with viewer(linked_server, link, tmp_path) as bob:
        link.narrow(300)
        fell = await watch_until(bob, lambda seen: seen.width < WIDTH, timeout_s=5)
        narrow = await settle_and_watch(bob, "300 kbit/s")
        assert max(sample.width for sample in narrow.samples) < WIDTH
        link.widen()
        rose = await watch_until(bob, lambda seen: seen.width == WIDTH, timeout_s=10)
        print(f"smaller after {fell:.1f} s, full size after {rose:.1f} s")
