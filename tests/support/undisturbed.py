"""Two people in a call who must not notice what a test does to the server meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.support.browsers import RECEIVED, ChromiumTab, chromium, chromium_tab
from tests.support.livekit_js import join, wait_for_media
from tests.support.server import Server

FRAMES_PER_SECOND = 10  # half of what the fake camera makes; two cores encode, decode and attack

SETTLED_FRAMES = 20  # one second: both encoders and the connection are in their stride


@contextlib.asynccontextmanager
async def undisturbed_room(server: Server) -> AsyncIterator[tuple[ChromiumTab, ChromiumTab]]:
    """Two people in a call; what happens meanwhile must not cost them a packet."""
    async with chromium() as browser:
        tabs = (await chromium_tab(browser), await chromium_tab(browser))
        for tab, identity in zip(tabs, ("alice", "bob"), strict=True):
            await join(tab, server, identity)
        before = [await wait_for_media(tab, 20, frames=SETTLED_FRAMES) for tab in tabs]
        start = asyncio.get_running_loop().time()

        yield tabs

        await asyncio.sleep(1)
        seconds = asyncio.get_running_loop().time() - start
        after = [await tab.evaluate(RECEIVED) for tab in tabs]
        assert server.is_running()
        for was, found in zip(before, after, strict=True):
            # Streams of those who joined meanwhile, attackers among them, are not looked at.
            ours = {entry["ssrc"] for entry in was}
            now = [entry for entry in found if entry["ssrc"] in ours]
            assert len(now) == len(was), "somebody reconnected"
            lost, packets = (
                sum(e[key] for e in now) - sum(e[key] for e in was) for key in ("lost", "packets")
            )
            frames = sum(e["frames"] for e in now) - sum(e["frames"] for e in was)
            assert lost <= 0, f"{lost} of {packets} packets lost"
            assert frames >= FRAMES_PER_SECOND * seconds, f"{frames} frames in {seconds:.1f} s"
