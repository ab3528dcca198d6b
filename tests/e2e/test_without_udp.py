"""A call of browsers whose network lets no UDP through: media goes over TCP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.support import network
from tests.support.browsers import ChromiumTab, chromium, chromium_tab
from tests.support.livekit_js import join, wait_for_media
from tests.support.server import Server, free_tcp_port, running_server

# Takes the candidates over UDP out of whatever the server describes.
NO_UDP = """
const withoutUdp = (description) => ({
  type: description.type,
  sdp: description.sdp.replace(/^a=candidate:\\S+ 1 udp .*\\r\\n/gim, ''),
});
const { setRemoteDescription } = RTCPeerConnection.prototype;
RTCPeerConnection.prototype.setRemoteDescription = function (description) {
  return setRemoteDescription.call(this, withoutUdp(description));
};
"""

# [protocol, address, tcpType] of the server's side of each selected pair.
SELECTED = """(async () => {
  const found = [];
  for (const connection of peerConnections) {
    const stats = await connection.getStats();
    stats.forEach((entry) => {
      if (entry.type !== 'transport' || !entry.selectedCandidatePairId) return;
      const pair = stats.get(entry.selectedCandidatePairId);
      const remote = stats.get(pair.remoteCandidateId);
      found.push([remote.protocol, remote.address, remote.port]);
    });
  }
  return found;
})()"""


async def call_over_tcp(browser: Browser, server: Server, target: tuple[str, int]) -> None:
    """Two people see and hear each other, by connections to `target` alone."""
    tabs: list[ChromiumTab] = []
    for identity in ("alice", "bob"):
        tab = await chromium_tab(browser)
        await tab.page.context.add_init_script(NO_UDP)
        await join(tab, server, identity)
        tabs.append(tab)
    for tab in tabs:
        received = await wait_for_media(tab, 20)
        assert any(entry["frames"] >= 100 for entry in received), received
        assert any(entry["energy"] > 0 for entry in received), received
        pairs: list[Any] = await tab.evaluate(SELECTED)
        assert {tuple(pair) for pair in pairs} == {("tcp", *target)}


@pytest.fixture
def tcp_port(private_network: None) -> int:
    return free_tcp_port()


@pytest.fixture
def server(tcp_port: int, tmp_path: Path) -> Iterator[Server]:
    options = (f"--tcp-port={tcp_port}", f"--bind={network.ADDRESS}")
    with running_server(tmp_path, *options) as running:
        yield running


@pytest.fixture
def sharing_server(private_network: None, tmp_path: Path) -> Iterator[Server]:
    options = ("--share-port", "--host=0.0.0.0", "--tcp-port=0", f"--bind={network.ADDRESS}")
    with running_server(tmp_path, *options) as running:
        yield running


async def test_one_port_carries_page_signalling_and_media(sharing_server: Server) -> None:
    server = sharing_server
    async with chromium() as browser:
        await call_over_tcp(browser, server, (network.ADDRESS, server.port))


async def test_video_and_voice_flow_over_tcp(server: Server, tcp_port: int) -> None:
    async with chromium() as browser:
        await call_over_tcp(browser, server, (network.ADDRESS, tcp_port))
    slow = {name: value for name, value in server.metrics().items() if "connection_queue" in name}
    assert sum(slow.values()) == 0
