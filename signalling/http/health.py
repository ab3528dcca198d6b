"""Liveness, for people's monitoring and for SDKs.

`/healthz` depends on this process alone, never on another service. LiveKit's SDKs probe the root
path and expect `OK`; a browser that opens it wants the page.
"""

from collections.abc import Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler


class Health:
    """`healthy` tells whether the node takes participants."""

    def __init__(self, healthy: Callable[[], bool]) -> None:
        self._healthy = healthy

    async def handle(self, _request: web.Request) -> web.Response:
        if self._healthy():
            return web.Response(text="OK")
        return web.Response(status=503, text="Not Ready")

    def root(self, page: Handler) -> Handler:
        """A handler of `/`: the page for who accepts HTML, the probe's answer for the rest."""

        async def handle(request: web.Request) -> web.StreamResponse:
            accept = request.headers.get(hdrs.ACCEPT, "")
            response = await (page if "text/html" in accept else self.handle)(request)
            response.headers.add(hdrs.VARY, "Accept")
            return response

        return handle
