"""A report's figures for tests that need one: those of a server with known costs."""

from typing import Any

PACKET_S, PUBLISHED_S, PARTICIPANT_S, JOIN_S, IDLE_S = 3e-6, 9e-6, 40e-6, 2e-3, 0.01
STEP_S = 0.5


def figures(
    participants: int, packets_each: float, *, join_per_s: float = 20.0, published: float = 0.0
) -> dict[str, Any]:
    """A run in which `participants` join, and then 10 s pass. Packets are of 1,000 bytes."""
    joining_s = participants / join_per_s
    rows = []
    for number in range(1, int((joining_s + 10) / STEP_S) + 1):
        at = number * STEP_S
        before, ready = (min(participants, int(t * join_per_s)) for t in (at - STEP_S, at))
        packets = ready * packets_each
        joins = (ready - before) / STEP_S
        cores = PACKET_S * packets + PARTICIPANT_S * ready + JOIN_S * joins + IDLE_S
        cores += PUBLISHED_S * published
        rows.append((at, packets, published, ready, ready, cores))
    names = ("at_s", "packets_per_s", "published_per_s", "ready", "started", "server_cpu_cores")
    timeline: dict[str, Any] = {
        name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }
    empty = [None] * len(rows)
    timeline |= {f"{kind}_{q}_ms": empty for kind in ("audio", "video") for q in ("p50", "p99")}
    timeline |= {"bits_per_s": timeline["packets_per_s"], "server_memory_mb": [100.0] * len(rows)}
    quantiles = {"p50": 1.0, "p90": 2.0, "p95": 3.0, "p99": 4.0, "max": 5.0}
    media = {
        "streams": participants,
        "latency_ms": quantiles,
        "lost": 0.02,
        "lost_after_repair": 0.001,
        "frozen": 0.01,
        "freezes": 3,
        "streams_that_froze": 2,
        "pauses": 0,
    }
    packets_per_s = participants * packets_each
    return {
        "schema": 1,
        "scenario": "made-up",
        "title": "A made-up run",
        "server": "http://127.0.0.1:1",
        "machine": {"cpu": "none", "cores": 1, "kernel": "6"},
        "participants": participants,
        "seconds": 10.0,
        "warnings": [],
        "join": {
            "started": participants,
            "failed": 0,
            "signalling_ms": quantiles,
            "first_packet_ms": quantiles,
        },
        "audio": media,
        "video": dict(media),
        "groups": {
            name: {
                "audio": {"streams": 0},
                "video": {
                    "streams": 1,
                    "latency_mean_ms": 2.0,
                    "lost_after_repair": 0.01,
                    "frozen": 0.5,
                    "bits_per_s": 300_000.0,
                },
            }
            for name in ("good", "bad")
        },
        "traffic": {
            "packets_received_per_s": packets_per_s,
            "bytes_received_per_s": packets_per_s * 1_000,
            "counters": {"bytes_received": 1_000_000, "datagrams_received": 1_000},
        },
        "server_load": {
            "cpu_cores": PACKET_S * packets_per_s + PARTICIPANT_S * participants + IDLE_S,
            "cpu_us_per_packet": 3.5,
            "joining_cpu_s": 0.2,
            "memory_before_mb": 100.0,
            "memory_mb": 100.0 + participants * 0.05,
        },
        "swarm": {"cpu_cores": 0.1, "send_lateness_ms": quantiles, "kernel_drops": 0},
        "timeline": timeline,
    }
