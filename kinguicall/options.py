"""The one table of what an operator can set: command line, environment, file and manual follow it.

A field is `--udp-port`, `KINGUICALL_UDP_PORT`, and `udp_port` in the file. `python -m
kinguicall.options` prints the manual's table. Nothing slow is imported here, as every start of the
command needs this.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_type_hints

PREFIX: Final = "KINGUICALL_"
OTHER_VARIABLES: Final = frozenset({"KINGUICALL_CONFIG", "KINGUICALL_CORPORA"})
"""What is no option of the server but may stand in its environment: the file's name, and where the
tests find their samples."""


@dataclass(frozen=True, slots=True)
class Option:
    """What `--help` says, what the manual adds to it, and how that shows the default."""

    help: str
    more: str = ""
    default: str = ""


class Options:
    """Every option of `kinguicall serve`, with its default."""

    host: Annotated[str, Option("Address of the HTTP server.")] = "127.0.0.1"
    port: Annotated[
        int, Option("Its port: signalling, page, API, `/metrics` and `/healthz`, all on one.")
    ] = 8080
    udp_port: Annotated[
        int, Option("First UDP port for media.", "Each media thread has one, counted from here.")
    ] = 7882
    single_udp_port: Annotated[
        bool,
        Option(
            "One UDP port for all media threads.",
            "For firewalls that open a single one; a datagram that arrives at another thread than"
            " its peer's is copied to that one.",
        ),
    ] = False
    tcp_port: Annotated[
        int,
        Option("TCP port for media (ICE-TCP) where the network lets no UDP through; 0 for none."),
    ] = 7881
    share_port: Annotated[
        bool,
        Option(
            "Take media over TCP on `--port`, too.",
            "The first bytes of a connection tell ICE from HTTP and TLS. With `--port 443` and a"
            " certificate it passes firewalls that let nothing but HTTPS out.",
        ),
    ] = False
    tls_cert: Annotated[
        Path | None,
        Option(
            "Certificate, a PEM file: HTTPS instead of HTTP on `--port`.",
            "It and its key are read at the start and again at SIGHUP, for connections made from"
            " then on; files that cannot be used change nothing.",
        ),
    ] = None
    tls_key: Annotated[Path | None, Option("The certificate's key, a PEM file.")] = None
    trusted_proxy: Annotated[
        tuple[str, ...],
        Option(
            "Reverse proxy whose `X-Forwarded-*` headers are believed: address or network;"
            " repeatable.",
            "What is given replaces the default. Connections and requests are limited by the"
            " client's address, which is the proxy's own where it is not trusted.",
            "127.0.0.0/8, ::1",
        ),
    ] = ("127.0.0.0/8", "::1")
    public_ip: Annotated[
        tuple[str, ...],
        Option("Address announced to clients instead of the machine's own (1:1 NAT); repeatable."),
    ] = ()
    bind: Annotated[
        tuple[str, ...],
        Option(
            "Address to take media on; repeatable.",
            "Loopback is announced to clients only if it is named here, or if there is nothing"
            " else.",
            "all",
        ),
    ] = ()
    media_threads: Annotated[
        int, Option("Media threads, 1 to 64, each with a UDP port of its own.")
    ] = 1
    # More voices at a time than this nobody can follow; it keeps a listener below 1 Mbit/s.
    audio_forward_limit: Annotated[
        int,
        Option("Of a room's open microphones so many are forwarded, the loudest ones; 0 for all."),
    ] = 20
    # A full grid of pictures needs less.
    downlink_limit_kbps: Annotated[
        int,
        Option(
            "What one participant is sent at most, in kbit/s; 0 for no bound.",
            "A participant may ask for less ([protocol.md](protocol.md)).",
        ),
    ] = 20_000
    dscp: Annotated[
        bool,
        Option(
            "Mark packets for networks that look at it.",
            "Audio EF, video and RTCP AF41, the rest unmarked (RFC 8837); set for each packet, so"
            " both share a port.",
        ),
    ] = False
    redis_url: Annotated[
        str,
        Option(
            "Registry shared with other nodes.",
            "This build has the memory registry only and refuses it.",
        ),
    ] = ""
    log_level: Annotated[
        str,
        Option("debug, info, warning or error.", "Addresses and names appear at debug only."),
    ] = "info"
    dev: Annotated[bool, Option("Make an API key if none is given, and print it once.")] = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the table. `kind` is a field's type without `None`."""

    name: str
    kind: Any
    option: Option
    default: Any
    secret: bool = False
    """Everybody on the machine can read a command line, so it cannot be given there."""

    @property
    def flag(self) -> str:
        """As the command line has it."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """As the environment has it."""
        return PREFIX + self.name.upper()

    @property
    def shown_default(self) -> str:
        """As the manual has it."""
        if self.option.default:
            return self.option.default
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return str(self.default) if self.default not in ((), "", None) else "none"


_API_KEYS: Final = Entry(
    "api_keys",
    str,
    Option("`key:secret` pairs, separated by commas; the first one signs."),
    default="",
    secret=True,
)


def table() -> list[Entry]:
    """Every option, in the manual's order."""
    entries = [_API_KEYS]
    for name, hint in get_type_hints(Options, include_extras=True).items():
        kind, option = get_args(hint)
        kinds = [one for one in get_args(kind) if one is not type(None)]
        optional = type(None) in get_args(kind)
        entries.append(Entry(name, kinds[0] if optional else kind, option, getattr(Options, name)))
    return entries


def manual() -> str:
    """The manual's table."""
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for entry in table():
        name = entry.variable if entry.secret else entry.flag
        meaning = f"{entry.option.help} {entry.option.more}".strip()
        lines.append(f"| `{name}` | {entry.shown_default} | {meaning} |")
    return "\n".join(lines) + "\n"


def unknown_variables(names: Any) -> list[str]:
    """A sentence for each of these variables that looks like an option and is none."""
    known = {entry.variable for entry in table()} | OTHER_VARIABLES
    return [
        f"{name}: there is no such option{suggestion(name, known)}"
        for name in sorted(names)
        if name.startswith(PREFIX) and name not in known
    ]


def suggestion(name: str, known: Any) -> str:
    """What was meant, probably."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


if __name__ == "__main__":
    print(manual(), end="")  # noqa: T201 - that is what it is for
