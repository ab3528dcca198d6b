//! A transport against a peer made of hand-written checks and a bare `dimpl` endpoint, with an
//! attacker in between who may send from the peer's own address.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dimpl::certificate::generate_self_signed_certificate;
use is::stun::{StunMessage, TransId};

use super::filter::HandshakeFilter;
use super::hello::fingerprint_sha256;
use super::records;
use super::*;
use crate::api::{PathSecret, ShardId, TransportId};

mod endings;
mod handshakes;
mod paths;
mod refusals;

const SOCKET: SocketIndex = SocketIndex(0);

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 40_000))
}

fn credentials(name: &str) -> IceCredentials {
    IceCredentials {
        ufrag: name.to_owned(),
        password: format!("{name}-password-of-22-chars"),
    }
}

fn server_certificate() -> &'static DtlsCertificate {
    static CERTIFICATE: OnceLock<DtlsCertificate> = OnceLock::new();
    CERTIFICATE.get_or_init(|| generate_self_signed_certificate().unwrap())
}

fn peer_certificate() -> &'static DtlsCertificate {
    static CERTIFICATE: OnceLock<DtlsCertificate> = OnceLock::new();
    CERTIFICATE.get_or_init(|| generate_self_signed_certificate().unwrap())
}

fn settings() -> Arc<TransportSettings> {
    Arc::new(TransportSettings::new(server_certificate().clone()).unwrap())
}

fn corpus(kind: &str) -> Vec<Vec<u8>> {
    let root = std::env::var("KINGUICALL_CORPORA").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/corpora"),
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(root.join(kind)) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// A Binding request as a full, controlling agent sends it.
fn check(local: &IceCredentials, remote: &str, nominate: bool) -> Vec<u8> {
    check_with(local, &local.password, remote, nominate, true)
}

fn check_with(
    local: &IceCredentials,
    password: &str,
    remote: &str,
    nominate: bool,
    controlling: bool,
) -> Vec<u8> {
    let username = format!("{}:{remote}", local.ufrag);
    let id = TransId::new();
    let message = StunMessage::binding_request(&username, id, controlling, 7, 1_000, nominate);
    let mut bytes = vec![0; 300];
    let length = message
        .to_bytes(Some(password.as_bytes()), &mut bytes, hmac)
        .unwrap();
    bytes.truncate(length);
    bytes
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let digest = aws_lc_rs::hmac::sign(&key, &parts.concat());
    digest.as_ref().try_into().unwrap()
}

/// What a transport told, with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Sent(SocketAddr, Vec<u8>),
    Validated(Source),
    Expired(Source),
    Selected(SocketAddr),
    Proven,
    Retired(String),
    Keys(Vec<u8>, bool),
    State(TransportState),
    Data(Vec<u8>),
}

fn drain(transport: &mut Transport, now: Instant) -> Vec<Told> {
    let mut buffer = [0; POLL_BUFFER];
    let mut told = Vec::new();
    while let Some(output) = transport.poll_output(now, &mut buffer) {
        told.push(match output {
            Output::Transmit { to, bytes, .. } => Told::Sent(to, bytes.to_vec()),
            Output::AddressValidated(address) => Told::Validated(address),
            Output::AddressExpired(address) => Told::Expired(address),
            Output::SelectedPair { to, .. } => Told::Selected(to),
            Output::PairProven => Told::Proven,
            Output::UfragRetired(ufrag) => Told::Retired(ufrag),
            Output::Keys {
                keying_material,
                we_are_client,
                ..
            } => Told::Keys(keying_material.to_vec(), we_are_client),
            Output::State(state) => Told::State(state),
            Output::ApplicationData(data) => Told::Data(data.to_vec()),
        });
        assert!(told.len() < 10_000, "the transport never runs dry");
    }
    told
}

/// One transport and its peer.
struct Call {
    now: Instant,
    transport: Transport,
    told: Vec<Told>,
    peer: dimpl::Dtls,
    peer_keys: Option<Vec<u8>>,
    peer_data: Vec<Vec<u8>>,
    to_transport: VecDeque<Vec<u8>>,
    to_peer: VecDeque<Vec<u8>>,
    /// Plaintext alerts that the peer has been sent.
    alerts: Vec<Vec<u8>>,
    /// The peer says nothing by itself.
    is_mute: bool,
}

impl Call {
    /// A transport that has heard the peer, and been told `fingerprint` to expect.
    fn new(role: DtlsRole, fingerprint: [u8; 32]) -> Self {
        let now = start();
        let mut call = Self::unheard(now);
        call.transport.set_remote(
            now,
            RemoteDescription {
                ice: credentials("peer"),
                fingerprint_sha256: fingerprint,
                dtls_role: role,
            },
        );
        call.peer.set_active(role == DtlsRole::Server);
        let valid = call.stun(address(1), &check(&credentials("node"), "peer", true));
        assert!(valid);
        call
    }

