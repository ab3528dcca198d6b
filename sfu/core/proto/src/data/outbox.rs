//! Reliable messages that wait for one reader, besides those that its SCTP stack has.
//!
//! The stack keeps a copy of what it is given, so it gets only what its path can use; the rest waits
//! as references to messages that all readers share. A reader for which something waits has to take
//! `MIN_TAKEN` in each `PATIENCE`, or it has stalled.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a reader may hold up its senders without taking `MIN_TAKEN`. A phone that changes its
/// network and restarts ICE is back within this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// 26 kbit/s: what the slowest path that can still carry a voice takes.
const MIN_TAKEN: u64 = 32 * 1_024;
/// Bounds of what the stack holds: enough for 5 Mbit/s and 10 Mbit/s at 100 ms.
const MIN_IN_STACK: usize = 64 * 1_024;
const MAX_IN_STACK: usize = 128 * 1_024;
/// The stack may hold what the reader took in this time.
const RATE_WINDOW: Duration = Duration::from_millis(400);
/// A reader that stalled gets a new channel after this long, and the n-th time n times as long.
const REST: Duration = Duration::from_secs(5);
const MAX_RESTS: u32 = 12;

/// A message that waits: its key among the shard's deliveries, and its length.
pub(super) type Waiting = (usize, usize);

/// A period in which the reader is looked at.
#[derive(Debug, Clone, Copy)]
struct Period {
    began: Instant,
    taken: u64,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Waiting>,
    queued: usize,
    /// Bytes ever given to the stack, and those of them that the reader has acknowledged.
    written: u64,
    taken: u64,
    watch: Option<Period>,
    rate: Option<Period>,
    in_stack_limit: usize,
    /// Others wait for room here.
    is_blocking: bool,
    stalls: u32,
}

impl Outbox {
    pub(super) fn push(&mut self, now: Instant, message: Waiting) {
        self.queue.push_back(message);
        self.queued += message.1;
        self.update_watch(now);
    }

    /// Whether others wait for room here.
    pub(super) fn set_blocking(&mut self, now: Instant, blocking: bool) {
        self.is_blocking = blocking;
        self.update_watch(now);
    }

    pub(super) fn front(&self) -> Option<Waiting> {
        self.queue.front().copied()
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<Waiting> {
        let message = self.queue.pop_front()?;
        self.queued -= message.1;
        self.update_watch(now);
        Some(message)
    }

    /// All that waits: the next channel counts from the beginning.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Waiting> {
        self.written = 0;
        self.taken = 0;
        self.rate = None;
        self.watch = None;
        self.queued = 0;
        std::mem::take(&mut self.queue).into_iter()
    }

    /// Bytes that wait here.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The stack has been given so many bytes.
    pub(super) fn on_written(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    /// The stack has so many bytes left that are not acknowledged.
    pub(super) fn on_buffered(&mut self, now: Instant, buffered: usize) {
        self.taken = self.written.saturating_sub(buffered as u64);
        let taken = self.taken;
        let rate = self.rate.get_or_insert(Period { began: now, taken });
        if now >= rate.began + RATE_WINDOW {
            let lately = usize::try_from(taken - rate.taken).unwrap_or(usize::MAX);
            self.in_stack_limit = lately.clamp(MIN_IN_STACK, MAX_IN_STACK);
            *rate = Period { began: now, taken };
        }
    }

    /// Whether the stack, which holds `buffered` bytes, may have `len` more. One message always may.
    pub(super) fn fits_stack(&self, buffered: usize, len: usize, reader_limit: usize) -> bool {
        let limit = self.in_stack_limit.max(MIN_IN_STACK).min(reader_limit);
        buffered == 0 || buffered + len <= limit
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.watch?.began + PATIENCE)
    }

    /// Whether the reader has stalled.
    pub(super) fn has_stalled(&mut self, now: Instant) -> bool {
        let Some(watch) = &mut self.watch else {
            return false;
        };
        if now < watch.began + PATIENCE {
            return false;
        }
        if self.taken - watch.taken < MIN_TAKEN {
            return true;
        }
        *watch = Period {
            began: now,
            taken: self.taken,
        };
        false
    }

    /// The reader gets nothing of what waits. Returns when it may have a new channel.
    pub(super) fn on_stalled(&mut self, now: Instant) -> Instant {
        self.stalls = (self.stalls + 1).min(MAX_RESTS);
        now + REST * self.stalls
    }

    /// A reader is watched while anything waits for it.
    fn update_watch(&mut self, now: Instant) {
        if self.queue.is_empty() && !self.is_blocking {
            self.watch = None;
        } else {
            self.watch.get_or_insert(Period {
                began: now,
                taken: self.taken,
            });
        }
    }
}
