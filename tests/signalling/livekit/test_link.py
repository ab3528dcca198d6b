"""A link's writer: its turn, a busy socket, a close, an encoder that fails."""

import asyncio
from typing import cast

from aiohttp import web

from sfu import limits
from signalling.livekit.link import Link, Turns
from tests.support.livekit_client import until


class Socket:
    """A WebSocket that takes messages only while it is `free`."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()
        self.sent: list[bytes] = []
        self.code: int | None = None

    async def send_bytes(self, message: bytes) -> None:
        await self.free.wait()
        self.sent.append(message)

    async def close(self, *, code: int, message: bytes) -> None:
        self.code = code


class Transport:
    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == limits.LINK_BUFFER_BYTES_MAX


class Setup:
    def __init__(self, turns: Turns | None = None) -> None:
        self.socket, self.transport = Socket(), Transport()
        self.link = Link(
            cast("web.WebSocketResponse", self.socket),
            cast("asyncio.Transport", self.transport),
            turns or Turns(),
        )
        self.writer = asyncio.create_task(self.link.run_writer())


async def test_state_that_changes_while_the_socket_is_busy_is_written_once() -> None:
    setup = Setup()
    setup.socket.free.clear()
    setup.link.send(b"first")
    await asyncio.sleep(0.01)
    for number in range(500):
        setup.link.latest("state", str(number).encode)
    setup.socket.free.set()
    await until(lambda: len(setup.socket.sent) == 2)
    assert setup.socket.sent == [b"first", b"499"]
    setup.link.close()
    await setup.writer


async def test_what_waits_is_sent_before_the_close() -> None:
    setup = Setup()
    for number in range(50):
        setup.link.send(bytes([number]))
    setup.link.close(b"leave", code=1008)
    setup.link.send(b"too late")
    await setup.writer
    assert setup.socket.sent == [*(bytes([number]) for number in range(50)), b"leave"]
    assert setup.socket.code == 1008


async def test_an_overflow_is_reported_by_the_loop_and_only_the_farewell_is_sent() -> None:
    setup = Setup()
    overflows: list[str] = []
    setup.link.on_overflow = lambda: overflows.append("overflow")
    setup.socket.free.clear()
    for _ in range(3):
        setup.link.send(bytes(limits.OUTBOX_BYTES_MAX))
    assert overflows == []
    await until(lambda: overflows == ["overflow"])
    setup.socket.free.set()
    setup.link.close(b"leave")
    await setup.writer
    assert setup.socket.sent[-1:] == [b"leave"]
    assert len(setup.socket.sent) <= 2


async def test_an_encoder_that_fails_cuts_off_its_own_link_only() -> None:
    def fail() -> bytes:
        raise ValueError("a fault of ours")

    turns = Turns()
    broken, other = Setup(turns), Setup(turns)
    broken.link.latest("state", fail)
    other.link.send(b"fine")
    await until(lambda: other.socket.sent == [b"fine"])
    await broken.writer
    assert broken.transport.aborted
    assert not other.transport.aborted
    other.link.close()
    await other.writer


async def test_a_notice_to_a_thousand_leaves_others_their_turn() -> None:
    """No turn of the loop lets more links write than the bound says."""
    turns = Turns()
    setups = [Setup(turns) for _ in range(1_000)]
    await asyncio.sleep(0)
    for setup in setups:
        setup.link.send(b"notice")
    written, largest = 0, 0
    for _ in range(2_000):
        await asyncio.sleep(0)
        now = sum(len(setup.socket.sent) for setup in setups)
        largest, written = max(largest, now - written), now
    assert written == 1_000
    assert 0 < largest <= limits.WRITERS_PER_TURN_MAX
    for setup in setups:
        setup.link.close()
    await asyncio.gather(*(setup.writer for setup in setups))
