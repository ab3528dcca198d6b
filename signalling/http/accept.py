"""Accepts connections, or takes over what somebody else has accepted (a port shared with media).

Accepting is done here and not by the event loop, because libuv hides that descriptors have run out:
it accepts and closes, and neither a log nor a metric shows why nobody can come in.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl

from signalling.http.addresses import Proxies, counted
from signalling.http.connection import Runner, Server
from signalling.http.door import Reason

TLS_HANDSHAKE_TIMEOUT_S = 10.0
BACKLOG = 1_024
"""A whole audience follows its link in the same minute."""
ACCEPTED_AT_ONCE_MAX = 64
"""Then whatever else is ready gets its turn."""
PAUSE_S = 0.2
"""Without descriptors there is nothing to do before somebody has gone."""
SHED_AT_ONCE = 32
WARN_EVERY_S = 60.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger(__name__)


class Acceptor:
    """Lets connections in to a runner, which has to be set up."""

    def __init__(
        self, runner: Runner, tls: ssl.SSLContext | None = None, proxies: Proxies | None = None
    ) -> None:
        server = runner.server
        if not isinstance(server, Server):
            raise RuntimeError("the runner has not been set up")
        self._server = server
        self._door = runner.door
        self._tls = tls
        self._proxies = proxies or Proxies()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._listeners: list[socket.socket] = []
        # Each lives for as long as a TLS handshake may take, so there are no more than connections.
        self._starting: set[asyncio.Task[None]] = set()
        self._warned_at = -WARN_EVERY_S

    async def listen(self, host: str, port: int) -> int:
        """Starts to accept; returns the port, which differs for port 0. Raises OSError."""
        found = await self._loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in dict.fromkeys(found):
            listener = socket.socket(family, socket.SOCK_STREAM)
            self._listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.setblocking(False)
            listener.bind(address)
            listener.listen(BACKLOG)
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)
        return int(self._listeners[0].getsockname()[1])

    def adopt(self, descriptor: int) -> None:
        """Takes over a connected socket from which nothing has been read."""
        if self._closed:
            os.close(descriptor)
            return
        self._take(socket.socket(fileno=descriptor))

    async def close(self) -> None:
        """Takes no more, and drops the connections that are still in their handshake."""
        self._closed = True
        self._door.close()
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        for task in tuple(self._starting):
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE_MAX):
            try:
                connection, _address = listener.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._exhausted(listener, error)
                # Otherwise there is none, or it has gone already.
                return
            self._take(connection)

    def _exhausted(self, listener: socket.socket, error: OSError) -> None:
        """Makes room where that costs least, and says so."""
        self._door.ended[Reason.DESCRIPTORS] += 1
        now = self._loop.time()
        if now >= self._warned_at + WARN_EVERY_S:
            self._warned_at = now
            log.warning(
                "cannot accept connections: %s; raise the limit of open files",
                os.strerror(error.errno or 0),
            )
        self._door.shed(SHED_AT_ONCE)
        self._loop.remove_reader(listener)
        self._loop.call_later(PAUSE_S, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if not self._closed:
            self._loop.add_reader(listener, self._accept, listener)

    def _take(self, connection: socket.socket) -> None:
        task = self._loop.create_task(self._start(connection))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self, connection: socket.socket) -> None:
        task = asyncio.current_task()
        peer = _peer(connection)
        address = "" if self._proxies.trusts(peer) else counted(peer)
        guest = self._door.enter(address, lambda: task and task.cancel())
        if guest is None:
            connection.close()
            return
        try:
            connection.setblocking(False)
            await self._loop.connect_accepted_socket(
                lambda: self._server.connection(guest),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=TLS_HANDSHAKE_TIMEOUT_S if self._tls else None,
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            self._door.leave(guest)
            connection.close()
            log.debug("a connection ended before its first request: %s", error)
        except asyncio.CancelledError:
            self._door.leave(guest)
            connection.close()
            raise


def _peer(connection: socket.socket) -> str:
    with contextlib.suppress(OSError):
        address = connection.getpeername()
        if isinstance(address, tuple):
            return str(address[0])
    return ""
