//! Reliable messages of a peer that have been read and not been passed on yet.
//!
//! They are held while the readers, or the sender's own pace, do not allow more. What is here counts
//! against the sender's receive window, so that it slows down; nothing is ever dropped.

use std::collections::VecDeque;

use super::kinds::ChannelEvent;
use super::sctp::RECEIVE_BUFFER;

/// What a message takes besides its bytes.
const PER_MESSAGE: usize = 128;
/// No data is taken from here on: a peer that respects its window does not get this far, but for
/// its probes and for what is on its way when many short messages fill the window faster than the
/// peer can know.
const LIMIT: usize = RECEIVE_BUFFER as usize + 64 * 1_024;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    messages: VecDeque<(ChannelEvent, usize)>,
    cost: usize,
    is_held: bool,
}

impl Inbox {
    pub(super) fn push(&mut self, message: ChannelEvent, len: usize) {
        let cost = len + PER_MESSAGE;
        self.cost += cost;
        self.messages.push_back((message, cost));
    }

    /// The next message that may be passed on.
    pub(super) fn pop(&mut self) -> Option<ChannelEvent> {
        if self.is_held {
            return None;
        }
        let (message, cost) = self.messages.pop_front()?;
        self.cost -= cost;
        Some(message)
    }

    pub(super) fn hold(&mut self, held: bool) {
        self.is_held = held;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes that the peer's window is smaller by.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn is_full(&self) -> bool {
        self.cost >= LIMIT
    }
}
