"""What an event needs: costs fitted to reports of load tests, and an answer from them.

    python -m loadtest.capacity REPORT.json... --viewers 100000 --kbps 600

The server's CPU time is taken as a sum of so much for each packet that a subscriber receives, for
each that a publisher sends, for each participant that is there and for each one that joins, and of
what it uses when idle. The costs are the least squares over stretches of all reports; one that
comes out negative is taken for zero.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest import report
from loadtest.errors import LoadTestError
from loadtest.measure import Figures

# Long enough for CPU times that the kernel gives in hundredths of a second.
STRETCH_S = 2.0
# A node that is fuller than this has no room for a burst or for the loss of another node.
TARGET_LOAD = 0.6
IP_UDP_BYTES = 28


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a run: what the server did in it, and the CPU time that took."""

    seconds: float
    packets: float
    published: float
    participants: float
    """Mean."""
    joins: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Model:
    """Costs in seconds of CPU time, and in bytes."""

    packet_s: float
    published_s: float
    participant_s_per_s: float
    join_s: float
    idle_s_per_s: float
    participant_bytes: float
    packet_bytes: float
    """Mean size of a datagram, without IP and UDP headers."""
    stretches: int
    error: float
    """Root of the mean squared difference to what was measured, in cores."""

    def cpu_s(self, part: Stretch) -> float:
        """CPU time for what happens in a stretch."""
        return (
            self.packet_s * part.packets
            + self.published_s * part.published
            + self.participant_s_per_s * part.participants * part.seconds
            + self.join_s * part.joins
            + self.idle_s_per_s * part.seconds
        )


@dataclass(frozen=True, slots=True)
class Need:
    """What an event needs."""

    cores: float
    nodes: int
    egress_bps: float
    memory_bytes: float


def stretches(figures: Figures) -> list[Stretch]:
    """Cuts a report's timeline. Empty if the server's CPU time was not measured."""
    timeline = figures["timeline"]
    names = ("at_s", "packets_per_s", "published_per_s", "ready", "started", "server_cpu_cores")
    out, began, last, done = [], 0.0, 0.0, 0
    sums = [0.0] * 4
    for at, *rates, started, cores in zip(*(timeline[name] for name in names), strict=True):
        if cores is None:
            return []
        step, last = at - last, at
        sums = [total + rate * step for total, rate in zip(sums, [*rates, cores], strict=True)]
        seconds = at - began
        if seconds >= STRETCH_S:
            packets, published, people, cpu_s = sums
            out.append(
                Stretch(seconds, packets, published, people / seconds, started - done, cpu_s)
            )
            began, done, sums = at, started, [0.0] * 4
    return out


def fit(reports: Sequence[Figures]) -> Model:
    """Raises LoadTestError if the reports do not tell enough."""
    try:
        import numpy as np
    except ImportError:
        raise LoadTestError("fitting needs numpy: uv sync --group loadtest") from None
    parts = [part for figures in reports for part in stretches(figures)]
    if len(parts) < 8:
        raise LoadTestError("too few stretches with the server's CPU time: run longer, or more")
    rates = np.array(
        [[s.packets, s.published, s.participants * s.seconds, s.joins, s.seconds] for s in parts]
    ) / np.array([[s.seconds] for s in parts])
    cores = np.array([s.cpu_s / s.seconds for s in parts])
    costs = _non_negative(np, rates, cores)
    error = float(np.sqrt(np.mean((rates @ costs - cores) ** 2)))
    packet, published, participant, join, idle = (float(cost) for cost in costs)
    received = sum(r["traffic"]["counters"]["bytes_received"] for r in reports)
    datagrams = sum(r["traffic"]["counters"]["datagrams_received"] for r in reports)
    return Model(
        packet,
        published,
        participant,
        join,
        idle,
        _memory(reports),
        received / max(datagrams, 1),
        len(parts),
        error,
    )


def _non_negative(np: Any, rates: Any, cores: Any) -> Any:
    """Least squares; columns with a negative cost are left out, the worst first."""
    scale = rates.max(axis=0)
    used = [column for column in range(rates.shape[1]) if scale[column] > 0]
    costs = np.zeros(rates.shape[1])
    while used:
        found = np.linalg.lstsq(rates[:, used] / scale[used], cores, rcond=None)[0]
        if found.min() >= 0:
            costs[used] = found / scale[used]
            break
        used.pop(int(found.argmin()))
    return costs


