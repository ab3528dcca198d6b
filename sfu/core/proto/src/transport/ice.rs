//! ICE-lite (RFC 8445, section 2.5): answers connectivity checks and learns from them which
//! addresses belong to the peer and which of them it nominated.
//!
//! Messages are read and written by the `is` crate; its agent is not used, as a lite agent has to
//! follow the last nomination, keep two generations of credentials during a restart and bound the
//! addresses of a peer, and that agent does none of these. Nothing here draws random numbers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use is::stun::StunMessage;

use crate::api::IceCredentials;
use crate::egress::{SocketIndex, Source};

/// Addresses that one peer may hold at the same time.
pub const MAX_ADDRESSES: usize = 8;
/// An address without a check for this long is forgotten. libwebrtc checks spare pairs every 25 s.
const ADDRESS_LIFETIME: Duration = Duration::from_secs(60);
/// When all places are taken, a newcomer may take that of an address silent for this long.
const REPLACEABLE_AFTER: Duration = Duration::from_secs(5);
/// A selected pair that is silent for this long gives way to any pair that is not.
const SELECTED_SILENT: Duration = Duration::from_secs(10);
/// Answers that wait to be sent; the peer repeats a check whose answer is lost.
const MAX_REPLIES: usize = 16;
/// A success response has at most 76 bytes, a role conflict 80.
const MAX_REPLY: usize = 96;

/// An answer to a check.
#[derive(Debug)]
pub struct Reply {
    pub socket: SocketIndex,
    pub to: SocketAddr,
    bytes: [u8; MAX_REPLY],
    len: usize,
}

impl Reply {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What the checks have changed.
#[derive(Debug)]
pub enum IceEvent {
    AddressValidated(Source),
    AddressExpired(Source),
    Selected {
        socket: SocketIndex,
        to: SocketAddr,
    },
    /// No check with this local user name fragment is accepted any more.
    UfragRetired(String),
}

/// Credentials that go together: one side's and, once known, the other's name.
#[derive(Debug, Clone)]
struct Generation {
    local: IceCredentials,
    remote_ufrag: Option<String>,
}

impl Generation {
    fn is_named(&self, local: &str, remote: &str) -> bool {
        self.local.ufrag == local
            && self
                .remote_ufrag
                .as_ref()
                .is_none_or(|expected| expected == remote)
    }
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    socket: SocketIndex,
    address: SocketAddr,
    checked_at: Instant,
}

impl Pair {
    fn source(&self) -> Source {
        Source::new(self.socket, self.address)
    }
}

/// The lite agent of one transport.
#[derive(Debug)]
pub struct IceLite {
    current: Generation,
    /// The generation before a restart, until the new one has nominated a pair.
    previous: Option<Generation>,
    pairs: Vec<Pair>,
    /// Index into `pairs`.
    selected: Option<usize>,
    events: VecDeque<IceEvent>,
    replies: VecDeque<Reply>,
    checked_at: Option<Instant>,
}

impl IceLite {
    pub fn new(local: IceCredentials) -> Self {
        Self {
            current: Generation {
                local,
                remote_ufrag: None,
            },
            previous: None,
            pairs: Vec::with_capacity(MAX_ADDRESSES),
            selected: None,
            events: VecDeque::new(),
            replies: VecDeque::new(),
            checked_at: None,
        }
    }

    /// Where to send: the nominated pair, or the first that worked until one is nominated.
    pub fn selected(&self) -> Option<(SocketIndex, SocketAddr)> {
        let pair = self.pairs.get(self.selected?)?;
        Some((pair.socket, pair.address))
    }

    /// Whether a check from this address has passed and not expired.
    pub fn is_validated(&self, source: Source) -> bool {
        self.pairs.iter().any(|pair| pair.source() == source)
    }

    /// Forgets a source that cannot be reached any more. If it was selected, the pair whose check
    /// is the latest takes its place, or the next one that passes a check.
    pub fn forget(&mut self, source: Source) {
        while let Some(index) = self.pairs.iter().position(|pair| pair.source() == source) {
            let was_selected = self.selected == Some(index);
            if was_selected {
                self.selected = None;
            }
            self.remove(index);
            let latest = (0..self.pairs.len()).max_by_key(|other| self.pairs[*other].checked_at);
            if let (true, Some(latest)) = (was_selected, latest) {
                self.select(latest);
            }
        }
    }

    /// When the last check passed.
    pub fn checked_at(&self) -> Option<Instant> {
        self.checked_at
    }

    /// Local user name fragments that checks may carry.
    pub fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        let previous = self.previous.as_ref().map(|one| one.local.ufrag.as_str());
        let current = self.current.local.ufrag.as_str();
        std::iter::once(current).chain(previous.filter(move |&ufrag| ufrag != current))
    }

    /// Takes the remote description's name; another one than before begins a new generation.
    pub fn set_remote(&mut self, remote: &IceCredentials) {
        match &self.current.remote_ufrag {
            Some(known) if *known == remote.ufrag => {}
            Some(_) => {
                let old = self.current.clone();
                self.previous.get_or_insert(old);
                self.current.remote_ufrag = Some(remote.ufrag.clone());
            }
            None => self.current.remote_ufrag = Some(remote.ufrag.clone()),
        }
    }

    /// Starts a new generation (RFC 8445, section 9). The old one counts until the new one has
    /// nominated a pair.
    pub fn restart(&mut self, local: IceCredentials) {
        if self.current.local == local {
            return;
        }
        let remote_came_first = self
            .previous
            .as_ref()
            .is_some_and(|previous| previous.local == self.current.local);
        if remote_came_first {
            self.current.local = local;
            return;
        }
        let old = std::mem::replace(
            &mut self.current,
            Generation {
                local,
                remote_ufrag: None,
            },
        );
        if self.previous.is_some() {
            // A restart that never came to anything.
            self.events
                .push_back(IceEvent::UfragRetired(old.local.ufrag));
        } else {
            self.previous = Some(old);
        }
    }

