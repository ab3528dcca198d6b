"""One WebSocket of a session: a bounded queue out, pings, and the close.

A session outlives its link: a client that has lost one resumes on another.
"""

import asyncio
import contextlib
import logging
from typing import Final

from aiohttp import web
from aiohttp.client_exceptions import ClientError

from sfu import limits

log = logging.getLogger(__name__)

PING_AFTER_S: Final = 25.0
"""Silence that a ping ends, which keeps the way through proxies and address translators open: they
wait for a minute or more. Answers are not demanded. A client that pings itself is never silent."""
ABORT_AFTER_S: Final = 5.0
"""A client that does not take its last message by then is cut off."""
NORMAL_CLOSURE: Final = 1000
INVALID_PAYLOAD: Final = 1007
POLICY_VIOLATION: Final = 1008


class Link:
    """Made for an open WebSocket. `run_writer` must run until the link has closed."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self._socket = socket
        self._transport = transport
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(limits.LINK_MESSAGES_MAX)
        self._closing: tuple[int, str] | None = None
        self._sent_at = asyncio.get_running_loop().time()

    @property
    def closing(self) -> bool:
        """`close` has been called: nothing more is sent or expected."""
        return self._closing is not None

    def send(self, message: bytes) -> bool:
        """Queues a message. Returns False if the queue is full; a closing link takes none."""
        if self._closing is not None:
            return True
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True

    def close(self, last: bytes = b"", code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Sends what is queued and `last`, then closes. A full queue gives way to `last`."""
        if self._closing is not None:
            return
        if self._queue.full():
            while not self._queue.empty():
                self._queue.get_nowait()
        self._closing = (code, reason)
        if self._transport is not None:
            asyncio.get_running_loop().call_later(ABORT_AFTER_S, self._transport.abort)
        # An empty message wakes the writer; no message of the protocol is empty.
        for message in (last, b"") if last else (b"",):
            with contextlib.suppress(asyncio.QueueFull):
                self._queue.put_nowait(message)

    async def run_writer(self) -> None:
        """Sends until the link closes. Ends by itself when the peer has gone."""
        pings = asyncio.create_task(self._ping())
        try:
            while self._closing is None or not self._queue.empty():
                message = await self._queue.get()
                if message:
                    await self._socket.send_bytes(message)
                    self._sent_at = asyncio.get_running_loop().time()
            code, reason = self._closing
            await self._socket.close(code=code, message=reason.encode())
        except (ConnectionError, ClientError, RuntimeError) as error:
            log.debug("link lost while sending: %s", error)
        finally:
            pings.cancel()

    async def _ping(self) -> None:
        clock = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError, ClientError, RuntimeError):
            while True:
                await asyncio.sleep(self._sent_at + PING_AFTER_S - clock.time())
                if clock.time() >= self._sent_at + PING_AFTER_S:
                    await self._socket.ping()
                    self._sent_at = clock.time()
