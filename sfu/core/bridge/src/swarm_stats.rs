//! What a swarm has measured, as Python objects.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kinguicall_proto::api::MediaKind;
use kinguicall_swarm::histogram::{BUCKETS, Histogram, upper_bound_us};
use kinguicall_swarm::stats::{Counters, StreamRecord, Totals, TransportRecord};
use kinguicall_swarm::transport::{Failure, TransportState};
use pyo3::prelude::*;

/// One moment on both clocks: that of Rust and `time.monotonic()`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch {
    instant: Instant,
    monotonic_s: f64,
}

impl Epoch {
    pub(crate) fn new(instant: Instant, monotonic_s: f64) -> Self {
        Self {
            instant,
            monotonic_s,
        }
    }

    fn monotonic(self, at: Option<Instant>) -> Option<f64> {
        at.map(|at| self.monotonic_s + at.saturating_duration_since(self.instant).as_secs_f64())
    }
}

/// Counters and histograms of all threads together.
#[pyclass(frozen, get_all)]
#[derive(Debug)]
pub(crate) struct SwarmTotals {
    counters: BTreeMap<&'static str, u64>,
    latency_bounds_us: Vec<f64>,
    audio_latency: Vec<u64>,
    video_latency: Vec<u64>,
    send_lateness: Vec<u64>,
    transports: BTreeMap<&'static str, usize>,
    streams: usize,
    cpu_us: u64,
}

impl From<&Totals> for SwarmTotals {
    fn from(totals: &Totals) -> Self {
        let [waiting, connecting, connected, failed] = totals.transports;
        let mut counters = counters(&totals.counters);
        counters.insert("kernel_drops", totals.kernel_drops);
        Self {
            counters,
            latency_bounds_us: (0..BUCKETS).map(upper_bound_us).collect(),
            audio_latency: counts(&totals.audio_latency),
            video_latency: counts(&totals.video_latency),
            send_lateness: counts(&totals.send_lateness),
            transports: BTreeMap::from([
                ("waiting", waiting),
                ("connecting", connecting),
                ("connected", connected),
                ("failed", failed),
            ]),
            streams: totals.receiving,
            cpu_us: totals.cpu.as_micros() as u64,
        }
    }
}

fn counts(histogram: &Histogram) -> Vec<u64> {
    histogram.counts().to_vec()
}

fn counters(counters: &Counters) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("datagrams_received", counters.datagrams_received),
        ("bytes_received", counters.bytes_received),
        ("packets_received", counters.packets_received),
        ("repairs_received", counters.repairs_received),
        ("duplicates_received", counters.duplicates_received),
        ("other_received", counters.other_received),
        ("rejected", counters.rejected),
        ("simulated_losses", counters.simulated_losses),
        ("packets_sent", counters.packets_sent),
        ("bytes_sent", counters.bytes_sent),
        ("repairs_sent", counters.repairs_sent),
        ("nacks_sent", counters.nacks_sent),
        ("nacks_received", counters.nacks_received),
        ("key_frame_requests_sent", counters.key_frame_requests_sent),
        (
            "key_frame_requests_received",
            counters.key_frame_requests_received,
        ),
        ("send_errors", counters.send_errors),
    ])
}

/// One received stream.
#[pyclass(frozen, get_all)]
#[derive(Debug)]
pub(crate) struct SwarmStream {
    stream: u32,
    kind: &'static str,
    first_packet_at_s: Option<f64>,
    packets: u64,
    bytes: u64,
    expected: u64,
    missing: u64,
    repaired: u64,
    jitter_ms: f64,
    latency_mean_ms: f64,
    latency_max_ms: f64,
    frames: u64,
    freezes: u64,
    frozen_ms: f64,
    watched_ms: f64,
}

impl SwarmStream {
    fn new(record: &StreamRecord, epoch: Epoch) -> Self {
        Self {
            stream: record.stream,
            kind: match record.kind {
                MediaKind::Audio => "audio",
                MediaKind::Video => "video",
            },
            first_packet_at_s: epoch.monotonic(record.first_packet_at),
            packets: record.packets,
            bytes: record.bytes,
            expected: record.expected,
            missing: record.missing,
            repaired: record.repaired,
            jitter_ms: milliseconds(record.jitter),
            latency_mean_ms: milliseconds(record.latency_mean),
            latency_max_ms: milliseconds(record.latency_max),
            frames: record.frames.frames,
            freezes: record.frames.freezes,
            frozen_ms: milliseconds(record.frames.frozen),
            watched_ms: milliseconds(record.frames.watched),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// One transport with its streams.
#[pyclass(frozen, get_all)]
#[derive(Debug)]
pub(crate) struct SwarmTransport {
    transport_id: u32,
    state: &'static str,
    failure: &'static str,
    connected_at_s: Option<f64>,
    streams: Vec<Py<SwarmStream>>,
}

impl SwarmTransport {
    pub(crate) fn new(py: Python<'_>, record: &TransportRecord, epoch: Epoch) -> PyResult<Self> {
        let (state, failure) = match record.state {
            TransportState::Waiting => ("waiting", ""),
            TransportState::Checking | TransportState::Handshaking => ("connecting", ""),
            TransportState::Connected => ("connected", ""),
            TransportState::Failed(failure) => ("failed", name(failure)),
        };
        let streams = record.streams.iter();
        let streams: PyResult<Vec<_>> = streams
            .map(|stream| Py::new(py, SwarmStream::new(stream, epoch)))
            .collect();
        Ok(Self {
            transport_id: record.transport,
            state,
            failure,
            connected_at_s: epoch.monotonic(record.connected_at),
            streams: streams?,
        })
    }
}

fn name(failure: Failure) -> &'static str {
    match failure {
        Failure::ConnectTimeout => "connect_timeout",
        Failure::ConsentExpired => "consent_expired",
        Failure::FingerprintMismatch => "fingerprint_mismatch",
        Failure::HandshakeFailed => "handshake_failed",
        Failure::ClosedByServer => "closed_by_server",
    }
}
