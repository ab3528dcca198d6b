//! When a sender's next reliable message may be passed on.
//!
//! Two things hold it: a window of bytes that readers have not been given yet, counted for each
//! shard that it has sent them to, and a pace in bytes times readers, so that nobody can make the
//! node send without end by speaking to a full room.

use std::time::{Duration, Instant};

use crate::api::ShardId;

/// A sender is held from here on, so that at most this and one message wait on a shard.
const WINDOW: usize = 64 * 1_024;
/// To all readers together: 134 Mbit/s.
const PACE_BYTES_PER_SECOND: u64 = 16 * 1_024 * 1_024;
/// What a delivery costs besides its bytes: 40,000 short ones a second.
const PER_DELIVERY: usize = 400;
/// What may be sent at once after a silence.
const BURST: Duration = Duration::from_millis(250);

/// Whether a message may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Readers have too much to take: `on_taken` opens it again.
    Full,
    /// Too fast, until then.
    Paced(Instant),
}

#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// Bytes on their way, by shard.
    outstanding: Vec<usize>,
    /// When what was sent so far would have been sent at the pace.
    paced_until: Option<Instant>,
}

impl Sender {
    pub(crate) fn gate(&self, now: Instant) -> Gate {
        if self.outstanding.iter().any(|bytes| *bytes >= WINDOW) {
            return Gate::Full;
        }
        match self.paced_until {
            Some(until) if until > now + BURST => Gate::Paced(until - BURST),
            _ => Gate::Open,
        }
    }

    /// A message goes to so many readers.
    pub(crate) fn on_sent(&mut self, now: Instant, len: usize, readers: usize) {
        let cost = (len + PER_DELIVERY) as u64 * readers as u64;
        let nanoseconds = cost.saturating_mul(1_000_000_000) / PACE_BYTES_PER_SECOND;
        let from = self.paced_until.map_or(now, |until| until.max(now));
        self.paced_until = Some(from + Duration::from_nanos(nanoseconds));
    }

    /// A reliable message of so many bytes goes to `shards` shards.
    pub(crate) fn expect_taken(&mut self, len: usize, shards: u8) {
        self.outstanding.resize(usize::from(shards), 0);
        for bytes in &mut self.outstanding {
            *bytes += len;
        }
    }

    /// The readers of `shard` have been given so many of the bytes.
    pub(crate) fn on_taken(&mut self, shard: ShardId, len: usize) {
        if let Some(bytes) = self.outstanding.get_mut(usize::from(shard.0)) {
            *bytes = bytes.saturating_sub(len);
        }
    }
}
