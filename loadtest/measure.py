"""What a run's samples and records say, as figures.

Rates, latencies and the server's CPU time are differences between the window's first and last
sample; loss and freezes are of whole streams, from their first packet or picture on.
"""

import itertools
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.participant import State
from loadtest.run import Result, Sample
from loadtest.swarm import SwarmStream

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}
SCHEMA = 1
# Above these the load generator, not the server, may be what was measured.
_MAX_LATENESS_MS = 20.0
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bucket with upper bounds in microseconds, as the swarm keeps them."""

    bounds_us: Sequence[float]
    counts: Sequence[int]

    def since(self, before: "Histogram") -> "Histogram":
        counts = [now - then for now, then in zip(self.counts, before.counts, strict=True)]
        return Histogram(self.bounds_us, counts)

    def quantile_ms(self, quantile: float) -> float | None:
        """Interpolated within its bucket; None without samples."""
        wanted = quantile * sum(self.counts)
        below, lower = 0.0, 0.0
        if wanted == 0:
            return None
        for bound, count in zip(self.bounds_us, self.counts, strict=True):
            if count and below + count >= wanted:
                return (lower + (bound - lower) * (wanted - below) / count) / 1_000
            below, lower = below + count, bound
        return lower / 1_000

    def quantiles_ms(self) -> Figures | None:
        if not sum(self.counts):
            return None
        return {name: _round(self.quantile_ms(q)) for name, q in QUANTILES.items()}


def figures(result: Result) -> Figures:
    """Everything of a report, as JSON can carry it."""
    first, last = (result.samples[index] for index in result.window)
    streams = [s for t in result.transports for s in t.streams]
    seconds = max(last.at - first.at, 1e-9)
    report: Figures = {
        "schema": SCHEMA,
        "scenario": result.scenario.name,
        "title": result.scenario.title,
        "server": result.url,
        "machine": _machine(),
        "participants": result.scenario.participants,
        "subscribers": result.subscribers,
        "seconds": _round(seconds),
        "join": _join(result),
        "audio": _kind(streams, "audio", latency(last, "audio").since(latency(first, "audio"))),
        "video": _kind(streams, "video", latency(last, "video").since(latency(first, "video"))),
        "traffic": _traffic(first, last, seconds),
        "server_load": _server_load(first, last, result.samples[0], seconds),
        "swarm": _swarm(first, last, seconds),
        "timeline": _timeline(result.samples),
    }
    report["groups"] = _groups(result)
    report["video"]["pauses"] = sum(p.pauses for p in result.participants)
    report["warnings"] = _warnings(report)
    return report


def latency(sample: Sample, kind: str) -> Histogram:
    totals = sample.totals
    counts = totals.audio_latency if kind == "audio" else totals.video_latency
    return Histogram(totals.latency_bounds_us, counts)


def _round(value: float | None, digits: int = 3) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _quantiles(values: Iterable[float]) -> Figures | None:
    ordered = sorted(values)
    if not ordered:
        return None
    return {
        name: _round(ordered[min(len(ordered) - 1, int(q * len(ordered)))])
        for name, q in QUANTILES.items()
    }


def _machine() -> Figures:
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        model = next((v.strip() for k, _, v in lines if k.strip() == "model name"), model)
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


def _join(result: Result) -> Figures:
    """Times from the beginning of the WebSocket connection, in milliseconds."""
    first_packets: dict[int, float] = {}
    for transport in result.transports:
        times = [s.first_packet_at_s for s in transport.streams if s.first_packet_at_s is not None]
        if times:
            first_packets[transport.transport_id] = min(times)
    signalling, media, silent = [], [], 0
    for participant in result.participants:
        if participant.joined_at is None:
            continue
        signalling.append((participant.joined_at - participant.started_at) * 1_000)
        info = participant.subscriber
        at = first_packets.get(info.transport_id) if info is not None else None
        if at is not None:
            media.append((at - participant.started_at) * 1_000)
        elif participant.group.subscribe and participant not in result.gone:
            silent += 1
    failed = [p for p in result.participants if p.state is State.FAILED]
    left = {
        info.transport_id
        for p in result.gone
        for info in (p.publisher, p.subscriber)
        if info is not None
    }
    broken = [t for t in result.transports if t.state == "failed" and t.transport_id not in left]
    return {
        "started": len(result.participants),
        "failed": len(failed),
        "failures": sorted({p.failure for p in failed})[:5],
        "transports_failed": len(broken),
        "transport_failures": sorted({t.failure for t in broken}),
        "without_media": silent,
        "per_s": _round(len(result.participants) / max(result.join_span_s, 1e-9)),
        "signalling_ms": _quantiles(signalling),
        "first_packet_ms": _quantiles(media),
    }


def _kind(streams: Sequence[SwarmStream], kind: str, latencies: Histogram) -> Figures:
    mine = [s for s in streams if s.kind == kind and s.packets]
    expected = sum(s.expected for s in mine)
    missing, repaired = sum(s.missing for s in mine), sum(s.repaired for s in mine)
    result: Figures = {
        "streams": len(mine),
        "packets": sum(s.packets for s in mine),
        "latency_ms": latencies.quantiles_ms(),
        # Before and after retransmission.
        "lost": _ratio(missing + repaired, expected),
        "lost_after_repair": _ratio(missing, expected),
        "jitter_ms": _quantiles(s.jitter_ms for s in mine),
    }
    if kind == "video":
        watched_ms = sum(s.watched_ms for s in mine)
        frozen_ms = sum(s.frozen_ms for s in mine)
        result |= {
            "frames": sum(s.frames for s in mine),
            "freezes": sum(s.freezes for s in mine),
            "streams_that_froze": sum(s.freezes > 0 for s in mine),
            "frozen": _ratio(frozen_ms, watched_ms),
        }
    return result


def _groups(result: Result) -> Figures:
    """What the subscribers of each group got."""
    streams: dict[int, list[SwarmStream]] = {}
    for transport in result.transports:
        streams[transport.transport_id] = list(transport.streams)
    mine: dict[str, list[SwarmStream]] = {}
    for participant in result.participants:
        if participant.subscriber is not None:
            some = streams.get(participant.subscriber.transport_id, [])
            mine.setdefault(participant.group.name, []).extend(some)
    return {
        name: {kind: _quality(some, kind) for kind in ("audio", "video")}
        for name, some in mine.items()
    }


def _quality(streams: Sequence[SwarmStream], kind: str) -> Figures:
    mine = [s for s in streams if s.kind == kind and s.packets]
    packets = sum(s.packets for s in mine)
    figures: Figures = {
        "streams": len(mine),
        "latency_mean_ms": _round(
            sum(s.latency_mean_ms * s.packets for s in mine) / max(packets, 1)
        ),
        "lost_after_repair": _ratio(sum(s.missing for s in mine), sum(s.expected for s in mine)),
    }
    if kind == "video":
        watched_ms = sum(s.watched_ms for s in mine)
        figures["frozen"] = _ratio(sum(s.frozen_ms for s in mine), watched_ms)
        figures["bits_per_s"] = _round(sum(s.bytes for s in mine) * 8_000 / max(watched_ms, 1.0))
    return figures


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 6) if whole else 0.0


def _traffic(first: Sample, last: Sample, seconds: float) -> Figures:
    names = ("packets_received", "bytes_received", "datagrams_received", "packets_sent")
    rates = {
        f"{name}_per_s": _round((_count(last, name) - _count(first, name)) / seconds)
        for name in names
    }
    return rates | {"counters": dict(last.totals.counters)}


def _count(sample: Sample, name: str) -> int:
    return sample.totals.counters[name]


def _server_load(first: Sample, last: Sample, begin: Sample, seconds: float) -> Figures | None:
    if first.server is None or last.server is None or begin.server is None:
        return None
    cpu_s = last.server.cpu_s - first.server.cpu_s
    packets = _count(last, "packets_received") - _count(first, "packets_received")
    return {
        "cpu_cores": _round(cpu_s / seconds, 4),
        "cpu_us_per_packet": _round(cpu_s * 1e6 / packets) if packets else None,
        "joining_cpu_s": _round(first.server.cpu_s - begin.server.cpu_s),
        "memory_before_mb": _round(begin.server.memory_bytes / 1e6),
        "memory_mb": _round(last.server.memory_bytes / 1e6),
    }


def _swarm(first: Sample, last: Sample, seconds: float) -> Figures:
    """How the load generator itself fared."""
    lateness = Histogram(last.totals.latency_bounds_us, last.totals.send_lateness)
    before = Histogram(first.totals.latency_bounds_us, first.totals.send_lateness)
    return {
        "cpu_cores": _round((last.swarm_cpu_s - first.swarm_cpu_s) / seconds),
        "send_lateness_ms": lateness.since(before).quantiles_ms(),
        "kernel_drops": _count(last, "kernel_drops"),
    }


def _timeline(samples: Sequence[Sample]) -> Figures:
    """One value for each interval between samples. `at_s` is its end, from the first sample on."""
    rows: dict[str, list[Any]] = {
        name: []
        for name in (
            "at_s",
            "ready",
            "started",
            "packets_per_s",
            "published_per_s",
            "bits_per_s",
            "audio_p50_ms",
            "audio_p99_ms",
            "video_p50_ms",
            "video_p99_ms",
            "server_cpu_cores",
            "server_memory_mb",
        )
    }
    for before, after in itertools.pairwise(samples):
        for name, value in _interval(samples[0], before, after).items():
            rows[name].append(value)
    return rows


def _interval(begin: Sample, before: Sample, after: Sample) -> Mapping[str, Any]:
    seconds = max(after.at - before.at, 1e-9)
    audio = latency(after, "audio").since(latency(before, "audio"))
    video = latency(after, "video").since(latency(before, "video"))
    cpu = memory = None
    if after.server is not None and before.server is not None:
        cpu = (after.server.cpu_s - before.server.cpu_s) / seconds
        memory = after.server.memory_bytes / 1e6
    packets = _count(after, "packets_received") - _count(before, "packets_received")
    published = _count(after, "packets_sent") - _count(before, "packets_sent")
    received = _count(after, "bytes_received") - _count(before, "bytes_received")
    return {
        "at_s": _round(after.at - begin.at),
        "ready": after.ready,
        "started": after.started,
        "packets_per_s": _round(packets / seconds),
        "published_per_s": _round(published / seconds),
        "bits_per_s": _round(received * 8 / seconds),
        "audio_p50_ms": _round(audio.quantile_ms(0.5)),
        "audio_p99_ms": _round(audio.quantile_ms(0.99)),
        "video_p50_ms": _round(video.quantile_ms(0.5)),
        "video_p99_ms": _round(video.quantile_ms(0.99)),
        "server_cpu_cores": _round(cpu),
        "server_memory_mb": _round(memory),
    }


def _warnings(report: Figures) -> list[str]:
    warnings = []
    join, swarm = report["join"], report["swarm"]
    if join["failed"]:
        warnings.append(f"{join['failed']} of {join['started']} participants failed")
    if join["transports_failed"]:
        reasons = ", ".join(join["transport_failures"])
        warnings.append(f"{join['transports_failed']} transports failed ({reasons})")
    if join["without_media"]:
        warnings.append(f"{join['without_media']} subscribers received nothing")
    late = swarm["send_lateness_ms"]
    if late is not None and late["p99"] > _MAX_LATENESS_MS:
        warnings.append(
            f"the load generator was overloaded: 1 % of the frames left {late['p99']:.0f} ms late "
            "or more, so latency and loss are not only the server's"
        )
    if swarm["kernel_drops"]:
        warnings.append(
            f"the load generator dropped {swarm['kernel_drops']} datagrams at its own sockets"
        )
    return warnings