def _memory(reports: Sequence[Figures]) -> float:
    """Bytes a participant: the growth while they came, over all reports.

    A server that has been used before grows less, as it has memory to spare.
    """
    loads = [(r["server_load"], r["participants"]) for r in reports if r["server_load"]]
    grown = sum(load["memory_mb"] - load["memory_before_mb"] for load, _ in loads)
    people = sum(count for _, count in loads)
    return max(0.0, float(grown * 1e6 / max(people, 1)))


def need(model: Model, viewers: int, bitrate_bps: float, join_s: float, node_cores: int) -> Need:
    """What `viewers` need that receive `bitrate_bps` each and come within `join_s`."""
    packets_per_s = viewers * bitrate_bps / 8 / model.packet_bytes
    # The few who publish cost nothing beside so many who watch.
    cores = model.cpu_s(Stretch(1.0, packets_per_s, 0.0, viewers, viewers / join_s, 0.0))
    return Need(
        cores,
        max(1, math.ceil(cores / (node_cores * TARGET_LOAD))),
        viewers * bitrate_bps + packets_per_s * IP_UDP_BYTES * 8,
        viewers * model.participant_bytes,
    )


@dataclass(frozen=True, slots=True)
class Check:
    """A report's run as it was and as the model says, in cores on average."""

    name: str
    measured_cores: float
    predicted_cores: float


def check(model: Model, figures: Figures) -> Check:
    """Holds the model against a run. Raises LoadTestError if its CPU time was not measured."""
    parts = stretches(figures)
    seconds = sum(part.seconds for part in parts)
    if not seconds:
        raise LoadTestError(f"{figures['scenario']}: the server's CPU time was not measured")
    return Check(
        f"{figures['scenario']} with {figures['participants']}",
        sum(part.cpu_s for part in parts) / seconds,
        sum(model.cpu_s(part) for part in parts) / seconds,
    )


def describe(model: Model) -> str:
    """The costs, for people."""
    return (
        f"Fitted to {model.stretches} stretches (error {model.error:.3f} cores):\n"
        f"  {model.packet_s * 1e6:8.2f} µs a packet to a subscriber\n"
        f"  {model.published_s * 1e6:8.2f} µs a packet of a publisher\n"
        f"  {model.participant_s_per_s * 1e6:8.2f} µs a participant and second\n"
        f"  {model.join_s * 1e3:8.2f} ms a join\n"
        f"  {model.idle_s_per_s * 1e3:8.2f} ms a second when idle\n"
        f"  {model.participant_bytes / 1e3:8.1f} kB a participant"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.capacity", description=__doc__)
    parser.add_argument("reports", nargs="+", type=Path, metavar="REPORT.json")
    parser.add_argument("--viewers", type=int, default=1_000, help="how many (%(default)s)")
    parser.add_argument("--kbps", type=float, default=600.0, help="to each (%(default)s)")
    parser.add_argument("--join-seconds", type=float, default=300.0, help="all come within")
    parser.add_argument("--node-cores", type=int, default=16, help="cores a node (%(default)s)")
    parser.add_argument("--check", nargs="*", type=Path, default=[], metavar="REPORT.json")
    given = parser.parse_args(arguments)
    try:
        model = fit([report.read(path) for path in given.reports])
        checks = [check(model, report.read(path)) for path in given.check]
    except LoadTestError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    lines = [describe(model)]
    for one in checks:
        ratio = one.predicted_cores / one.measured_cores if one.measured_cores else math.inf
        lines.append(
            f"{one.name}: predicted {one.predicted_cores:.3f} cores, "
            f"measured {one.measured_cores:.3f} (x {ratio:.2f})"
        )
    answer = need(model, given.viewers, given.kbps * 1_000, given.join_seconds, given.node_cores)
    lines.append(
        f"{given.viewers:,} viewers at {given.kbps:,.0f} kbit/s: {answer.cores:,.1f} cores, "
        f"{answer.nodes:,} nodes of {given.node_cores} cores at {TARGET_LOAD:.0%} load, "
        f"{answer.egress_bps / 1e9:,.2f} Gbit/s out, {answer.memory_bytes / 1e9:,.2f} GB"
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
