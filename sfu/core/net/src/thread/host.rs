//! What a media thread is to its shard: where packets, messages and events leave to.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use kinguicall_proto::api::{Claim, Event, Host, MediaMeta, NeighbourId, PeerMessage, ShardId};
use kinguicall_proto::egress::{Batch, SocketIndex, Source};
use kinguicall_proto::shard::Shard;

use super::Shared;
use crate::batch_io::SendBatch;
use crate::ring::Producer;
use crate::stats::{IoCounters, Latency};
use crate::steering::{Arrival, Steering};
use crate::tcp::Connections;

/// The world as this thread's shard sees it.
pub(super) struct ThreadHost {
    pub(super) id: ShardId,
    pub(super) sockets: Vec<UdpSocket>,
    pub(super) connections: Option<Connections>,
    pub(super) steering: Option<Steering>,
    pub(super) send: SendBatch,
    pub(super) outgoing: Vec<Option<Producer>>,
    /// Shards that have something new since the turn began.
    pub(super) to_wake: Vec<bool>,
    pub(super) shared: Arc<Shared>,
    pub(super) counters: IoCounters,
    pub(super) latency: Latency,
}

impl Host for ThreadHost {
    fn flush(&mut self, batch: &mut Batch) {
        let now = Instant::now();
        let mut counts = self.send.send(now, &self.sockets, batch);
        if let Some(connections) = self
            .connections
            .as_mut()
            .filter(|_| batch.has_connections())
        {
            connections.send(batch, &mut counts);
        }
        self.counters.sent.add(counts);
        self.latency.record_batch(Instant::now(), batch.datagrams());
        batch.clear();
    }

    fn media(&mut self, to: NeighbourId, meta: &MediaMeta, payload: &[u8]) -> bool {
        // Neighbours are numbered as shards; there are no others yet.
        let index = usize::from(to.0);
        let Some(Some(producer)) = self.outgoing.get_mut(index) else {
            return false;
        };
        self.to_wake[index] = true;
        producer.push(meta, payload)
    }

    fn peer(&mut self, to: NeighbourId, message: PeerMessage) {
        let index = usize::from(to.0);
        let Some(inbox) = self.shared.inboxes.get(index) else {
            log::error!("a message for neighbour {index}, which does not exist");
            return;
        };
        if !inbox.push_peer(message) {
            self.counters.peer_queue_full += 1;
        }
        self.to_wake[index] = true;
    }

    fn may_claim(&self, now: Instant, source: Source, since: Option<Instant>) -> bool {
        let (Some(steering), Some(address)) = (&self.steering, source.udp_address()) else {
            return true;
        };
        steering.may_claim(now, address, since)
    }

    fn source(&mut self, source: Source, claim: Option<Claim>) {
        let (Some(steering), Some(address)) = (&self.steering, source.udp_address()) else {
            return;
        };
        if let Some((loser, for_good)) = steering.set_owner(address, claim) {
            self.peer(loser.into(), PeerMessage::AddressTaken { source, for_good });
        }
    }

    fn event(&mut self, event: Event) {
        self.shared.events.push(self.id, event);
    }
}

impl ThreadHost {
    /// Copies a datagram to the thread it is for, on a shared port. Returns whether it was for
    /// another one.
    pub(super) fn hand_over(&mut self, shard: &Shard, arrival: Arrival, datagram: &[u8]) -> bool {
        let Some(steering) = &mut self.steering else {
            return false;
        };
        let is_ours = || shard.is_validated(arrival.socket, arrival.from);
        let Some(to) = steering.other(arrival.from, datagram, is_ours) else {
            return false;
        };
        if steering.hand_over(to, arrival, datagram) {
            self.counters.handed_over += 1;
        } else {
            self.counters.hand_over_full += 1;
        }
        self.to_wake[usize::from(to.0)] = true;
        true
    }

    pub(super) fn source(&self, number: usize) -> Option<(SocketIndex, SocketAddr)> {
        self.connections.as_ref()?.source(number)
    }

    pub(super) fn has_been_handed_some(&self) -> bool {
        let steering = self.steering.as_ref();
        steering.is_some_and(|it| it.incoming.iter().any(|ring| !ring.is_empty()))
    }

    pub(super) fn close_failed(&mut self) -> Option<(SocketIndex, SocketAddr)> {
        self.connections.as_mut()?.close_failed()
    }

    pub(super) fn wake_others(&mut self) {
        for (index, wake) in self.to_wake.iter_mut().enumerate() {
            if std::mem::take(wake) && index != usize::from(self.id.0) {
                self.shared.inboxes[index].waker().wake();
            }
        }
    }
}
