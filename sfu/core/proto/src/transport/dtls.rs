//! One transport's DTLS 1.2 session: a `dimpl` endpoint behind the [`HandshakeFilter`], the check
//! of the peer's certificate, and a bounded number of fresh starts when a handshake breaks.
//!
//! `dimpl` draws key shares and signatures from the system whatever its seed, and calls every error
//! fatal. It reports the certificate first and the keys last, after `Connected`; nothing is handed
//! out here before all three have come and the certificate is the announced one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Dtls, KeyingMaterial, SrtpProfile};

use super::filter::{HandshakeFilter, Trouble, is_protected};
use super::hello::fingerprint_sha256;
use super::records;
use crate::api::{CloseReason, DtlsRole};

/// Fresh starts after an error, which may have been an attacker's doing.
const MAX_RESTARTS: u8 = 5;
/// When a client's first flight is sent once more, unless the server has answered: some servers ignore
/// the first one they get, and dimpl waits longer.
const FIRST_FLIGHT_AGAIN: Duration = Duration::from_millis(100);
/// dimpl gives a time years ahead when it waits for nothing.
const NEVER: Duration = Duration::from_secs(3_600);
/// Datagrams that dimpl may hold until they are polled.
const MAX_QUEUED_DATAGRAMS: usize = 64;
/// Application data taken between two drains: leaves room for a flight.
const MAX_QUEUED_MESSAGES: usize = 48;
/// Longest a handshake may take, in dimpl's own count.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshaking,
    Established,
    Ended,
}

/// What comes out of a session.
#[derive(Debug)]
pub(super) enum DtlsOutput {
    /// The first bytes of the buffer are a datagram to send.
    Packet(usize),
    /// The first bytes of the buffer are the peer's data.
    ApplicationData(usize),
    Keys(SrtpProfile, KeyingMaterial),
    Ended(CloseReason),
}

/// DTLS parameters that all sessions share. `seed` is for replay in tests only.
pub(super) fn config(seed: Option<u64>) -> Result<Arc<dimpl::Config>, dimpl::Error> {
    let mut builder = dimpl::Config::builder()
        // The peer's address has been validated by ICE.
        .use_server_cookie(false)
        .require_client_certificate(true)
        .flight_start_rto(Duration::from_millis(250))
        .flight_retries(8)
        .handshake_timeout(HANDSHAKE_TIMEOUT)
        .max_queue_tx(MAX_QUEUED_DATAGRAMS);
    if let Some(seed) = seed {
        builder = builder.dangerously_set_rng_seed(seed);
    }
    builder.build().map(Arc::new)
}

/// A session, from its first flight to its end.
#[derive(Debug)]
pub(super) struct DtlsSession {
    config: Arc<dimpl::Config>,
    /// For a fresh start: while the handshake runs.
    certificate: Option<dimpl::DtlsCertificate>,
    role: DtlsRole,
    fingerprint_sha256: [u8; 32],
    dtls: Dtls,
    /// While the handshake runs.
    filter: Option<Box<HandshakeFilter>>,
    phase: Phase,
    peer_is_verified: bool,
    is_connected: bool,
    keys: Option<(SrtpProfile, KeyingMaterial)>,
    ended: Option<CloseReason>,
    restarts: u8,
    first_flight: FirstFlight,
    /// The last word to the peer, before `ended`.
    alert: Option<[u8; 2]>,
    queued: usize,
    deadline: Option<Instant>,
}

impl DtlsSession {
    /// Begins the handshake; a client's first flight is there to be polled.
    pub(super) fn new(
        now: Instant,
        config: Arc<dimpl::Config>,
        certificate: dimpl::DtlsCertificate,
        role: DtlsRole,
        fingerprint_sha256: [u8; 32],
    ) -> Self {
        let dtls = Dtls::new_12(config.clone(), certificate.clone(), now);
        let mut session = Self {
            config,
            certificate: Some(certificate),
            role,
            fingerprint_sha256,
            dtls,
            filter: Some(Box::new(HandshakeFilter::new(role, fingerprint_sha256))),
            phase: Phase::Handshaking,
            peer_is_verified: false,
            is_connected: false,
            keys: None,
            ended: None,
            restarts: 0,
            first_flight: FirstFlight::Unsent,
            alert: None,
            queued: 0,
            deadline: None,
        };
        session.begin(now);
        session
    }

