//! The world as a shard sees it: implemented by the media thread, and by the simulator in tests.

use super::{Event, MediaMeta, PeerMessage, ShardId};
use crate::egress::{Batch, Source};

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

    /// Datagrams from there belong to this shard from now on, or no longer. Told before the answer to
    /// the check leaves, so that whatever follows the answer can be brought here.
    fn source(&mut self, _source: Source, _is_ours: bool) {}

    /// Tells policy.
    fn event(&mut self, event: Event);
}