    /// Handles a datagram that looked like STUN. Returns whether it was a check of this peer that
    /// passed its MESSAGE-INTEGRITY; everything else has no effect and gets no answer.
    pub fn handle(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        from: SocketAddr,
        packet: &[u8],
    ) -> bool {
        let Ok(message) = StunMessage::parse(packet) else {
            return false;
        };
        if !message.is_binding_request() {
            return false;
        }
        let Some((local, remote)) = message.split_username() else {
            return false;
        };
        let is_current = self.current.is_named(local, remote);
        let generation = match &self.previous {
            _ if is_current => &self.current,
            Some(previous) if previous.is_named(local, remote) => previous,
            _ => return false,
        };
        let password = generation.local.password.as_bytes();
        if !message.verify(password, hmac_sha1) {
            return false;
        }
        if message.ice_controlled().is_some() {
            // Against a lite agent the full one controls (RFC 8445, section 6.1.1): tell it so.
            let answer = StunMessage::binding_role_conflict_reply(message.trans_id());
            let reply = write_reply(answer, password, socket, from);
            self.queue_reply(reply);
            return false;
        }
        let answer = StunMessage::binding_reply(message.trans_id(), from);
        let reply = write_reply(answer, password, socket, from);
        let Some(pair) = self.admit(now, socket, from) else {
            return false;
        };
        self.checked_at = Some(now);
        self.queue_reply(reply);
        let nominated = message.use_candidate();
        if nominated || self.selected_is_silent(now) {
            self.select(pair);
        }
        if is_current && nominated {
            self.retire_previous();
        }
        true
    }

    /// Forgets addresses that have gone silent.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(index) = self.pairs.iter().enumerate().position(|(index, pair)| {
            Some(index) != self.selected && now >= pair.checked_at + ADDRESS_LIFETIME
        }) {
            self.remove(index);
        }
    }

    /// When the next address expires.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let spare = self.pairs.iter().enumerate();
        spare
            .filter(|(index, _)| Some(*index) != self.selected)
            .map(|(_, pair)| pair.checked_at + ADDRESS_LIFETIME)
            .min()
    }

    /// Call until `None`.
    pub fn poll_event(&mut self) -> Option<IceEvent> {
        self.events.pop_front()
    }

    /// Call until `None`.
    pub fn poll_reply(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }

    fn selected_is_silent(&self, now: Instant) -> bool {
        self.selected
            .and_then(|index| self.pairs.get(index))
            .is_none_or(|pair| now >= pair.checked_at + SELECTED_SILENT)
    }

    /// Finds or makes the pair's place. `None` when the peer holds too many live addresses.
    fn admit(&mut self, now: Instant, socket: SocketIndex, from: SocketAddr) -> Option<usize> {
        let known = self
            .pairs
            .iter()
            .position(|pair| pair.socket == socket && pair.address == from);
        if let Some(index) = known {
            self.pairs[index].checked_at = now;
            return Some(index);
        }
        if self.pairs.len() >= MAX_ADDRESSES {
            let oldest = (0..self.pairs.len())
                .filter(|index| Some(*index) != self.selected)
                .min_by_key(|index| self.pairs[*index].checked_at)?;
            if now < self.pairs[oldest].checked_at + REPLACEABLE_AFTER {
                return None;
            }
            self.remove(oldest);
        }
        let pair = Pair {
            socket,
            address: from,
            checked_at: now,
        };
        let source = pair.source();
        if !self.is_validated(source) {
            self.events.push_back(IceEvent::AddressValidated(source));
        }
        self.pairs.push(pair);
        Some(self.pairs.len() - 1)
    }

    fn remove(&mut self, index: usize) {
        let gone = self.pairs.remove(index);
        self.selected = match self.selected {
            Some(selected) if selected > index => Some(selected - 1),
            other => other,
        };
        let source = gone.source();
        if !self.is_validated(source) {
            self.events.push_back(IceEvent::AddressExpired(source));
        }
    }

    fn select(&mut self, index: usize) {
        if self.selected == Some(index) {
            return;
        }
        if let Some(pair) = self.pairs.get(index) {
            self.selected = Some(index);
            self.events.push_back(IceEvent::Selected {
                socket: pair.socket,
                to: pair.address,
            });
        }
    }

    fn retire_previous(&mut self) {
        if let Some(previous) = self.previous.take()
            && previous.local.ufrag != self.current.local.ufrag
        {
            self.events
                .push_back(IceEvent::UfragRetired(previous.local.ufrag));
        }
    }

    fn queue_reply(&mut self, reply: Option<Reply>) {
        if let Some(reply) = reply
            && self.replies.len() < MAX_REPLIES
        {
            self.replies.push_back(reply);
        }
    }
}

fn write_reply(
    answer: StunMessage<'_>,
    password: &[u8],
    socket: SocketIndex,
    to: SocketAddr,
) -> Option<Reply> {
    let mut bytes = [0; MAX_REPLY];
    let len = answer
        .to_bytes(Some(password), &mut bytes, hmac_sha1)
        .ok()?;
    Some(Reply {
        socket,
        to,
        bytes,
        len,
    })
}

/// HMAC-SHA1, as MESSAGE-INTEGRITY wants it (RFC 8489, section 14.5).
fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 20];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}
