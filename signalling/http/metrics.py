"""`/metrics`: what engine and signalling count, in Prometheus' format, read at each scrape.

Nothing is counted twice: those who do something count it, and this turns one snapshot into metric
families. `docs/operations.md` lists them all.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sfu._core import EngineStats, ShardStats
from sfu.journal import Journal
from signalling.counters import SignallingCounters
from signalling.http.door import Door

_COUNTERS: tuple[tuple[str, str, Callable[[ShardStats], float]], ...] = (
    ("packets_received", "Datagrams received.", lambda s: s.packets_received),
    ("bytes_received", "Bytes received in datagrams.", lambda s: s.bytes_received),
    ("packets_sent", "Datagrams sent.", lambda s: s.packets_sent),
    ("bytes_sent", "Bytes sent in datagrams.", lambda s: s.bytes_sent),
    (
        "media_packets_forwarded",
        "RTP packets sent to subscribers.",
        lambda s: s.media_packets_forwarded,
    ),
    ("retransmissions_sent", "RTP packets sent again.", lambda s: s.retransmissions_sent),
    (
        "key_frame_requests_sent",
        "Key frames asked of publishers.",
        lambda s: s.key_frame_requests_sent,
    ),
    (
        "handed_over",
        "Datagrams that arrived at another thread than their peer's.",
        lambda s: s.handed_over,
    ),
    ("media_thread_cpu_seconds", "CPU time of the media thread.", lambda s: s.cpu_us / 1e6),
)
_GAUGES: tuple[tuple[str, str, Callable[[ShardStats], float]], ...] = (
    ("transports", "Open peer connections.", lambda s: s.transports),
    ("tracks", "Published tracks.", lambda s: s.tracks),
    ("subscriptions", "Tracks being sent to subscribers.", lambda s: s.subscriptions),
    (
        "shedding_level",
        "Video left out because the thread is overloaded: 0 none, 8 higher layers, 16 all.",
        lambda s: s.shedding_level,
    ),
)


@dataclass(frozen=True, slots=True)
class Census:
    """How many are here."""

    rooms: int
    participants: int


class _NodeCollector(Collector):
    def __init__(
        self,
        stats: Callable[[], EngineStats],
        census: Callable[[], Census],
        others: Sequence[Callable[[], Iterable[Metric]]],
    ) -> None:
        self._stats = stats
        self._census = census
        self._others = others

    def collect(self) -> Iterable[Metric]:
        census = self._census()
        yield GaugeMetricFamily("kinguicall_rooms", "Open rooms.", value=census.rooms)
        yield GaugeMetricFamily(
            "kinguicall_participants", "Participants in rooms.", value=census.participants
        )
        stats = self._stats()
        yield CounterMetricFamily(
            "kinguicall_media_accept_failures",
            "Times that no TCP connection for media could be accepted: out of file descriptors.",
            value=stats.accept_failures,
        )
        shards = stats.shards
        yield from _counters(shards)
        yield from _gauges(shards)
        yield _dropped(shards)
        yield _closed(shards)
        yield _latency(shards)
        for collect in self._others:
            yield from collect()


def _counters(shards: list[ShardStats]) -> Iterator[Metric]:
    for name, text, read in _COUNTERS:
        counter = CounterMetricFamily(f"kinguicall_{name}", text, labels=["thread"])
        for number, shard in enumerate(shards):
            counter.add_metric([str(number)], read(shard))
        yield counter


def _gauges(shards: list[ShardStats]) -> Iterator[Metric]:
    for name, text, read in _GAUGES:
        gauge = GaugeMetricFamily(f"kinguicall_{name}", text, labels=["thread"])
        for number, shard in enumerate(shards):
            gauge.add_metric([str(number)], read(shard))
        yield gauge


def _dropped(shards: list[ShardStats]) -> Metric:
    dropped = CounterMetricFamily(
        "kinguicall_dropped", "Datagrams and packets dropped.", labels=["thread", "reason"]
    )
    for number, shard in enumerate(shards):
        for reason, count in sorted(shard.dropped.items()):
            dropped.add_metric([str(number), reason], count)
    return dropped


def _closed(shards: list[ShardStats]) -> Metric:
    closed = CounterMetricFamily(
        "kinguicall_transports_closed",
        "Peer connections that have ended.",
        labels=["thread", "reason"],
    )
    for number, shard in enumerate(shards):
        for reason, count in sorted(shard.transports_closed.items()):
            closed.add_metric([str(number), reason], count)
    return closed


def _latency(shards: list[ShardStats]) -> Metric:
    latency = HistogramMetricFamily(
        "kinguicall_forward_latency_seconds",
        "Time from receiving a packet to handing it to the kernel.",
        labels=["thread"],
    )
    for number, shard in enumerate(shards):
        buckets, total = [], 0
        for bound_us, count in shard.forward_latency_us:
            total += count
            buckets.append((str(bound_us / 1e6), float(total)))
        # The engine's last bucket is open at its upper end.
        buckets = [*buckets[:-1], ("+Inf", float(total))]
        latency.add_metric([str(number)], buckets, sum_value=shard.forward_latency_sum_us / 1e6)
    return latency


@dataclass(frozen=True, slots=True)
class HttpCounts:
    """What the HTTP side counts; an application's `on_response_prepare` handler is `count`."""

    door: Door
    answers: Counter[int] = field(default_factory=Counter)

    async def count(self, _request: web.BaseRequest, response: web.StreamResponse) -> None:
        """An answer begins."""
        self.answers[response.status] += 1

    def collect(self) -> Iterator[Metric]:
        """As metric families."""
        yield GaugeMetricFamily(
            "kinguicall_connections_without_token",
            "HTTP connections without a token, and requests that proxies bring.",
            value=self.door.waiting,
        )
        yield _by(
            "kinguicall_connections_ended",
            "HTTP connections that were ended or not taken, by reason.",
            "reason",
            self.door.ended,
        )
        yield _by("kinguicall_http_answers", "HTTP answers by status.", "status", self.answers)


