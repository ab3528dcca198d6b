//! What one shard tells another: the same few things that later cross from node to node.

use std::time::Instant;

use super::{Codec, Layer, ShardId, TrackId};
use crate::data::room::RoutedData;

/// What the fan-out needs to know of a packet besides its payload. Copied, never allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaMeta {
    pub track: TrackId,
    pub layer: Layer,
    pub payload_type: u8,
    pub codec: Codec,
    pub marker: bool,
    /// A subscriber may start or switch to this layer here.
    pub switch_point: bool,
    /// Sequence number with its rollovers, as the publisher sent it.
    pub sequence: u64,
    pub timestamp: u32,
    /// Absolute capture time (8 or 16 bytes used), forwarded where negotiated.
    pub abs_capture_time: [u8; 16],
    pub abs_capture_time_len: u8,
    pub received_at: Instant,
}

/// A message from shard to shard. Media has its own path (`Host::media`).
#[derive(Debug, Clone)]
pub enum PeerMessage {
    /// `from` has subscribers of this track: send it the track's packets.
    Attach {
        track: TrackId,
        from: ShardId,
    },
    Detach {
        track: TrackId,
        from: ShardId,
    },
    /// Somebody behind `from` needs a key frame of this layer.
    KeyFrameWanted {
        track: TrackId,
        layer: Layer,
    },
    /// The publisher's clock: RTP time `rtp` of `layer` was NTP time `ntp` (RFC 3550, section 6.4.1).
    SenderReport {
        track: TrackId,
        layer: Layer,
        ntp: u64,
        rtp: u32,
        received_at: Instant,
    },
    /// The publisher has begun a new stream on this layer.
    SourceRestarted {
        track: TrackId,
        layer: Layer,
    },
    TrackGone {
        track: TrackId,
    },
    /// An already attributed data packet for the members that `to` hosts.
    Data(RoutedData),
}
