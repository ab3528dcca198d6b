//! A peer connection below its media: ICE-lite finds the peer, DTLS agrees on keys with it.
//!
//! A [`Transport`] is fed datagrams, commands and the time. **After every call that may change
//! something, drain [`Transport::poll_output`] until it returns `None`, then ask
//! [`Transport::poll_timeout`].** Datagrams reach DTLS (and should reach SRTP) only from addresses
//! whose connectivity checks carried the right MESSAGE-INTEGRITY.

pub mod connection;
mod deadlines;
pub mod demux;
mod dtls;
pub mod filter;
pub mod hello;
mod ice;
mod output;
mod records;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

pub use dimpl::{DtlsCertificate, KeyingMaterial, SrtpProfile};
pub use ice::MAX_ADDRESSES;
pub use output::Output;

use deadlines::Due;
use dtls::{DtlsOutput, DtlsSession};
use ice::IceLite;

use crate::api::{
    Claim, CloseReason, DtlsRole, IceCredentials, OpenTransport, RemoteDescription, TransportState,
};
use crate::egress::{SocketIndex, Source};

/// Least size of the buffer given to `poll_output`, and largest DTLS datagram that is looked at.
pub const POLL_BUFFER: usize = 2_048;

/// What all transports of a node share.
#[derive(Debug, Clone)]
pub struct TransportSettings {
    certificate: DtlsCertificate,
    config: Arc<dimpl::Config>,
}

impl TransportSettings {
    /// Errors when the cryptographic provider cannot do what DTLS-SRTP needs.
    pub fn new(certificate: DtlsCertificate) -> Result<Self, dimpl::Error> {
        Ok(Self {
            certificate,
            config: dtls::config(None)?,
        })
    }
}

/// The transport of one peer connection.
#[derive(Debug)]
pub struct Transport {
    settings: Arc<TransportSettings>,
    rng_seed: Option<u64>,
    ice: IceLite,
    dtls: Option<DtlsSession>,
    remote: Option<RemoteDescription>,
    state: TransportState,
    states: VecDeque<TransportState>,
    /// Why the transport ends, once what is still to be sent has been polled.
    closing: Option<CloseReason>,
    opened_at: Instant,
    handshake_began_at: Option<Instant>,
    handshake_paths: HandshakePaths,
}

/// Where the flights of a handshake went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandshakePaths {
    None,
    One(SocketIndex, SocketAddr),
    Several,
}

impl HandshakePaths {
    fn add(&mut self, socket: SocketIndex, to: SocketAddr) {
        let path = Self::One(socket, to);
        *self = match *self {
            Self::None => path,
            before if before == path => path,
            _ => Self::Several,
        };
    }
}

impl Transport {
    /// A transport that waits for the peer's checks.
    pub fn new(now: Instant, open: OpenTransport, settings: &Arc<TransportSettings>) -> Self {
        Self {
            settings: settings.clone(),
            rng_seed: open.dtls_rng_seed,
            ice: IceLite::new(open.local, open.path_secret),
            dtls: None,
            remote: None,
            state: TransportState::New,
            states: VecDeque::new(),
            closing: None,
            opened_at: now,
            handshake_began_at: None,
            handshake_paths: HandshakePaths::None,
        }
    }

    #[cfg(test)]
    pub(crate) fn state(&self) -> TransportState {
        self.state
    }

    /// The pair that media leaves by.
    pub fn selected_pair(&self) -> Option<(SocketIndex, SocketAddr)> {
        self.ice.selected()
    }

    /// Whether datagrams from this address may be decrypted.
    pub fn is_validated(&self, source: impl Into<Source>) -> bool {
        self.ice.is_validated(source.into())
    }

    /// Since when, and how lately, checks of this peer from there have passed.
    pub fn claim(&self, source: Source) -> Option<Claim> {
        self.ice.claim(source)
    }

    /// A TCP connection of this peer has ended, or an address has turned out to be somebody else's.
    pub fn forget(&mut self, source: Source) {
        self.ice.forget(source);
    }

