"""Browsers whose address changes in the middle of a call; over IPv6, to try that as well."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import network
from tests.support.browsers import RECEIVED, ChromiumTab, chromium, chromium_tab
from tests.support.livekit_js import join, wait_for_media
from tests.support.nat import Nat
from tests.support.server import Server, running_server

LONGEST_GAP_S = 8.0  # libwebrtc checks a quiet pair every 2.5 s; two busy cores add to it
FRAMES = 30

# Sends what is meant for the server's port to the NAT's.
THROUGH_NAT = """
const throughNat = (description) => ({
  type: description.type,
  sdp: description.sdp.replaceAll(' %(address)s %(server)d typ', ' %(address)s %(nat)d typ'),
});
const { setRemoteDescription } = RTCPeerConnection.prototype;
RTCPeerConnection.prototype.setRemoteDescription = function (description) {
  return setRemoteDescription.call(this, throughNat(description));
};
"""
COUNT_RECONNECTS = """() => {
  globalThis.reconnects = 0;
  room.on('reconnecting', () => { reconnects += 1; });
  room.on('signalReconnecting', () => { reconnects += 1; });
}"""


@pytest.fixture
def address(private_network: None) -> Iterator[str]:
    with network.with_ipv6() as found:
        yield found


@pytest.fixture
def server(address: str, tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path, f"--bind={address}") as running:
        yield running


async def frames(tab: ChromiumTab) -> int:
    return max((entry["frames"] for entry in await tab.evaluate(RECEIVED)), default=0)


async def sees_on(tab: ChromiumTab) -> None:
    wanted = await frames(tab) + FRAMES
    await tab.page.wait_for_function(
        f"async () => {{ const all = await ({RECEIVED}); "
        f"return all.some((entry) => entry.frames >= {wanted}); }}",
        timeout=LONGEST_GAP_S * 1000,
    )


async def test_a_call_outlives_a_change_of_address(server: Server, address: str) -> None:
    nat = Nat((address, 0), (address, server.udp_port))
    values = {"address": address, "server": server.udp_port, "nat": nat.port}
    async with chromium() as browser:
        tabs: list[ChromiumTab] = []
        for identity in ("alice", "bob"):
            tab = await chromium_tab(browser)
            await tab.page.context.add_init_script(THROUGH_NAT % values)
            await join(tab, server, identity)
            await tab.page.evaluate(COUNT_RECONNECTS)
            tabs.append(tab)
        for tab in tabs:
            received = await wait_for_media(tab, 20)
            assert any(entry["frames"] >= 100 for entry in received), received
        nat.forget()
        await asyncio.gather(*(sees_on(tab) for tab in tabs))
        for tab in tabs:
            assert await tab.evaluate("reconnects") == 0
            assert await tab.evaluate("room.state") == "connected"
    nat.close()
