"""Files sent by livekit-client's `sendFile`: whole for every reader, whatever its speed."""

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

SLOW_KBPS = 1_000
GROWTH_BYTES_MAX = 2 * 1024 * 1024
SMALL_BYTES = 2_000_000
LARGE_BYTES = 40_000_000
RUNS = 5

# The page is on plain HTTP, where browsers offer no `randomUUID`. The file is noise, as the library
# would compress anything else.
PAGE = """
crypto.randomUUID ??= () => [8, 4, 4, 4, 12]
  .map((length) => Array.from({ length }, () => (Math.random() * 16 | 0).toString(16)).join(''))
  .join('-');
globalThis.noise = () => {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
};
globalThis.files = [];
"""

SEND = """async (size) => {
  const bytes = new Uint8Array(size);
  const next = noise();
  for (let index = 0; index < size; index++) bytes[index] = next();
  await room.localParticipant.sendFile(new File([bytes], 'film'), { topic: 'files' });
}"""

EXPECT = """() => room.registerByteStreamHandler('files', async (reader) => {
  const file = { size: reader.info.size, length: 0, wrong: 0, error: '', done: false };
  files.push(file);
  const next = noise();
  try {
    for await (const chunk of reader) {
      for (const byte of chunk) if (byte !== next()) file.wrong++;
      file.length += chunk.length;
    }
  } catch (error) {
    file.error = String(error);
  }
  file.done = true;
})"""


async def reader(tab: ChromiumTab, server: Server, identity: str) -> ChromiumTab:
    await tab.page.context.add_init_script(PAGE)
    await join(tab, server, identity, media=False)
    await tab.page.evaluate(EXPECT)
    return tab


async def send(sender: ChromiumTab, readers: list[ChromiumTab], size: int) -> None:
    """Sends a file and waits until each reader has one more, all of it."""
    whole = {"size": size, "length": size, "wrong": 0, "error": "", "done": True}

    async def received(tab: ChromiumTab, count: int) -> None:
        done = "(n) => files[n]?.done ?? false"
        await tab.page.wait_for_function(done, arg=count, timeout=0, polling=200)
        assert (await tab.evaluate("files"))[count] == whole

    before = [await tab.evaluate("files.length") for tab in readers]
    waiting = map(received, readers, before)
    await asyncio.gather(sender.page.evaluate(SEND, size), *waiting)


@contextlib.asynccontextmanager
async def memory_bounded(server: Server) -> AsyncIterator[None]:
    """The server's memory stays within `GROWTH_BYTES_MAX` of what it was, at any moment."""
    before, most = server.resident_bytes(), 0

    async def observe() -> None:
        nonlocal most
        while True:
            most = max(most, server.resident_bytes())
            await asyncio.sleep(0.1)

    observing = asyncio.create_task(observe())
    try:
        yield
    finally:
        observing.cancel()
        print(f"the server's memory grew by {(most - before) / 1e6:.2f} MB")
    assert most - before <= GROWTH_BYTES_MAX


async def test_a_file_arrives_whole_at_a_fast_and_at_a_slow_reader(
    linked_server: Server, link: Link, tmp_path: Path
) -> None:
    link.narrow(SLOW_KBPS)
    launcher = chromium_launcher(tmp_path, link.enter_command)
    async with chromium() as near, chromium(launcher=launcher) as far:
        server = linked_server
        sender = await reader(await chromium_tab(near), server, "sender")
        fast = await reader(await chromium_tab(near), server, "fast")
        slow = await chromium_tab(far)
        await reader(slow, server.at(network.LINK_ADDRESS), "slow")
        await send(sender, [fast, slow], 100_000)
        async with memory_bounded(server):
            await send(sender, [fast, slow], SMALL_BYTES)


@pytest.mark.network
@pytest.mark.timeout(600)
async def test_a_large_file_passes_between_two_tabs(server: Server) -> None:
    async with chromium() as browser:
        sender = await reader(await chromium_tab(browser), server, "sender")
        receiver = await reader(await chromium_tab(browser), server, "receiver")
        await send(sender, [receiver], 1_000_000)
        for _ in range(RUNS):
            async with memory_bounded(server):
                await send(sender, [receiver], LARGE_BYTES)


@pytest.mark.network
@pytest.mark.timeout(900)
async def test_a_large_file_reaches_slow_readers_whole(
    linked_server: Server, link: Link, tmp_path: Path
) -> None:
    """Each behind a link of its own: six minutes for the file."""
    server = linked_server
    async with contextlib.AsyncExitStack() as stack:
        near = await stack.enter_async_context(chromium())
        sender = await reader(await chromium_tab(near), server, "sender")
        others = [stack.enter_context(network.behind_a_link(number)) for number in range(1, RUNS)]
        slow = []
        for number, way in enumerate([link, *others]):
            way.narrow(SLOW_KBPS)
            folder = tmp_path / f"browser{number}"
            folder.mkdir()
            launcher = chromium_launcher(folder, way.enter_command)
            far = await stack.enter_async_context(chromium(launcher=launcher))
            tab = await chromium_tab(far)
            slow.append(await reader(tab, server.at(network.LINK_ADDRESS), f"slow{number}"))
        await send(sender, slow, 100_000)
        async with memory_bounded(server):
            await send(sender, slow, LARGE_BYTES)
