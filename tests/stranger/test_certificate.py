"""A page that makes an RSA certificate for its connections cannot connect, and learns so soon."""

import asyncio

from tests.support.browsers import chromium, chromium_tab
from tests.support.livekit_js import open_page
from tests.support.server import Server

CONNECT_WITH_RSA = """async ([url, token]) => {
  const certificate = await RTCPeerConnection.generateCertificate({
    name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, hash: 'SHA-256',
    publicExponent: new Uint8Array([1, 0, 1]),
  });
  const room = new LivekitClient.Room();
  room.connect(url, token, { rtcConfig: { certificates: [certificate] }, maxRetries: 0 })
    .catch(() => {});
}"""

REASONS = ("certificate_unsupported", "handshake_refused")


def refused(server: Server) -> float:
    """Connections that closed for a certificate that cannot be used."""
    closed = "kinguicall_transports_closed_total"
    return sum(
        count
        for name, count in server.metrics().items()
        if name.startswith(closed) and any(reason in name for reason in REASONS)
    )


async def test_a_page_with_an_rsa_certificate_is_refused_with_a_reason(server: Server) -> None:
    async with chromium() as browser:
        tab = await chromium_tab(browser)
        await open_page(tab, server)
        token = server.token(server.room, "alice")
        await tab.page.evaluate(CONNECT_WITH_RSA, [server.ws_url, token])
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(refused, server):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    assert "a client cannot connect" in server.log
    assert "RSA" in server.log
