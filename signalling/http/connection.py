"""aiohttp's side of a connection: what it may hold before it has shown a token, and what its faults
are answered with.

aiohttp bounds each line of a head and their number, which multiply to megabytes, waits for ever for
the end of one, and answers what it cannot parse with its own name, versions and words.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler

from sfu import limits
from signalling.http import cors
from signalling.http.addresses import Proxies
from signalling.http.door import Door, Guest, Reason

_VISIT = web.RequestKey("visit", Guest)
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class _PeerFaults(logging.Filter):
    """Drops what aiohttp logs, with traceback and address, about peers that went or spoke no HTTP.

    Anybody can do that at any rate, and it is no fault of ours.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError | web.HTTPException)


protocol_log = logging.getLogger(f"{__name__}.protocol")
protocol_log.addFilter(_PeerFaults())


class Connection(RequestHandler):
    """One connection that `door` has let in as `guest`."""

    __slots__ = ("_door", "_reads_head", "guest")

    def __init__(self, door: Door, guest: Guest, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._door = door
        self._reads_head = True
        self.guest = guest

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # uvloop's transports are no subclass.
        self.guest.close = cast("asyncio.Transport", transport).abort

    def connection_lost(self, exc: BaseException | None) -> None:
        self._door.leave(self.guest)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        complete, transport = bool(self._messages), self.transport
        if complete and hasattr(self._messages[-1][0], "exc"):
            # Not HTTP: it is answered and closed. aiohttp would parse on, and keep every error.
            if transport is not None and not transport.is_closing():
                transport.pause_reading()
        elif len(self._messages) > limits.HTTP_PIPELINED_MAX:
            self.guest.close()
        if not self._reads_head:
            return  # but a body, or a WebSocket
        self._reads_head = not complete
        if not self._door.receive(self.guest, len(data), complete=complete):
            if transport is not None:
                transport.write(_TOO_LARGE)
            self.force_close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if not request.content.is_eof():
            # What comes next is no head but the rest of a body that nobody wants.
            resp.force_close()
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._reads_head = not self._messages
            self._door.answered(self.guest)

    def vouch(self, visit: Guest | None) -> None:
        """Its client has shown a valid token. A proxy's connection is that of one client now, too,
        whose request was counted as a `visit`."""
        if visit is not None:
            self._door.leave(visit)
        self._door.leave(self.guest)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is not HTTP, and to faults that no handler has seen."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        self._door.ended[Reason.MALFORMED] += 1
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        answer = web.Response(status=status, text="malformed request", headers=cors.HEADERS)
        answer.force_close()
        return answer


class Server(web.Server):
    """The application that `inner` serves, behind a door."""

    def __init__(self, inner: web.Server, door: Door, **options: Any) -> None:
        super().__init__(inner.request_handler, request_factory=inner.request_factory)
        self._door = door
        self._options = options

    def connection(self, guest: Guest) -> Connection:
        """The protocol of a connection that has been accepted."""
        return Connection(self._door, guest, self, loop=self._loop, **self._options)


class Runner(web.AppRunner):
    """Serves an application to those whom `door` lets in; `options` are those of a connection."""

    def __init__(
        self, app: web.Application, door: Door, *, shutdown_timeout: float, **options: Any
    ) -> None:
        super().__init__(app, handle_signals=False, shutdown_timeout=shutdown_timeout)
        self.door = door
        self._options = options

    async def _make_server(self) -> Server:
        return Server(await super()._make_server(), self.door, **self._options)


@dataclass(frozen=True, slots=True)
class Visits:
    """Requests that a trusted proxy brings: their clients are counted, as it is one itself."""

    door: Door
    proxies: Proxies

    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuses those of an address that has too many."""
        connection = request.protocol
        if not isinstance(connection, Connection) or connection.guest.address:
            return await handler(request)
        visit = self.door.enter(self.proxies.client(request), lambda: None)
        if visit is None:
            headers = {hdrs.RETRY_AFTER: "1"}
            return web.Response(status=503, text="too many connections", headers=headers)
        self.door.receive(visit, 0, complete=True)
        request[_VISIT] = visit
        try:
            return await handler(request)
        finally:
            self.door.leave(visit)


def vouch(request: web.Request) -> None:
    """The client of this request has shown a valid token, and got a WebSocket for it.

    Not before: a connection that goes on to send requests goes on to be counted, or a single token
    would lift the bounds for any number of them.
    """
    if isinstance(request.protocol, Connection):
        request.protocol.vouch(request.get(_VISIT))
