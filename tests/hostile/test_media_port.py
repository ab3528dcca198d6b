"""Bad input at the media port while two browsers talk: they lose nothing, the server lives on."""

import asyncio
import itertools

from tests.support import attack, corpora, network
from tests.support.browsers import chromium, chromium_tab
from tests.support.livekit_js import join
from tests.support.server import Server
from tests.support.undisturbed import undisturbed_room

CORPORA_PER_SECOND = 8_000
FLOOD_PER_SECOND, FLOOD_SECONDS = 10_000, 5


def media_port(server: Server) -> tuple[str, int]:
    return network.ADDRESS, server.udp_port


async def test_every_sample_and_truncation_before_authentication(server: Server) -> None:
    datagrams = list(corpora.truncations())
    async with undisturbed_room(server):
        sent = await asyncio.to_thread(
            attack.send_paced, datagrams, media_port(server), per_second=CORPORA_PER_SECOND
        )
    assert sent == len(datagrams)


async def test_a_stun_flood_costs_nobody_anything(server: Server) -> None:
    flood = [attack.stun_binding_request(f"{n:08x}", use_candidate=True) for n in range(5000)]
    count = FLOOD_PER_SECOND * FLOOD_SECONDS
    async with undisturbed_room(server):
        await asyncio.to_thread(
            attack.send_paced,
            itertools.islice(itertools.cycle(flood), count),
            media_port(server),
            per_second=FLOOD_PER_SECOND,
        )


async def test_strangers_get_no_answer(server: Server) -> None:
    """Neither an unauthenticated Binding request nor a ClientHello earns a single byte."""
    datagrams = [attack.stun_binding_request("nobody"), attack.client_hello()] * 20
    target = media_port(server)
    assert await asyncio.to_thread(attack.answers_to, datagrams, target, wait_s=1.0) == []


async def test_the_hello_race_stops_no_join(server: Server) -> None:
    """ClientHellos from elsewhere and from the clients' own addresses, spoofed, during 20 joins."""
    stop = asyncio.Event()
    target = media_port(server)

    async def race() -> None:
        while not stop.is_set():
            await asyncio.to_thread(
                attack.send_paced, [attack.client_hello()], target, per_second=1
            )
            for source in attack.local_udp_addresses(except_port=server.udp_port):
                if source[0] == network.ADDRESS:
                    attack.send_spoofed(attack.client_hello(), source, target)
            await asyncio.sleep(0.01)

    async with undisturbed_room(server) as (alice, _):
        attacker = asyncio.create_task(race())
        async with chromium() as browser:
            for n in range(20):
                tab = await chromium_tab(browser)
                await join(tab, server, f"guest-{n}", media=False)
                await tab.page.wait_for_function("tracks.length === 4", timeout=10_000)
                await tab.page.close()
        stop.set()
        await attacker
        assert await alice.evaluate("room.state") == "connected"
