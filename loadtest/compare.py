"""Two servers under the same load, one after the other, and the ratios of their figures."""

from typing import Any

from loadtest.measure import Figures

_Path = tuple[str, ...]

# Less is better for all of them.
_COMPARED: tuple[tuple[str, _Path, str], ...] = (
    ("Server CPU per packet", ("server_load", "cpu_us_per_packet"), "µs"),
    ("Server CPU", ("server_load", "cpu_cores"), "cores"),
    ("Server CPU while joining", ("server_load", "joining_cpu_s"), "s"),
    ("Server memory", ("server_load", "memory_mb"), "MB"),
    ("Join to first packet, p50", ("join", "first_packet_ms", "p50"), "ms"),
    ("Join to first packet, p99", ("join", "first_packet_ms", "p99"), "ms"),
    ("Audio latency, p50", ("audio", "latency_ms", "p50"), "ms"),
    ("Audio latency, p99", ("audio", "latency_ms", "p99"), "ms"),
    ("Video latency, p50", ("video", "latency_ms", "p50"), "ms"),
    ("Video latency, p99", ("video", "latency_ms", "p99"), "ms"),
    ("Audio loss after repair", ("audio", "lost_after_repair"), ""),
    ("Video loss after repair", ("video", "lost_after_repair"), ""),
    ("Time frozen", ("video", "frozen"), ""),
    ("Packets received a second", ("traffic", "packets_received_per_s"), "/s"),
)


def _value(figures: Figures, path: _Path) -> float | None:
    value: Any = figures
    for key in path:
        if not isinstance(value, dict) or value.get(key) is None:
            return None
        value = value[key]
    return float(value)


def rows(one: Figures, other: Figures) -> list[tuple[str, str]]:
    """What both have measured: "A, B, and B / A"."""
    out = []
    for name, path, unit in _COMPARED:
        first, second = _value(one, path), _value(other, path)
        if first is None or second is None:
            continue
        ratio = f"× {second / first:.2f}" if first else "-"
        out.append((name, f"{_text(first, unit)}   {_text(second, unit)}   {ratio}"))
    return out


def _text(value: float, unit: str) -> str:
    if not unit:
        return f"{value:.3%}"
    return f"{value:,.2f} {unit}" if value < 1_000 else f"{value:,.0f} {unit}"


def markdown(one: Figures, other: Figures) -> str:
    """A page for both."""
    lines = [
        f"# {one['title']}: two servers",
        "",
        f"A is {one['server']}, B is {other['server']}; {one['participants']} participants.",
        "",
        "| what | A | B | B / A |",
        "|---|---|---|---|",
    ]
    for name, value in rows(one, other):
        lines.append("| " + " | ".join([name, *value.split("   ")]) + " |")
    return "\n".join([*lines, ""])
