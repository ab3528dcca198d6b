"""The one HTTP server: routes, limits and the answers that no route gives.

URLs and headers may be far larger than aiohttp's default of 8 KiB, because SDKs put tokens and
attributes into the query.
"""

import logging
import ssl
import warnings
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from aiohttp.web_urldispatcher import MatchInfoError, UrlMappingMatchInfo

from sfu import limits
from signalling.http import cors
from signalling.http.api import ConferenceApi
from signalling.http.health import Health
from signalling.http.metrics import Metrics
from signalling.http.static import WebClient
from signalling.livekit.room_service import RoomService

KEEPALIVE_S = 75.0  # longer than browsers wait between the page and its first request
SHUTDOWN_TIMEOUT_S = 5.0
BACKLOG = 1_024  # a whole audience follows its link in the same minute

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the server puts on its paths. `connect` serves `/rtc`, `validate` `/rtc/validate`."""

    connect: Handler
    validate: Handler
    room_service: RoomService
    conferences: ConferenceApi
    health: Health
    metrics: Metrics
    web_client: WebClient


def make_app(endpoints: Endpoints) -> web.Application:
    """The application. Every answer, also a refusal, carries CORS headers."""
    with warnings.catch_warnings():
        # aiohttp 3 offers no other way to put a bound before its router.
        warnings.simplefilter("ignore", DeprecationWarning)
        app = web.Application(
            router=_BoundedRouter(),
            client_max_size=limits.SERVER_API_BODY_BYTES_MAX,
            middlewares=[cors.answer_preflight, _hide_faults],
        )
    app.on_response_prepare.append(cors.add_headers)
    router = app.router
    # SDKs join a base URL ending in "/" with "/rtc": the doubled slash has to work.
    router.add_get("/{slashes:/*}rtc", endpoints.connect, allow_head=False)
    router.add_get("/{slashes:/*}rtc/validate", endpoints.validate)
    router.add_get("/healthz", endpoints.health.handle)
    router.add_get("/metrics", endpoints.metrics.handle)
    endpoints.room_service.add_routes(router)
    endpoints.conferences.add_routes(router)
    page = endpoints.web_client.page
    router.add_get("/", endpoints.health.root(page))
    router.add_get("/c/{name}", page)
    router.add_get("/{path:.+}", _no_signalling_version(endpoints.web_client.file))
    return app


class _BoundedRouter(web.UrlDispatcher):
    """Long paths are not found before anybody looks for them.

    aiohttp's search copies the path once for each slash in it: with URLs as long as this server
    takes, one request of nothing but slashes would hold the event loop for ten seconds.
    """

    async def resolve(self, request: web.Request) -> UrlMappingMatchInfo:
        if len(request.rel_url.raw_path) > limits.HTTP_PATH_BYTES_MAX:
            return MatchInfoError(web.HTTPNotFound())
        return await super().resolve(request)


def _no_signalling_version(file: Handler) -> Handler:
    """Files by path; but no signalling except `/rtc`, which SDKs have to learn from a plain 404.

    The text must not be LiveKit's sentence about an absent room, or they would not fall back.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path.lstrip("/").startswith("rtc/"):
            return web.Response(status=404, text="no such signalling path")
        return await file(request)

    return handle


@web.middleware
async def _hide_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Our own faults are logged, and answered without a word about them."""
    try:
        return await handler(request)
    except (web.HTTPException, ConnectionError, TimeoutError):
        raise
    except Exception:
        log.exception("request failed: %s %s", request.method, request.match_info.route.resource)
        if request.writer.output_size > 0:
            raise ConnectionResetError("a WebSocket cannot be answered with a status") from None
        return web.Response(status=500, text="internal error")


class _PeerFaults(logging.Filter):
    """Drops what aiohttp logs, with traceback and address, about requests that are not HTTP.

    Anybody can send those at any rate; they are answered with 400 and are no fault of ours.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError | web.HTTPException)


protocol_log = logging.getLogger(f"{__name__}.protocol")
protocol_log.addFilter(_PeerFaults())


def make_runner(app: web.Application) -> web.AppRunner:
    """A runner with this server's limits and without an access log."""
    return web.AppRunner(
        app,
        access_log=None,
        logger=protocol_log,
        handle_signals=False,
        # No client compresses its requests, and inflating a bomb would hold the event loop.
        auto_decompress=False,
        max_line_size=limits.HTTP_LINE_BYTES_MAX,
        max_field_size=limits.HTTP_LINE_BYTES_MAX,
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
    )


async def listen(
    runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None = None
) -> int:
    """Starts to serve; returns the port, which differs for port 0. Raises OSError."""
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=BACKLOG, ssl_context=tls)
    await site.start()
    for address in runner.addresses:
        if isinstance(address, tuple):
            return int(address[1])
    raise OSError("no socket is listening")
