"""Connections that somebody else has accepted: the HTTP server's part of a shared port."""

import asyncio
import logging
import os
import socket
import ssl

from aiohttp import web

TLS_HANDSHAKE_TIMEOUT_S = 10.0

log = logging.getLogger(__name__)


class Adopter:
    """Serves connections by descriptor. The runner has to be set up."""

    def __init__(self, runner: web.AppRunner, tls: ssl.SSLContext | None) -> None:
        if runner.server is None:
            raise RuntimeError("the runner has not been set up")
        self._server = runner.server
        self._tls = tls
        # Each lives for as long as a TLS handshake may take, so there are no more than connections.
        self._closed = False
        self._starting: set[asyncio.Task[None]] = set()

    def adopt(self, descriptor: int) -> None:
        """Takes over a connected socket from which nothing has been read."""
        if self._closed:
            os.close(descriptor)
            return
        task = asyncio.get_running_loop().create_task(self._start(socket.socket(fileno=descriptor)))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def close(self) -> None:
        """Takes no more, and drops the connections that are still in their handshake."""
        self._closed = True
        for task in tuple(self._starting):
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)

    async def _start(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(
                self._server,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=TLS_HANDSHAKE_TIMEOUT_S if self._tls else None,
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            connection.close()
            log.debug("a connection ended before its first request: %s", error)
        except asyncio.CancelledError:
            connection.close()
            raise
