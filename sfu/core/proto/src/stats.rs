//! Counters and gauges of a shard, read as one plain snapshot.

use crate::api::{CloseReason, Layer, TrackId, TransportId};

/// Why a datagram or a packet went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// Not a protocol that is spoken here.
    NotRecognised,
    /// From an address that no connectivity check has validated, or a check for nobody here.
    UnknownSource,
    /// A check from an address that is another peer's.
    AddressTaken,
    /// Failed authentication, was a replay, or came before the keys.
    Srtp,
    /// Authenticated but malformed RTP or RTCP.
    Malformed,
    /// Belongs to no negotiated section, or exceeds the SSRC limit.
    Unrouted,
    /// Received before, or too old to be of use.
    Duplicate,
    /// Another shard's queue was full.
    ShardQueueFull,
    /// Would be larger on its way out than a path is sure to carry.
    Oversized,
    /// More packets of one peer, or more of one audio track, than may be sent.
    TooFast,
    /// A data message that could not be attributed, was not allowed or did not fit.
    Data,
}

impl DropReason {
    pub const COUNT: usize = 11;
    pub const ALL: [(DropReason, &'static str); Self::COUNT] = [
        (DropReason::NotRecognised, "not_recognised"),
        (DropReason::UnknownSource, "unknown_source"),
        (DropReason::AddressTaken, "address_taken"),
        (DropReason::Srtp, "srtp"),
        (DropReason::Malformed, "malformed"),
        (DropReason::Unrouted, "unrouted"),
        (DropReason::Duplicate, "duplicate"),
        (DropReason::ShardQueueFull, "shard_queue_full"),
        (DropReason::Oversized, "oversized"),
        (DropReason::TooFast, "too_fast"),
        (DropReason::Data, "data"),
    ];
}

/// Totals since the shard's start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    pub packets_received: u64,
    pub bytes_received: u64,
    pub media_packets_forwarded: u64,
    pub retransmissions_sent: u64,
    /// Sent to find out how much a path carries.
    pub padding_bytes_sent: u64,
    pub key_frame_requests_sent: u64,
    pub dropped: [u64; DropReason::COUNT],
    /// Transports that have closed, by their reason.
    pub closed: [u64; CloseReason::COUNT],
}

impl Counters {
    pub fn drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }
}

/// What has arrived of one layer of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerStats {
    pub layer: Layer,
    pub packets: u64,
    pub bytes: u64,
    pub packets_lost: u64,
    /// Interarrival jitter in RTP timestamp units (RFC 3550, section 6.4.1).
    pub jitter: u32,
}

/// What has arrived of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackStats {
    pub track: TrackId,
    pub layers: Vec<LayerStats>,
}

/// What a peer's receiver reports say about what it gets from here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransportStats {
    pub transport: TransportId,
    /// Worst fraction lost among its streams in the last reports, 0.0 to 1.0.
    pub fraction_lost: f32,
    pub round_trip_ms: f32,
    pub bytes_sent: u64,
    /// What the path is estimated to carry; `None` where nothing tells.
    pub estimate_bps: Option<u64>,
}

/// A shard at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShardStats {
    pub counters: Counters,
    pub transports: usize,
    pub tracks: usize,
    pub subscriptions: usize,
    /// How much is left out because the thread does not keep up: 0 nothing, 16 all video.
    pub shedding_level: u8,
    pub track_stats: Vec<TrackStats>,
    pub transport_stats: Vec<TransportStats>,
}
