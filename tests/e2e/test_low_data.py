"""The page's low-data switch, and its count of megabytes, against what browsers count themselves.

Also without the switch nothing is received that is not shown. The listener has a name, which the
page's library repeats with everything it tells the server, and a token that lets it only listen.
"""

import asyncio
from pathlib import Path

from livekit import api

from tests.e2e.test_call import WIDTHS, Person, create_conference
from tests.support.browsers import Tab, chromium, chromium_tab, firefox_tab
from tests.support.server import API_KEY, API_SECRET, Server
from tests.support.watch import watch, watch_until

LIMIT_KBPS = 100
SETTLED_AFTER_S = 4  # what does not fit is shown for two more seconds
COUNTED_WITHIN_S = 15  # two measurements and more, on a busy machine
SMALLEST_WIDTH = 320  # a quarter of what the camera gives
ENOUGH_MB = 0.5  # the page shows tenths

NAMED = "localStorage.setItem('kinguicall.name', 'Mariam')"
SWITCH = "document.querySelector('[role=switch]').getAttribute('aria-checked')"
SPENT_MB = "parseFloat(document.querySelector('.data-spent').textContent)"
PLACES = """JSON.stringify([...document.querySelectorAll('.controls > *, .chip, .stage')]
  .map((element) => element.getBoundingClientRect()))"""
RTP_BYTES = """(async () => {
  let bytes = 0;
  for (const connection of peerConnections)
    (await connection.getStats()).forEach((entry) => {
      if (entry.type === 'inbound-rtp')
        bytes += entry.bytesReceived + (entry.headerBytesReceived ?? 12 * entry.packetsReceived);
    });
  return bytes;
})()"""


SENT_PACKETS = """(async () => {
  const sent = {};
  for (const connection of peerConnections)
    (await connection.getStats()).forEach((entry) => {
      if (entry.type === 'outbound-rtp' && entry.kind === 'video')
        sent[entry.rid] = entry.packetsSent;
    });
  return sent;
})()"""


RECEIVED_PICTURES = """(async () => {
  const packets = async () => {
    const found = {};
    for (const connection of peerConnections)
      (await connection.getStats()).forEach((entry) => {
        if (entry.type === 'inbound-rtp' && entry.kind === 'video')
          found[entry.id] = entry.packetsReceived;
      });
    return found;
  };
  const before = await packets();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const after = await packets();
  return Object.keys(after).filter((id) => after[id] > (before[id] ?? 0)).length;
})()"""
"""JavaScript: how many videos arrive at present."""


