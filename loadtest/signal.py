"""LiveKit signalling for one participant: a WebSocket and the schema's messages, nothing else."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from livekit.protocol import rtc

from loadtest.errors import LoadTestError, RefusedError

_PROTOCOL = 16
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_WEBSOCKET = {"http": "ws", "https": "wss"}
JOIN_TIMEOUT_S = 20.0


def base_url(url: str) -> str:
    """The server's address as "http://..." without a path's last slash. Raises LoadTestError."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise LoadTestError(f"not the address of a server: {url!r}; expected ws://host:port")
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((_SCHEMES[parts.scheme], host, parts.path.rstrip("/"), "", ""))


async def validate(session: aiohttp.ClientSession, base: str, token: str) -> None:
    """Asks whether a participant would be let in. Raises LoadTestError with the reason."""
    try:
        async with session.get(f"{base}/rtc/validate", params={"access_token": token}) as response:
            text = (await response.text())[:200]
            if response.status != 200:
                raise _refused(response.status, text)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _unreachable(base, error) from None


def _refused(status: int, text: str) -> RefusedError:
    if status in (401, 403):
        return RefusedError(
            f"the server does not accept the key: {text.strip()} ({status}). "
            "Check --api-key and --api-secret."
        )
    return RefusedError(f"the server refuses participants: {text.strip()} ({status})")


def _unreachable(base: str, error: BaseException) -> LoadTestError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return LoadTestError(f"there is no server at {base}: {reason}")


class Signal:
    """An open session."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    @classmethod
    async def connect(
        cls, session: aiohttp.ClientSession, base: str, token: str, *, auto_subscribe: bool
    ) -> "Signal":
        """Raises LoadTestError if the server is away or refuses."""
        scheme, _, rest = base.partition("://")
        query = {
            "protocol": str(_PROTOCOL),
            "sdk": "python",
            "version": "1.2.0",
            "auto_subscribe": "1" if auto_subscribe else "0",
        }
        try:
            socket = await session.ws_connect(
                f"{_WEBSOCKET[scheme]}://{rest}/rtc",
                params=query,
                headers={"Authorization": f"Bearer {token}"},
                max_msg_size=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            )
        except aiohttp.WSServerHandshakeError as error:
            raise _refused(error.status, error.message) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(base, error) from None
        return cls(socket)

    async def messages(self) -> AsyncIterator[tuple[str, Any]]:
        """Case and content of each response until the server closes the socket."""
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                response: Any = rtc.SignalResponse()
                response.ParseFromString(message.data)
                case = response.WhichOneof("message")
                if case is not None:
                    yield case, getattr(response, case)

    async def send(self, **case: Any) -> None:
        """Sends one request. One that finds the socket closed is nobody's concern any more."""
        request: Any = rtc.SignalRequest(**case)
        if not self._socket.closed:
            try:
                await self._socket.send_bytes(request.SerializeToString())
            except ConnectionError:
                return

    async def close(self) -> None:
        await self._socket.close()
