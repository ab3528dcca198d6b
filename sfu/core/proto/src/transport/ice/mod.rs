//! ICE-lite (RFC 8445, section 2.5): answers connectivity checks and learns from them which
//! addresses belong to the peer and which of them it nominated.
//!
//! Messages are read and written by the `is` crate; its agent is not used, as a lite agent has to
//! follow the last nomination, keep two generations of credentials during a restart and bound the
//! addresses of a peer, and that agent does none of these. Nothing here draws random numbers.

mod message;
mod pairs;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use is::stun::StunMessage;

pub(super) use message::Message;
pub use pairs::MAX_ADDRESSES;

use crate::api::{Claim, IceCredentials, PathSecret};
use crate::egress::{SocketIndex, Source};
use message::{hmac_sha1, transaction};
use pairs::Pairs;

/// Messages that wait to be sent; the peer repeats a check whose answer is lost.
const MAX_MESSAGES: usize = 16;

/// What the checks have changed.
#[derive(Debug)]
pub enum IceEvent {
    AddressValidated(Source),
    AddressExpired(Source),
    Selected {
        socket: SocketIndex,
        to: SocketAddr,
        is_proven: bool,
    },
    /// What is sent by the selected pair reaches the peer.
    SelectedIsProven,
    /// No check with this local user name fragment is accepted any more.
    UfragRetired(String),
}

/// Credentials that go together: one side's and, once known, the other's.
#[derive(Debug, Clone)]
struct Generation {
    local: IceCredentials,
    remote: Option<IceCredentials>,
}

impl Generation {
    fn is_named(&self, local: &str, remote: &str) -> bool {
        self.local.ufrag == local
            && self
                .remote
                .as_ref()
                .is_none_or(|expected| expected.ufrag == remote)
    }
}

/// The lite agent of one transport.
#[derive(Debug)]
pub(super) struct IceLite {
    current: Generation,
    /// The generation before a restart, until the new one has nominated a pair.
    previous: Option<Generation>,
    pairs: Pairs,
    messages: VecDeque<Message>,
    checked_at: Option<Instant>,
    secret: PathSecret,
}

impl IceLite {
    pub(super) fn new(local: IceCredentials, secret: PathSecret) -> Self {
        Self {
            current: Generation {
                local,
                remote: None,
            },
            previous: None,
            pairs: Pairs::new(),
            messages: VecDeque::new(),
            checked_at: None,
            secret,
        }
    }

    /// Where to send: the nominated pair, or the first that worked until one is nominated.
    pub(super) fn selected(&self) -> Option<(SocketIndex, SocketAddr)> {
        self.pairs
            .selected()
            .map(|pair| (pair.socket, pair.address))
    }

    /// Whether a check from this address has passed and not expired.
    pub(super) fn is_validated(&self, source: Source) -> bool {
        self.pairs.is_validated(source)
    }

    /// Since when, and how lately, checks from this address have passed.
    pub(super) fn claim(&self, source: Source) -> Option<Claim> {
        self.pairs.claim(source)
    }

    /// Forgets a source that cannot be reached any more. If it was selected, the pair whose check
    /// is the latest takes its place, or the next one that passes a check.
    pub(super) fn forget(&mut self, source: Source) {
        self.pairs.forget(source);
    }

    /// What has been sent by the selected pair has reached the peer.
    pub(super) fn prove_selected(&mut self) {
        if let Some((socket, to)) = self.selected()
            && let Some(index) = self.pairs.find(socket, to)
        {
            self.pairs.prove(index);
        }
    }

    /// When the last check passed.
    pub(super) fn checked_at(&self) -> Option<Instant> {
        self.checked_at
    }

