//! The pairs of a transport: which addresses belong to the peer, which of them is selected, and which
//! have shown that they are reached.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::IceEvent;
use crate::api::Claim;
use crate::egress::{SocketIndex, Source};

/// Addresses that one peer may hold at the same time.
pub const MAX_ADDRESSES: usize = 8;
/// An address without a check for this long is forgotten. libwebrtc checks spare pairs every 25 s.
const ADDRESS_LIFETIME: Duration = Duration::from_secs(60);
/// When all places are taken, a newcomer may take that of an address silent for this long.
const REPLACEABLE_AFTER: Duration = Duration::from_secs(5);
/// A selected pair that is silent for this long gives way to any pair that is not.
const SELECTED_SILENT: Duration = Duration::from_secs(10);

/// A local socket and an address of the peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub socket: SocketIndex,
    pub address: SocketAddr,
    /// Tells a pair from one that was there before it.
    pub serial: u32,
    /// What is sent there has been received there.
    pub is_proven: bool,
    since: Instant,
    checked_at: Instant,
}

impl Pair {
    fn source(&self) -> Source {
        Source::new(self.socket, self.address)
    }

    fn selected(&self) -> IceEvent {
        IceEvent::Selected {
            socket: self.socket,
            to: self.address,
            is_proven: self.is_proven,
        }
    }
}

/// At most [`MAX_ADDRESSES`] pairs.
#[derive(Debug)]
pub(super) struct Pairs {
    list: Vec<Pair>,
    /// Index into `list`.
    selected: Option<usize>,
    next_serial: u32,
    pub(super) events: VecDeque<IceEvent>,
}

impl Pairs {
    pub(super) fn new() -> Self {
        Self {
            list: Vec::new(),
            selected: None,
            next_serial: 0,
            events: VecDeque::new(),
        }
    }

    /// Where to send: the nominated pair, or the first that worked until one is nominated.
    pub(super) fn selected(&self) -> Option<&Pair> {
        self.list.get(self.selected?)
    }

    /// Whether a check from this address has passed and not expired.
    pub(super) fn is_validated(&self, source: Source) -> bool {
        self.list.iter().any(|pair| pair.source() == source)
    }

    /// Since when, and how lately, checks from this address have passed.
    pub(super) fn claim(&self, source: Source) -> Option<Claim> {
        let pairs = || self.list.iter().filter(|pair| pair.source() == source);
        Some(Claim {
            since: pairs().map(|pair| pair.since).min()?,
            checked_at: pairs().map(|pair| pair.checked_at).max()?,
        })
    }

    pub(super) fn get(&self, index: usize) -> Option<&Pair> {
        self.list.get(index)
    }

    pub(super) fn find(&self, socket: SocketIndex, address: SocketAddr) -> Option<usize> {
        self.list
            .iter()
            .position(|pair| pair.socket == socket && pair.address == address)
    }

    /// Finds or makes the pair's place for a check that has passed. `None` when the peer holds too many
    /// live addresses.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        from: SocketAddr,
    ) -> Option<usize> {
        if let Some(index) = self.find(socket, from) {
            self.list[index].checked_at = now;
            return Some(index);
        }
        if self.list.len() >= MAX_ADDRESSES {
            let oldest = (0..self.list.len())
                .filter(|index| Some(*index) != self.selected)
                .min_by_key(|index| self.list[*index].checked_at)?;
            if now < self.list[oldest].checked_at + REPLACEABLE_AFTER {
                return None;
            }
            self.remove(oldest);
        }
        let pair = Pair {
            socket,
            address: from,
            serial: self.next_serial,
            // A connection is there because both ends have answered each other.
            is_proven: socket.connection_number().is_some(),
            since: now,
            checked_at: now,
        };
        self.next_serial = self.next_serial.wrapping_add(1);
        let source = pair.source();
        if !self.is_validated(source) {
            self.events.push_back(IceEvent::AddressValidated(source));
        }
        // Most peers have one.
        self.list.reserve_exact(1);
        self.list.push(pair);
        Some(self.list.len() - 1)
    }

    /// What was sent there has come back.
    pub(super) fn prove(&mut self, index: usize) {
        if let Some(pair) = self.list.get_mut(index).filter(|pair| !pair.is_proven) {
            pair.is_proven = true;
            if self.selected == Some(index) {
                self.events.push_back(IceEvent::SelectedIsProven);
            }
        }
    }

    pub(super) fn select(&mut self, index: usize) {
        if self.selected != Some(index)
            && let Some(pair) = self.list.get(index)
        {
            self.selected = Some(index);
            self.events.push_back(pair.selected());
        }
    }

    pub(super) fn selected_is_silent(&self, now: Instant) -> bool {
        self.selected()
            .is_none_or(|pair| now >= pair.checked_at + SELECTED_SILENT)
    }

    /// Forgets a source that cannot be reached any more. If it was selected, the pair whose check
    /// is the latest takes its place, or the next one that passes a check.
    pub(super) fn forget(&mut self, source: Source) {
        while let Some(index) = self.list.iter().position(|pair| pair.source() == source) {
            let was_selected = self.selected == Some(index);
            if was_selected {
                self.selected = None;
            }
            self.remove(index);
            let latest = (0..self.list.len()).max_by_key(|other| self.list[*other].checked_at);
            if let (true, Some(latest)) = (was_selected, latest) {
                self.select(latest);
            }
        }
    }

    /// Forgets addresses that have gone silent.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(index) = self.list.iter().enumerate().position(|(index, pair)| {
            Some(index) != self.selected && now >= pair.checked_at + ADDRESS_LIFETIME
        }) {
            self.remove(index);
        }
    }

    /// When the next address expires.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let spare = self.list.iter().enumerate();
        spare
            .filter(|(index, _)| Some(*index) != self.selected)
            .map(|(_, pair)| pair.checked_at + ADDRESS_LIFETIME)
            .min()
    }

    fn remove(&mut self, index: usize) {
        let gone = self.list.remove(index);
        self.selected = match self.selected {
            Some(selected) if selected > index => Some(selected - 1),
            other => other,
        };
        let source = gone.source();
        if !self.is_validated(source) {
            self.events.push_back(IceEvent::AddressExpired(source));
        }
    }
}
