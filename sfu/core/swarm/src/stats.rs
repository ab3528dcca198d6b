//! What peers measure: totals of a thread, which add up, and a record for each stream.

use std::time::{Duration, Instant};

use kinguicall_proto::api::MediaKind;

use crate::frames::FrameCounts;
use crate::histogram::Histogram;
use crate::transport::TransportState;

/// Counters since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub datagrams_received: u64,
    pub bytes_received: u64,
    /// Media packets that were new, retransmitted ones included.
    pub packets_received: u64,
    /// Of these, those that came as retransmissions.
    pub repairs_received: u64,
    pub duplicates_received: u64,
    /// Padding, and packets of streams that are not known (yet).
    pub other_received: u64,
    /// Not authentic.
    pub rejected: u64,
    /// Lost or dropped on simulated links.
    pub simulated_losses: u64,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub repairs_sent: u64,
    /// Packets that were asked for again, and key frames, by this side and by the server.
    pub nacks_sent: u64,
    pub nacks_received: u64,
    pub key_frame_requests_sent: u64,
    pub key_frame_requests_received: u64,
    /// Datagrams that the kernel did not take.
    pub send_errors: u64,
}

impl Counters {
    pub fn add(&mut self, other: &Self) {
        self.datagrams_received += other.datagrams_received;
        self.bytes_received += other.bytes_received;
        self.packets_received += other.packets_received;
        self.repairs_received += other.repairs_received;
        self.duplicates_received += other.duplicates_received;
        self.other_received += other.other_received;
        self.rejected += other.rejected;
        self.simulated_losses += other.simulated_losses;
        self.packets_sent += other.packets_sent;
        self.bytes_sent += other.bytes_sent;
        self.repairs_sent += other.repairs_sent;
        self.nacks_sent += other.nacks_sent;
        self.nacks_received += other.nacks_received;
        self.key_frame_requests_sent += other.key_frame_requests_sent;
        self.key_frame_requests_received += other.key_frame_requests_received;
        self.send_errors += other.send_errors;
    }
}

/// Everything of a thread that adds up.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    pub counters: Counters,
    /// From the sender's capture time to the packet's arrival at this machine.
    pub audio_latency: Histogram,
    pub video_latency: Histogram,
    /// How late frames were sent: what the load generator itself does not keep up with.
    pub send_lateness: Histogram,
    /// Transports by state: waiting, checking or handshaking, connected, failed.
    pub transports: [usize; 4],
    pub receiving: usize,
    /// Dropped by the kernel at this side's sockets: the load generator did not keep up.
    pub kernel_drops: u64,
    pub cpu: Duration,
}

impl Totals {
    pub fn latency(&mut self, kind: MediaKind) -> &mut Histogram {
        match kind {
            MediaKind::Audio => &mut self.audio_latency,
            MediaKind::Video => &mut self.video_latency,
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        self.audio_latency.add(&other.audio_latency);
        self.video_latency.add(&other.video_latency);
        self.send_lateness.add(&other.send_lateness);
        for (count, more) in self.transports.iter_mut().zip(other.transports) {
            *count += more;
        }
        self.receiving += other.receiving;
        self.kernel_drops += other.kernel_drops;
        self.cpu += other.cpu;
    }
}

/// What one received stream was like.
#[derive(Debug, Clone)]
pub struct StreamRecord {
    pub transport: u32,
    pub stream: u32,
    pub kind: MediaKind,
    pub first_packet_at: Option<Instant>,
    /// Media packets, each once, and their payload bytes.
    pub packets: u64,
    pub bytes: u64,
    /// Packets that were sent, as far as the numbers tell.
    pub expected: u64,
    /// Of these, those that never came, not even as retransmissions.
    pub missing: u64,
    /// Packets that came only when they were sent again.
    pub repaired: u64,
    pub jitter: Duration,
    /// Mean and longest time from capture to arrival.
    pub latency_mean: Duration,
    pub latency_max: Duration,
    pub frames: FrameCounts,
}

/// What became of one transport.
#[derive(Debug, Clone)]
pub struct TransportRecord {
    pub transport: u32,
    pub state: TransportState,
    pub connected_at: Option<Instant>,
    pub streams: Vec<StreamRecord>,
}
