"""The command line. Modules of the server are imported by the command that needs them, so that
`kinguicall token` and `--help` answer at once.

Exit codes: 0 after a clean stop, 1 if the server cannot run here, 2 for a wrong configuration.
"""

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE.toml", envvar="KINGUICALL_CONFIG", help="A file with options."),
]


@app.callback()
def callback() -> None:
    """Kinguicall: video conferences and live events."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address of the HTTP server.")] = None,
    port: Annotated[int | None, typer.Option(help="Its port: page, API and signalling.")] = None,
    udp_port: Annotated[int | None, typer.Option(help="First UDP port for media.")] = None,
    single_udp_port: Annotated[
        bool | None, typer.Option("--single-udp-port", help="One UDP port for all media threads.")
    ] = None,
    tcp_port: Annotated[
        int | None, typer.Option(help="TCP port for media where UDP is blocked; 0 for none.")
    ] = None,
    public_ip: Annotated[
        list[str] | None, typer.Option(help="Announced instead of this machine's; repeatable.")
    ] = None,
    bind: Annotated[
        list[str] | None, typer.Option(help="Address to take media on; repeatable. All by default.")
    ] = None,
    media_threads: Annotated[
        int | None, typer.Option(help="Media threads, each with a UDP port of its own.")
    ] = None,
    audio_forward_limit: Annotated[
        int | None,
        typer.Option(help="Forward the loudest so many microphones of a room; 0 for all."),
    ] = None,
    share_port: Annotated[
        bool | None, typer.Option("--share-port", help="Take media over TCP on --port, too.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate: serve HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    downlink_limit_kbps: Annotated[
        int | None,
        typer.Option(help="What one participant is sent at most, in kbit/s; 0 for no bound."),
    ] = None,
    dscp: Annotated[bool | None, typer.Option("--dscp", help="Mark audio and video.")] = None,
    redis_url: Annotated[str | None, typer.Option(help="Registry shared with other nodes.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    config: Config = None,
    dev: Annotated[
        bool | None, typer.Option("--dev", help="Make an API key if none is given.")
    ] = None,
) -> None:
    """Serve page, signalling and media.

    Every option is also an environment variable, such as KINGUICALL_UDP_PORT. API keys come from
    KINGUICALL_API_KEYS="key:secret,key:secret".
    """
    from kinguicall import logs
    from kinguicall.config import ConfigError, make_keys, read

    flags: dict[str, Any] = {
        "host": host,
        "port": port,
        "udp_port": udp_port,
        "single_udp_port": single_udp_port,
        "tcp_port": tcp_port,
        "public_ip": tuple(public_ip) if public_ip else None,
        "bind": tuple(bind) if bind else None,
        "media_threads": media_threads,
        "audio_forward_limit": audio_forward_limit,
        "share_port": share_port,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "downlink_limit_kbps": downlink_limit_kbps,
        "dscp": dscp,
        "redis_url": redis_url,
        "log_level": log_level,
        "dev": dev,
    }
    try:
        settings = read({name: value for name, value in flags.items() if value is not None}, config)
        keys, made_secret = make_keys(settings)
    except ConfigError as error:
        _fail(str(error), 2)
    logs.configure(settings.log_level)
    for key in keys.short_secrets():
        typer.echo(f"Warning: the secret of API key {key!r} is shorter than 32 bytes.", err=True)
    if made_secret:
        typer.echo(f"API key for this run: {keys.first}:{made_secret}")
    _run(settings, keys)


def _run(settings: Any, keys: Any) -> None:
    _check_engine()
    import asyncio

    import uvloop

    from kinguicall.serve import ServeError, serve

    def announce(url: str) -> None:
        typer.echo(f"Kinguicall is at {url}")

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, keys, announce))
    except ServeError as error:
        _fail(str(error), 1)


@app.command()
def token(
    room: Annotated[str, typer.Option(help="Name of the room.")],
    identity: Annotated[str, typer.Option(help="Who joins; unique in the room.")],
    name: Annotated[str, typer.Option(help="Name that the others see.")] = "",
    listen_only: Annotated[bool, typer.Option("--listen-only", help="May not publish.")] = False,
    ttl: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="How long it lasts.")] = 21_600,
    config: Config = None,
) -> None:
    """Print an access token, signed with the first of KINGUICALL_API_KEYS."""
    from kinguicall.config import ConfigError, make_keys, read
    from signalling.grants import Claims, Grants, TokenError

    grants = Grants(
        room=room,
        room_join=True,
        can_publish=not listen_only,
        can_publish_data=not listen_only,
        can_update_own_metadata=not listen_only,
    )
    claims = Claims(identity, grants, name=name)
    try:
        keys, _ = make_keys(read({"dev": False}, config))
        claims.check_join()
    except (ConfigError, TokenError) as error:
        _fail(str(error), 2)
    typer.echo(keys.mint(claims, ttl))


@app.command()
def loadtest(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="Its name, or a file NAME.toml.")
    ],
    url: Annotated[str, typer.Option(help="The server.")] = "ws://127.0.0.1:8080",
    api_key: Annotated[str, typer.Option(envvar="LIVEKIT_API_KEY", help="API key.")] = "devkey",
    api_secret: Annotated[
        str, typer.Option(envvar="LIVEKIT_API_SECRET", help="Its secret.", show_default=False)
    ] = "",
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="URL_A URL_B", help="Run against both in turn, print ratios."),
    ] = None,
    pid: Annotated[
        list[int] | None,
        typer.Option(help="The server's process (twice for --compare); else /metrics is asked."),
    ] = None,
    participants: Annotated[
        int | None, typer.Option(min=1, help="Size of the scenario's scaled groups.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="How long to measure.")] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Threads of the swarm.")] = 1,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write the report.")
    ] = None,
) -> None:
    """Load a server that speaks LiveKit's protocol, and measure what its participants get."""
    _check_engine()
    from loadtest import command
    from loadtest.errors import LoadTestError
    from loadtest.run import Target

    if not api_secret:
        _fail("no API secret: give --api-secret or set LIVEKIT_API_SECRET", 2)
    urls = compare or (url,)
    if pid and len(pid) != len(urls):
        _fail(f"{len(pid)} processes given for {len(urls)} servers", 2)
    pids: list[int | None] = [*pid] if pid else [None] * len(urls)
    targets = [Target(u, api_key, api_secret, p) for u, p in zip(urls, pids, strict=True)]
    options = command.Options(scenario, participants, seconds, threads, report)
    try:
        command.run(options, targets, typer.echo)
    except LoadTestError as error:
        _fail(str(error), 1)


def _check_engine() -> None:
    from kinguicall.engine_check import EngineMismatchError, check_engine

    try:
        check_engine()
    except EngineMismatchError as error:
        _fail(str(error), 1)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)


def main() -> None:
    """Runs the command that the arguments name."""
    app()
