"""A call through the real page: two tabs of Chromium and one Firefox in one conference.

The statistics come from the browsers themselves (`getStats`), the clicks go where a person's would.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.browsers import (
    RECEIVED,
    ChromiumTab,
    Tab,
    chromium,
    chromium_tab,
    firefox_tab,
)
from tests.support.server import Server

VIDEO_FRAMES = 100
MEDIA_TIMEOUT_S = 10
WIDTHS = (360, 1280)


@dataclass
class Person:
    """Somebody with a browser, and what the page is asked on their behalf."""

    name: str
    tab: Tab

    async def enter(self, link: str) -> None:
        """Joins with microphone and camera, each switched on by its own button."""
        await self.tab.goto(link)
        await self.tab.press("Join with microphone or camera")
        await self.tab.fill("input[autocomplete=name]", self.name)
        await self.tab.press("Turn on microphone")
        await self.tab.press("Turn on camera")
        await self.tab.press("Join")
        await self.tab.sees("Leave")

    async def received(self) -> list[dict[str, Any]]:
        received: list[dict[str, Any]] = await self.tab.evaluate(RECEIVED)
        return received

    async def hears_and_sees(self, others: int) -> None:
        """Everybody else's picture and voice begin within the time we promise, and go on."""
        await self.receives(others, frames=1)
        # How many frames a second there are is up to the three cameras' encoders on one machine.
        await self.receives(others, frames=VIDEO_FRAMES)

    async def receives(self, others: int, frames: int) -> None:
        deadline = asyncio.get_running_loop().time() + MEDIA_TIMEOUT_S
        while True:
            received = await self.received()
            videos = [e["frames"] for e in received if e["kind"] == "video"]
            voices = [e["energy"] for e in received if e["kind"] == "audio"]
            if (
                sum(decoded >= frames for decoded in videos) >= others
                and sum(energy > 0 for energy in voices) >= others
            ):
                return
            if asyncio.get_running_loop().time() > deadline:
                pytest.fail(f"{self.name} received only {json.dumps(received)}")
            await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def three_people(profile: Path) -> AsyncIterator[list[Person]]:
    async with chromium() as browser, firefox_tab(profile) as firefox:
        yield [
            Person("Awa", await chromium_tab(browser)),
            # A phone, as most are; and three large pictures are too many for two slow cores.
            Person("Moussa", await chromium_tab(browser, width=360, height=740, touch=True)),
            Person("Fanta", firefox),
        ]


async def create_conference(server: Server, tab: ChromiumTab) -> str:
    """Creates a conference as a person does, and returns the link the page shows."""
    await tab.goto(server.url)
    await tab.press("Create a conference")
    field = tab.page.get_by_label("Conference link")
    await field.wait_for()
    link = await field.input_value()
    assert link.startswith(f"{server.url}/c/"), link
    return link


async def test_three_browsers_in_one_conference(
    server: Server, tmp_path: Path, artefacts: Path
) -> None:
    async with three_people(tmp_path / "firefox") as people:
        awa, moussa, fanta = people
        assert isinstance(awa.tab, ChromiumTab)
        link = await create_conference(server, awa.tab)
        for person in people:
            await person.enter(link)
        await asyncio.gather(*(person.hears_and_sees(2) for person in people))

        for width in WIDTHS:
            await awa.tab.page.set_viewport_size({"width": width, "height": 740})
            await asyncio.sleep(0.5)
            await awa.tab.screenshot(artefacts / f"call-{width}.png")
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert await awa.tab.evaluate(overflow) <= 0, f"scrolls sideways at {width} px"

        await moussa.tab.reload()  # the page goes straight back in
        await moussa.tab.sees("Leave")
        await asyncio.gather(*(person.hears_and_sees(2) for person in people))

        await fanta.tab.press("Leave")
        await fanta.tab.press("Rejoin")
        await fanta.tab.sees("Leave")
        await asyncio.gather(*(person.hears_and_sees(2) for person in people))


async def test_a_listener_needs_one_tap_and_no_permission(server: Server) -> None:
    async with chromium() as browser:
        speaker = Person("Awa", await chromium_tab(browser))
        assert isinstance(speaker.tab, ChromiumTab)
        link = await create_conference(server, speaker.tab)
        await speaker.enter(link)

        listener = await chromium_tab(browser, width=360, height=740)
        await listener.page.context.clear_permissions()
        await listener.goto(link)
        await listener.press("Listen")
        await Person("listener", listener).hears_and_sees(1)
        sent = "peerConnections.flatMap((c) => c.getSenders()).filter((s) => s.track).length"
        assert await listener.evaluate(sent) == 0


async def test_the_page_before_joining(server: Server, artefacts: Path) -> None:
    """Both pages a guest meets first: no error, and nothing scrolls sideways at either width."""
    async with chromium() as browser:
        tab = await chromium_tab(browser)
        errors: list[str] = []
        tab.page.on("pageerror", lambda error: errors.append(str(error)))
        link = await create_conference(server, tab)
        for width in WIDTHS:
            await tab.page.set_viewport_size({"width": width, "height": 740})
            for name, url in (("home", server.url), ("invitation", link)):
                await tab.goto(url)
                await tab.page.wait_for_selector("button")
                await tab.screenshot(artefacts / f"{name}-{width}.png")
                overflow = await tab.evaluate("document.body.scrollWidth - innerWidth")
                assert overflow <= 0, f"{name} scrolls sideways at {width} px"
        assert errors == []
