"""Chromium (Playwright) and Firefox (Puppeteer over WebDriver BiDi) behind one small interface.

Both run headless with fake devices. Playwright cannot drive a stock Firefox, so `firefox.mjs` does,
as a child process that takes one JSON command a line.
"""

import asyncio
import contextlib
import json
import shlex
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.support.server import ROOT

FIREFOX_DRIVER = ROOT / "tests" / "e2e" / "firefox.mjs"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    # A page that a test fulfils itself has no address, and counts as foreign to the local network.
    "--disable-features=LocalNetworkAccessChecks",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
]

# Runs before the page's own scripts: keeps the peer connections, so that a test can read the
# browser's statistics whatever library the page uses.
INIT_SCRIPT = """
globalThis.peerConnections = [];
globalThis.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...options) {
    super(...options);
    peerConnections.push(this);
  }
};
"""

# What every stream that arrives has brought so far: [{kind, ssrc, frames, energy, lost, freezes}].
RECEIVED = """(async () => {
  const received = [];
  for (const connection of globalThis.peerConnections ?? []) {
    if (connection.connectionState === 'closed') continue;
    (await connection.getStats()).forEach((entry) => {
      if (entry.type !== 'inbound-rtp') return;
      received.push({
        kind: entry.kind,
        ssrc: entry.ssrc,
        frames: entry.framesDecoded ?? 0,
        energy: entry.totalAudioEnergy ?? 0,
        packets: entry.packetsReceived ?? 0,
        lost: entry.packetsLost ?? 0,
        freezes: entry.freezeCount ?? 0,
      });
    });
  }
  return received;
})()"""


def _button(label: str) -> str:
    """XPath of a button by its visible text, which a hint may follow, or its accessible name."""
    return f'//button[starts-with(normalize-space(.), "{label}") or @aria-label="{label}"]'


class Tab(Protocol):
    """One page of one browser. Labels are those of buttons, selectors are CSS."""

    async def goto(self, url: str) -> None: ...
    async def press(self, label: str) -> None: ...
    async def sees(self, label: str) -> None: ...
    async def fill(self, selector: str, text: str) -> None: ...
    async def evaluate(self, expression: str) -> Any: ...
    async def reload(self) -> None: ...
    async def screenshot(self, path: Path) -> None: ...


class ChromiumTab:
    """A tab of Chromium, in a context of its own."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def goto(self, url: str) -> None:
        await self.page.goto(url)

    async def press(self, label: str) -> None:
        await self.page.click(f"xpath={_button(label)}", timeout=15_000)

    async def sees(self, label: str) -> None:
        await self.page.wait_for_selector(f"xpath={_button(label)}", timeout=15_000)

    async def fill(self, selector: str, text: str) -> None:
        await self.page.fill(selector, text)

    async def evaluate(self, expression: str) -> Any:
        return await self.page.evaluate(expression)

    async def reload(self) -> None:
        await self.page.reload()

    async def screenshot(self, path: Path) -> None:
        await self.page.screenshot(path=path)


class FirefoxTab:
    """The one tab of a Firefox that `firefox.mjs` drives."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def _call(self, command: str, *arguments: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([command, *arguments]).encode() + b"\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), 40)
        assert line, f"the Firefox driver ended during {command}"
        answer = json.loads(line)
        assert "error" not in answer, f"{command}: {answer.get('error')}"
        return answer.get("value")

    async def goto(self, url: str) -> None:
        await self._call("goto", url)

    async def press(self, label: str) -> None:
        await self._call("click", f"::-p-xpath({_button(label)})")

    async def sees(self, label: str) -> None:
        await self._call("wait", f"::-p-xpath({_button(label)})")

    async def fill(self, selector: str, text: str) -> None:
        await self._call("fill", selector, text)

    async def evaluate(self, expression: str) -> Any:
        return await self._call("evaluate", expression)

    async def reload(self) -> None:
        await self._call("reload")

    async def screenshot(self, path: Path) -> None:
        await self._call("screenshot", str(path))

    async def close(self) -> None:
        with contextlib.suppress(AssertionError, TimeoutError, ConnectionError):
            await self._call("close")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), 10)
            return
        self._process.kill()
        await self._process.wait()


def _browser_path(*names: str) -> str:
    for name in names:
        if (path := shutil.which(name)) is not None:
            return path
    pytest.fail(f"none of {names} is installed: run `make build` or scripts/prepare test")


@contextlib.asynccontextmanager
async def chromium(*flags: str, launcher: Path | None = None) -> AsyncIterator[Browser]:
    """A Chromium; `launcher` is a program that takes its place and starts it in some other way."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=launcher or _browser_path("chromium"), args=[*CHROMIUM_FLAGS, *flags]
        )
        yield browser
        await browser.close()


def chromium_launcher(folder: Path, command: list[str]) -> Path:
    """A `launcher` that runs Chromium behind `command`, such as `nsenter`."""
    script = folder / "chromium.sh"
    words = shlex.join([*command, _browser_path("chromium")])
    script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    script.chmod(0o755)
    return script


async def chromium_tab(
    browser: Browser,
    *,
    width: int = 1280,
    height: int = 800,
    touch: bool = False,
    user_agent: str | None = None,
) -> ChromiumTab:
    """A new tab with storage of its own, microphone and camera allowed; `touch`: as on a phone."""
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        is_mobile=touch,
        has_touch=touch,
        user_agent=user_agent,
        permissions=["camera", "microphone"],
        locale="en-GB",
    )
    await context.add_init_script(INIT_SCRIPT)
    return ChromiumTab(await context.new_page())


@contextlib.asynccontextmanager
async def firefox_tab(profile: Path) -> AsyncIterator[FirefoxTab]:
    """Firefox with its own profile folder, ready to take commands."""
    process = await asyncio.create_subprocess_exec(
        _browser_path("node"),
        FIREFOX_DRIVER,
        _browser_path("firefox-esr", "firefox"),
        profile,
        INIT_SCRIPT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 22,
    )
    tab = FirefoxTab(process)
    try:
        await tab._call("ready")
        yield tab
    finally:
        await tab.close()
