//! Handshakes: keys in both roles, forged and broken messages, loss.

use proptest::prelude::*;

use super::*;

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
pub(super) fn forged_message(message_type: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
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
                filter.established(datagram);
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
