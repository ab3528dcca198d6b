//! The world as a simulated shard sees it: everything it produces is put into queues.

use std::collections::VecDeque;
use std::net::SocketAddr;

use kinguicall_proto::api::{Event, Host, MediaMeta, NeighbourId, PeerMessage};
use kinguicall_proto::egress::Batch;

/// What a shard has produced since it was last looked at.
#[derive(Debug, Default)]
pub struct SimHost {
    pub datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    pub media: VecDeque<(NeighbourId, MediaMeta, Vec<u8>)>,
    pub messages: VecDeque<(NeighbourId, PeerMessage)>,
    /// How many messages there have been.
    pub messages_sent: usize,
    pub events: Vec<Event>,
    /// Destinations of the first and last datagram of each batch.
    pub batch_ends: Vec<(SocketAddr, SocketAddr)>,
}

impl Host for SimHost {
    fn flush(&mut self, batch: &mut Batch) {
        if let [first, .., last] = batch.datagrams() {
            self.batch_ends.push((first.to, last.to));
        }
        for datagram in batch.datagrams() {
            self.datagrams
                .push_back((datagram.to, batch.bytes_of(datagram).to_vec()));
        }
        batch.clear();
    }

    fn media(&mut self, to: NeighbourId, meta: &MediaMeta, payload: &[u8]) -> bool {
        self.media.push_back((to, *meta, payload.to_vec()));
        true
    }

    fn peer(&mut self, to: NeighbourId, message: PeerMessage) {
        self.messages_sent += 1;
        self.messages.push_back((to, message));
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}
