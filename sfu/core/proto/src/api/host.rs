//! The world as a shard sees it: implemented by the media thread, and by the simulator in tests.

use super::{Event, MediaMeta, PeerMessage, ShardId};
use crate::egress::Batch;

/// Where a shard puts what it produces.
pub trait Host {
    /// Sends every datagram of `batch` and clears it. Called when it is full and at the end of a
    /// turn.
    fn flush(&mut self, batch: &mut Batch);

    /// Hands a decrypted packet to another shard; `payload` begins with the dependency descriptor
    /// (`MediaMeta::descriptor_len`). Returns `false` when that shard's queue is full:
    /// the packet is dropped and counted, as a late packet is worth less than the next one.
    fn media(&mut self, to: ShardId, meta: &MediaMeta, payload: &[u8]) -> bool;

    /// Hands a message to another shard, in order.
    fn peer(&mut self, to: ShardId, message: PeerMessage);

    /// Tells policy.
    fn event(&mut self, event: Event);
}
