"""Bad input at the media port while two browsers talk: they lose nothing, the server lives on."""

import asyncio
import itertools

from tests.support import attack, corpora, network
from tests.support.browsers import chromium, chromium_tab
from tests.support.livekit_js import open_page
from tests.support.server import Server
from tests.support.undisturbed import undisturbed_room

CORPORA_PER_SECOND = 8_000
CONNECTIONS, CONNECTIONS_PER_SECOND = 800, 200  # pytest's own descriptors are the limit
FLOOD_PER_SECOND, FLOOD_SECONDS = 10_000, 5
FLOOD_MAX_GROWTH = 2 << 20  # 42 bytes a datagram: nothing is kept of one
# Ten times as many are simulated: sfu/core/netem/tests/hello_race.rs.
RACED_JOINS, HELLOS_PER_SECOND = 20, 200

# As the server's answer names it to the page that has published.
SERVER_UFRAG = """peerConnections
  .map((connection) => connection.currentRemoteDescription?.sdp)
  .find((sdp) => sdp)
  .match(/a=ice-ufrag:(\\S+)/)[1]"""

# One guest after the other connects, gets media from both others, and leaves; a connection that
# needs a second attempt counts as failed.
JOIN_AND_LEAVE = """async ([url, tokens]) => {
  const { Room, RoomEvent } = LivekitClient;
  for (const token of tokens) {
    const room = new Room();
    const repeated = new Promise((_, reject) => {
      for (const event of [RoomEvent.Reconnecting, RoomEvent.SignalReconnecting])
        room.once(event, () => reject(new Error(event)));
    });
    let tracks = 0;
    const subscribed = new Promise((resolve) =>
      room.on(RoomEvent.TrackSubscribed, () => ++tracks === 4 && resolve()));
    await Promise.race([repeated, room.connect(url, token).then(() => subscribed)]);
    await room.disconnect();
  }
}"""


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
    """From ever other addresses, to nobody's name and, without its password, to somebody's."""
    async with undisturbed_room(server) as (alice, _):
        ufrag = await alice.evaluate(SERVER_UFRAG)
        names = [ufrag if n % 2 else f"{n:08x}" for n in range(5000)]
        flood = [attack.stun_binding_request(name, use_candidate=True) for name in names]
        before = server.resident_bytes()
        answers = await asyncio.to_thread(
            attack.send_from_many_addresses,
            itertools.islice(itertools.cycle(flood), FLOOD_PER_SECOND * FLOOD_SECONDS),
            media_port(server),
            per_second=FLOOD_PER_SECOND,
        )
        grown = server.resident_bytes() - before
    assert answers == []
    assert grown <= FLOOD_MAX_GROWTH, f"{grown} bytes more"


async def test_connections_that_say_nothing_or_rubbish_cost_nobody_anything(
    server: Server,
) -> None:
    """Silent ones, single bytes, checks that are cut or for nobody, HTTP, and long frames."""
    check = attack.stun_binding_request("00nobody")
    framed = len(check).to_bytes(2, "big") + check
    openings = [b"", b"\x00", framed[:30], framed, framed * 20, b"GET / HTTP/1.1", b"\xff" * 500]
    crowd = itertools.islice(itertools.cycle(openings), CONNECTIONS)
    async with undisturbed_room(server):
        opened = await asyncio.to_thread(
            attack.connect_with,
            crowd,
            (network.ADDRESS, server.tcp_port),
            per_second=CONNECTIONS_PER_SECOND,
        )
    assert opened == CONNECTIONS


async def test_strangers_get_no_answer(server: Server) -> None:
    """Neither an unauthenticated Binding request nor a ClientHello earns a single byte."""
    datagrams = [attack.stun_binding_request("nobody"), attack.client_hello()] * 20
    target = media_port(server)
    assert await asyncio.to_thread(attack.answers_to, datagrams, target, wait_s=1.0) == []


async def test_the_hello_race_stops_no_join(server: Server) -> None:
    """ClientHellos from elsewhere and from the clients' own addresses, spoofed, during 20 joins."""
    tokens = [server.token(server.room, f"guest-{n}") for n in range(RACED_JOINS)]
    async with undisturbed_room(server) as (alice, _), chromium() as browser:
        guests = await chromium_tab(browser)
        await open_page(guests, server)
        with attack.hello_race(media_port(server), per_second=HELLOS_PER_SECOND) as race:
            await guests.page.evaluate(JOIN_AND_LEAVE, [server.ws_url, tokens])
        assert await alice.evaluate("room.state") == "connected"
    # A guest has at least one connection, with a socket of its own.
    assert len(race.spoofed) >= RACED_JOINS, f"{len(race.spoofed)} victims"
