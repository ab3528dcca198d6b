//! What waits for a media thread besides packets: commands from policy and messages from other
//! shards, in order of arrival.
//!
//! Policy when the thread does not keep up: a command is refused from 65,536 waiting messages on,
//! and its sender is told. Of other shards' messages, those that the next one supersedes (key frame
//! requests, sender reports), lossy data packets and new connections are dropped from 8,192 on. Those
//! that build up state always pass; each follows from an accepted command, so they are bounded as
//! well. Reliable data passes: each sender's window bounds it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::tcp::Accepted;

use kinguicall_proto::api::{Command, DataDelivery, PeerMessage};

use crate::wake::Waker;

const MAX_COMMANDS: usize = 65_536;
const MAX_DROPPABLE: usize = 8_192;

/// One item of an inbox.
#[derive(Debug)]
pub(crate) enum Message {
    Command(Command),
    Peer(PeerMessage),
    /// A TCP connection whose first message is a check for this shard.
    Connection(Accepted),
}

/// The queue of one media thread, and the means to wake it.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Mutex<VecDeque<Message>>,
    waker: Waker,
}

impl Inbox {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            queue: Mutex::default(),
            waker: Waker::new()?,
        })
    }

    /// Queues a command and wakes the thread. Returns `false` when too much waits.
    pub(crate) fn push_command(&self, command: Command) -> bool {
        let mut queue = self.lock();
        if queue.len() >= MAX_COMMANDS {
            return false;
        }
        queue.push_back(Message::Command(command));
        drop(queue);
        self.waker.wake();
        true
    }

    /// Queues another shard's message; the caller wakes the thread at the end of its turn.
    /// Returns `false` when the message was dropped.
    pub(crate) fn push_peer(&self, message: PeerMessage) -> bool {
        let droppable = match &message {
            // What there is of a track is told again whenever its bitrates move.
            PeerMessage::KeyFrameWanted { .. }
            | PeerMessage::Supply { .. }
            | PeerMessage::AddressTaken { .. }
            | PeerMessage::SenderReport { .. } => true,
            PeerMessage::Data(message) => message.delivery == DataDelivery::Lossy,
            PeerMessage::Attach { .. }
            | PeerMessage::Detach { .. }
            | PeerMessage::SourceRestarted { .. }
            | PeerMessage::TrackGone { .. }
            | PeerMessage::DataTaken { .. }
            | PeerMessage::MicrophoneRanks { .. } => false,
        };
        let mut queue = self.lock();
        if droppable && queue.len() >= MAX_DROPPABLE {
            return false;
        }
        queue.push_back(Message::Peer(message));
        true
    }

    /// Queues a TCP connection and wakes the thread. It is closed instead when too much waits.
    pub(crate) fn push_connection(&self, accepted: Accepted) {
        let mut queue = self.lock();
        if queue.len() < MAX_DROPPABLE {
            queue.push_back(Message::Connection(accepted));
            drop(queue);
            self.waker.wake();
        }
    }

    /// Moves everything that waits to the end of `into`.
    pub(crate) fn take(&self, into: &mut VecDeque<Message>) {
        let mut queue = self.lock();
        if into.is_empty() {
            std::mem::swap(&mut *queue, into);
        } else {
            into.append(&mut queue);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRawFd for Inbox {
    fn as_raw_fd(&self) -> RawFd {
        self.waker.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use kinguicall_proto::api::{Layer, ShardId, TrackId, Want};

    use super::*;

    const TRACK: TrackId = TrackId(1);

    #[test]
    fn commands_are_refused_when_too_many_wait_and_accepted_again_after_a_take() {
        let inbox = Inbox::new().unwrap();
        for _ in 0..MAX_COMMANDS {
            assert!(inbox.push_command(Command::RequestKeyFrame(TRACK)));
        }
        assert!(!inbox.push_command(Command::RequestKeyFrame(TRACK)));
        let mut taken = VecDeque::new();
        inbox.take(&mut taken);
        assert_eq!(taken.len(), MAX_COMMANDS);
        assert!(inbox.push_command(Command::RequestKeyFrame(TRACK)));
    }

    #[test]
    fn under_load_repeatable_messages_are_dropped_and_state_passes() {
        let inbox = Inbox::new().unwrap();
        let wanted = PeerMessage::KeyFrameWanted {
            track: TRACK,
            layer: Layer(0),
        };
        for _ in 0..MAX_DROPPABLE {
            assert!(inbox.push_peer(wanted.clone()));
        }
        assert!(!inbox.push_peer(wanted));
        assert!(inbox.push_peer(PeerMessage::Attach {
            track: TRACK,
            from: ShardId(1).into(),
            want: Want::ALL
        }));
        let mut taken = VecDeque::new();
        inbox.take(&mut taken);
        assert!(matches!(
            taken.back(),
            Some(Message::Peer(PeerMessage::Attach { .. }))
        ));
    }

    #[test]
    fn take_keeps_the_order_behind_what_is_left_over() {
        let inbox = Inbox::new().unwrap();
        let mut taken = VecDeque::new();
        for serial in [1, 2] {
            inbox.push_command(Command::Unpublish(TrackId(serial)));
            inbox.take(&mut taken);
        }
        let serials: Vec<u32> = taken
            .iter()
            .map(|m| match m {
                Message::Command(Command::Unpublish(track)) => track.0,
                other => panic!("unexpected {other:?}"),
            })
            .collect();
        assert_eq!(serials, [1, 2]);
        assert!(inbox.is_empty());
    }
}
