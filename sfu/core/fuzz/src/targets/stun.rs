//! Connectivity checks: as they come, and with a MESSAGE-INTEGRITY that is right, as from a peer
//! that knows the password.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use dimpl::certificate::generate_self_signed_certificate;
use is::stun::StunMessage;
use kinguicall_proto::api::{IceCredentials, OpenTransport, PathSecret, ShardId, TransportId};
use kinguicall_proto::egress::SocketIndex;
use kinguicall_proto::transport::{Output, POLL_BUFFER, Transport, TransportSettings};

use crate::input::Input;

const PASSWORD: &str = "a password of the node";
const HEADER: usize = 20;
const INTEGRITY: usize = 24;
/// An answer, the validated and the selected address, the state, a retired fragment and an expiry.
const MAX_OUTPUTS: usize = 6;

pub fn run(data: &[u8]) {
    let now = start();
    let mut transport = Transport::new(now, open("00ab"), settings());
    let mut input = Input(data);
    for step in 0..16 {
        if input.is_empty() {
            break;
        }
        let decision = input.byte();
        let packet = match decision & 3 {
            0 => input.take(usize::MAX).to_vec(),
            _ => signed(&mut input),
        };
        if decision & 0x10 != 0 {
            transport.restart_ice(open("00cd").local);
        }
        let now = now + Duration::from_secs(step * u64::from(decision >> 5));
        let port = 1_000 + u16::from(decision >> 2 & 3);
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        check(&mut transport, now, from, &packet);
        transport.handle_timeout(now);
        drain(&mut transport, now);
    }
}

fn check(transport: &mut Transport, now: Instant, from: SocketAddr, packet: &[u8]) {
    let accepted = transport.handle_stun(now, SocketIndex(0), from, packet);
    let (outputs, answers) = drain(transport, now);
    assert!(outputs <= MAX_OUTPUTS);
    assert!(transport.local_ufrags().count() <= 2);
    let request = StunMessage::parse(packet).ok();
    if accepted {
        assert!(transport.is_validated(from));
        assert!(transport.selected_pair().is_some());
    }
    if !answers.is_empty() {
        let request = request.expect("only a message is answered");
        assert!(request.verify(PASSWORD.as_bytes(), hmac_sha1));
        let [answer] = &answers[..] else {
            panic!("{} answers to one check", answers.len());
        };
        let answer = StunMessage::parse(answer).expect("an answer is a message");
        assert_eq!(answer.trans_id(), request.trans_id());
        assert_eq!(answer.is_successful_binding_response(), accepted);
        assert!(answer.verify(PASSWORD.as_bytes(), hmac_sha1));
    }
}

/// How much the transport says, and what it sends.
fn drain(transport: &mut Transport, now: Instant) -> (usize, Vec<Vec<u8>>) {
    let mut buffer = [0; POLL_BUFFER];
    let (mut count, mut answers) = (0, Vec::new());
    while let Some(output) = transport.poll_output(now, &mut buffer) {
        count += 1;
        if let Output::Transmit { bytes, .. } = output {
            answers.push(bytes.to_vec());
        }
    }
    (count, answers)
}

/// A Binding request with a user name of ours, the input's attributes, and a right integrity.
fn signed(input: &mut Input<'_>) -> Vec<u8> {
    let username = match input.byte() & 3 {
        0 => &b"00ab:peer"[..],
        1 => b"00cd:peer",
        2 => b"00ab:",
        _ => input.short(),
    };
    let mut packet = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    packet.extend([7; 12]);
    packet.extend([0, 6]);
    packet.extend((username.len() as u16).to_be_bytes());
    packet.extend(username);
    packet.resize(packet.len().next_multiple_of(4), 0);
    packet.extend(input.short());
    packet.resize(packet.len().next_multiple_of(4), 0);
    let length = (packet.len() - HEADER + INTEGRITY) as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    let integrity = hmac_sha1(PASSWORD.as_bytes(), &[&packet]);
    packet.extend([0, 8, 0, 20]);
    packet.extend(integrity);
    packet
}

fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let digest = hmac::sign(&key, &parts.concat());
    let mut bytes = [0; 20];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

fn open(ufrag: &str) -> OpenTransport {
    OpenTransport {
        id: TransportId::new(ShardId(0), 1),
        local: IceCredentials {
            ufrag: ufrag.to_owned(),
            password: PASSWORD.to_owned(),
        },
        path_secret: PathSecret([3; 16]),
        open_data_channels: false,
        dtls_rng_seed: Some(1),
    }
}

/// The time does not matter, only that it goes on.
pub(super) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn settings() -> &'static Arc<TransportSettings> {
    static SETTINGS: OnceLock<Arc<TransportSettings>> = OnceLock::new();
    SETTINGS.get_or_init(|| {
        let certificate = generate_self_signed_certificate().expect("a certificate");
        Arc::new(TransportSettings::new(certificate).expect("settings"))
    })
}
