"""The one HTTP server: routes, limits and the answers that no route gives.

URLs and headers may be far larger than aiohttp's default of 8 KiB, because SDKs put tokens and
attributes into the query.
"""

import logging
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_urldispatcher import MatchInfoError, UrlMappingMatchInfo

from sfu import limits
from signalling.http import cors
from signalling.http.connection import Runner, Visits, protocol_log
from signalling.http.door import Door
from signalling.http.health import Health
from signalling.http.metrics import HttpCounts, Metrics
from signalling.http.static import WebClient

KEEPALIVE_S = 75.0  # longer than browsers wait between the page and its first request
SHUTDOWN_TIMEOUT_S = 5.0
LINGERING_S = 2.0  # so long the rest of a refused body is read, or its answer would be lost

log = logging.getLogger(__name__)


class Routes(Protocol):
    """One way of speaking to this server, LiveKit's for instance: it brings its own paths."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Puts its handlers on their paths, and on no others."""

    async def close(self) -> None:
        """Lets go of what it holds. Comes when the node has stopped."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the server puts on its paths."""

    protocols: Sequence[Routes]
    health: Health
    metrics: Metrics
    web_client: WebClient
    visits: Visits
    counts: HttpCounts


def make_app(endpoints: Endpoints) -> web.Application:
    """The application. Every answer, also a refusal, carries CORS headers."""

    @web.middleware
    async def count_visits(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await endpoints.visits.middleware(request, handler)

    with warnings.catch_warnings():
        # aiohttp 3 offers no other way to put a bound before its router.
        warnings.simplefilter("ignore", DeprecationWarning)
        app = web.Application(
            router=_BoundedRouter(),
            client_max_size=limits.SERVER_API_BODY_BYTES_MAX,
            middlewares=[count_visits, cors.answer_preflight, _hide_faults],
        )
    app.on_response_prepare.append(cors.add_headers)
    app.on_response_prepare.append(endpoints.counts.count)
    router = app.router
    router.add_get("/healthz", endpoints.health.handle)
    router.add_get("/metrics", endpoints.metrics.handle)
    for protocol in endpoints.protocols:
        protocol.add_routes(router)
        app.on_shutdown.append(_closing(protocol))
    page = endpoints.web_client.page
    router.add_get("/", endpoints.health.root(page))
    router.add_get("/c/{name}", page)
    router.add_get("/{path:.+}", _no_signalling_version(endpoints.web_client.file))
    return app


def _closing(protocol: Routes) -> Callable[[web.Application], Awaitable[None]]:
    async def close(_app: web.Application) -> None:
        await protocol.close()

    return close


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


def make_runner(app: web.Application, door: Door) -> Runner:
    """A runner with this server's limits and without an access log."""
    return Runner(
        app,
        door,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        access_log=None,
        logger=protocol_log,
        # No client compresses its requests, and inflating a bomb would hold the event loop.
        auto_decompress=False,
        max_line_size=limits.HTTP_LINE_BYTES_MAX,
        max_field_size=limits.HTTP_LINE_BYTES_MAX,
        max_headers=limits.HTTP_HEADERS_MAX,
        read_bufsize=limits.HTTP_READ_BYTES,
        lingering_time=LINGERING_S,
        keepalive_timeout=KEEPALIVE_S,
    )