@dataclass(frozen=True, slots=True)
class SignallingCounts:
    """What the sessions count. `held_bytes` waits for clients, `sent_bytes` has gone to them."""

    counters: SignallingCounters
    held_bytes: Callable[[], int]
    sent_bytes: Callable[[], int]

    def collect(self) -> Iterator[Metric]:
        """As metric families."""
        counters = self.counters
        for name, text, value in (
            ("joins", "Sessions begun.", counters.joins),
            ("resumes", "Sessions taken up again on another link.", counters.resumes),
            ("overflows", "Sessions ended because too much waited for them.", counters.overflows),
            ("signalling_bytes_sent", "Bytes of signalling sent to clients.", self.sent_bytes()),
        ):
            yield CounterMetricFamily(f"kinguicall_{name}", text, value=value)
        yield _by(
            "kinguicall_joins_refused", "Joins refused, by reason.", "reason", counters.refusals
        )
        yield _by(
            "kinguicall_sessions_ended", "Sessions ended, by reason.", "reason", counters.endings
        )
        yield _by(
            "kinguicall_data_channels_closed",
            "Data channels that the server closed, by reason.",
            "reason",
            counters.data_closings,
        )
        yield GaugeMetricFamily(
            "kinguicall_signalling_bytes_waiting",
            "Bytes of signalling that clients have not taken yet.",
            value=self.held_bytes(),
        )
        yield GaugeMetricFamily(
            "kinguicall_event_loop_lag_seconds",
            "The latest that a timer of the event loop was since the last scrape.",
            value=counters.take_lag_s(),
        )
        yield GaugeMetricFamily(
            "kinguicall_event_loop_stall_seconds",
            "The same, as far as Python's own work was the reason, and not other processes.",
            value=counters.take_stall_s(),
        )


@dataclass(frozen=True, slots=True)
class RoomCounts:
    """What a node's journal has counted."""

    journal: Journal

    def collect(self) -> Iterator[Metric]:
        """As metric families."""
        journal = self.journal
        for name, text, value in (
            ("rooms_opened", "Rooms opened.", journal.rooms_opened),
            (
                "participants_active",
                "Participants whose media has connected.",
                journal.participants_active,
            ),
        ):
            yield CounterMetricFamily(f"kinguicall_{name}", text, value=value)
        yield _by("kinguicall_rooms_closed", "Rooms closed.", "reason", journal.rooms_closed)
        yield _by(
            "kinguicall_tracks_published",
            "Tracks published, by source.",
            "source",
            journal.tracks_published,
        )


def _by(name: str, text: str, label: str, counts: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([str(value)], count)
    return family


class Metrics:
    """The endpoint. `others` give further families at each scrape."""

    def __init__(
        self,
        stats: Callable[[], EngineStats],
        census: Callable[[], Census],
        *others: Callable[[], Iterable[Metric]],
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_NodeCollector(stats, census, others))
        ProcessCollector(registry=self._registry)

    async def handle(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=encode(self._registry), headers={hdrs.CONTENT_TYPE: content_type})
