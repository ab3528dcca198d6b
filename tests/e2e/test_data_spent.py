"""What a call costs people in data: by what their own browser and interface count."""

import asyncio
from pathlib import Path

from tests.support import network
from tests.support.browsers import ChromiumTab, chromium, chromium_launcher, chromium_tab
from tests.support.livekit_js import LISTENER, join
from tests.support.network import Link
from tests.support.server import Server
from tests.support.watch import watch, watch_until

UNWATCHED_BPS = 20_000
FALLS_WITHIN_S = 15
SEEN_WITHIN_S = 5
LIMIT_KBPS = 100
LISTENER_BPS = 24_000
MEASURE_S = 20  # two life signs of the signalling, four reports

SENT = """(kind) => (async () => {
  let sent = 0;
  for (const connection of peerConnections)
    (await connection.getStats()).forEach((entry) => {
      if (entry.type === 'outbound-rtp' && entry.kind === kind)
        sent += entry.bytesSent + (kind === 'video' ? entry.headerBytesSent : 0);
    });
  return sent;
})()"""

# Frames of 60 ms at a constant bitrate, as the other side of an answer may ask for.
SIXTY_MS = """
const slowly = (description) => ({
  type: description.type,
  sdp: description.sdp.replace(/(a=fmtp:\\d+ minptime=10[^\\r\\n]*)/g, '$1;cbr=1\\r\\na=ptime:60'),
});
const { setRemoteDescription } = RTCPeerConnection.prototype;
RTCPeerConnection.prototype.setRemoteDescription = function (description) {
  return setRemoteDescription.call(this, slowly(description));
};
"""

SPEAK = """async () => {
  const track = await LivekitClient.createLocalAudioTrack();
  await room.localParticipant.publishTrack(track, {
    audioPreset: { maxBitrate: 16_000 }, dtx: false, red: false,
  });
}"""

LIMIT = """(kbps) => room.localParticipant.setAttributes({
  'kinguicall.downlink_limit_kbps': `${kbps}`,
})"""


async def sent_bps(tab: ChromiumTab, kind: str, seconds: float) -> float:
    """What goes up, by RTP packets for video and by payload for audio."""
    before = await tab.page.evaluate(SENT, kind)
    await asyncio.sleep(seconds)
    sent: float = await tab.page.evaluate(SENT, kind) - before
    return sent * 8 / seconds


async def test_unwatched_video_is_not_sent_and_a_bound_is_kept(server: Server) -> None:
    """Two lines of the same call, as each needs a publisher that has found its bitrate."""
    async with chromium() as browser:
        alice, bob = await chromium_tab(browser), await chromium_tab(browser)
        await join(alice, server, "alice", dynacast=True)
        watched = await sent_bps(alice, "video", 2)
        began = asyncio.get_running_loop().time()
        while (unwatched := await sent_bps(alice, "video", 2)) >= UNWATCHED_BPS:
            assert asyncio.get_running_loop().time() < began + FALLS_WITHIN_S - 4, unwatched
        print(f"uplink {watched:.0f} bit/s at first, {unwatched:.0f} bit/s unwatched")
        assert watched > UNWATCHED_BPS

        await join(bob, server, "bob", media=False)
        seen = await watch_until(bob, lambda sample: sample.frames > 0, SEEN_WITHIN_S)
        unbounded = await watch(bob, 2)
        assert unbounded.bitrate_bps > LIMIT_KBPS * 1000

        await bob.page.evaluate(LIMIT, LIMIT_KBPS)
        await asyncio.sleep(4)  # what does not fit is shown for two more seconds
        bounded = await watch(bob, 6)
        print(f"seen after {seen:.1f} s; {unbounded}; bounded: {bounded}")
        assert bounded.bitrate_bps < LIMIT_KBPS * 1000, bounded
        assert bounded.gained("voice_packets") >= 45 * bounded.seconds, bounded
        assert bounded.gained("concealed") < 0.02 * bounded.gained("heard"), bounded


async def test_a_listener_receives_at_most_24_kbps(
    linked_server: Server, link: Link, tmp_path: Path
) -> None:
    """One voice at 16 kbit/s, 60 ms a packet, with all that comes over the listener's interface."""
    server = linked_server
    launcher = chromium_launcher(tmp_path, link.enter_command)
    async with chromium() as near, chromium(launcher=launcher) as far:
        alice, bob = await chromium_tab(near), await chromium_tab(far)
        await alice.page.context.add_init_script(SIXTY_MS)
        await join(alice, server, "alice", media=False)
        await alice.page.evaluate(SPEAK)
        await join(bob, server.at(network.LINK_ADDRESS), "bob", media=False, grants=LISTENER)
        await watch_until(bob, lambda sample: sample.voice_packets > 20, 10)
        await asyncio.sleep(1)
        before, began = link.received(), asyncio.get_running_loop().time()
        spoken = await sent_bps(alice, "audio", MEASURE_S)
        after, seconds = link.received(), asyncio.get_running_loop().time() - began
        heard = (after[0] - before[0]) * 8 / seconds
        packets = (after[1] - before[1]) / seconds
        print(f"{spoken:.0f} bit/s spoken, {heard:.0f} bit/s on the wire, {packets:.1f} packets/s")
        assert 15_500 <= spoken <= 16_500
        assert packets < 20
        assert heard <= LISTENER_BPS
