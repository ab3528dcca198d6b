//! One received stream: numbering, repair, latency and frames.

use std::time::{Duration, Instant};

use kinguicall_proto::api::{Codec, MediaKind, Ssrc};
use kinguicall_proto::receive::{Arrival, NackGenerator, Stream};
use kinguicall_proto::rtcp::ReportBlock;
use kinguicall_proto::rtp::Header;
use kinguicall_proto::rtp::payload::is_switch_point;

use crate::frames::{FrameClock, FrameCounts};
use crate::stats::StreamRecord;

/// Between two requests for a key frame of one stream.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);
/// A larger step is a new numbering, not loss.
const MAX_STEP: u64 = 3_000;

/// What is to be received, as the server's description says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveConfig {
    pub stream: u32,
    pub kind: MediaKind,
    pub codec: Codec,
    pub clock_rate_hz: u32,
    pub ssrc: Ssrc,
    pub rtx_ssrc: Option<Ssrc>,
    /// The server answers generic NACK.
    pub nack: bool,
}

/// A received stream.
pub struct Incoming {
    config: ReceiveConfig,
    reception: Stream,
    nack: Option<NackGenerator>,
    frames: Option<FrameClock>,
    first_packet_at: Option<Instant>,
    /// First and highest number, and how many between were no loss.
    span: Option<(u64, u64)>,
    skipped: u64,
    repaired: u64,
    latency_sum: Duration,
    latency_max: Duration,
    latencies: u32,
    key_frame_wanted: bool,
    key_frame_asked_at: Option<Instant>,
}

impl Incoming {
    pub fn new(config: ReceiveConfig) -> Self {
        let is_video = config.kind == MediaKind::Video;
        Self {
            reception: Stream::new(config.ssrc, config.clock_rate_hz),
            nack: config.nack.then(|| NackGenerator::new(config.kind)),
            frames: is_video.then(FrameClock::default),
            config,
            first_packet_at: None,
            span: None,
            skipped: 0,
            repaired: 0,
            latency_sum: Duration::ZERO,
            latency_max: Duration::ZERO,
            latencies: 0,
            key_frame_wanted: false,
            key_frame_asked_at: None,
        }
    }

    pub fn config(&self) -> &ReceiveConfig {
        &self.config
    }

    /// Takes a packet; `sequence` is the original one of a retransmission. Returns whether it was
    /// new.
    pub fn on_packet(
        &mut self,
        at: Instant,
        header: &Header,
        sequence: u16,
        payload: &[u8],
        retransmitted: bool,
    ) -> bool {
        let arrival =
            self.reception
                .on_packet(at, sequence, header.timestamp, payload.len(), retransmitted);
        let Arrival::New { extended } = arrival else {
            return false;
        };
        self.first_packet_at.get_or_insert(at);
        self.repaired += u64::from(retransmitted);
        let (first, highest) = self.span.get_or_insert((extended, extended));
        if extended > *highest + MAX_STEP {
            self.skipped += extended - *highest - 1;
        }
        *first = extended.min(*first);
        *highest = extended.max(*highest);
        if let Some(nack) = &mut self.nack {
            nack.on_packet(at, extended);
        }
        if let Some(frames) = &mut self.frames {
            let starts_key = is_switch_point(self.config.codec, payload);
            frames.on_packet(at, extended, header.marker, starts_key);
        }
        true
    }

    pub fn on_latency(&mut self, latency: Duration) {
        self.latencies += 1;
        self.latency_sum += latency;
        self.latency_max = self.latency_max.max(latency);
    }

    pub fn on_sender_report(&mut self, now: Instant, ntp: u64, rtp: u32) {
        self.reception.on_sender_report(now, ntp, rtp);
    }

    pub fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        self.reception.report_block(now)
    }

    /// Appends the numbers to ask for again. Returns whether a key frame is to be asked for.
    pub fn poll(&mut self, now: Instant, missing: &mut Vec<u16>) -> bool {
        if let Some(nack) = &mut self.nack {
            self.key_frame_wanted |= nack.poll(now, Duration::ZERO, missing);
        }
        let stuck = self
            .frames
            .as_ref()
            .is_some_and(|frames| frames.needs_key_frame(now));
        if !(self.key_frame_wanted || stuck) || self.asked_recently(now) {
            return false;
        }
        self.key_frame_wanted = false;
        self.key_frame_asked_at = Some(now);
        true
    }

    fn asked_recently(&self, now: Instant) -> bool {
        self.key_frame_asked_at
            .is_some_and(|at| now.saturating_duration_since(at) < KEY_FRAME_INTERVAL)
    }

    /// When [`Self::poll`] may have something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let nack = self.nack.as_ref().and_then(NackGenerator::poll_timeout);
        let gap = self.frames.as_ref().and_then(FrameClock::gap_deadline);
        let again = self.key_frame_asked_at.map(|at| at + KEY_FRAME_INTERVAL);
        let gap = gap.map(|at| again.map_or(at, |again| at.max(again)));
        nack.into_iter().chain(gap).min()
    }

    /// Whether the viewer looks: while it does not, no picture is no freeze.
    pub fn set_watched(&mut self, is_watched: bool) {
        if let Some(frames) = &mut self.frames {
            frames.set_watched(is_watched);
        }
    }

    pub fn record(&self, now: Instant, transport: u32) -> StreamRecord {
        let expected = self
            .span
            .map_or(0, |(first, highest)| highest - first + 1 - self.skipped);
        let packets = self.reception.packets();
        let jitter = f64::from(self.reception.jitter()) / f64::from(self.config.clock_rate_hz);
        let frames = self.frames.as_ref();
        StreamRecord {
            transport,
            stream: self.config.stream,
            kind: self.config.kind,
            first_packet_at: self.first_packet_at,
            packets,
            bytes: self.reception.bytes(),
            expected,
            missing: expected.saturating_sub(packets),
            repaired: self.repaired,
            jitter: Duration::from_secs_f64(jitter),
            latency_mean: self.latency_sum / self.latencies.max(1),
            latency_max: self.latency_max,
            frames: frames.map_or(FrameCounts::default(), |frames| frames.counts(now)),
        }
    }
}