    fn unheard(now: Instant) -> Self {
        let open = OpenTransport {
            id: TransportId::new(ShardId(0), 1),
            local: credentials("node"),
            path_secret: PathSecret([9; 16]),
            open_data_channels: false,
            dtls_rng_seed: Some(1),
        };
        let config = dtls::config(Some(2)).unwrap();
        Self {
            now,
            transport: Transport::new(now, open, &settings()),
            told: Vec::new(),
            peer: dimpl::Dtls::new_12(config, peer_certificate().clone(), now),
            peer_keys: None,
            peer_data: Vec::new(),
            to_transport: VecDeque::new(),
            to_peer: VecDeque::new(),
            alerts: Vec::new(),
            is_mute: false,
        }
    }

    fn stun(&mut self, from: SocketAddr, packet: &[u8]) -> bool {
        let valid = self.transport.handle_stun(self.now, SOCKET, from, packet);
        self.collect();
        valid
    }

    fn inject(&mut self, packet: &[u8]) {
        self.transport.handle_dtls(self.now, address(1), packet);
        self.collect();
    }

    fn collect(&mut self) {
        for told in drain(&mut self.transport, self.now) {
            match told {
                Told::Sent(_, bytes) if bytes.starts_with(&[21, 0xfe, 0xfd, 0, 0]) => {
                    self.alerts.push(bytes);
                }
                Told::Sent(_, bytes) if demux::classify(&bytes) == demux::DatagramKind::Dtls => {
                    self.to_peer.push_back(bytes);
                }
                other => self.told.push(other),
            }
        }
    }

    fn poll_peer(&mut self) {
        let mut buffer = [0; POLL_BUFFER];
        loop {
            match self.peer.poll_output(&mut buffer) {
                dimpl::Output::Packet(_) if self.is_mute => {}
                dimpl::Output::Packet(packet) => self.to_transport.push_back(packet.to_vec()),
                dimpl::Output::KeyingMaterial(keys, _) => self.peer_keys = Some(keys.to_vec()),
                dimpl::Output::ApplicationData(data) => self.peer_data.push(data.to_vec()),
                dimpl::Output::Timeout(_) => return,
                _ => {}
            }
        }
    }

    /// Moves datagrams until nothing moves; `attack` runs before each that reaches the transport.
    fn exchange(&mut self, mut attack: impl FnMut(&mut Self, &[u8])) {
        let _ = self.peer.handle_timeout(self.now);
        self.poll_peer();
        loop {
            if let Some(packet) = self.to_transport.pop_front() {
                attack(self, &packet);
                if !self.is_mute {
                    self.inject(&packet);
                }
            } else if let Some(packet) = self.to_peer.pop_front() {
                let _ = self.peer.handle_packet(&packet);
            } else {
                return;
            }
            self.poll_peer();
        }
    }

    /// Lets time pass in steps, with checks every 2 s, until `done` or `limit`.
    fn run(&mut self, limit: Duration, mut attack: impl FnMut(&mut Self, &[u8])) {
        let end = self.now + limit;
        let mut next_check = self.now;
        while self.now < end && !self.is_over() {
            if self.now >= next_check {
                next_check = self.now + Duration::from_secs(2);
                self.stun(address(1), &check(&credentials("node"), "peer", true));
            }
            self.transport.handle_timeout(self.now);
            self.collect();
            self.exchange(&mut attack);
            self.now += Duration::from_millis(100);
        }
    }

    fn is_over(&self) -> bool {
        let state = self.transport.state();
        state == TransportState::Connected || matches!(state, TransportState::Closed(_))
    }

    fn is_connected(&self) -> bool {
        self.transport.state() == TransportState::Connected
    }

    fn connected(role: DtlsRole) -> Self {
        let mut call = Self::new(role, fingerprint_sha256(&peer_certificate().certificate));
        call.exchange(|_, _| {});
        assert!(call.is_connected(), "{:?}", call.told);
        call
    }

    fn states(&self) -> Vec<TransportState> {
        let states = self.told.iter();
        let states = states.filter_map(|told| match told {
            Told::State(state) => Some(*state),
            _ => None,
        });
        states.collect()
    }

    fn passes_data(&mut self) -> bool {
        self.peer.send_application_data(b"from the peer").unwrap();
        let accepted = self
            .transport
            .send_application_data(self.now, b"from the node");
        self.collect();
        self.exchange(|_, _| {});
        accepted
            && self.told.contains(&Told::Data(b"from the peer".to_vec()))
            && self.peer_data.contains(&b"from the node".to_vec())
    }
}
