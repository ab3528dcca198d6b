//! ICE for a client with one socket (RFC 8445): checks every candidate of the server until one
//! answers, keeps consent there (RFC 7675), and answers the checks of a server that is a full agent.
//!
//! Lite servers need a controlling peer; against a full one the offerer controls. With one local
//! candidate there is nothing to nominate but the first pair that works, so a controlling agent
//! nominates with every check.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use aws_lc_rs::hmac;
use is::stun::{StunMessage, TransId};
use kinguicall_proto::api::IceCredentials;

use crate::outbox::Outbox;

/// Candidates that are checked; further ones are left out.
const MAX_CANDIDATES: usize = 8;
/// Between two rounds of checks until the first answer.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// After so long without an answer, rounds are further apart: the server is busy or away.
const PATIENT_AFTER: Duration = Duration::from_secs(1);
const PATIENT_INTERVAL: Duration = Duration::from_millis(250);
/// Checks that keep consent fresh (RFC 7675, section 5.1).
const CONSENT_INTERVAL: Duration = Duration::from_secs(4);
/// After this the server has gone.
const CONSENT_LIFETIME: Duration = Duration::from_secs(30);
/// Transactions whose answers are still taken.
const MAX_PENDING: usize = 16;
/// Of a host candidate (RFC 8445, section 5.1.2.1).
const PRIORITY: u32 = 0x7eff_ffff;
const MAX_MESSAGE: usize = 256;

/// The agent of one transport.
#[derive(Debug)]
pub struct IceAgent {
    controlling: bool,
    tie_breaker: u64,
    local: IceCredentials,
    remote: Option<IceCredentials>,
    candidates: ArrayVec<SocketAddr, MAX_CANDIDATES>,
    selected: Option<SocketAddr>,
    pending: ArrayVec<TransId, MAX_PENDING>,
    started_at: Instant,
    answered_at: Option<Instant>,
    next_check: Option<Instant>,
}

impl IceAgent {
    pub fn new(now: Instant, local: IceCredentials, tie_breaker: u64) -> Self {
        Self {
            controlling: true,
            tie_breaker,
            local,
            remote: None,
            candidates: ArrayVec::new(),
            selected: None,
            pending: ArrayVec::new(),
            started_at: now,
            answered_at: None,
            next_check: None,
        }
    }

    pub fn local(&self) -> &IceCredentials {
        &self.local
    }

    /// Takes the server's credentials and candidates; checks begin with the first candidate.
    pub fn set_remote(
        &mut self,
        now: Instant,
        remote: IceCredentials,
        candidates: &[SocketAddr],
        controlling: bool,
    ) {
        self.remote = Some(remote);
        self.controlling = controlling;
        self.started_at = now;
        for &candidate in candidates {
            self.add_candidate(now, candidate);
        }
    }

    /// A candidate that came later (RFC 8838).
    pub fn add_candidate(&mut self, now: Instant, candidate: SocketAddr) {
        if !self.candidates.contains(&candidate) {
            let _ = self.candidates.try_push(candidate);
        }
        if self.remote.is_some() && !self.candidates.is_empty() {
            self.next_check.get_or_insert(now);
        }
    }

    /// Where to send, once a check has been answered.
    pub fn selected(&self) -> Option<SocketAddr> {
        self.selected
    }

    /// Whether the server has not answered for too long.
    pub fn is_expired(&self, now: Instant) -> bool {
        self.answered_at
            .is_some_and(|at| now.saturating_duration_since(at) >= CONSENT_LIFETIME)
    }

    /// Takes a datagram that looks like STUN.
    pub fn handle(&mut self, now: Instant, from: SocketAddr, packet: &[u8], out: &mut Outbox) {
        let Ok(message) = StunMessage::parse(packet) else {
            return;
        };
        if message.is_binding_request() {
            self.answer(from, &message, out);
        } else if message.is_successful_binding_response() {
            self.take_answer(now, from, &message);
        } else if message.is_failed_binding_response()
            && message.error_code().is_some_and(|(code, _)| code == 487)
            && self.forget_transaction(message.trans_id())
        {
            // Role conflict (RFC 8445, section 7.2.5.1): the next check takes the other role.
            self.controlling = !self.controlling;
        }
    }

    fn answer(&mut self, from: SocketAddr, message: &StunMessage<'_>, out: &mut Outbox) {
        let password = self.local.password.as_bytes();
        let is_for_us = message
            .split_username()
            .is_some_and(|(local, _)| local == self.local.ufrag);
        if !is_for_us || !message.verify(password, hmac_sha1) {
            return;
        }
        let reply = StunMessage::binding_reply(message.trans_id(), from);
        let mut bytes = [0; MAX_MESSAGE];
        if let Ok(len) = reply.to_bytes(Some(password), &mut bytes, hmac_sha1) {
            out.push(from, &bytes[..len]);
        }
        if !self.candidates.contains(&from) {
            // Peer reflexive (RFC 8445, section 7.3.1.3).
            let _ = self.candidates.try_push(from);
        }
    }

