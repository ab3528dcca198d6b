//! One UDP port for all threads: who a datagram is for, and how it gets there.
//!
//! Every thread has sockets of its own on the port (`SO_REUSEPORT`), and the kernel spreads peers
//! over them by a hash of the addresses. A thread that gets another one's datagram copies it into
//! a bounded ring. Checks name their shard; everything else is brought to whose peer its source is
//! by a check that passed, so a stranger's datagrams go nowhere. What is sent needs no steering.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use kinguicall_proto::api::ShardId;
use kinguicall_proto::egress::SocketIndex;
use kinguicall_proto::transport::demux::{
    DatagramKind, classify, shard_of_ufrag, stun_local_ufrag,
};

use crate::ring::{Consumer, Producer, ring};

/// Datagrams that may wait for one thread from one other. When it is full, the newest is dropped.
const CAPACITY: usize = 512;

/// How a datagram came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub socket: SocketIndex,
    pub from: SocketAddr,
}

/// Which shard's peer an address is. At most eight addresses of each peer are in it.
#[derive(Debug, Default)]
pub(crate) struct Owners(RwLock<HashMap<SocketAddr, ShardId>>);

impl Owners {
    fn get(&self, address: SocketAddr) -> Option<ShardId> {
        let owners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        owners.get(&address).copied()
    }

    fn set(&self, address: SocketAddr, shard: ShardId, is_ours: bool) {
        let mut owners = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if is_ours {
            owners.insert(address, shard);
        } else if owners.get(&address) == Some(&shard) {
            owners.remove(&address);
        }
    }
}

/// One thread's part in the port. Moved into the thread.
pub(crate) struct Steering {
    id: ShardId,
    /// By shard; `None` for itself.
    outgoing: Vec<Option<Producer<Arrival>>>,
    pub incoming: Vec<Consumer<Arrival>>,
    owners: Arc<Owners>,
}

impl Steering {
    /// One for each of `threads` threads.
    pub fn for_threads(threads: usize) -> Vec<Self> {
        let owners = Arc::new(Owners::default());
        let mut all: Vec<Self> = (0..threads)
            .map(|id| Self {
                id: ShardId(id as u8),
                outgoing: Vec::new(),
                incoming: Vec::new(),
                owners: Arc::clone(&owners),
            })
            .collect();
        for from in 0..threads {
            for to in 0..threads {
                let producer = (from != to).then(|| {
                    let (producer, consumer) = ring(CAPACITY);
                    all[to].incoming.push(consumer);
                    producer
                });
                all[from].outgoing.push(producer);
            }
        }
        all
    }

    /// The other shard that a datagram is for. Which addresses are this shard's own peers,
    /// `is_ours` tells.
    pub fn other(
        &self,
        from: SocketAddr,
        datagram: &[u8],
        is_ours: impl FnOnce() -> bool,
    ) -> Option<ShardId> {
        let shard = match classify(datagram) {
            DatagramKind::Stun => stun_local_ufrag(datagram).and_then(shard_of_ufrag),
            DatagramKind::Unknown => None,
            _ if is_ours() => None,
            _ => self.owners.get(from),
        };
        shard.filter(|shard| *shard != self.id && usize::from(shard.0) < self.outgoing.len())
    }

    /// Copies a datagram to another thread. Returns `false` when it was dropped.
    pub fn hand_over(&mut self, to: ShardId, arrival: Arrival, datagram: &[u8]) -> bool {
        let producer = self.outgoing.get_mut(usize::from(to.0));
        producer
            .and_then(Option::as_mut)
            .is_some_and(|producer| producer.push(&arrival, datagram))
    }

    /// An address belongs to this shard from now on, or no longer.
    pub fn set_owner(&self, address: SocketAddr, is_ours: bool) {
        self.owners.set(address, self.id, is_ours);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn datagrams_find_their_shard_by_their_source_and_strangers_find_none() {
        let threads = Steering::for_threads(2);
        let rtp = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        threads[1].set_owner(address(1), true);
        let other = |thread: usize, from, ours| threads[thread].other(from, &rtp, || ours);
        assert_eq!(other(0, address(1), false), Some(ShardId(1)));
        assert_eq!(other(0, address(1), true), None, "its own peer comes first");
        assert_eq!(other(1, address(1), false), None);
        assert_eq!(other(0, address(2), false), None);
        threads[0].set_owner(address(1), false);
        assert_eq!(
            other(0, address(1), false),
            Some(ShardId(1)),
            "not its to end"
        );
        threads[1].set_owner(address(1), false);
        assert_eq!(other(0, address(1), false), None);
    }

    #[test]
    fn datagrams_come_out_at_the_other_thread_until_its_ring_is_full() {
        let mut threads = Steering::for_threads(3);
        let arrival = Arrival {
            socket: SocketIndex(1),
            from: address(5),
        };
        let pushed =
            (0..CAPACITY + 5).filter(|_| threads[0].hand_over(ShardId(2), arrival, b"abc"));
        assert_eq!(pushed.count(), CAPACITY);
        assert!(
            !threads[0].hand_over(ShardId(0), arrival, b"abc"),
            "to itself"
        );
        assert!(
            !threads[0].hand_over(ShardId(9), arrival, b"abc"),
            "to nobody"
        );
        let mut taken = 0;
        for ring in &mut threads[2].incoming {
            while ring.pop(|meta, datagram| {
                assert_eq!((meta.socket, meta.from), (SocketIndex(1), address(5)));
                assert_eq!(datagram, b"abc");
            }) {
                taken += 1;
            }
        }
        assert_eq!(taken, CAPACITY);
    }
}
