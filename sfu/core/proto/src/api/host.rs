//! The world as a shard sees it: implemented by the media thread, and by the simulator in tests.

use std::time::{Duration, Instant};

use super::{Event, MediaMeta, NeighbourId, PeerMessage};
use crate::egress::{Batch, Source};

/// How long nobody else can have an address after its owner's last check from there.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// A peer's right to an address: checks from there have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub since: Instant,
    pub checked_at: Instant,
}

impl Claim {
    /// Whether the address goes to somebody else whose check from there passes, and who has had checks
    /// pass there since `since` already. Over who had it first only silence decides: a source
    /// can be forged, and an owner that was silent gets it back.
    pub fn gives_way(&self, now: Instant, since: Option<Instant>) -> bool {
        since.is_some_and(|since| since < self.since) || now >= self.checked_at + KEPT_FOR
    }
}

/// Where a shard puts what it produces.
pub trait Host {
    /// Sends every datagram of `batch` and clears it. Called when it is full and at the end of a
    /// turn.
    fn flush(&mut self, batch: &mut Batch);

    /// Hands a decrypted packet to a neighbour; `payload` begins with the dependency descriptor
    /// (`MediaMeta::descriptor_len`). Returns `false` when its queue is full:
    /// the packet is dropped and counted, as a late packet is worth less than the next one.
    fn media(&mut self, to: NeighbourId, meta: &MediaMeta, payload: &[u8]) -> bool;

    /// Hands a message to a neighbour, in order.
    fn peer(&mut self, to: NeighbourId, message: PeerMessage);

    /// Whether a check from there may pass as far as other shards are concerned; see
    /// [`Claim::gives_way`].
    fn may_claim(&self, _now: Instant, _source: Source, _since: Option<Instant>) -> bool {
        true
    }

    /// Datagrams from there belong to this shard from now on, or (`None`) no longer. Told with each
    /// check, and before its answer leaves, so that whatever follows the answer can be brought here.
    fn source(&mut self, _source: Source, _claim: Option<Claim>) {}

    /// Tells policy.
    fn event(&mut self, event: Event);
}
