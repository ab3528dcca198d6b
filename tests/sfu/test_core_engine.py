"""The native module by itself: its life, its checks and its descriptor. No media flows here."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sfu import _core
from sfu.engine import Engine as AsyncEngine

LOOPBACK = "127.0.0.1"
FINGERPRINT = ":".join(f"{byte:02X}" for byte in range(32))
UNKNOWN_SHARD = 9 << 24


def media_threads() -> int:
    count = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            count += (task / "comm").read_text().startswith("sfu-media")
    return count


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)


def is_readable(fd: int, timeout_s: float) -> bool:
    return bool(select.select([fd], [], [], timeout_s)[0])


@pytest.fixture
def engine() -> Iterator[_core.Engine]:
    engine = _core.Engine(udp_port=0, threads=2, bind_addresses=[LOOPBACK])
    yield engine
    engine.stop()


def codec(payload_type: int = 96, name: str = "vp8") -> _core.CodecSpec:
    return _core.CodecSpec(payload_type, name, 90_000, payload_type + 1)


def publish_arguments(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "kind": "video",
        "mid": "0",
        "codecs": [codec()],
        "extensions": [(1, "urn:ietf:params:rtp-hdrext:sdes:mid"), (9, "urn:unknown")],
        "rids": ["q", "h", "f"],
        "ssrcs": [(1, 2), (3, None)],
    }
    return arguments | changes


def subscribe_arguments(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "kind": "video",
        "ssrc": 1,
        "rtx_ssrc": None,
        "codecs": [(96, codec(102))],
        "extensions": [],
        "cname": "PA_1",
    }
    return arguments | changes


# --- life -----------------------------------------------------------------------------------


def test_twenty_lives_leave_nothing_behind() -> None:
    first = _core.Engine(udp_port=0, threads=2, bind_addresses=[LOOPBACK])
    first.stop()
    before = descriptors()
    for _ in range(20):
        engine = _core.Engine(udp_port=0, threads=2, bind_addresses=[LOOPBACK])
        wait_until(lambda: media_threads() == 2)
        ports = engine.udp_ports
        assert len(set(ports)) == 2
        engine.stop()
        engine.stop()
        wait_until(lambda: media_threads() == 0)
        for port in ports:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
                again.bind((LOOPBACK, port))
    del engine
    del first
    assert descriptors() <= before


def test_threads_take_consecutive_ports() -> None:
    for _ in range(20):  # the port after a free one may be taken by somebody else
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((LOOPBACK, 0))
            port = probe.getsockname()[1]
        with contextlib.suppress(OSError):
            engine = _core.Engine(udp_port=port, threads=2, bind_addresses=[LOOPBACK])
            assert engine.udp_ports == [port, port + 1]
            engine.stop()
            return
    pytest.fail("found no two neighbouring free ports")


def test_media_over_tcp_is_announced_and_ends_with_the_engine() -> None:
    with_none = _core.Engine(udp_port=0, bind_addresses=[LOOPBACK])
    before = descriptors()
    engine = _core.Engine(udp_port=0, tcp_port=0, threads=2, bind_addresses=[LOOPBACK])
    port = engine.tcp_port
    assert port is not None
    udp, tcp = engine.open_transport().candidates
    assert "udp" in udp
    assert tcp.split()[2] == "tcp"
    assert tcp.endswith(f"{LOOPBACK} {port} typ host tcptype passive")
    with socket.create_connection((LOOPBACK, port)):
        engine.stop()
    del engine
    assert descriptors() == before
    assert with_none.tcp_port is None
    with_none.stop()


def test_an_engine_that_is_forgotten_stops() -> None:
    engine = _core.Engine(udp_port=0, bind_addresses=[LOOPBACK])
    wait_until(lambda: media_threads() == 1)
    del engine
    wait_until(lambda: media_threads() == 0)


def test_a_port_in_use_is_an_os_error_that_names_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, 0))
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"{LOOPBACK}:{port}"):
            _core.Engine(udp_port=port, bind_addresses=[LOOPBACK])
    wait_until(lambda: media_threads() == 0)


def test_a_stopped_engine_refuses_everything_but_another_stop(engine: _core.Engine) -> None:
    transport_id = engine.open_transport().transport_id
    engine.stop()
    engine.stop()
    for call in (
        engine.poll_events,
        engine.open_transport,
        engine.stats,
        lambda: engine.close_transport(transport_id),
        lambda: engine.publish(transport_id, **publish_arguments()),
        lambda: engine.event_fd,
    ):
        with pytest.raises(RuntimeError, match="stopped"):
            call()


# --- what a description is made of ------------------------------------------------------------


def test_a_transport_has_credentials_and_candidates(engine: _core.Engine) -> None:
    one, two = engine.open_transport(), engine.open_transport()
    assert one.transport_id != two.transport_id
    assert (one.ice_ufrag, one.ice_password) != (two.ice_ufrag, two.ice_password)
    assert len(one.ice_ufrag) >= 4
    assert len(one.ice_password) >= 22
    ports = {info.candidates[0].split()[5] for info in (one, two)}
    assert ports == {str(port) for port in engine.udp_ports}
    near = engine.open_transport(near_transport=two.transport_id)
    assert near.candidates == two.candidates
    restarted = engine.restart_ice(one.transport_id)
    assert restarted.transport_id == one.transport_id
    assert restarted.ice_password != one.ice_password


def test_public_addresses_are_announced_instead_of_bound_ones() -> None:
    engine = _core.Engine(
        udp_port=0, bind_addresses=[LOOPBACK], public_addresses=["203.0.113.7", "2001:db8::7"]
    )
    (candidate,) = engine.open_transport().candidates
    engine.stop()
    fields = candidate.split()
    assert fields[4:8] == ["203.0.113.7", str(engine.udp_ports[0]), "typ", "host"]


def test_without_addresses_every_interface_is_used_and_loopback_told_only_if_alone() -> None:
    engine = _core.Engine(udp_port=0)
    addresses = [line.split()[4] for line in engine.open_transport().candidates]
    engine.stop()
    assert addresses
    assert len({ipaddress.ip_address(address).is_loopback for address in addresses}) == 1
    assert not any(address.startswith(("fe80:", "169.254.")) for address in addresses)


def test_the_fingerprint_is_that_of_sdp(engine: _core.Engine) -> None:
    parts = engine.fingerprint_sha256.split(":")
    assert len(parts) == 32
    assert all(len(part) == 2 and part == part.upper() for part in parts)


# --- arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"udp_port": -1}, "udp_port must be 0 to 65535, not -1"),
        ({"udp_port": 65_536}, "udp_port"),
        ({"udp_port": 10**30}, "udp_port"),
        ({"udp_port": 65_535, "threads": 2}, "port would be 65536"),
        ({"udp_port": 0, "threads": 0}, "threads must be 1 to 128"),
        ({"udp_port": 0, "threads": 129}, "threads"),
        ({"udp_port": 0, "bind_addresses": ["localhost"]}, 'bind_addresses: "localhost"'),
        ({"udp_port": 0, "public_addresses": ["1.2.3.4:5"]}, "public_addresses"),
    ],
)
def test_impossible_engines_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.Engine(**{"bind_addresses": [LOOPBACK]} | arguments)
    assert media_threads() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((128, "vp8", 90_000), "payload_type must be 0 to 127, not 128"),
        ((-1, "vp8", 90_000), "payload_type"),
        ((96, "vp8", 0), "clock_rate_hz"),
        ((96, "vp8", 2**32), "clock_rate_hz"),
        ((96, "", 90_000), "codec"),
        ((96, "vp8", 90_000, 200), "rtx_payload_type"),
    ],
)
def test_impossible_codecs_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.CodecSpec(*arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "text"}, 'kind must be "audio" or "video", not "text"'),
        ({"mid": ""}, "mid must be 1 to 16"),
        ({"mid": "m" * 17}, "mid"),
        ({"mid": "a b"}, "mid"),
        ({"mid": "é"}, "mid"),
        ({"extensions": [(0, "urn:x")]}, "an extension's id must be 1 to 255, not 0"),
        ({"extensions": [(256, "urn:x")]}, "extension"),
        ({"rids": ["high-1"]}, "rid"),
        ({"rids": ["x" * 17]}, "rid"),
        ({"rids": ["a"] * 257}, "at most 256 rids"),
        ({"ssrcs": [(2**32, None)]}, "an SSRC must be"),
        ({"ssrcs": [(1, -1)]}, "an RTX SSRC must be"),
    ],
)
def test_impossible_tracks_are_refused(
    engine: _core.Engine, changes: dict[str, Any], message: str
) -> None:
    transport_id = engine.open_transport().transport_id
    with pytest.raises(ValueError, match=message):
        engine.publish(transport_id, **publish_arguments(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": ""}, "kind"),
        ({"ssrc": 2**32}, "ssrc must be"),
        ({"rtx_ssrc": -5}, "rtx_ssrc must be"),
        ({"codecs": [(128, codec())]}, "the publisher's payload type must be 0 to 127"),
        ({"cname": ""}, "cname must be 1 to 255"),
        ({"cname": "c" * 256}, "cname"),
        ({"max_layer": 256}, "max_layer must be"),
        ({"max_temporal_layer": -1}, "max_temporal_layer must be"),
    ],
)
def test_impossible_subscriptions_are_refused(
    engine: _core.Engine, changes: dict[str, Any], message: str
) -> None:
    transport_id = engine.open_transport().transport_id
    track_id = engine.publish(transport_id, **publish_arguments())
    with pytest.raises(ValueError, match=message):
        engine.subscribe(transport_id, track_id, **subscribe_arguments(**changes))


def test_no_ssrc_is_drawn_twice(engine: _core.Engine) -> None:
    drawn = [engine.draw_ssrc() for _ in range(1_000)]
    assert len(set(drawn)) == 1_000
    assert all(0 < ssrc < 2**32 for ssrc in drawn)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ice_ufrag": "abc"}, "ice_ufrag must be 4 to 256"),
        ({"ice_ufrag": "ab:cd"}, "ice_ufrag"),
        ({"ice_ufrag": "a" * 257}, "ice_ufrag"),
        ({"ice_password": "p" * 21}, "ice_password must be 22 to 256"),
        ({"ice_password": "p" * 21 + "\n"}, "ice_password"),
        ({"fingerprint_sha256": "AB:CD"}, "fingerprint_sha256 must be 32 bytes"),
        ({"fingerprint_sha256": FINGERPRINT + ":00"}, "fingerprint"),
        ({"fingerprint_sha256": FINGERPRINT[:-2] + "+F"}, "fingerprint"),
        ({"dtls_role": "actpass"}, 'dtls_role must be "client" or "server"'),
    ],
)
def test_impossible_remote_descriptions_are_refused(
    engine: _core.Engine, changes: dict[str, Any], message: str
) -> None:
    remote: dict[str, Any] = {
        "ice_ufrag": "abcd",
        "ice_password": "p" * 22,
        "fingerprint_sha256": FINGERPRINT,
        "dtls_role": "server",
    }
    transport_id = engine.open_transport().transport_id
    engine.set_remote(transport_id, **remote)
    engine.set_remote(transport_id, **remote | {"fingerprint_sha256": FINGERPRINT.lower()})
    with pytest.raises(ValueError, match=message) as raised:
        engine.set_remote(transport_id, **remote | changes)
    assert "pppp" not in str(raised.value), "passwords must not reach a log"


def test_wrong_types_raise_type_errors(engine: _core.Engine) -> None:
    with pytest.raises(TypeError, match="udp_port"):
        _core.Engine(udp_port="80")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="room_id"):
        engine.send_data("room", b"", reliable=True)  # type: ignore[arg-type]


def test_identifiers_of_no_thread_are_refused_and_stale_ones_are_not(
    engine: _core.Engine,
) -> None:
    for call in (
        lambda: engine.close_transport(UNKNOWN_SHARD),
        lambda: engine.restart_ice(UNKNOWN_SHARD),
        lambda: engine.unpublish(UNKNOWN_SHARD),
        lambda: engine.unsubscribe(UNKNOWN_SHARD),
        lambda: engine.request_key_frame(UNKNOWN_SHARD),
        lambda: engine.open_transport(near_transport=UNKNOWN_SHARD),
        lambda: engine.publish(UNKNOWN_SHARD, **publish_arguments()),
        lambda: engine.close_transport(2**32),
        lambda: engine.close_transport(-1),
        lambda: engine.close_transport(2**70),
    ):
        with pytest.raises(ValueError):
            call()
    transport_id = engine.open_transport().transport_id
    engine.close_transport(transport_id)
    engine.close_transport(transport_id)


def test_tracks_and_subscriptions_get_distinct_identifiers(engine: _core.Engine) -> None:
    transport_id = engine.open_transport().transport_id
    tracks = {engine.publish(transport_id, **publish_arguments(mid=str(n))) for n in range(5)}
    assert len(tracks) == 5
    track_id = tracks.pop()
    subscriptions = {
        engine.subscribe(transport_id, track_id, **subscribe_arguments()) for _ in range(5)
    }
    assert len(subscriptions) == 5
    engine.update_subscription(subscriptions.pop(), paused=True, max_layer=0)
    engine.set_data_member(
        7,
        sid="PA_1",
        identity="ada",
        sends_on=transport_id,
        receives_on=transport_id,
        can_publish=True,
        hidden=False,
    )
    engine.send_data(7, b"\x0a\x00", reliable=True)
    engine.remove_data_member(7, "PA_1")
    engine.unpublish(track_id)


# --- events and statistics --------------------------------------------------------------------


def test_an_event_makes_the_descriptor_readable_and_polling_resets_it(
    engine: _core.Engine,
) -> None:
    engine.poll_events()
    assert not is_readable(engine.event_fd, 0)
    transport_id = engine.open_transport().transport_id
    engine.close_transport(transport_id)
    assert is_readable(engine.event_fd, 5)
    events: list[_core.Event] = []

    def closed() -> bool:
        events.extend(engine.poll_events())
        return any(
            isinstance(event, _core.TransportStateChanged) and event.state == "closed"
            for event in events
        )

    wait_until(closed)
    last = [event for event in events if isinstance(event, _core.TransportStateChanged)][-1]
    assert (last.transport_id, last.reason) == (transport_id, "requested")
    assert not is_readable(engine.event_fd, 0)


async def test_asyncio_is_woken() -> None:
    engine = AsyncEngine(_core.Engine(udp_port=0, bind_addresses=[LOOPBACK]))
    closed = asyncio.Event()
    with engine:
        transport_id = engine.core.open_transport().transport_id

        def on_event(event: object) -> None:
            if isinstance(event, _core.TransportStateChanged) and event.state == "closed":
                closed.set()

        engine.watch_transport(transport_id, on_event)
        engine.core.close_transport(transport_id)
        await asyncio.wait_for(closed.wait(), 5)


def test_datagrams_show_in_the_statistics_of_their_thread(engine: _core.Engine) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(50):
            sender.sendto(b"\xff" * 100, (LOOPBACK, engine.udp_ports[1]))
    wait_until(lambda: engine.stats().shards[1].packets_received == 50)
    idle, busy = engine.stats().shards
    assert idle.packets_received == 0
    assert busy.bytes_received == 5_000
    assert busy.cpu_us > 0
    wait_until(lambda: engine.stats().shards[1].dropped["not_recognised"] == 50)
    bounds = [bound for bound, _ in busy.forward_latency_us]
    assert bounds == sorted(bounds)
    assert bounds[-1] == 2**64 - 1


async def test_the_engines_log_lines_reach_pythons_log(caplog: pytest.LogCaptureFixture) -> None:
    _core.set_log_level(logging.DEBUG)
    try:
        with caplog.at_level(logging.DEBUG):
            engine = AsyncEngine(
                _core.Engine(udp_port=0, bind_addresses=[LOOPBACK], pin_threads=True)
            )
            with engine:
                for _ in range(200):
                    if any(r.name.startswith("kinguicall_net") for r in caplog.records):
                        break
                    await asyncio.sleep(0.01)
    finally:
        _core.set_log_level(logging.INFO)
    messages = [r.getMessage() for r in caplog.records if r.name.startswith("kinguicall_net")]
    assert any("runs" in message for message in messages)


def test_a_process_that_forgets_to_stop_ends_by_itself() -> None:
    program = (
        "from sfu import _core\n"
        f"engine = _core.Engine(udp_port=0, threads=2, bind_addresses=['{LOOPBACK}'])\n"
        "engine.open_transport()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
