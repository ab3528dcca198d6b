"""One page of plots of a run, as PNG."""

from pathlib import Path
from typing import Any

from loadtest.errors import LoadTestError
from loadtest.measure import Figures

_COLOURS = {"audio": "#1f6f8b", "video": "#c8553d", "server": "#444444"}


def write(folder: Path, figures: Figures) -> Path:
    """Writes `NAME.png`. Raises LoadTestError if matplotlib is not installed, or on the disk."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise LoadTestError(
            "plots need matplotlib: install the dependency group 'loadtest' "
            "(uv sync --group loadtest)"
        ) from None
    mpl.use("Agg")
    page: Any = Figure(figsize=(11, 8.5), layout="constrained")
    page.suptitle(f"{figures['title']}: {figures['participants']} participants")
    (traffic, latency), (server, joins) = page.subplots(2, 2)
    timeline = figures["timeline"]
    _traffic(traffic, timeline)
    _latency(latency, timeline)
    _server(server, timeline)
    _joins(joins, figures)
    path = folder / f"{figures['scenario']}.png"
    try:
        page.savefig(path, dpi=110)
    except OSError as error:
        raise LoadTestError(f"{path}: {error.strerror}") from None
    return path


def _traffic(axes: Any, timeline: Figures) -> None:
    axes.set(title="Received", xlabel="s", ylabel="Mbit/s")
    axes.plot(timeline["at_s"], [bits / 1e6 for bits in timeline["bits_per_s"]], color="#1f6f8b")
    axes.set_ylim(bottom=0)
    people = axes.twinx()
    people.set(ylabel="participants (dashed)")
    people.plot(timeline["at_s"], timeline["ready"], color="#999999", linestyle="--")
    people.set_ylim(bottom=0)


def _latency(axes: Any, timeline: Figures) -> None:
    axes.set(title="Latency, p50 and p99", xlabel="s", ylabel="ms", yscale="log")
    for kind in ("audio", "video"):
        for quantile, style in (("p50", "-"), ("p99", ":")):
            points = zip(timeline["at_s"], timeline[f"{kind}_{quantile}_ms"], strict=True)
            known = [(at, value) for at, value in points if value]
            if known:
                axes.plot(
                    *zip(*known, strict=True),
                    style,
                    color=_COLOURS[kind],
                    label=f"{kind} {quantile}",
                )
    if axes.lines:
        axes.legend(fontsize="small")


def _server(axes: Any, timeline: Figures) -> None:
    axes.set(title="Server", xlabel="s", ylabel="cores")
    cores, memory = timeline["server_cpu_cores"], timeline["server_memory_mb"]
    if not any(value is not None for value in cores):
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
        return
    axes.plot(timeline["at_s"], cores, color=_COLOURS["server"])
    axes.set_ylim(bottom=0)
    resident = axes.twinx()
    resident.set(ylabel="MB (dashed)")
    resident.plot(timeline["at_s"], memory, color="#7a9e7e", linestyle="--")


def _joins(axes: Any, figures: Figures) -> None:
    """Quantiles as bars: the whole distribution is in the report only as these."""
    axes.set(title="Join", ylabel="ms")
    join = figures["join"]
    for offset, (name, key) in enumerate(
        (("signalling", "signalling_ms"), ("first packet", "first_packet_ms"))
    ):
        quantiles = join[key]
        if quantiles is not None:
            places = [place + 0.4 * offset for place in range(len(quantiles))]
            axes.bar(places, list(quantiles.values()), width=0.4, label=name)
            axes.set_xticks([place + 0.2 for place in range(len(quantiles))], list(quantiles))
    axes.legend(fontsize="small")