    pub(super) fn role(&self) -> DtlsRole {
        self.role
    }

    pub(super) fn is_established(&self) -> bool {
        self.phase == Phase::Established
    }

    /// Takes a datagram from a validated address. Whatever it holds, an established session stays.
    pub(super) fn handle(&mut self, now: Instant, datagram: &[u8]) {
        self.handle_timeout(now);
        let mut result = Ok(());
        match self.phase {
            Phase::Handshaking => {
                if let Some(filter) = &mut self.filter {
                    filter.handshaking(now, datagram);
                    result = pass(filter, &mut self.dtls);
                }
            }
            Phase::Established if is_protected(datagram) => {
                result = self.dtls.handle_packet(datagram);
            }
            Phase::Established => {
                let mut filter = HandshakeFilter::new(self.role, self.fingerprint_sha256);
                filter.established(datagram);
                result = pass(&filter, &mut self.dtls);
            }
            Phase::Ended => {}
        }
        if let Err(error) = result {
            self.fail(now, &error);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.phase == Phase::Ended {
            return;
        }
        if let Err(error) = self.dtls.handle_timeout(now) {
            self.fail(now, &error);
        }
        let Some(filter) = &self.filter else {
            return;
        };
        let has_heard = filter.has_heard();
        if let Some((at, trouble)) = filter.trouble()
            && self.phase == Phase::Handshaking
            && now >= at
        {
            self.give_up(trouble);
        }
        self.first_flight.handle_timeout(now, has_heard);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ended => None,
            Phase::Established => self.deadline,
            Phase::Handshaking => {
                let trouble = self.filter.as_ref().and_then(|it| it.trouble());
                let trouble = trouble.map(|(at, _)| at);
                let again = self.first_flight.poll_timeout();
                [self.deadline, trouble, again].into_iter().flatten().min()
            }
        }
    }

    /// Sends one message. Returns `false`, and drops it, before the session is established and when
    /// too much waits to be polled.
    pub(super) fn send(&mut self, now: Instant, data: &[u8]) -> bool {
        if self.phase != Phase::Established || self.queued >= MAX_QUEUED_MESSAGES {
            return false;
        }
        self.queued += 1;
        match self.dtls.send_application_data(data) {
            Ok(_) => true,
            Err(error) => {
                self.fail(now, &error);
                false
            }
        }
    }

    /// Queues a close_notify alert if there is a session to close.
    pub(super) fn close(&mut self) {
        if self.phase == Phase::Established {
            let _ = self.dtls.close();
        }
    }

    /// Call until `None` after anything else. `buffer` holds at least `super::POLL_BUFFER` bytes.
    pub(super) fn poll(&mut self, now: Instant, buffer: &mut [u8]) -> Option<DtlsOutput> {
        if let Some(alert) = self.alert.take() {
            let record = records::alert(alert);
            buffer[..record.len()].copy_from_slice(&record);
            return Some(DtlsOutput::Packet(record.len()));
        }
        if let Some(reason) = self.ended.take() {
            return Some(DtlsOutput::Ended(reason));
        }
        if let Some(flight) = self.first_flight.poll() {
            buffer[..flight.len()].copy_from_slice(&flight);
            return Some(DtlsOutput::Packet(flight.len()));
        }
        while self.phase != Phase::Ended {
            match self.dtls.poll_output(buffer) {
                dimpl::Output::Packet(packet) => {
                    if self.role == DtlsRole::Client && self.phase == Phase::Handshaking {
                        self.first_flight.sent(now, packet);
                    }
                    return Some(DtlsOutput::Packet(packet.len()));
                }
                dimpl::Output::ApplicationData(data) => {
                    let len = data.len();
                    return Some(DtlsOutput::ApplicationData(len));
                }
                dimpl::Output::PeerCert(certificate) => {
                    self.peer_is_verified =
                        fingerprint_sha256(certificate) == self.fingerprint_sha256;
                    if !self.peer_is_verified {
                        self.end(CloseReason::FingerprintMismatch);
                    }
                }
                dimpl::Output::Connected => self.is_connected = true,
                dimpl::Output::KeyingMaterial(keys, profile) => self.keys = Some((profile, keys)),
                dimpl::Output::CloseNotify => self.end(CloseReason::PeerClosed),
                dimpl::Output::Timeout(at) => {
                    self.queued = 0;
                    self.deadline = (at < now + NEVER).then_some(at);
                    return self.complete();
                }
                // Nothing that is let in here can decrypt to more than the buffer holds.
                _ => self.end(CloseReason::HandshakeFailed),
            }
        }
        let reason = self.ended.take()?;
        Some(DtlsOutput::Ended(reason))
    }

