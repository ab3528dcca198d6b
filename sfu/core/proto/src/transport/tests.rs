//! A transport against a peer made of hand-written checks and a bare `dimpl` endpoint, with an
//! attacker in between who may send from the peer's own address.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dimpl::certificate::generate_self_signed_certificate;
use is::stun::{StunMessage, TransId};
use proptest::prelude::*;

use super::hello::{HandshakeFilter, fingerprint_sha256};
use super::records;
use super::*;
use crate::api::{ShardId, TransportId};

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
    let hmac = |key: &[u8], parts: &[&[u8]]| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let digest = aws_lc_rs::hmac::sign(&key, &parts.concat());
        digest.as_ref().try_into().unwrap()
    };
    let length = message
        .to_bytes(Some(password.as_bytes()), &mut bytes, hmac)
        .unwrap();
    bytes.truncate(length);
    bytes
}

/// What a transport told, with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Sent(SocketAddr, Vec<u8>),
    Validated(Source),
    Expired(Source),
    Selected(SocketAddr),
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
                self.inject(&packet);
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

#[test]
fn both_roles_agree_on_keys_and_pass_data() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut call = Call::connected(role);
        let keys = call
            .told
            .iter()
            .position(|told| matches!(told, Told::Keys(..)));
        let connected = Told::State(TransportState::Connected);
        let connected = call.told.iter().position(|told| *told == connected);
        assert!(
            keys.is_some() && keys < connected,
            "keys come before the state"
        );
        let Some(Told::Keys(keys, we_are_client)) = keys.map(|at| call.told[at].clone()) else {
            unreachable!()
        };
        assert_eq!(Some(keys), call.peer_keys);
        assert_eq!(we_are_client, role == DtlsRole::Client);
        assert!(call.passes_data());
        assert_eq!(
            call.states(),
            [TransportState::Connecting, TransportState::Connected]
        );
    }
}

#[test]
fn another_certificate_closes_in_both_roles() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut call = Call::new(role, [7; 32]);
        call.run(Duration::from_secs(20), |_, _| {});
        let closed = TransportState::Closed(CloseReason::FingerprintMismatch);
        assert_eq!(call.states(), [TransportState::Connecting, closed]);
        assert!(!call.told.iter().any(|told| matches!(told, Told::Keys(..))));
    }
}

/// A plaintext handshake message in a record of its own.
fn forged_message(message_type: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
    let fragment = records::Fragment {
        message_type,
        sequence,
        length: body.len(),
        offset: 0,
        body,
    };
    let header = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0];
    let mut record = Vec::new();
    records::write_message(&mut record, &header, &fragment, body);
    record
}

/// What an attacker who has seen nothing may say in either role's name.
fn forged_messages() -> Vec<Vec<u8>> {
    let certificate = [0, 0, 6, 0, 0, 3, 1, 2, 3];
    let mut server_hello = vec![0xfe, 0xfd];
    server_hello.extend([5; 32]);
    server_hello.extend([0, 0xc0, 0x2b, 0, 0, 0]);
    let mut key_exchange = vec![65, 4];
    key_exchange.extend([6; 64]);
    let mut forged = Vec::new();
    for sequence in 0..6 {
        forged.push(forged_message(
            records::SERVER_HELLO,
            sequence,
            &server_hello,
        ));
        forged.push(forged_message(records::CERTIFICATE, sequence, &certificate));
        forged.push(forged_message(
            records::CLIENT_KEY_EXCHANGE,
            sequence,
            &key_exchange,
        ));
        forged.push(forged_message(
            records::CERTIFICATE_VERIFY,
            sequence,
            &[4, 3, 0, 0],
        ));
        forged.push(forged_message(
            records::SERVER_KEY_EXCHANGE,
            sequence,
            &[3, 0, 29, 0],
        ));
        forged.push(forged_message(records::SERVER_HELLO_DONE, sequence, &[]));
    }
    forged
}

#[test]
fn forged_flights_from_the_peers_address_stop_no_handshake() {
    let forged = forged_messages();
    let expected = fingerprint_sha256(&peer_certificate().certificate);
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut call = Call::new(role, expected);
        call.exchange(|call, _| {
            for record in &forged {
                call.inject(record);
            }
        });
        assert!(call.is_connected(), "{role:?} {:?}", call.told);
        assert!(call.passes_data());
    }
}

