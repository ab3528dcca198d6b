//! How much is sent to an address before it has been shown that the peer receives there.
//!
//! A check with a forged source moves a peer's media to whoever lives at that source. Until something
//! has come back that only a receiver there can know, it gets less than a call's audio after the
//! first moment: too little to hurt, enough for a real move, which is shown within a round trip.

use std::net::SocketAddr;
use std::time::Instant;

use super::peer::{Path, Peer};
use crate::egress::SocketIndex;
use crate::forward::RepeatBudget;
use crate::transport::demux::{DatagramKind, classify};

/// What may be sent at first: a third of a second of a picture at 3 Mbit/s. Over all addresses of a
/// peer, as it may claim many.
const BURST_BYTES: i32 = 128 * 1_024;
/// What is added: 64 kbit/s, so that a client that answers no checks keeps its audio.
const BYTES_PER_SECOND: i32 = 8_000;

/// What is left of a path's allowance: a debt, if less than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Credit(i32);

impl Credit {
    /// The path is the peer's.
    pub(super) const UNBOUNDED: Self = Self(i32::MAX);

    pub(super) fn is_bounded(self) -> bool {
        self != Self::UNBOUNDED
    }

    #[inline]
    pub(super) fn is_left(self) -> bool {
        self.0 > 0
    }

    /// For a datagram that is sent. What is over is owed, as whole frames are let through.
    #[inline]
    pub(super) fn pay(&mut self, bytes: usize) {
        if self.is_bounded() {
            self.0 = self.0.saturating_sub_unsigned(bytes as u32);
        }
    }
}

/// What a peer's unproven paths share.
#[derive(Debug)]
pub(super) struct Allowance {
    bytes: i32,
    refilled_at: Instant,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            bytes: BURST_BYTES,
            refilled_at: now,
        }
    }

    /// All that there is, with what has come since it was last asked.
    pub(super) fn take(&mut self, now: Instant) -> Credit {
        let since = now.saturating_duration_since(self.refilled_at);
        let gained = since.as_millis() as u64 * BYTES_PER_SECOND as u64 / 1_000;
        let gained = i32::try_from(gained).unwrap_or(i32::MAX);
        self.refilled_at = now;
        let bytes = self.bytes.saturating_add(gained).min(BURST_BYTES);
        self.bytes = 0;
        Credit(bytes)
    }

    pub(super) fn give_back(&mut self, credit: Credit) {
        if credit.is_bounded() {
            self.bytes = credit.0;
        }
    }
}

impl Peer {
    /// What it is sent leaves by another pair from now on.
    pub(super) fn move_to(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        to: SocketAddr,
        is_proven: bool,
    ) {
        let old = self.path.take();
        if let Some(path) = &old {
            self.allowance.give_back(path.credit);
        }
        let credit = if is_proven {
            Credit::UNBOUNDED
        } else {
            self.allowance.take(now)
        };
        self.path = Some(Path {
            socket,
            to,
            round_trip: None,
            bytes_sent: old.as_ref().map_or(0, |path| path.bytes_sent),
            repeats: old.map_or_else(RepeatBudget::default, |path| path.repeats),
            credit,
        });
    }

    /// Whether what the transport says on its own may be sent: answers to checks and checks always.
    pub(super) fn pays_for(&mut self, datagram: &[u8]) -> bool {
        let is_dtls = classify(datagram) == DatagramKind::Dtls;
        let Some(path) = self.path.as_mut().filter(|_| is_dtls) else {
            return true;
        };
        let is_open = path.is_open();
        if is_open {
            path.pay(datagram.len());
        }
        is_open
    }

    /// What leaves by the path arrives at the peer.
    pub(super) fn trust_path(&mut self) {
        if let Some(path) = &mut self.path {
            self.allowance.give_back(path.credit);
            path.credit = Credit::UNBOUNDED;
        }
    }

    /// A check has passed: more may be sent by a path that is not proven.
    pub(super) fn refill_credit(&mut self, now: Instant) {
        if let Some(path) = &mut self.path
            && path.credit.is_bounded()
        {
            self.allowance.give_back(path.credit);
            path.credit = self.allowance.take(now);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn many_addresses_get_no_more_than_one() {
        let mut now = Instant::now();
        let mut allowance = Allowance::new(now);
        let mut sent = 0;
        for _ in 0..100 {
            let mut credit = allowance.take(now);
            while credit.is_left() {
                credit.pay(1_200);
                sent += 1_200;
            }
            allowance.give_back(credit);
            now += Duration::from_millis(100);
        }
        let limit = BURST_BYTES + 10 * BYTES_PER_SECOND;
        assert!((limit - 1_200..limit + 1_200).contains(&sent), "{sent}");
    }

    #[test]
    fn a_proven_path_costs_nothing_and_a_new_one_does_not_start_afresh() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let mut credit = allowance.take(now);
        credit.pay(100_000);
        allowance.give_back(credit);
        let mut proven = Credit::UNBOUNDED;
        (0..1_000).for_each(|_| proven.pay(usize::MAX));
        assert_eq!(proven, Credit::UNBOUNDED);
        allowance.give_back(proven);
        assert_eq!(allowance.take(now), Credit(BURST_BYTES - 100_000));
    }
}