    /// Once dimpl has said all it has to say about the handshake.
    fn complete(&mut self) -> Option<DtlsOutput> {
        if self.phase != Phase::Handshaking || !self.is_connected {
            return None;
        }
        match self.keys.take() {
            Some((profile, keys)) if self.peer_is_verified => {
                self.establish();
                Some(DtlsOutput::Keys(profile, keys))
            }
            _ => {
                self.phase = Phase::Ended;
                Some(DtlsOutput::Ended(CloseReason::HandshakeFailed))
            }
        }
    }

    /// What only a handshake needs is given back.
    fn establish(&mut self) {
        self.phase = Phase::Established;
        self.certificate = None;
        self.filter = None;
        self.first_flight = FirstFlight::Done;
    }

    fn begin(&mut self, now: Instant) {
        if self.role == DtlsRole::Client {
            self.dtls.set_active(true);
        }
        if let Err(error) = self.dtls.handle_timeout(now) {
            self.fail(now, &error);
        }
    }

    fn fail(&mut self, now: Instant, error: &dimpl::Error) {
        match self.phase {
            // Only a peer that holds the keys gets this far: a fatal alert, or a renegotiation.
            Phase::Established => self.end(CloseReason::PeerClosed),
            Phase::Handshaking => {
                let is_late = matches!(error, dimpl::Error::Timeout(_));
                if is_late || self.restarts >= MAX_RESTARTS {
                    self.end(CloseReason::HandshakeFailed);
                } else {
                    log::debug!("DTLS handshake starts again after: {error}");
                    self.restart(now);
                }
            }
            Phase::Ended => {}
        }
    }

    fn restart(&mut self, now: Instant) {
        let Some(certificate) = self.certificate.clone() else {
            return self.end(CloseReason::HandshakeFailed);
        };
        self.restarts += 1;
        self.dtls = Dtls::new_12(self.config.clone(), certificate, now);
        let filter = HandshakeFilter::new(self.role, self.fingerprint_sha256);
        self.filter = Some(Box::new(filter));
        self.peer_is_verified = false;
        self.is_connected = false;
        self.keys = None;
        self.first_flight = FirstFlight::Unsent;
        self.begin(now);
    }

    fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Ended;
        self.ended = Some(reason);
    }

    fn give_up(&mut self, trouble: Trouble) {
        log::debug!("a DTLS handshake ends: {trouble:?}");
        self.alert = trouble.alert();
        self.end(trouble.reason());
    }
}

/// Gives the session what the filter has left of a datagram.
fn pass(filter: &HandshakeFilter, dtls: &mut Dtls) -> Result<(), dimpl::Error> {
    let mut datagrams = (0..).map_while(|index| filter.datagram(index));
    datagrams.try_for_each(|datagram| dtls.handle_packet(datagram))
}

/// Of a client's handshake.
#[derive(Debug)]
enum FirstFlight {
    Unsent,
    /// To be sent again at some time.
    Waits(Instant, Box<[u8]>),
    Due(Box<[u8]>),
    Done,
}

impl FirstFlight {
    fn sent(&mut self, now: Instant, packet: &[u8]) {
        if matches!(self, Self::Unsent) {
            *self = Self::Waits(now + FIRST_FLIGHT_AGAIN, packet.into());
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Waits(at, _) => Some(*at),
            _ => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant, is_answered: bool) {
        if self.poll_timeout().is_some_and(|at| now >= at) {
            *self = match std::mem::replace(self, Self::Done) {
                Self::Waits(_, packet) if !is_answered => Self::Due(packet),
                _ => Self::Done,
            };
        }
    }

    fn poll(&mut self) -> Option<Box<[u8]>> {
        match std::mem::replace(self, Self::Done) {
            Self::Due(packet) => Some(packet),
            other => {
                *self = other;
                None
            }
        }
    }
}
