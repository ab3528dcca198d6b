"""`/rtc` and `/rtc/validate`: who may connect, before a session exists.

Both make the same checks, because clients whose connection was refused ask `validate` why. A
refusal is an HTTP answer with a status and a plain sentence, as LiveKit's SDKs expect.
"""

from dataclasses import dataclass, field

from aiohttp import hdrs, web

from sfu.node import Node
from signalling.grants import Claims, TokenError
from signalling.livekit import admission
from signalling.livekit.context import SessionSettings
from signalling.livekit.query import ConnectQuery, QueryError, parse
from signalling.livekit.serve import serve_websocket
from signalling.livekit.session import Session
from signalling.livekit.sessions import Sessions
from signalling.tokens import KeyRing, access_token


@dataclass(frozen=True, slots=True)
class RtcEndpoint:
    """Admits clients to the rooms of `node`."""

    node: Node
    keys: KeyRing
    settings: SessionSettings
    sessions: Sessions[Session] = field(default_factory=Sessions)
    """Of this endpoint's clients. Made inside the event loop."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """SDKs join a base URL ending in "/" with "/rtc": the doubled slash has to work."""
        router.add_get("/{slashes:/*}rtc", self.connect, allow_head=False)
        router.add_get("/{slashes:/*}rtc/validate", self.validate)

    async def close(self) -> None:
        """Sessions have ended with the node."""

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serves the WebSocket until it closes; 404 for a request that is no WebSocket."""
        if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
            return web.Response(status=404, text="not found")
        try:
            claims, query = self._read(request)
            return await serve_websocket(
                request, self.node, self.sessions, claims, query, self.settings
            )
        except (TokenError, admission.JoinRefusedError) as error:
            self.sessions.counters.refusals[error.reason] += 1
            return _refusal(error.status, error.text)

    async def validate(self, request: web.Request) -> web.StreamResponse:
        """Says whether `connect` would let the client in."""
        try:
            claims, query = self._read(request)
            admission.check(self.node, claims, query)
        except (TokenError, admission.JoinRefusedError) as error:
            return _refusal(error.status, error.text)
        return web.Response(text="success")

    def _read(self, request: web.Request) -> tuple[Claims, ConnectQuery]:
        token = access_token(request.headers.get(hdrs.AUTHORIZATION), request.query)
        claims = self.keys.verify(token)
        claims.check_join()
        try:
            return claims, parse(request.query, request.headers.get("User-Agent", ""))
        except QueryError as error:
            raise TokenError(400, str(error)) from None


def _refusal(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)