    fn take_answer(&mut self, now: Instant, from: SocketAddr, message: &StunMessage<'_>) {
        let Some(remote) = &self.remote else {
            return;
        };
        if !message.verify(remote.password.as_bytes(), hmac_sha1)
            || !self.forget_transaction(message.trans_id())
        {
            return;
        }
        self.answered_at = Some(now);
        if self.selected.is_none() {
            self.selected = Some(from);
            self.next_check = Some(now + CONSENT_INTERVAL);
        }
    }

    fn forget_transaction(&mut self, id: TransId) -> bool {
        let known = self.pending.iter().position(|pending| *pending == id);
        known.is_some_and(|at| {
            self.pending.remove(at);
            true
        })
    }

    /// Sends the checks that are due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if self.next_check.is_none_or(|at| now < at) {
            return;
        }
        let wait = if self.selected.is_some() {
            CONSENT_INTERVAL
        } else if now.saturating_duration_since(self.started_at) < PATIENT_AFTER {
            CHECK_INTERVAL
        } else {
            PATIENT_INTERVAL
        };
        self.next_check = Some(now + wait);
        match self.selected {
            Some(selected) => self.check(selected, out),
            None => {
                for candidate in self.candidates.clone() {
                    self.check(candidate, out);
                }
            }
        }
    }

    fn check(&mut self, to: SocketAddr, out: &mut Outbox) {
        let Some(remote) = &self.remote else {
            return;
        };
        let id = TransId::new();
        let username = format!("{}:{}", remote.ufrag, self.local.ufrag);
        let check = StunMessage::binding_request(
            &username,
            id,
            self.controlling,
            self.tie_breaker,
            PRIORITY,
            self.controlling,
        );
        let mut bytes = [0; MAX_MESSAGE];
        let password = remote.password.as_bytes();
        if let Ok(len) = check.to_bytes(Some(password), &mut bytes, hmac_sha1) {
            out.push(to, &bytes[..len]);
            if self.pending.is_full() {
                self.pending.remove(0);
            }
            self.pending.push(id);
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_check
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(name: &str) -> IceCredentials {
        IceCredentials {
            ufrag: name.repeat(4),
            password: name.repeat(24),
        }
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn agents(now: Instant) -> (IceAgent, IceAgent) {
        let mut one = IceAgent::new(now, credentials("a"), 1);
        let mut other = IceAgent::new(now, credentials("b"), 2);
        one.set_remote(now, credentials("b"), &[address(9), address(2)], true);
        other.set_remote(now, credentials("a"), &[address(1)], false);
        (one, other)
    }

    /// Delivers what waits in `out` and is addressed to `port`.
    fn deliver(now: Instant, out: &mut Outbox, port: u16, to: &mut IceAgent, reply: &mut Outbox) {
        for (address_of, datagram) in out.iter() {
            if address_of == address(port) {
                to.handle(now, address(3 - port), datagram, reply);
            }
        }
        out.clear();
    }

    #[test]
    fn the_candidate_that_answers_is_selected() {
        let now = Instant::now();
        let (mut one, mut other) = agents(now);
        let (mut out, mut reply) = (Outbox::default(), Outbox::default());
        one.handle_timeout(now, &mut out);
        assert_eq!(out.iter().count(), 2);
        deliver(now, &mut out, 2, &mut other, &mut reply);
        assert_eq!(reply.iter().count(), 1);
        deliver(now, &mut reply, 1, &mut one, &mut out);
        assert_eq!(one.selected(), Some(address(2)));
        assert!(!one.is_expired(now));
        assert!(one.is_expired(now + CONSENT_LIFETIME));
    }

    #[test]
    fn answers_that_nobody_asked_for_or_with_a_wrong_password_count_for_nothing() {
        let now = Instant::now();
        let (mut one, mut other) = agents(now);
        let (mut out, mut reply) = (Outbox::default(), Outbox::default());
        other.local.password = "c".repeat(24);
        one.remote = Some(credentials("b"));
        one.handle_timeout(now, &mut out);
        deliver(now, &mut out, 2, &mut other, &mut reply);
        assert!(reply.is_empty());
        let stray = StunMessage::binding_reply(TransId::new(), address(1));
        let mut bytes = [0; MAX_MESSAGE];
        let password = credentials("b").password;
        let len = stray.to_bytes(Some(password.as_bytes()), &mut bytes, hmac_sha1);
        one.handle(now, address(2), &bytes[..len.unwrap()], &mut reply);
        assert_eq!(one.selected(), None);
    }
}