    /// Local user name fragments that checks may carry.
    pub(super) fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        let previous = self.previous.as_ref().map(|one| one.local.ufrag.as_str());
        let current = self.current.local.ufrag.as_str();
        std::iter::once(current).chain(previous.filter(move |&ufrag| ufrag != current))
    }

    /// Takes the remote description's credentials; another name than before begins a new generation.
    pub(super) fn set_remote(&mut self, remote: &IceCredentials) {
        match &self.current.remote {
            Some(known) if known.ufrag == remote.ufrag => {}
            Some(_) => {
                let old = self.current.clone();
                self.previous.get_or_insert(old);
                self.current.remote = Some(remote.clone());
            }
            None => self.current.remote = Some(remote.clone()),
        }
    }

    /// Starts a new generation (RFC 8445, section 9). The old one counts until the new one has
    /// nominated a pair.
    pub(super) fn restart(&mut self, local: IceCredentials) {
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
                remote: None,
            },
        );
        if self.previous.is_some() {
            // A restart that never came to anything.
            let retired = IceEvent::UfragRetired(old.local.ufrag);
            self.pairs.events.push_back(retired);
        } else {
            self.previous = Some(old);
        }
    }

    /// Handles a datagram that looked like STUN. Returns whether it was a check of this peer that
    /// passed its MESSAGE-INTEGRITY; everything else has no effect and gets no answer.
    pub(super) fn handle(
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
            let answer = Message::new(answer, password, socket, from);
            self.queue(answer);
            return false;
        }
        let answer = StunMessage::binding_reply(message.trans_id(), from);
        let answer = Message::new(answer, password, socket, from);
        let Some(index) = self.pairs.admit(now, socket, from) else {
            return false;
        };
        // One for each of theirs, so that little is sent in anybody's name.
        let unproven = self.pairs.get(index).filter(|pair| !pair.is_proven);
        let check = unproven.and_then(|pair| {
            let (local, remote) = (&generation.local, generation.remote.as_ref()?);
            Message::check(&self.secret, local, remote, pair)
        });
        self.checked_at = Some(now);
        self.queue(answer);
        self.queue(check);
        let nominated = message.use_candidate();
        if nominated || self.pairs.selected_is_silent(now) {
            self.pairs.select(index);
        }
        if is_current && nominated {
            self.retire_previous();
        }
        true
    }

    /// Handles what looked like the answer to a check of ours. Returns whether it was one.
    pub(super) fn handle_answer(
        &mut self,
        socket: SocketIndex,
        from: SocketAddr,
        packet: &[u8],
    ) -> bool {
        let Some(index) = self.pairs.find(socket, from) else {
            return false;
        };
        let asked = self.pairs.get(index).filter(|pair| !pair.is_proven);
        let Some(id) = asked.and_then(|pair| transaction(&self.secret, pair)) else {
            return false;
        };
        let Ok(message) = StunMessage::parse(packet) else {
            return false;
        };
        let generations = std::iter::once(&self.current).chain(&self.previous);
        let mut remotes = generations.filter_map(|it| it.remote.as_ref());
        let is_answer = message.is_successful_binding_response()
            && message.trans_id() == id
            && remotes.any(|remote| message.verify(remote.password.as_bytes(), hmac_sha1));
        if is_answer {
            self.pairs.prove(index);
        }
        is_answer
    }

    /// Forgets addresses that have gone silent.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.pairs.handle_timeout(now);
    }

    /// When the next address expires.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pairs.poll_timeout()
    }

    /// Call until `None`.
    pub(super) fn poll_event(&mut self) -> Option<IceEvent> {
        self.pairs.events.pop_front()
    }

    /// Call until `None`.
    pub(super) fn poll_message(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    fn retire_previous(&mut self) {
        if let Some(previous) = self.previous.take()
            && previous.local.ufrag != self.current.local.ufrag
        {
            let retired = IceEvent::UfragRetired(previous.local.ufrag);
            self.pairs.events.push_back(retired);
        }
    }

    fn queue(&mut self, message: Option<Message>) {
        if let Some(message) = message
            && self.messages.len() < MAX_MESSAGES
        {
            self.messages.push_back(message);
        }
    }
}
