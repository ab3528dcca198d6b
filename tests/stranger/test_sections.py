"""A camera goes on and off for hours: what a browser is offered stays as long as what it receives.

The server takes this Chromium for WebKit, by its `User-Agent`, and never lets another track into a
section that had one: a new section takes the place of the old one, as in browsers' own offers.
"""

import pytest
from livekit.protocol import models

from tests.support.browsers import chromium, chromium_tab
from tests.support.livekit_client import MediaClient, Picture, Tone
from tests.support.livekit_js import join
from tests.support.server import Server

SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Safari/605.1.15"
)
OFFERED = "peerConnections.map((one) => one.remoteDescription?.sdp ?? '').sort().at(-1)"
LIVE_PICTURE = """(count) => {
  if (tracks.filter((name) => name === 'alice camera').length < count) return false;
  const video = [...document.querySelectorAll('video')].at(-1);
  return Boolean(video) && video.getVideoPlaybackQuality().totalVideoFrames > 5;
}"""


@pytest.mark.parametrize("user_agent", [None, SAFARI])
async def test_offers_do_not_grow(server: Server, user_agent: str | None) -> None:
    token = server.token(server.room, "alice")
    async with MediaClient.connect(server.ws_url, token) as alice, chromium() as browser:
        await alice.publish(Tone(), models.MICROPHONE)
        tab = await chromium_tab(browser, user_agent=user_agent)
        await join(tab, server, "bob", media=False)
        for count in range(1, 7):
            picture = Picture()
            track = await alice.publish(picture, models.CAMERA)
            await tab.page.wait_for_function(LIVE_PICTURE, arg=count, timeout=15_000)
            offered = str(await tab.evaluate(OFFERED))
            # One more than it receives, if the next one began before the browser had answered.
            assert offered.count("\r\nm=") <= 4, offered
            await alice.unpublish(picture)
            await tab.page.wait_for_function(f"!{OFFERED}.includes('{track.sid}')", timeout=15_000)
