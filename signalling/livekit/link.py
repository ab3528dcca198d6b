"""One WebSocket of a session: what is to be told, the writer, pings, and the close.

A session outlives its link: a client that has lost one resumes on another. Whatever is told waits
in the outbox until the writer's turn; nothing here fails or blocks for the one who tells.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, Final

from aiohttp import web
from aiohttp.client_exceptions import ClientError

from sfu import limits
from signalling.livekit.outbox import Outbox, Topic

log = logging.getLogger(__name__)

PING_AFTER_S: Final = 25.0
"""Silence that a ping ends, which keeps the way through proxies and address translators open: they
wait for a minute or more. Answers are not demanded. A client that pings itself is never silent."""
ABORT_AFTER_S: Final = 5.0
"""A client that does not take its last message by then is cut off."""
OVERHEAD_BYTES: Final = 80
"""What a message costs its receiver besides itself: headers of WebSocket, TLS, TCP and IP."""
NORMAL_CLOSURE: Final = 1000
INVALID_PAYLOAD: Final = 1007
POLICY_VIOLATION: Final = 1008


class Turns:
    """Lets writers go some at a time, so that a notice to thousands leaves others their turn.

    Those who ask come in order. One object for all links of an event loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Event] = deque()

    def ask(self, go: asyncio.Event) -> None:
        """Sets `go` when it is its turn."""
        self._waiting.append(go)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._give)

    def _give(self) -> None:
        for _ in range(min(len(self._waiting), limits.WRITERS_PER_TURN_MAX)):
            self._waiting.popleft().set()
        if self._waiting:
            self._loop.call_soon(self._give)


class Link:
    """Made for an open WebSocket. `run_writer` must run until the link has closed.

    `on_overflow` is called from the loop when the client does not keep up.
    """

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, turns: Turns
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(limits.OUTBOX_BYTES_MAX)
        self._go = asyncio.Event()
        self._asked = False
        self._closing: tuple[int, str] | None = None
        self._sent_at = self._loop.time()
        self.sent_bytes = 0
        """As the client's contract counts them."""
        self.on_overflow: Callable[[], None] = lambda: None
        if transport is not None:
            # Past it the writer waits, so that state keeps waiting where it is brought up to date.
            transport.set_write_buffer_limits(limits.LINK_BUFFER_BYTES_MAX)

    @property
    def closing(self) -> bool:
        """`close` has been called: nothing more is sent or expected."""
        return self._closing is not None

    @property
    def held_bytes(self) -> int:
        """What waits to be written."""
        return self._outbox.held_bytes

    def send(self, message: bytes) -> None:
        """Sends a message after everything that waits. A closing link takes none."""
        if self._takes():
            self._outbox.message(message)
            self._changed()

    def offer(self, message: bytes) -> None:
        """Sends an offer: what waits is told of as it is now."""
        if self._takes():
            self._outbox.offer(message)
            self._changed()

    def latest(self, key: Hashable, encode: Callable[[], bytes]) -> None:
        """Sends state of one message, in the place of what waits under this key."""
        if self._takes():
            self._outbox.latest(key, encode)
            self._changed()

    def tell(self, topic: Topic, notice: Any) -> None:
        """Sends state that is told to many."""
        if self._takes():
            self._outbox.tell(topic, notice)
            self._changed()

    def close(self, last: bytes = b"", code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Sends what waits and `last`, then closes. After an overflow nothing waits any more."""
        if self._closing is not None:
            return
        if self._outbox.overflowed:
            self._outbox = Outbox(limits.OUTBOX_BYTES_MAX)
        if last:
            self._outbox.message(last)
        self._closing = (code, reason)
        if self._transport is not None:
            self._loop.call_later(ABORT_AFTER_S, self._transport.abort)
        self._ask()

    async def run_writer(self) -> None:
        """Sends until the link closes. Ends by itself when the peer has gone."""
        pings = asyncio.create_task(self._ping())
        try:
            while self._closing is None or self._outbox:
                await self._go.wait()
                self._go.clear()
                self._asked = False
                if self._outbox:
                    for message in self._outbox.take():
                        await self._write(message)
                if self._outbox:
                    self._ask()
            code, reason = self._closing
            await self._socket.close(code=code, message=reason.encode())
        except (ConnectionError, ClientError, RuntimeError) as error:
            log.debug("link lost while sending: %s", error)
        except Exception:
            # What cannot be encoded is our fault, and no reason to leave a client without a word.
            log.exception("a link is cut off")
            if self._transport is not None:
                self._transport.abort()
        finally:
            self._outbox.clear()
            pings.cancel()

    async def _write(self, message: bytes) -> None:
        await self._socket.send_bytes(message)
        self.sent_bytes += len(message) + OVERHEAD_BYTES
        self._sent_at = self._loop.time()

    def _takes(self) -> bool:
        return self._closing is None and not self._outbox.overflowed

    def _changed(self) -> None:
        if self._outbox.overflowed:
            self._loop.call_soon(self._overflow)
        else:
            self._ask()

    def _overflow(self) -> None:
        if self._closing is None:
            self.on_overflow()

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._turns.ask(self._go)

    async def _ping(self) -> None:
        with contextlib.suppress(ConnectionError, ClientError, RuntimeError):
            while True:
                await asyncio.sleep(self._sent_at + PING_AFTER_S - self._loop.time())
                if self._loop.time() >= self._sent_at + PING_AFTER_S:
                    await self._socket.ping()
                    self._sent_at = self._loop.time()