#[test]
fn spoofed_hellos_without_a_cipher_stop_no_handshake() {
    let expected = fingerprint_sha256(&peer_certificate().certificate);
    let mut samples = corpus("dtls");
    samples.retain(|sample| sample.len() == 137 || sample.first() == Some(&22));
    samples.push(null_cipher_hello());
    let mut handshakes = 0;
    for round in 0..200 {
        let mut call = Call::new(DtlsRole::Server, expected);
        let mut at = round;
        call.exchange(|call, _| {
            for _ in 0..4 {
                call.inject(&samples[at % samples.len()]);
                call.inject(samples.last().unwrap());
                at += 1;
            }
        });
        handshakes += usize::from(call.is_connected());
    }
    assert_eq!(handshakes, 200);
}

/// A well-formed ClientHello that offers only TLS_NULL_WITH_NULL_NULL.
fn null_cipher_hello() -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([9; 32]);
    body.extend([0, 0, 0, 2, 0, 0, 1, 0]);
    forged_message(records::CLIENT_HELLO, 0, &body)
}

/// Plaintext records of every kind that an attacker may make up.
fn forged_records() -> Vec<Vec<u8>> {
    let record = |content_type: u8, epoch: u8, body: &[u8]| {
        let mut bytes = vec![content_type, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 77];
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    };
    vec![
        record(21, 0, &[2, 40]),
        record(21, 0, &[1, 0]),
        record(21, 1, &[2, 40]),
        record(20, 0, &[1]),
        record(23, 0, b"not encrypted"),
        record(23, 1, &[3; 60]),
        record(22, 0, &[0; 40]),
        record(22, 2, &[1; 60]),
        record(24, 0, &[1; 30]),
        record(20, 1, &[1]),
        record(22, 1, &[1; 30]),
    ]
}

#[test]
fn junk_in_the_middle_of_handshakes_stops_none() {
    let mut samples = forged_records();
    for kind in ["dtls", "dtls-ext", "stun", "any"] {
        samples.extend(
            corpus(kind)
                .into_iter()
                .filter(|sample| sample.len() <= POLL_BUFFER),
        );
    }
    for role in [DtlsRole::Server, DtlsRole::Client] {
        for some in samples.chunks(8) {
            let expected = fingerprint_sha256(&peer_certificate().certificate);
            let mut call = Call::new(role, expected);
            call.exchange(|call, genuine| {
                for sample in some {
                    call.inject(sample);
                    call.inject(&sample[..sample.len() / 2]);
                }
                for cut in (0..genuine.len()).step_by(37) {
                    call.inject(&genuine[..cut]);
                }
            });
            assert!(call.is_connected(), "{role:?} {some:?}");
            assert!(call.passes_data());
        }
    }
}

#[test]
fn junk_after_the_handshake_does_not_reach_the_application() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut call = Call::connected(role);
        let before = call.told.len();
        for sample in forged_records() {
            for _ in 0..100 {
                call.inject(&sample);
            }
        }
        for sample in corpus("dtls").iter().chain(&corpus("any")) {
            for cut in (0..sample.len().min(200)).chain([sample.len()]) {
                call.inject(&sample[..cut]);
            }
        }
        assert_eq!(call.told.len(), before, "{:?}", &call.told[before..]);
        assert!(call.passes_data());
    }
}

#[test]
fn a_hello_may_come_in_pieces_and_in_any_order() {
    let expected = fingerprint_sha256(&peer_certificate().certificate);
    for reversed in [false, true] {
        let mut call = Call::new(DtlsRole::Server, expected);
        let _ = call.peer.handle_timeout(call.now);
        call.poll_peer();
        let hello = call.to_transport.pop_front().unwrap();
        let mut pieces = cut_message(&hello, 50);
        if reversed {
            pieces.reverse();
        }
        call.to_transport.extend(pieces);
        call.exchange(|_, _| {});
        assert!(call.is_connected());
    }
}

