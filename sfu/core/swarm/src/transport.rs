//! One peer connection of a client: ICE, then DTLS in either role, then SRTP, with the data
//! channels that servers open.
//!
//! The certificate that the server presents has to be the one of its description. The DTLS session
//! is kept, as data channels and the server's goodbye come through it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use dimpl::{Dtls, DtlsCertificate};
use kinguicall_proto::api::{DtlsRole, IceCredentials, RemoteDescription};
use kinguicall_proto::data::channels::Channels;
use kinguicall_proto::rtp::Header;
use kinguicall_proto::srtp::{Inbound, Outbound, Profile, contexts};

use crate::ice::IceAgent;
use crate::outbox::Outbox;

const BUFFER_BYTES: usize = 2_048;
/// From the server's description until keys have been agreed on.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The first hello may come before the server has our description. libwebrtc waits 50 ms.
const FLIGHT_RTO: Duration = Duration::from_millis(100);
/// Streams of a large meeting with their retransmissions, over as many joins and leaves.
const MAX_SOURCES: usize = 4_096;
/// The session's timers are looked at this often at least, whatever it says.
const DTLS_IDLE: Duration = Duration::from_secs(10);

/// Certificate and parameters that all clients of a process share: making a certificate for each
/// would only load the machine that measures.
pub struct Identity {
    certificate: DtlsCertificate,
    config: Arc<dimpl::Config>,
}

impl Identity {
    pub fn new() -> io::Result<Self> {
        let certificate = dimpl::certificate::generate_self_signed_certificate();
        let config = dimpl::Config::builder()
            .flight_start_rto(FLIGHT_RTO)
            .flight_retries(8)
            .handshake_timeout(CONNECT_TIMEOUT)
            .build();
        Ok(Self {
            certificate: certificate.map_err(io::Error::other)?,
            config: Arc::new(config.map_err(io::Error::other)?),
        })
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint_sha256(&self) -> [u8; 32] {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(&self.certificate.fingerprint());
        fingerprint
    }
}

/// Why a transport has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No candidate answered, or the handshake did not end.
    ConnectTimeout,
    ConsentExpired,
    FingerprintMismatch,
    HandshakeFailed,
    ClosedByServer,
}

/// Where a transport stands, in the order in which it gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportState {
    /// The server's description has not come.
    Waiting,
    Checking,
    Handshaking,
    Connected,
    Failed(Failure),
}

/// What a datagram held.
#[derive(Debug)]
pub enum Received {
    /// Header, and length of header and plain payload together.
    Rtp(Header, usize),
    /// Length of the plain compound packet.
    Rtcp(usize),
    /// It was RTP or RTCP, but not authentic.
    Rejected,
    /// The transport itself had use for it, or nobody.
    Nothing,
}

/// Both halves of an SRTP session.
pub struct Session {
    pub profile: Profile,
    pub outbound: Outbound,
    pub inbound: Inbound,
}

/// A peer connection.
pub struct Transport {
    identity: Arc<Identity>,
    ice: IceAgent,
    remote: Option<([u8; 32], DtlsRole)>,
    state: TransportState,
    deadline: Option<Instant>,
    dtls: Option<Box<Dtls>>,
    dtls_timeout: Option<Instant>,
    is_verified: bool,
    session: Option<Session>,
    channels: Option<Channels>,
    with_data: bool,
    connected_at: Option<Instant>,
}

impl Transport {
    /// `with_data`: the description has a data section.
    pub fn new(
        now: Instant,
        identity: Arc<Identity>,
        local: IceCredentials,
        tie_breaker: u64,
        with_data: bool,
    ) -> Self {
        Self {
            identity,
            ice: IceAgent::new(now, local, tie_breaker),
            remote: None,
            state: TransportState::Waiting,
            deadline: None,
            dtls: None,
            dtls_timeout: None,
            is_verified: false,
            session: None,
            channels: None,
            with_data,
            connected_at: None,
        }
    }

    pub fn ice_credentials(&self) -> &IceCredentials {
        self.ice.local()
    }

