//! Statistics as Python objects.

use std::collections::BTreeMap;

use kinguicall_net::{LATENCY_BOUNDS_US, Latency, ThreadStats};
use kinguicall_proto::api::CloseReason;
use kinguicall_proto::stats::{self, DropReason};
use pyo3::PyClass;
use pyo3::prelude::*;

/// Upper bound of the last latency bucket, which has none.
const UNBOUNDED_US: u64 = u64::MAX;

/// Counters and gauges of one media thread.
#[pyclass(frozen, get_all)]
#[derive(Debug, Clone)]
pub(crate) struct ShardStats {
    packets_received: u64,
    bytes_received: u64,
    packets_sent: u64,
    bytes_sent: u64,
    media_packets_forwarded: u64,
    retransmissions_sent: u64,
    padding_bytes_sent: u64,
    key_frame_requests_sent: u64,
    handed_over: u64,
    dropped: BTreeMap<&'static str, u64>,
    transports_closed: BTreeMap<&'static str, u64>,
    transports: usize,
    tracks: usize,
    subscriptions: usize,
    shedding_level: u8,
    forward_latency_us: Vec<(u64, u64)>,
    forward_latency_sum_us: u64,
    cpu_us: u64,
}

/// What has arrived of one track.
#[pyclass(frozen, get_all)]
#[derive(Debug, Clone)]
pub(crate) struct TrackStats {
    track_id: u32,
    layers: Vec<(u8, u64, u64, u64, u32)>,
}

/// What a subscriber's transport reports about its reception.
#[pyclass(frozen, get_all)]
#[derive(Debug, Clone)]
pub(crate) struct SubscriberStats {
    transport_id: u32,
    fraction_lost: f32,
    round_trip_ms: f32,
    bytes_sent: u64,
    estimate_bps: Option<u64>,
}

/// The whole engine at one moment.
#[pyclass(frozen, get_all)]
#[derive(Debug)]
pub(crate) struct EngineStats {
    shards: Vec<Py<ShardStats>>,
    tracks: Vec<Py<TrackStats>>,
    transports: Vec<Py<SubscriberStats>>,
    accept_failures: u64,
}

impl EngineStats {
    pub(crate) fn new(
        py: Python<'_>,
        threads: &[ThreadStats],
        accept_failures: u64,
    ) -> PyResult<Self> {
        let tracks = threads.iter().flat_map(|t| &t.shard.track_stats);
        let transports = threads.iter().flat_map(|t| &t.shard.transport_stats);
        Ok(Self {
            shards: objects(py, threads.iter().map(ShardStats::from))?,
            tracks: objects(py, tracks.map(TrackStats::from))?,
            transports: objects(py, transports.map(SubscriberStats::from))?,
            accept_failures,
        })
    }
}

fn objects<T>(py: Python<'_>, values: impl Iterator<Item = T>) -> PyResult<Vec<Py<T>>>
where
    T: PyClass + Into<PyClassInitializer<T>>,
{
    values.map(|value| Py::new(py, value)).collect()
}

impl From<&ThreadStats> for ShardStats {
    fn from(thread: &ThreadStats) -> Self {
        let counters = &thread.shard.counters;
        Self {
            packets_received: counters.packets_received,
            bytes_received: counters.bytes_received,
            packets_sent: thread.io.sent.datagrams,
            bytes_sent: thread.io.sent.bytes,
            media_packets_forwarded: counters.media_packets_forwarded,
            retransmissions_sent: counters.retransmissions_sent,
            padding_bytes_sent: counters.padding_bytes_sent,
            key_frame_requests_sent: counters.key_frame_requests_sent,
            handed_over: thread.io.handed_over,
            dropped: dropped(thread),
            transports_closed: closed(thread),
            transports: thread.shard.transports,
            tracks: thread.shard.tracks,
            subscriptions: thread.shard.subscriptions,
            shedding_level: thread.shard.shedding_level,
            forward_latency_us: histogram(&thread.latency),
            forward_latency_sum_us: thread.latency.sum_us,
            cpu_us: thread.cpu_user_us + thread.cpu_system_us,
        }
    }
}

fn closed(thread: &ThreadStats) -> BTreeMap<&'static str, u64> {
    let reasons = CloseReason::ALL.iter().zip(thread.shard.counters.closed);
    reasons.map(|((_, name), count)| (*name, count)).collect()
}

fn dropped(thread: &ThreadStats) -> BTreeMap<&'static str, u64> {
    let counts = thread.shard.counters.dropped;
    let by_shard = DropReason::ALL.iter().zip(counts);
    let mut dropped: BTreeMap<_, _> = by_shard.map(|((_, name), count)| (*name, count)).collect();
    dropped.extend([
        ("send_buffer_full", thread.io.sent.buffer_full),
        ("send_refused", thread.io.sent.refused),
        ("receive_buffer_full", thread.io.receive_buffer_full),
        ("receive_unusable", thread.io.receive_unusable),
        ("shard_messages_full", thread.io.peer_queue_full),
        ("hand_over_full", thread.io.hand_over_full),
        ("connection_queue_full", thread.io.connection_queue_full),
    ]);
    dropped
}

fn histogram(latency: &Latency) -> Vec<(u64, u64)> {
    let bounds = LATENCY_BOUNDS_US.iter().copied().chain([UNBOUNDED_US]);
    bounds.zip(latency.counts).collect()
}

impl From<&stats::TrackStats> for TrackStats {
    fn from(track: &stats::TrackStats) -> Self {
        let layers = track.layers.iter();
        Self {
            track_id: track.track.0,
            layers: layers
                .map(|l| (l.layer.0, l.packets, l.bytes, l.packets_lost, l.jitter))
                .collect(),
        }
    }
}

impl From<&stats::TransportStats> for SubscriberStats {
    fn from(transport: &stats::TransportStats) -> Self {
        Self {
            transport_id: transport.transport.0,
            fraction_lost: transport.fraction_lost,
            round_trip_ms: transport.round_trip_ms,
            bytes_sent: transport.bytes_sent,
            estimate_bps: transport.estimate_bps,
        }
    }
}
