"""The command line. Modules of the server are imported by the command that needs them, so that
`kinguicall token` and `--help` answer at once.

Exit codes: 0 after a clean stop, 1 if the server cannot run here, 2 for a wrong configuration.
"""

import inspect
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_origin

import typer

from kinguicall.options import Entry, table

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE.toml", envvar="KINGUICALL_CONFIG", help="A file with options."),
]


@app.callback()
def callback() -> None:
    """Kinguicall: video conferences and live events."""


def serve(config: Path | None, **flags: Any) -> None:
    """Serve page, signalling and media.

    Every option is also an environment variable, such as KINGUICALL_UDP_PORT. API keys come from
    KINGUICALL_API_KEYS="key:secret,key:secret".
    """
    from kinguicall import logs
    from kinguicall.config import ConfigError, make_keys, read

    try:
        given = {name: value for name, value in flags.items() if value not in (None, [])}
        settings = read(given, config)
        keys, made_secret = make_keys(settings)
    except ConfigError as error:
        _fail(str(error), 2)
    logs.configure(settings.log_level)
    for key in keys.short_secrets():
        typer.echo(f"Warning: the secret of API key {key!r} is shorter than 32 bytes.", err=True)
    if made_secret:
        typer.echo(f"API key for this run: {keys.first}:{made_secret}")
    _run(settings, keys)


def _option(entry: Entry) -> inspect.Parameter:
    """An option of the command line; what is not given there is None."""
    declared: Any = list[str] if get_origin(entry.kind) is tuple else entry.kind
    # A switch without its opposite: the environment and the file can only be overruled upwards.
    flags = (entry.flag,) if entry.kind is bool else ()
    shown = entry.shown_default
    text = entry.option.help + ("" if shown in ("none", "off") else f" Default: {shown}.")
    annotation = Annotated[declared | None, typer.Option(*flags, help=text)]
    return inspect.Parameter(
        entry.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _declare_serve() -> None:
    """Gives `serve` the options of the table."""
    options = [_option(entry) for entry in table() if not entry.secret]
    config = inspect.Parameter(
        "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Config
    )
    parameters = [*options, config]
    declared: Any = serve
    declared.__signature__ = inspect.Signature(parameters, return_annotation=None)
    declared.__annotations__ = {one.name: one.annotation for one in parameters}
    app.command()(serve)


_declare_serve()


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
