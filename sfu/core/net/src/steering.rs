//! One UDP port for all threads: who a datagram is for, and how it gets there.
//!
//! Every thread has sockets of its own on the port (`SO_REUSEPORT`), and the kernel spreads peers
//! over them by a hash of the addresses. A thread that gets another one's datagram copies it into
//! a bounded ring. Checks name their shard; everything else is brought to whose peer its source is
//! by a check that passed, so a stranger's datagrams go nowhere. What is sent needs no steering.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use kinguicall_proto::api::{Claim, ShardId};
use kinguicall_proto::egress::SocketIndex;
use kinguicall_proto::transport::demux::{
    DatagramKind, classify, is_stun_answer, shard_of_ufrag, stun_local_ufrag,
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
pub(crate) struct Owners(RwLock<HashMap<SocketAddr, (ShardId, Claim)>>);

impl Owners {
    fn get(&self, address: SocketAddr) -> Option<(ShardId, Claim)> {
        let owners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        owners.get(&address).copied()
    }

    /// Returns the shard that has lost the address by that, and whether for good.
    fn set(
        &self,
        address: SocketAddr,
        shard: ShardId,
        claim: Option<Claim>,
    ) -> Option<(ShardId, bool)> {
        let mut owners = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(claim) = claim else {
            if owners.get(&address).is_some_and(|owner| owner.0 == shard) {
                owners.remove(&address);
            }
            return None;
        };
        let (loser, theirs) = owners.insert(address, (shard, claim))?;
        (loser != shard).then_some((loser, claim.since < theirs.since))
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
    pub(crate) fn for_threads(threads: usize) -> Vec<Self> {
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
    pub(crate) fn other(
        &self,
        from: SocketAddr,
        datagram: &[u8],
        is_ours: impl FnOnce() -> bool,
    ) -> Option<ShardId> {
        let shard = match classify(datagram) {
            DatagramKind::Stun if !is_stun_answer(datagram) => {
                stun_local_ufrag(datagram).and_then(shard_of_ufrag)
            }
            DatagramKind::Unknown => None,
            _ if is_ours() => None,
            _ => self.owner(from),
        };
        shard.filter(|shard| *shard != self.id && usize::from(shard.0) < self.outgoing.len())
    }

    /// Copies a datagram to another thread. Returns `false` when it was dropped.
    pub(crate) fn hand_over(&mut self, to: ShardId, arrival: Arrival, datagram: &[u8]) -> bool {
        let producer = self.outgoing.get_mut(usize::from(to.0));
        producer
            .and_then(Option::as_mut)
            .is_some_and(|producer| producer.push(&arrival, datagram))
    }

    /// Whether a check from there may pass as far as the other shards' peers are concerned.
    pub(crate) fn may_claim(
        &self,
        now: Instant,
        address: SocketAddr,
        since: Option<Instant>,
    ) -> bool {
        let owner = self.owners.get(address);
        let other = owner.filter(|(shard, _)| *shard != self.id);
        other.is_none_or(|(_, claim)| claim.gives_way(now, since))
    }

    /// An address belongs to this shard from now on, or no longer. Returns the shard that has lost it
    /// by that, and whether for good.
    pub(crate) fn set_owner(
        &self,
        address: SocketAddr,
        claim: Option<Claim>,
    ) -> Option<(ShardId, bool)> {
        self.owners.set(address, self.id, claim)
    }

    fn owner(&self, address: SocketAddr) -> Option<ShardId> {
        self.owners.get(address).map(|(shard, _)| shard)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn claim(since: Instant, age_s: u64) -> Claim {
        Claim {
            since,
            checked_at: since + Duration::from_secs(age_s),
        }
    }

    #[test]
    fn an_address_stays_its_shards_and_comes_back_to_it() {
        let threads = Steering::for_threads(2);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            threads[0].set_owner(address(1), Some(claim(start, 0))),
            None
        );
        threads[0].set_owner(address(1), Some(claim(start, 10)));
        assert!(!threads[1].may_claim(after(14), address(1), None), "in use");
        assert!(threads[0].may_claim(after(14), address(1), None), "its own");
        assert!(threads[1].may_claim(after(15), address(1), None), "silent");
        let lost = threads[1].set_owner(address(1), Some(claim(after(15), 0)));
        assert_eq!(lost, Some((ShardId(0), false)));
        assert!(
            !threads[0].may_claim(after(16), address(1), None),
            "a third"
        );
        assert!(threads[0].may_claim(after(16), address(1), Some(start)));
        let lost = threads[0].set_owner(address(1), Some(claim(start, 16)));
        assert_eq!(lost, Some((ShardId(1), true)));
        assert!(!threads[1].may_claim(after(17), address(1), Some(after(15))));
    }

    #[test]
    fn answers_to_checks_are_brought_to_whose_the_source_is() {
        let threads = Steering::for_threads(2);
        threads[1].set_owner(address(1), Some(claim(Instant::now(), 0)));
        let mut answer = [0; 20];
        answer[..8].copy_from_slice(&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
        let other = threads[0].other(address(1), &answer, || false);
        assert_eq!(other, Some(ShardId(1)));
    }

    #[test]
    fn datagrams_find_their_shard_by_their_source_and_strangers_find_none() {
        let threads = Steering::for_threads(2);
        let rtp = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        let claim = Some(claim(Instant::now(), 0));
        threads[1].set_owner(address(1), claim);
        let other = |thread: usize, from, ours| threads[thread].other(from, &rtp, || ours);
        assert_eq!(other(0, address(1), false), Some(ShardId(1)));
        assert_eq!(other(0, address(1), true), None, "its own peer comes first");
        assert_eq!(other(1, address(1), false), None);
        assert_eq!(other(0, address(2), false), None);
        threads[0].set_owner(address(1), None);
        assert_eq!(
            other(0, address(1), false),
            Some(ShardId(1)),
            "not its to end"
        );
        threads[1].set_owner(address(1), None);
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
