//! What one shard tells another: the same few things that later cross from node to node. Messages
//! carry ages and never moments, as the other side may have another clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    Codec, DataDelivery, Layer, NeighbourId, RoomId, ScalableFrame, ShardId, Supply, TrackId,
    TransportId, Want,
};
use crate::egress::Source;

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
    /// Counts the stretches in which a microphone is among the forwarded ones: the numbers of a new
    /// one follow those of the last one without a gap.
    pub stretch: u16,
    /// The first bytes of the payload that are no payload but the dependency descriptor, which
    /// is forwarded where negotiated.
    pub descriptor_len: u8,
    /// It carries nothing: it fills a number that has been seen to be missing, or stands for a packet of
    /// a scalable stream (`frame`) that a neighbour has been spared.
    pub is_filler: bool,
    /// For streams of several spatial or temporal layers, as far as packets tell.
    pub frame: Option<ScalableFrame>,
    /// When it came to this machine: from shard to shard in a process, all of which have one clock. A
    /// link between machines tells nothing of it, and its far end sets its own.
    pub received_at: Instant,
}

impl MediaMeta {
    /// Of the filler that takes its place.
    pub fn emptied(&self) -> Self {
        Self {
            is_filler: true,
            switch_point: false,
            descriptor_len: 0,
            abs_capture_time_len: 0,
            ..*self
        }
    }
}

/// What is left of how loud a microphone has been: thousandths of a decibel above silence, less 20 dB
/// for every second since. Fades on its way, too, but by no more than the way takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loudness(pub i64);

/// An attributed message: what `PeerMessage::Data` carries.
#[derive(Debug, Clone)]
pub struct RoutedData {
    pub room: RoomId,
    pub delivery: DataDelivery,
    /// The transport that it came on; `None` for the server's own messages.
    pub origin: Option<TransportId>,
    /// Empty for the server's own messages.
    pub sender_sid: Arc<str>,
    pub packet: Arc<[u8]>,
    /// Identities; empty for all others.
    pub destinations: Arc<[String]>,
}

/// A message from shard to shard. Media has its own path (`Host::media`).
#[derive(Debug, Clone)]
pub enum PeerMessage {
    /// `from` wants so much of this track from now on: send it the packets.
    Attach {
        track: TrackId,
        from: NeighbourId,
        want: Want,
    },
    Detach {
        track: TrackId,
        from: NeighbourId,
    },
    /// What the sender has of a video: told at once to whoever attaches, and when it has changed.
    Supply {
        track: TrackId,
        supply: Supply,
    },
    /// Somebody behind `from` needs a key frame of this layer.
    KeyFrameWanted {
        track: TrackId,
        layer: Layer,
    },
    /// The publisher's clock: RTP time `rtp` of `layer` was NTP time `ntp` (RFC 3550, section 6.4.1),
    /// as it reported so long ago.
    SenderReport {
        track: TrackId,
        layer: Layer,
        ntp: u64,
        rtp: u32,
        age: Duration,
    },
    /// The publisher has begun a new stream on this layer.
    SourceRestarted {
        track: TrackId,
        layer: Layer,
    },
    TrackGone {
        track: TrackId,
    },
    /// The microphones of a room that `from` forwards, instead of what it told before.
    MicrophoneRanks {
        room: RoomId,
        from: NeighbourId,
        loudness: Arc<[Loudness]>,
    },
    /// The address is a peer's of another shard from now on. `for_good`: one that had it first.
    AddressTaken {
        source: Source,
        for_good: bool,
    },
    /// An already attributed data packet for the members that `to` hosts.
    Data(RoutedData),
    /// All readers of `from` have been given so many bytes of the sender's reliable data: for each
    /// `Data` that is reliable and a participant's, exactly once.
    DataTaken {
        sender: TransportId,
        from: ShardId,
        len: usize,
    },
}