    /// Takes the server's description: begins to check `candidates`. Another one is ignored once
    /// there is one.
    pub fn set_remote(
        &mut self,
        now: Instant,
        remote: RemoteDescription,
        candidates: &[SocketAddr],
        controlling: bool,
    ) {
        if self.state != TransportState::Waiting {
            return;
        }
        self.remote = Some((remote.fingerprint_sha256, remote.dtls_role));
        self.ice
            .set_remote(now, remote.ice, candidates, controlling);
        self.state = TransportState::Checking;
        self.deadline = Some(now + CONNECT_TIMEOUT);
    }

    pub fn add_candidate(&mut self, now: Instant, candidate: SocketAddr) {
        self.ice.add_candidate(now, candidate);
    }

    pub fn state(&self) -> TransportState {
        self.state
    }

    pub fn connected_at(&self) -> Option<Instant> {
        self.connected_at
    }

    /// Where to send.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.ice.selected()
    }

    /// The SRTP session, once keys have been agreed on.
    pub fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// Frees the DTLS session of a transport without data channels that is connected.
    pub fn forget_dtls(&mut self) {
        self.dtls = None;
        self.dtls_timeout = None;
        self.channels = None;
    }

    /// Takes a datagram; RTP and RTCP are decrypted in place.
    pub fn handle(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
        out: &mut Outbox,
    ) -> Received {
        if matches!(self.state, TransportState::Failed(_)) {
            return Received::Nothing;
        }
        match datagram.first() {
            Some(0..=3) => {
                self.ice.handle(now, from, datagram, out);
                self.begin_handshake(now, out);
                Received::Nothing
            }
            Some(20..=63) => {
                if let Some(dtls) = &mut self.dtls
                    && dtls.handle_packet(datagram).is_err()
                    && self.state == TransportState::Handshaking
                {
                    self.fail(Failure::HandshakeFailed);
                }
                self.drive_dtls(now, out);
                Received::Nothing
            }
            Some(128..=191) => self.open(datagram),
            _ => Received::Nothing,
        }
    }

    fn open(&mut self, packet: &mut [u8]) -> Received {
        let Some(session) = &mut self.session else {
            return Received::Nothing;
        };
        // RTCP is told by its packet types (RFC 5761, section 4).
        if packet.get(1).is_some_and(|b| (192..=223).contains(b)) {
            let opened = session.inbound.unprotect_rtcp(packet);
            return opened.map_or(Received::Rejected, Received::Rtcp);
        }
        let Ok(header) = Header::parse(packet) else {
            return Received::Rejected;
        };
        let opened = session.inbound.unprotect_rtp(packet, &header);
        opened.map_or(Received::Rejected, |len| Received::Rtp(header, len))
    }

    /// Begins the handshake when there is a way to the server.
    fn begin_handshake(&mut self, now: Instant, out: &mut Outbox) {
        let (TransportState::Checking, Some((_, role)), Some(_)) =
            (self.state, self.remote, self.ice.selected())
        else {
            return;
        };
        let config = Arc::clone(&self.identity.config);
        let mut dtls = Dtls::new_12(config, self.identity.certificate.clone(), now);
        dtls.set_active(role == DtlsRole::Client);
        self.dtls = Some(Box::new(dtls));
        self.state = TransportState::Handshaking;
        self.drive_dtls(now, out);
    }

    fn drive_dtls(&mut self, now: Instant, out: &mut Outbox) {
        let Some(dtls) = &mut self.dtls else {
            return;
        };
        if dtls.handle_timeout(now).is_err() {
            let failure = match self.state {
                TransportState::Connected => Failure::ClosedByServer,
                _ => Failure::HandshakeFailed,
            };
            self.fail(failure);
            return;
        }
        self.drain_dtls(now, out);
        self.drive_channels(now, out);
    }

    fn drain_dtls(&mut self, now: Instant, out: &mut Outbox) {
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            let (Some(dtls), Some(to)) = (&mut self.dtls, self.ice.selected()) else {
                return;
            };
            match dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(packet) => out.push(to, packet),
                dimpl::Output::PeerCert(certificate) => {
                    let presented = digest::digest(&digest::SHA256, certificate);
                    let announced = self.remote.map(|(fingerprint, _)| fingerprint);
                    self.is_verified = announced.is_some_and(|a| a == presented.as_ref());
                    if !self.is_verified {
                        self.fail(Failure::FingerprintMismatch);
                    }
                }
                dimpl::Output::KeyingMaterial(keys, profile) => {
                    let profile = Profile::from_dimpl(profile);
                    self.establish(now, &keys, profile);
                }
                dimpl::Output::ApplicationData(data) => {
                    if let Some(channels) = &mut self.channels {
                        channels.handle(now, data);
                    }
                }
                dimpl::Output::CloseNotify => self.fail(Failure::ClosedByServer),
                dimpl::Output::Timeout(at) => {
                    self.dtls_timeout = Some(at.min(now + DTLS_IDLE));
                    return;
                }
                _ => {}
            }
        }
    }

    fn establish(&mut self, now: Instant, keys: &[u8], profile: Option<Profile>) {
        let Some((_, role)) = self.remote.filter(|_| self.is_verified) else {
            return;
        };
        let made = profile.and_then(|profile| {
            let halves = contexts(profile, keys, role == DtlsRole::Client).ok()?;
            Some((profile, halves))
        });
        let Some((profile, (outbound, mut inbound))) = made else {
            self.fail(Failure::HandshakeFailed);
            return;
        };
        inbound.allow_sources(MAX_SOURCES);
        self.session = Some(Session {
            profile,
            outbound,
            inbound,
        });
        self.state = TransportState::Connected;
        self.deadline = None;
        self.connected_at = Some(now);
        if self.with_data {
            self.channels = Some(Channels::new(role, false));
        }
    }

    /// Moves SCTP packets into DTLS records, and lets go of what is said on the channels.
    fn drive_channels(&mut self, now: Instant, out: &mut Outbox) {
        loop {
            let Some(channels) = &mut self.channels else {
                return;
            };
            while channels.poll_event().is_some() {}
            let (Some(packet), Some(dtls)) = (channels.poll_transmit(now), &mut self.dtls) else {
                return;
            };
            if dtls.send_application_data(&packet).is_err() {
                return;
            }
            self.drain_dtls(now, out);
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.state = TransportState::Failed(failure);
        self.deadline = None;
        self.session = None;
        self.forget_dtls();
    }

    /// Sends the checks that are due and nothing else: for an owner that does not read answers.
    pub fn send_checks(&mut self, now: Instant, out: &mut Outbox) {
        self.ice.handle_timeout(now, out);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if matches!(self.state, TransportState::Failed(_)) {
            return;
        }
        if self.deadline.is_some_and(|at| now >= at) {
            self.fail(Failure::ConnectTimeout);
            return;
        }
        if self.ice.is_expired(now) {
            self.fail(Failure::ConsentExpired);
            return;
        }
        self.ice.handle_timeout(now, out);
        if self.dtls_timeout.is_some_and(|at| now >= at) {
            self.drive_dtls(now, out);
        }
        if let Some(channels) = &mut self.channels
            && channels.poll_timeout().is_some_and(|(at, _)| now >= at)
        {
            channels.handle_timeout(now);
            self.drive_channels(now, out);
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if matches!(self.state, TransportState::Failed(_)) {
            return None;
        }
        let channels = self.channels.as_ref().and_then(Channels::poll_timeout);
        [
            self.deadline,
            self.dtls_timeout,
            self.ice.poll_timeout(),
            channels.map(|(at, _)| at),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Says goodbye to the server (RFC 5246, section 7.2.1).
    pub fn close(&mut self, now: Instant, out: &mut Outbox) {
        if let Some(dtls) = &mut self.dtls {
            let _ = dtls.close();
            self.drain_dtls(now, out);
        }
    }
}
