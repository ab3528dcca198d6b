"""An application behind the server's own door, on a free port of loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from signalling.http.accept import Acceptor
from signalling.http.addresses import Proxies
from signalling.http.app import make_runner
from signalling.http.door import Door


@asynccontextmanager
async def serving(
    app: web.Application, door: Door | None = None, proxies: Proxies | None = None
) -> AsyncIterator[int]:
    """Gives the port."""
    runner = make_runner(app, door or Door())
    await runner.setup()
    acceptor = Acceptor(runner, proxies=proxies)
    try:
        yield await acceptor.listen("127.0.0.1", 0)
    finally:
        await acceptor.close()
        await runner.cleanup()
