//! Reliable messages on their way to the readers of one shard, and what all of it may cost.
//!
//! A message is accepted when every reader that it is for has room, and is then kept once, whatever
//! the number of readers that wait for it. Otherwise it is parked, and with it all that its sender
//! says later, until the reader that had no room has some or is given up; the sender has its window
//! (`sender`) and is not told that anything was taken, so little can be parked. How much one reader
//! may have waiting shrinks as the shard's budget is used up, so that many stalled readers leave
//! room for the others.

use std::collections::{BTreeMap, VecDeque};

use slab::Slab;

use crate::api::{RoutedData, TransportId};

/// Most that waits for one reader.
const MAX_READER: usize = 512 * 1_024;
/// What waits on a shard, counting each message once and the stacks' copies each.
const BUDGET: usize = 32 * 1_024 * 1_024;
/// A reader may have this share of what is left of the budget: n stalled ones take n / (n + 16).
const SHARE: usize = 16;
/// The server's own messages cannot be slowed down. From here on, who has no room for them is given
/// up.
const MAX_OF_SERVER: usize = 256 * 1_024;

/// Who a message comes from: a peer's transport, or the server.
pub(crate) type Origin = Option<TransportId>;

#[derive(Debug)]
struct Accepted {
    message: RoutedData,
    /// Readers that still wait for it.
    readers: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    accepted: Slab<Accepted>,
    parked: BTreeMap<Origin, VecDeque<RoutedData>>,
    /// Origins whose first parked message waits for room at a reader, longest wait first.
    blocked: BTreeMap<TransportId, VecDeque<Origin>>,
    used: usize,
    /// Messages that all readers here have been given, by sender and length.
    taken: Vec<(TransportId, usize)>,
}

impl Deliveries {
    /// Most that one reader may have waiting at the moment.
    pub(crate) fn reader_limit(&self) -> usize {
        (BUDGET.saturating_sub(self.used) / SHARE).min(MAX_READER)
    }

    /// Keeps a message for some readers, or for none.
    pub(crate) fn accept(&mut self, message: RoutedData, readers: usize) -> usize {
        self.used += message.packet.len();
        let key = self.accepted.insert(Accepted { message, readers });
        if readers == 0 {
            self.forget(key);
        }
        key
    }

    pub(crate) fn get(&self, key: usize) -> Option<&RoutedData> {
        Some(&self.accepted.get(key)?.message)
    }

    /// One reader less waits for a message.
    pub(crate) fn release(&mut self, key: usize) {
        if let Some(accepted) = self.accepted.get_mut(key) {
            accepted.readers = accepted.readers.saturating_sub(1);
            if accepted.readers == 0 {
                self.forget(key);
            }
        }
    }

    /// A stack's copies have become more or fewer.
    pub(crate) fn recount(&mut self, before: usize, after: usize) {
        self.used = self.used.saturating_sub(before) + after;
    }

    pub(crate) fn has_parked(&self, origin: Origin) -> bool {
        self.parked.contains_key(&origin)
    }

    /// Parks a message behind others of its origin, or as the first one because of `reader`.
    pub(crate) fn park(&mut self, message: RoutedData, reader: Option<TransportId>) {
        let origin = message.origin;
        self.used += message.packet.len();
        self.parked.entry(origin).or_default().push_back(message);
        if let Some(reader) = reader {
            self.blocked.entry(reader).or_default().push_back(origin);
        }
    }

    /// The first parked message of an origin.
    pub(crate) fn parked(&self, origin: Origin) -> Option<&RoutedData> {
        self.parked.get(&origin)?.front()
    }

    pub(crate) fn unpark(&mut self, origin: Origin) -> Option<RoutedData> {
        let queue = self.parked.get_mut(&origin)?;
        let message = queue.pop_front();
        if queue.is_empty() {
            self.parked.remove(&origin);
        }
        if let Some(message) = &message {
            self.used -= message.packet.len();
        }
        message
    }

    /// Whether more of the server's own messages are parked than may be.
    pub(crate) fn server_is_over(&self) -> bool {
        let parked = self.parked.get(&None);
        let bytes = parked.map(|queue| queue.iter().map(|m| m.packet.len()).sum::<usize>());
        bytes.is_some_and(|bytes| bytes > MAX_OF_SERVER)
    }

    /// The origin that has waited longest for room at `reader`.
    pub(crate) fn first_blocked(&self, reader: TransportId) -> Option<Origin> {
        self.blocked.get(&reader)?.front().copied()
    }

    /// The first one gets its turn: it is no longer the longest waiting.
    pub(crate) fn pop_blocked(&mut self, reader: TransportId) {
        if let Some(queue) = self.blocked.get_mut(&reader) {
            queue.pop_front();
            if queue.is_empty() {
                self.blocked.remove(&reader);
            }
        }
    }

    /// `origin` waits for room at `reader`, behind the others.
    pub(crate) fn block(&mut self, reader: TransportId, origin: Origin) {
        self.blocked.entry(reader).or_default().push_back(origin);
    }

    /// The reader that an origin's first parked message waits for.
    pub(crate) fn reader_that_blocks(&self, origin: Origin) -> Option<TransportId> {
        let mut blocked = self.blocked.iter();
        let found = blocked.find(|(_, origins)| origins.contains(&origin));
        found.map(|(reader, _)| *reader)
    }

    /// What has been taken since the last call: its senders are to be told.
    pub(crate) fn poll_taken(&mut self) -> Option<(TransportId, usize)> {
        self.taken.pop()
    }

    fn forget(&mut self, key: usize) {
        let accepted = self.accepted.remove(key);
        let len = accepted.message.packet.len();
        self.used -= len;
        if let Some(sender) = accepted.message.origin {
            self.taken.push((sender, len));
        }
    }
}