    /// Local user name fragments that lead to this transport: two during an ICE restart.
    pub fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        self.ice.local_ufrags()
    }

    /// Takes the remote description. Its DTLS part counts the first time only, as a session
    /// outlives ICE restarts.
    pub fn set_remote(&mut self, now: Instant, remote: RemoteDescription) {
        if self.is_closed() {
            return;
        }
        self.ice.set_remote(&remote.ice);
        self.remote.get_or_insert(remote);
        self.begin_handshake(now);
    }

    /// New local credentials. Both old and new ones are good until a check with the new ones
    /// nominates a pair; until then media stays on the old pair.
    pub fn restart_ice(&mut self, local: IceCredentials) {
        self.ice.restart(local);
    }

    /// Takes a STUN datagram that names one of `local_ufrags`. Returns whether it was a check of
    /// this peer; anything else changes nothing and gets no answer.
    pub fn handle_stun(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        from: SocketAddr,
        packet: &[u8],
    ) -> bool {
        if self.is_closed() || !self.ice.handle(now, socket, from, packet) {
            return false;
        }
        match self.state {
            TransportState::New => self.enter(TransportState::Connecting),
            TransportState::Disconnected => self.enter(self.connected_state()),
            _ => {}
        }
        self.begin_handshake(now);
        true
    }

    /// Takes what may be the answer to a check of ours. Returns whether it was one.
    pub fn handle_stun_answer(
        &mut self,
        socket: SocketIndex,
        from: SocketAddr,
        packet: &[u8],
    ) -> bool {
        !self.is_closed() && self.ice.handle_answer(socket, from, packet)
    }

    /// Takes a DTLS datagram; one from an address that is not validated is dropped.
    pub fn handle_dtls(&mut self, now: Instant, from: impl Into<Source>, packet: &[u8]) {
        if self.is_closed() || packet.len() > POLL_BUFFER || !self.ice.is_validated(from.into()) {
            return;
        }
        if let Some(dtls) = &mut self.dtls {
            dtls.handle(now, packet);
        }
    }

    /// Encrypts and sends one SCTP packet. Returns `false`, and drops it, when DTLS is not
    /// established or too much waits to be polled.
    pub fn send_application_data(&mut self, now: Instant, data: &[u8]) -> bool {
        let dtls = self.dtls.as_mut().filter(|_| self.closing.is_none());
        dtls.is_some_and(|dtls| dtls.send(now, data))
    }

    /// Ends the transport: a close_notify alert, then `State(Closed)`.
    pub fn close(&mut self) {
        self.close_because(CloseReason::Requested);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        self.ice.handle_timeout(now);
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now);
        }
        let due = self.deadlines().into_iter().flatten();
        let due = due
            .filter(|(at, ..)| now >= *at)
            .max_by_key(|(_, rank, _)| *rank);
        match due {
            Some((_, _, Due::Close(reason))) => self.close_because(reason),
            Some((_, _, Due::Disconnect)) => self.enter(TransportState::Disconnected),
            None => {}
        }
    }

    /// When to call `handle_timeout`, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        if self.is_closed() {
            return None;
        }
        let dtls = self.dtls.as_ref().and_then(DtlsSession::poll_timeout);
        let others = [
            dtls.map(|at| (at, "DTLS flight")),
            self.ice.poll_timeout().map(|at| (at, "ICE address")),
        ];
        let own = self.deadlines();
        let own = own
            .into_iter()
            .flatten()
            .map(|(at, _, due)| (at, due.reason()));
        own.chain(others.into_iter().flatten())
            .min_by_key(|(at, _)| *at)
    }

    /// What to do or know next. `buffer` holds at least `POLL_BUFFER` bytes.
    pub fn poll_output<'a>(&mut self, now: Instant, buffer: &'a mut [u8]) -> Option<Output<'a>> {
        loop {
            if let Some(state) = self.states.pop_front() {
                return Some(Output::State(state));
            }
            if let Some(event) = self.ice.poll_event() {
                return Some(event.into());
            }
            if let Some(message) = self.ice.poll_message() {
                let (socket, to) = (message.socket, message.to);
                let bytes = &mut buffer[..message.bytes().len()];
                bytes.copy_from_slice(message.bytes());
                return Some(Output::Transmit { socket, to, bytes });
            }
            match self.dtls.as_mut().and_then(|dtls| dtls.poll(now, buffer)) {
                Some(DtlsOutput::Packet(len)) => {
                    if let Some((socket, to)) = self.ice.selected() {
                        if self.state != TransportState::Connected {
                            self.handshake_paths.add(socket, to);
                        }
                        let bytes = &buffer[..len];
                        return Some(Output::Transmit { socket, to, bytes });
                    }
                }
                Some(DtlsOutput::ApplicationData(len)) => {
                    if self.closing.is_none() {
                        return Some(Output::ApplicationData(&buffer[..len]));
                    }
                }
                Some(DtlsOutput::Keys(profile, keying_material)) => {
                    self.enter(TransportState::Connected);
                    self.prove_by_handshake();
                    let role = self.dtls.as_ref().map(DtlsSession::role);
                    return Some(Output::Keys {
                        profile,
                        keying_material,
                        we_are_client: role == Some(DtlsRole::Client),
                    });
                }
                Some(DtlsOutput::Ended(reason)) => self.close_because(reason),
                None => match self.closing.take() {
                    Some(reason) => {
                        self.dtls = None;
                        self.enter(TransportState::Closed(reason));
                    }
                    None => return None,
                },
            }
        }
    }

    /// Whoever has finished the handshake has received our flights: if all went to one address, there.
    fn prove_by_handshake(&mut self) {
        if let HandshakePaths::One(socket, to) = self.handshake_paths
            && self.ice.selected() == Some((socket, to))
        {
            self.ice.prove_selected();
        }
    }

    fn is_closed(&self) -> bool {
        self.closing.is_some() || matches!(self.state, TransportState::Closed(_))
    }

    /// The only place where the state changes.
    fn enter(&mut self, state: TransportState) {
        if self.state != state && !matches!(self.state, TransportState::Closed(_)) {
            self.state = state;
            self.states.push_back(state);
        }
    }

    fn connected_state(&self) -> TransportState {
        match &self.dtls {
            Some(dtls) if dtls.is_established() => TransportState::Connected,
            _ => TransportState::Connecting,
        }
    }

    fn close_because(&mut self, reason: CloseReason) {
        if self.is_closed() {
            return;
        }
        if let Some(dtls) = &mut self.dtls {
            dtls.close();
        }
        self.closing = Some(reason);
    }

    /// Begins DTLS once the peer has been heard and described.
    fn begin_handshake(&mut self, now: Instant) {
        let Some(remote) = &self.remote else {
            return;
        };
        if self.dtls.is_some() || self.ice.checked_at().is_none() {
            return;
        }
        let config = match self.rng_seed {
            None => Ok(self.settings.config.clone()),
            seed => dtls::config(seed),
        };
        match config {
            Ok(config) => {
                let certificate = self.settings.certificate.clone();
                let (role, fingerprint) = (remote.dtls_role, remote.fingerprint_sha256);
                let dtls = DtlsSession::new(now, config, certificate, role, fingerprint);
                self.dtls = Some(dtls);
                self.handshake_began_at = Some(now);
            }
            Err(error) => {
                log::error!("no DTLS configuration: {error}");
                self.close_because(CloseReason::HandshakeFailed);
            }
        }
    }
}
