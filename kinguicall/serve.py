"""`kinguicall serve`: joins engine, node and HTTP server, and takes them apart again.

Start goes from the inside out: media sockets, node, HTTP. Stop goes the other way round, so that
nobody can come in while the rooms close: clients are told to come back, their sockets are flushed,
and the media threads are joined last.
"""

import asyncio
import logging
import os
import resource
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import signalling
from kinguicall.certificate import Certificate, CertificateError
from kinguicall.config import Settings
from sfu import _core, memory
from sfu.engine import Engine
from sfu.node import Node
from signalling.http.accept import Acceptor
from signalling.http.addresses import Proxies
from signalling.http.api import ConferenceApi
from signalling.http.app import Endpoints, make_app, make_runner
from signalling.http.connection import Visits
from signalling.http.door import Door
from signalling.http.health import Health
from signalling.http.metrics import Census, HttpCounts, Metrics, RoomCounts, SignallingCounts
from signalling.http.rtc import RtcEndpoint
from signalling.http.static import WebClient
from signalling.livekit.context import SessionSettings
from signalling.livekit.room_service import RoomService
from signalling.tokens import KeyRing

WEB_CLIENT = Path(signalling.__file__).parent.parent / "web_client" / "dist"
FILES_MAX = 1 << 20

log = logging.getLogger(__name__)


class ServeError(Exception):
    """The server cannot start or go on: one line for the operator."""


async def serve(settings: Settings, keys: KeyRing, announce: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT. `announce` gets the page's address.

    Raises ServeError if the server cannot start, and after its end if a media thread has failed.
    """
    loop = asyncio.get_running_loop()
    stop, failed = asyncio.Event(), asyncio.Event()

    def fail() -> None:
        failed.set()
        stop.set()

    certificate = _certificate(settings)
    handlers: dict[signal.Signals, Callable[[], object]] = {
        signal.SIGTERM: stop.set,
        signal.SIGINT: stop.set,
    }
    if certificate is not None:
        handlers[signal.SIGHUP] = certificate.reload
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    _raise_file_limit()
    _core.set_log_level(logging.getLogger().getEffectiveLevel())
    try:
        tls = certificate.context if certificate is not None else None
        async with running(settings, keys, tls, on_failure=fail) as port:
            announce(_page_url(settings, port))
            memory.settle()
            await stop.wait()
            log.info("stopping")
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
    log.info("stopped")
    if failed.is_set():
        raise ServeError("stopped because a media thread has failed; see the log")


@asynccontextmanager
async def running(
    settings: Settings,
    keys: KeyRing,
    tls: ssl.SSLContext | None = None,
    on_failure: Callable[[], None] = lambda: None,
) -> AsyncIterator[int]:
    """The whole server; gives its HTTP port. Raises ServeError.

    `on_failure` is called when the engine has stopped by itself, after it has been taken apart.
    """
    with _engine(settings) as engine:

        def failed() -> None:
            engine.stop()
            on_failure()

        engine.watch_failure(failed)
        node = Node(engine, asyncio.get_running_loop())
        door, proxies = Door(), Proxies(settings.trusted_networks)
        runner = make_runner(
            make_app(_endpoints(node, keys, settings, Visits(door, proxies))), door
        )
        await runner.setup()
        acceptor = Acceptor(runner, tls, proxies)
        try:
            port = await _open(settings, engine, acceptor)
            log.info("serving", extra={"udp_ports": engine.core.udp_ports})
            yield port
        finally:
            await acceptor.close()
            node.stop()
            await runner.cleanup()


async def _open(settings: Settings, engine: Engine, acceptor: Acceptor) -> int:
    """Lets connections in; on a shared port the engine listens and hands on what is HTTP."""
    if settings.share_port:
        engine.watch_web(acceptor.adopt)
        return engine.core.web_port or settings.port
    try:
        return await acceptor.listen(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host} port {settings.port}"
        raise ServeError(f"cannot listen on {where}: {_reason(error)}") from None


def _certificate(settings: Settings) -> Certificate | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    try:
        return Certificate(settings.tls_cert, settings.tls_key)
    except CertificateError as error:
        raise ServeError(str(error)) from None


def _raise_file_limit() -> None:
    """Takes all the file descriptors that the system allows: each client's link needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _engine(settings: Settings) -> Engine:
    try:
        core = _core.Engine(
            udp_port=settings.udp_port,
            single_udp_port=settings.single_udp_port,
            tcp_port=settings.tcp_port or None,
            web_port=settings.port if settings.share_port else None,
            web_addresses=_host_addresses(settings) if settings.share_port else (),
            threads=settings.media_threads,
            bind_addresses=settings.bind,
            public_addresses=settings.public_ip,
            audio_forward_limit=settings.audio_forward_limit,
            dscp=settings.dscp,
        )
    except OSError as error:
        raise ServeError(str(error)) from None
    except ValueError as error:
        raise ServeError(str(error)) from None
    return Engine(core)


def _endpoints(node: Node, keys: KeyRing, settings: Settings, visits: Visits) -> Endpoints:
    session = SessionSettings(
        issue_token=keys.refresh,
        downlink_limit_bps=settings.downlink_limit_kbps * 1000 or None,
    )
    rtc = RtcEndpoint(node, keys, session)
    counts = HttpCounts(visits.door)
    sessions = rtc.sessions
    signalling_counts = SignallingCounts(
        sessions.counters, lambda: sessions.held_bytes, lambda: sessions.sent_bytes
    )

    def census() -> Census:
        return Census(len(node.list_rooms()), node.participants)

    return Endpoints(
        protocols=(rtc, RoomService(node, keys), ConferenceApi(keys, visits.proxies)),
        health=Health(lambda: not node.stopping and not node.engine.stopped),
        metrics=Metrics(
            node.engine.core.stats,
            census,
            counts.collect,
            signalling_counts.collect,
            RoomCounts(node.journal).collect,
        ),
        web_client=WebClient(WEB_CLIENT),
        visits=visits,
        counts=counts,
    )


def _host_addresses(settings: Settings) -> tuple[str, ...]:
    """The addresses that asyncio would listen on."""
    flags = socket.AI_PASSIVE
    try:
        found = socket.getaddrinfo(
            settings.host or None, settings.port, type=socket.SOCK_STREAM, flags=flags
        )
    except OSError as error:
        raise ServeError(f"cannot listen on {settings.host}: {error.strerror}") from None
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def _page_url(settings: Settings, port: int) -> str:
    host = settings.host
    shown = {"0.0.0.0": "localhost", "::": "localhost", "": "localhost"}.get(host, host)  # noqa: S104
    scheme = "http" if settings.tls_cert is None else "https"
    return f"{scheme}://[{shown}]:{port}/" if ":" in shown else f"{scheme}://{shown}:{port}/"


def _reason(error: OSError) -> str:
    """The system's words for an error; asyncio repeats the address in its own."""
    return os.strerror(error.errno) if error.errno else str(error)