async def sends(tab: Tab, layers: set[str], within_s: float = 15) -> None:
    """Until these layers of the own camera are sent, and no others."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        before = await tab.evaluate(SENT_PACKETS)
        await asyncio.sleep(1.5)
        after = await tab.evaluate(SENT_PACKETS)
        sent = {rid for rid in after if after[rid] > before.get(rid, 0)}
        if sent == layers:
            return
        assert asyncio.get_running_loop().time() < deadline, f"sent {sent}, not {layers}"


async def eventually(tab: Tab, expression: str, value: object, within_s: float = 5) -> None:
    """Until the page says so."""
    deadline = asyncio.get_running_loop().time() + within_s
    while (seen := await tab.evaluate(expression)) != value:
        assert asyncio.get_running_loop().time() < deadline, f"{expression}: {seen}, not {value}"
        await asyncio.sleep(0.1)


async def counts_what_it_receives(tab: Tab) -> None:
    """The page says what came, and little more: headers, reports, signalling."""
    deadline = asyncio.get_running_loop().time() + COUNTED_WITHIN_S
    while (least_mb := await tab.evaluate(RTP_BYTES) / 1e6) < ENOUGH_MB:
        assert asyncio.get_running_loop().time() < deadline, least_mb
        await asyncio.sleep(0.2)
    deadline = asyncio.get_running_loop().time() + COUNTED_WITHIN_S
    while (spent_mb := await tab.evaluate(SPENT_MB)) < least_mb - 0.05:
        assert asyncio.get_running_loop().time() < deadline, (spent_mb, least_mb)
        await asyncio.sleep(0.2)
    most_mb = await tab.evaluate(RTP_BYTES) / 1e6
    print(f"{spent_mb} MB on the page, {least_mb:.2f} to {most_mb:.2f} MB of RTP")
    assert spent_mb <= most_mb * 1.2 + 0.25


async def bounds(server: Server, room: str) -> list[str]:
    """The bounds that participants have asked the server for."""
    async with api.LiveKitAPI(server.url, API_KEY, API_SECRET) as rooms:
        found = await rooms.room.list_participants(api.ListParticipantsRequest(room=room))
    key = "kinguicall.downlink_limit_kbps"
    return [one.attributes[key] for one in found.participants if key in one.attributes]


async def test_a_listener_switches_low_data_on_and_receives_less(
    server: Server, artefacts: Path
) -> None:
    async with chromium() as browser:
        speaker = Person("Awa", await chromium_tab(browser))
        link = await create_conference(server, speaker.tab)
        room = link.rpartition("/")[2]
        await speaker.enter(link)

        bob = await chromium_tab(browser)
        await bob.page.context.add_init_script(NAMED)
        await bob.goto(link)
        await bob.press("Listen")
        await watch_until(bob, lambda sample: sample.frames > 0, 10)
        unbounded = await watch(bob, 3)
        assert unbounded.bitrate_bps > LIMIT_KBPS * 1000
        assert await bounds(server, room) == []
        await counts_what_it_receives(bob)

        await bob.page.set_viewport_size({"width": 360, "height": 740})
        await asyncio.sleep(0.5)
        before = await bob.evaluate(PLACES)
        await bob.press("Low data")
        await eventually(bob, SWITCH, "true")
        assert await bob.evaluate(PLACES) == before, "the page moved"
        await asyncio.sleep(SETTLED_AFTER_S)
        assert await bounds(server, room) == [str(LIMIT_KBPS)]
        saving = await watch(bob, 5)
        print(f"{unbounded}; low data: {saving}")
        assert saving.bitrate_bps < LIMIT_KBPS * 1000
        assert saving.gained("frames") == 0
        assert saving.gained("voice_packets") >= 45 * saving.seconds
        for width in WIDTHS:
            await bob.page.set_viewport_size({"width": width, "height": 740})
            await asyncio.sleep(0.5)
            await bob.screenshot(artefacts / f"low-data-{width}.png")
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert await bob.evaluate(overflow) <= 0, f"scrolls sideways at {width} px"

        spent_mb = await bob.evaluate(SPENT_MB)
        await bob.reload()  # goes straight back in, with low data from the first packet on
        await bob.sees("Leave")
        await watch_until(bob, lambda sample: sample.voice_packets > 100, 15)
        again = await watch(bob, 3)
        assert again.bitrate_bps < LIMIT_KBPS * 1000
        assert again.gained("frames") == 0, "what is not shown is not sent"
        assert await bob.evaluate(SWITCH) == "true"
        assert await bob.evaluate(SPENT_MB) >= spent_mb
        assert await bounds(server, room) == [str(LIMIT_KBPS)]

        await bob.press("Low data")
        await watch_until(bob, lambda sample: sample.frames > 0, 10)
        await eventually(bob, SWITCH, "false")
        assert await bounds(server, room) == []


async def test_a_speaker_with_low_data_sends_a_small_picture(server: Server) -> None:
    async with chromium() as browser:
        speaker = Person("Awa", await chromium_tab(browser))
        link = await create_conference(server, speaker.tab)
        await speaker.enter(link)
        bob = await chromium_tab(browser)
        await bob.goto(link)
        await bob.press("Listen")
        await watch_until(bob, lambda sample: sample.width > SMALLEST_WIDTH, 15)

        await speaker.tab.press("Low data")
        await sends(speaker.tab, {"q"})
        small = await watch(bob, 2)
        assert small.gained("frames") > 10
        assert small.samples[-1].width <= SMALLEST_WIDTH

        await speaker.tab.press("Low data")
        await watch_until(bob, lambda sample: sample.width > SMALLEST_WIDTH, 15)


async def test_firefox_counts_and_saves_too(server: Server, tmp_path: Path) -> None:
    async with chromium() as browser, firefox_tab(tmp_path / "firefox") as bob:
        speaker = Person("Awa", await chromium_tab(browser))
        link = await create_conference(server, speaker.tab)
        await speaker.enter(link)

        await bob.goto(link)
        await bob.press("Listen")
        await Person("Bob", bob).receives(1, frames=60)
        await counts_what_it_receives(bob)
        await bob.press("Low data")
        await eventually(bob, SWITCH, "true")
        await asyncio.sleep(SETTLED_AFTER_S)
        before = await bob.evaluate(RTP_BYTES)
        await asyncio.sleep(5)
        received_bps = (await bob.evaluate(RTP_BYTES) - before) * 8 / 5
        print(f"Firefox received {received_bps:.0f} bit/s with low data")
        assert 0 < received_bps < LIMIT_KBPS * 1000


async def test_a_picture_without_a_tile_is_not_sent(server: Server) -> None:
    """Two speakers, and a screen with room for one."""
    async with chromium() as browser:
        awa = Person("Awa", await chromium_tab(browser))
        link = await create_conference(server, awa.tab)
        for speaker in (awa, Person("Moussa", await chromium_tab(browser))):
            await speaker.enter(link)
        bob = await chromium_tab(browser, width=220, height=260)
        await bob.goto(link)
        await bob.press("Listen")
        await Person("Bob", bob).receives(1, frames=1)
        await eventually(bob, "document.querySelectorAll('.tile').length", 1)
        await eventually(bob, RECEIVED_PICTURES, 1, within_s=10)
