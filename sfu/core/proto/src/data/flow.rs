//! The flow of reliable messages through one peer's channels: holding what it says, and giving it
//! what waits for it no faster than it takes it.

use std::time::Instant;

use super::channels::Channels;
use super::kinds::{ChannelEvent, RELIABLE_LABEL, SendOutcome};
use super::outbox::Waiting;
use super::sender::Gate;
use crate::api::DataDelivery;

impl Channels {
    /// Holds the peer's reliable messages, or lets them pass, as its gate says.
    pub(crate) fn hold(&mut self, now: Instant) {
        let gate = self.sender.gate(now);
        self.inbox.hold(gate != Gate::Open);
        self.flow.resume_at = match gate {
            Gate::Paced(at) if !self.inbox.is_empty() => Some(at),
            _ => None,
        };
        if !self.inbox.is_full()
            && let Some(packet) = self.window.take_refused()
        {
            self.sctp.handle(now, &packet);
            self.progress();
        }
    }

    /// Whether the peer has said something that is held.
    pub(crate) fn holds_something(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Whether the reader may have another message waiting; one it always may.
    pub(crate) fn has_room(&mut self, len: usize, limit: usize) -> bool {
        let waiting = self.outbox.queued() + self.in_stack();
        waiting == 0 || waiting + len <= limit
    }

    /// Gives the stack a message if nothing waits before it and it may have more.
    pub(crate) fn write_at_once(&mut self, packet: &[u8], limit: usize) -> bool {
        self.outbox.is_empty() && self.write(packet, limit)
    }

    /// Lets a message wait.
    pub(crate) fn enqueue(&mut self, now: Instant, message: Waiting) {
        self.outbox.push(now, message);
    }

    /// Whether others wait for room at this reader.
    pub(crate) fn set_blocking(&mut self, now: Instant, blocking: bool) {
        self.outbox.set_blocking(now, blocking);
    }

    pub(crate) fn first_waiting(&self) -> Option<Waiting> {
        self.outbox.front()
    }

    /// Gives the stack the first waiting message, `packet`, if it may have more.
    pub(crate) fn write_first(&mut self, now: Instant, packet: &[u8], limit: usize) -> bool {
        let written = self.write(packet, limit);
        if written {
            self.outbox.pop(now);
        }
        written
    }

    /// Waiting messages that the reader will not get, as its channel has closed.
    pub(crate) fn take_abandoned(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.flow.abandoned)
    }

    /// Bytes in the stack when last counted, and now.
    pub(crate) fn recount(&mut self, now: Instant) -> (usize, usize) {
        let open = self.in_open_channel();
        self.outbox.on_buffered(now, open);
        let after = self.in_stack();
        (std::mem::replace(&mut self.flow.counted, after), after)
    }

    /// Closes the reliable channel of a reader that has stalled. If it was this side that opened it,
    /// there will be a new one after a while. Returns whether there was one to close.
    pub(crate) fn give_up(&mut self, now: Instant) -> bool {
        let Some(id) = self.channel_for(DataDelivery::Reliable) else {
            return false;
        };
        self.close(id);
        let reopen_at = self.outbox.on_stalled(now);
        self.flow.reopen_at = self.opens_channels.then_some(reopen_at);
        true
    }

    /// The peer has gone: what waited for it, and the bytes in its stack as counted last.
    pub(crate) fn abandon(&mut self) -> (Vec<Waiting>, usize) {
        self.abandon_reader();
        (self.take_abandoned(), self.flow.counted)
    }

    /// Returns whether this is news since the last `unnote`.
    pub(crate) fn note(&mut self) -> bool {
        !std::mem::replace(&mut self.flow.is_noted, true)
    }

    pub(crate) fn unnote(&mut self) {
        self.flow.is_noted = false;
    }

    pub(super) fn look_at_reader(&mut self, now: Instant) {
        let open = self.in_open_channel();
        self.outbox.on_buffered(now, open);
        if self.outbox.has_stalled(now) {
            self.events.push_back(ChannelEvent::Stalled);
        }
        if self.flow.reopen_at.is_some_and(|at| now >= at) {
            self.flow.reopen_at = None;
            self.open(RELIABLE_LABEL, true, None);
        }
    }

    pub(super) fn abandon_reader(&mut self) {
        self.flow.abandoned.extend(self.outbox.clear());
    }

    fn write(&mut self, packet: &[u8], limit: usize) -> bool {
        let in_stack = self.in_stack();
        self.outbox.fits_stack(in_stack, packet.len(), limit)
            && self.send(DataDelivery::Reliable, packet) == SendOutcome::Queued
    }

    fn in_open_channel(&mut self) -> usize {
        let id = self.channel_for(DataDelivery::Reliable);
        id.map_or(0, |id| self.sctp.buffered(id))
    }

    /// Reliable bytes that the stack holds for the reader.
    fn in_stack(&mut self) -> usize {
        let open = self.channel_for(DataDelivery::Reliable);
        let mut bytes = self.in_open_channel();
        let sctp = &mut self.sctp;
        self.flow.draining.retain(|id| {
            let left = if open == Some(*id) {
                0
            } else {
                sctp.buffered(*id)
            };
            bytes += left;
            left > 0
        });
        bytes
    }
}