/// The one handshake message of a datagram in two records of their own.
fn cut_message(datagram: &[u8], at: usize) -> Vec<Vec<u8>> {
    let (header, message) = datagram.split_at(records::RECORD_HEADER);
    let (message_header, body) = message.split_at(records::HANDSHAKE_HEADER);
    let piece = |offset: usize, part: &[u8]| {
        let mut bytes = header[..11].to_vec();
        bytes.extend(((records::HANDSHAKE_HEADER + part.len()) as u16).to_be_bytes());
        bytes.extend(&message_header[..6]);
        bytes.extend(&(offset as u32).to_be_bytes()[1..]);
        bytes.extend(&(part.len() as u32).to_be_bytes()[1..]);
        bytes.extend(part);
        bytes
    };
    vec![piece(0, &body[..at]), piece(at, &body[at..])]
}

#[test]
fn datagrams_from_unknown_addresses_are_not_decrypted() {
    let mut call = Call::new(
        DtlsRole::Server,
        fingerprint_sha256(&peer_certificate().certificate),
    );
    let _ = call.peer.handle_timeout(call.now);
    call.poll_peer();
    let hello = call.to_transport.pop_front().unwrap();
    call.transport.handle_dtls(call.now, address(66), &hello);
    call.collect();
    assert!(call.to_peer.is_empty());
}

