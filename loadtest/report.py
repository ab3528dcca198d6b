"""Reports: the figures as JSON, and as a page of Markdown for people."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.errors import LoadTestError
from loadtest.measure import SCHEMA, Figures

_Row = tuple[str, str]


def write(folder: Path, figures: Figures) -> list[Path]:
    """Writes `NAME.json` and `NAME.md` and returns their paths. Raises LoadTestError."""
    name = figures["scenario"]
    data = json.dumps(figures, indent=1) + "\n"
    return [
        _write(folder / f"{name}.json", data),
        write_page(folder, name, markdown(figures)),
    ]


def write_page(folder: Path, name: str, page: str) -> Path:
    """Writes `NAME.md`. Raises LoadTestError."""
    return _write(folder / f"{name}.md", page)


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise LoadTestError(f"{path} cannot be written: {error.strerror}") from None
    return path


def read(path: Path) -> Figures:
    """A report's JSON. Raises LoadTestError."""
    try:
        figures: Figures = json.loads(path.read_text())
        if figures["schema"] != SCHEMA:
            raise LoadTestError(f"{path}: a report of another version")
    except OSError as error:
        raise LoadTestError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise LoadTestError(f"{path}: not a report of a load test") from None
    return figures


def markdown(figures: Figures) -> str:
    """The page."""
    machine = figures["machine"]
    intro = (
        f"Scenario `{figures['scenario']}` against {figures['server']}: "
        f"{figures['participants']} participants, {figures['seconds']:.0f} s measured, "
        f"on {machine['cpu']} ({machine['cores']} cores, Linux {machine['kernel']})."
    )
    lines = [
        f"# {figures['title']}",
        "",
        intro,
        "",
        *(f"**Warning:** {warning}\n" for warning in figures["warnings"]),
        "| what | figure |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows(figures)),
        "",
    ]
    return "\n".join(lines)


def rows(figures: Figures) -> list[_Row]:
    """The figures that matter, with their units, as text."""
    join, traffic = figures["join"], figures["traffic"]
    out = [
        ("Joined", f"{join['started'] - join['failed']} of {join['started']}"),
        ("Signalling answered, p50 / p99", _pair(join["signalling_ms"])),
        ("Join to first packet, p50 / p99", _pair(join["first_packet_ms"])),
    ]
    for kind in ("audio", "video"):
        out += _media_rows(kind, figures[kind])
    out += [
        ("Packets received a second", f"{traffic['packets_received_per_s']:,.0f}"),
        ("Received", f"{traffic['bytes_received_per_s'] * 8 / 1e6:,.1f} Mbit/s"),
    ]
    load = figures["server_load"]
    if load is not None:
        cost = load["cpu_us_per_packet"]
        out += [
            ("Server CPU", f"{load['cpu_cores']:.2f} cores"),
            ("Server CPU per packet", "-" if cost is None else f"{cost:.2f} µs"),
            ("Server memory", f"{load['memory_before_mb']:.0f} → {load['memory_mb']:.0f} MB"),
        ]
    if len(figures["groups"]) > 1:
        out += [(f"Group {name}", _group(group)) for name, group in figures["groups"].items()]
    swarm = figures["swarm"]
    late = swarm["send_lateness_ms"]
    out.append(
        (
            "Load generator",
            f"{swarm['cpu_cores']:.2f} cores"
            + (f", frames late p99 {late['p99']:.1f} ms" if late else ""),
        )
    )
    return out


def _media_rows(kind: str, media: Figures) -> list[_Row]:
    if not media["streams"]:
        return []
    name = kind.capitalize()
    out = [
        (f"{name} latency, p50 / p99", _pair(media["latency_ms"])),
        (
            f"{name} loss, before / after repair",
            f"{media['lost']:.3%} / {media['lost_after_repair']:.3%}",
        ),
    ]
    if kind == "video":
        froze = f"{media['streams_that_froze']} of {media['streams']} streams"
        frozen = f"{media['frozen']:.2%} of the time, {media['freezes']} freezes in {froze}"
        if media["pauses"]:
            frozen += f"; the server paused {media['pauses']} times"
        out.append(("Frozen", frozen))
    return out


def _group(group: Figures) -> str:
    parts = []
    for kind in ("audio", "video"):
        media = group[kind]
        if media["streams"]:
            parts.append(
                f"{kind} {media['latency_mean_ms']:.1f} ms, lost {media['lost_after_repair']:.2%}"
            )
            if kind == "video":
                rate = media["bits_per_s"] / 1e3
                parts.append(f"frozen {media['frozen']:.1%}, {rate:,.0f} kbit/s a stream")
    return "; ".join(parts) or "nothing received"


def _pair(quantiles: dict[str, Any] | None) -> str:
    if quantiles is None:
        return "-"
    return f"{quantiles['p50']:.1f} / {quantiles['p99']:.1f} ms"


def table(rows_: Sequence[_Row]) -> str:
    """For the terminal."""
    width = max(len(name) for name, _ in rows_)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows_)