#[test]
fn checks_without_the_password_move_nothing() {
    let mut call = Call::connected(DtlsRole::Server);
    let node = credentials("node");
    let stranger = address(66);
    let before = call.told.len();
    let mut without_integrity = check(&node, "peer", true);
    without_integrity.truncate(without_integrity.len() - 32);
    let length = (without_integrity.len() - 20) as u16;
    without_integrity[2..4].copy_from_slice(&length.to_be_bytes());
    let mut indication = check(&node, "peer", true);
    indication[1] = 0x11;
    let mut bare_indication = vec![0, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    bare_indication.extend([5; 12]);
    let mut samples = vec![
        check_with(&node, "a guessed password of theirs", "peer", true, true),
        check(&credentials("else"), "peer", true),
        check(&node, "elsewhere", true),
        without_integrity,
        indication,
        bare_indication,
    ];
    samples.extend(corpus("stun"));
    for sample in &samples {
        for cut in 0..=sample.len() {
            assert!(!call.stun(stranger, &sample[..cut]));
        }
    }
    assert_eq!(call.told.len(), before);
    assert!(!call.transport.is_validated(stranger));
}

#[test]
fn media_follows_the_last_nomination() {
    let mut call = Call::connected(DtlsRole::Server);
    let node = credentials("node");
    assert!(call.stun(address(2), &check(&node, "peer", false)));
    assert_eq!(call.transport.selected_pair(), Some((SOCKET, address(1))));
    assert!(call.stun(address(2), &check(&node, "peer", true)));
    assert_eq!(call.transport.selected_pair(), Some((SOCKET, address(2))));
    assert!(call.told.contains(&Told::Selected(address(2))));
    assert!(call.transport.is_validated(address(1)));
}

#[test]
fn a_peer_has_a_bounded_number_of_addresses() {
    let mut call = Call::connected(DtlsRole::Server);
    let request = check(&credentials("node"), "peer", false);
    let accepted = (2..60)
        .filter(|&last| call.stun(address(last), &request))
        .count();
    assert_eq!(accepted, MAX_ADDRESSES - 1);
    call.now += Duration::from_secs(6);
    call.stun(address(1), &check(&credentials("node"), "peer", true));
    assert!(
        call.stun(address(99), &request),
        "a silent address gives way"
    );
    assert!(call.told.contains(&Told::Expired(address(2).into())));
    assert_eq!(call.transport.selected_pair(), Some((SOCKET, address(1))));
}

#[test]
fn a_peer_that_thinks_it_is_controlled_is_told_otherwise() {
    let mut call = Call::unheard(start());
    let node = credentials("node");
    let request = check_with(&node, &node.password, "peer", false, false);
    assert!(!call.stun(address(1), &request));
    let Some(Told::Sent(_, answer)) = call.told.first() else {
        panic!("no answer")
    };
    let answer = StunMessage::parse(answer).unwrap();
    assert_eq!(answer.error_code().map(|(code, _)| code), Some(487));
    assert_eq!(call.transport.selected_pair(), None);
}

#[test]
fn a_connection_is_a_way_of_its_own_and_gives_way_when_it_ends() {
    let mut call = Call::connected(DtlsRole::Server);
    let connection = SocketIndex::connection(3).unwrap();
    let source = Source::new(connection, address(1));
    assert!(
        !call.transport.is_validated(source),
        "the same port, but over UDP"
    );
    let nominating = check(&credentials("node"), "peer", true);
    assert!(
        call.transport
            .handle_stun(call.now, connection, address(1), &nominating)
    );
    call.collect();
    assert!(call.transport.is_validated(source));
    assert_eq!(
        call.transport.selected_pair(),
        Some((connection, address(1)))
    );
    call.transport.forget(source);
    call.collect();
    assert!(call.told.contains(&Told::Expired(source)));
    assert_eq!(call.transport.selected_pair(), Some((SOCKET, address(1))));
    call.transport.forget(address(1).into());
    assert_eq!(call.transport.selected_pair(), None);
    assert!(call.stun(address(2), &check(&credentials("node"), "peer", false)));
    assert_eq!(call.transport.selected_pair(), Some((SOCKET, address(2))));
}

#[test]
fn a_restart_keeps_the_old_pair_until_the_new_one_is_nominated() {
    let mut call = Call::connected(DtlsRole::Server);
    let (old, new) = (credentials("node"), credentials("again"));
    call.transport.restart_ice(new.clone());
    assert_eq!(
        call.transport.local_ufrags().collect::<Vec<_>>(),
        ["again", "node"]
    );
    assert!(
        call.stun(address(1), &check(&old, "peer", true)),
        "the old name still counts"
    );
    call.transport.set_remote(
        call.now,
        RemoteDescription {
            ice: credentials("peer2"),
            fingerprint_sha256: fingerprint_sha256(&peer_certificate().certificate),
            dtls_role: DtlsRole::Server,
        },
    );
    assert!(
        !call.stun(address(3), &check(&new, "peer", false)),
        "names are not mixed"
    );
    assert!(call.stun(address(2), &check(&new, "peer2", false)));
    assert_eq!(call.transport.selected_pair(), Some((SOCKET, address(1))));
    assert!(call.stun(address(2), &check(&new, "peer2", true)));
    assert_eq!(call.transport.selected_pair(), Some((SOCKET, address(2))));
    assert!(call.told.contains(&Told::Retired("node".to_owned())));
    assert!(!call.stun(address(1), &check(&old, "peer", true)));
    assert!(call.is_connected() && call.passes_data());
}

#[test]
fn a_restart_whose_remote_part_comes_first_works_too() {
    let mut call = Call::connected(DtlsRole::Server);
    let remote = RemoteDescription {
        ice: credentials("peer2"),
        fingerprint_sha256: [0; 32],
        dtls_role: DtlsRole::Server,
    };
    call.transport.set_remote(call.now, remote);
    call.transport.restart_ice(credentials("again"));
    assert!(call.stun(address(1), &check(&credentials("node"), "peer", true)));
    assert!(call.stun(address(2), &check(&credentials("again"), "peer2", true)));
    assert!(call.told.contains(&Told::Retired("node".to_owned())));
    assert_eq!(call.transport.local_ufrags().collect::<Vec<_>>(), ["again"]);
}

/// Jumps from deadline to deadline until the transport closes; nothing comes in.
fn until_closed(call: &mut Call) -> Duration {
    let from = call.now;
    while let Some((at, reason)) = call.transport.poll_timeout() {
        assert!(at - from < Duration::from_secs(120), "{reason}");
        call.now = call.now.max(at);
        call.transport.handle_timeout(call.now);
        call.collect();
    }
    call.now - from
}

#[test]
fn nobody_comes() {
    let mut call = Call::unheard(start());
    assert_eq!(until_closed(&mut call), Duration::from_secs(60));
    assert_eq!(
        call.states(),
        [TransportState::Closed(CloseReason::ConnectTimeout)]
    );
}

#[test]
fn a_peer_that_falls_silent_loses_consent() {
    let mut call = Call::connected(DtlsRole::Server);
    assert_eq!(until_closed(&mut call), Duration::from_secs(30));
    assert_eq!(
        call.states()[2..],
        [
            TransportState::Disconnected,
            TransportState::Closed(CloseReason::ConsentExpired)
        ]
    );
}

#[test]
fn a_peer_may_come_back() {
    let mut call = Call::connected(DtlsRole::Server);
    call.now += Duration::from_secs(11);
    call.transport.handle_timeout(call.now);
    call.collect();
    assert_eq!(call.transport.state(), TransportState::Disconnected);
    call.stun(address(5), &check(&credentials("node"), "peer", false));
    assert_eq!(call.transport.state(), TransportState::Connected);
    assert_eq!(call.transport.selected_pair(), Some((SOCKET, address(5))));
}

#[test]
fn a_peer_that_never_says_hello_is_given_up() {
    let expected = fingerprint_sha256(&peer_certificate().certificate);
    let mut call = Call::new(DtlsRole::Server, expected);
    for _ in 0..40 {
        call.now += Duration::from_secs(1);
        call.stun(address(1), &check(&credentials("node"), "peer", true));
        call.transport.handle_timeout(call.now);
        call.collect();
    }
    assert_eq!(
        call.states(),
        [
            TransportState::Connecting,
            TransportState::Closed(CloseReason::HandshakeFailed)
        ]
    );
}

#[test]
fn closing_tells_the_peer_first() {
    let mut call = Call::connected(DtlsRole::Server);
    call.transport.close();
    let told = drain(&mut call.transport, call.now);
    assert!(matches!(&told[0], Told::Sent(to, alert) if *to == address(1) && alert[0] == 21));
    let closed = Told::State(TransportState::Closed(CloseReason::Requested));
    assert_eq!(told[1..], [closed]);
    assert_eq!(call.transport.poll_timeout(), None);
    assert!(!call.transport.send_application_data(call.now, b"late"));
}

#[test]
fn the_peer_may_close() {
    let mut call = Call::connected(DtlsRole::Server);
    call.peer.close().unwrap();
    call.exchange(|_, _| {});
    let closed = TransportState::Closed(CloseReason::PeerClosed);
    assert_eq!(call.states().last(), Some(&closed));
}

#[test]
fn lost_flights_are_sent_again() {
    for seed in 0..20 {
        for role in [DtlsRole::Server, DtlsRole::Client] {
            assert!(connects_despite_loss(role, seed), "{role:?}, seed {seed}");
        }
    }
}

/// A handshake with one datagram in four lost, at random, each way.
fn connects_despite_loss(role: DtlsRole, seed: u64) -> bool {
    let expected = fingerprint_sha256(&peer_certificate().certificate);
    let mut call = Call::new(role, expected);
    let mut random = seed;
    let mut is_lost = || {
        // SplitMix64.
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (random ^ random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31).is_multiple_of(4)
    };
    for round in 0..290 {
        call.now += Duration::from_millis(100);
        if round % 20 == 0 {
            call.stun(address(1), &check(&credentials("node"), "peer", true));
        }
        call.transport.handle_timeout(call.now);
        call.collect();
        let _ = call.peer.handle_timeout(call.now);
        call.poll_peer();
        for packet in std::mem::take(&mut call.to_transport) {
            if !is_lost() {
                call.inject(&packet);
            }
        }
        for packet in std::mem::take(&mut call.to_peer) {
            if !is_lost() {
                let _ = call.peer.handle_packet(&packet);
            }
        }
        call.poll_peer();
        if call.is_connected() && call.peer_keys.is_some() {
            return true;
        }
    }
    false
}

proptest! {
    #[test]
    fn the_filter_survives_any_bytes(
        datagrams in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..120), 1..8),
    ) {
        let now = start();
        for role in [DtlsRole::Server, DtlsRole::Client] {
            let mut filter = HandshakeFilter::new(role, [0; 32]);
            for datagram in &datagrams {
                filter.handshaking(now, datagram);
                let _ = filter.established(datagram);
            }
        }
    }

    #[test]
    fn handshake_shaped_bytes_are_survived(
        pieces in proptest::collection::vec(
            (1_u8..21, 0_u16..6, 0_usize..600, 0_usize..600, 0_usize..300), 1..40),
    ) {
        let mut call = Call::new(DtlsRole::Server, [0; 32]);
        for (kind, sequence, length, offset, size) in pieces {
            let body = vec![kind; size];
            let mut bytes = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1];
            bytes.extend(((12 + size) as u16).to_be_bytes());
            bytes.push(kind);
            bytes.extend(&(length as u32).to_be_bytes()[1..]);
            bytes.extend(sequence.to_be_bytes());
            bytes.extend(&(offset as u32).to_be_bytes()[1..]);
            bytes.extend(&(size as u32).to_be_bytes()[1..]);
            bytes.extend(body);
            call.inject(&bytes);
        }
            prop_assert_eq!(call.transport.state(), TransportState::Connecting);
    }
}
