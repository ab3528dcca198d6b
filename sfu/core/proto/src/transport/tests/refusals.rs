//! Clients that can never connect: they are told, and so is whoever looks for the reason.

use super::handshakes::forged_message;
use super::*;

const FATAL: u8 = 2;
/// SubjectPublicKeyInfo's algorithm of an RSA key (RFC 3279, section 2.3.1).
const RSA_ENCRYPTION: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

/// Runs until the transport closes; returns when, the reason and the alerts that the peer was sent.
fn ends(call: &mut Call) -> (Duration, CloseReason, Vec<Vec<u8>>) {
    let from = call.now;
    call.run(Duration::from_secs(40), |_, _| {});
    let TransportState::Closed(reason) = call.transport.state() else {
        panic!("still {:?}", call.transport.state());
    };
    (call.now - from, reason, call.alerts.clone())
}

fn alert(description: u8) -> Vec<u8> {
    records::alert([FATAL, description]).to_vec()
}

fn hello(version: [u8; 2], suites: &[u8], extensions: &[u8]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([9; 32]);
    body.extend([0, 0]);
    body.extend((suites.len() as u16).to_be_bytes());
    body.extend(suites);
    body.extend([1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    forged_message(records::CLIENT_HELLO, 0, &body)
}

/// A transport whose peer says nothing by itself.
fn called() -> Call {
    let expected = fingerprint_sha256(&peer_certificate().certificate);
    let mut call = Call::new(DtlsRole::Server, expected);
    call.is_mute = true;
    call
}

#[test]
fn a_client_with_another_version_alone_gets_an_alert() {
    let supports_1_3 = [0, 43, 0, 3, 2, 0xfe, 0xfc];
    let hellos = [
        (hello([0xfe, 0xfd], &[0x13, 1], &supports_1_3), 70),
        (hello([0xfe, 0xff], &[0xc0, 0x2b], &[]), 70),
        (hello([0xfe, 0xfd], &[0, 0x2f], &[]), 40),
    ];
    for (hello, description) in hellos {
        let mut call = called();
        call.inject(&hello);
        let (after, reason, alerts) = ends(&mut call);
        assert_eq!(reason, CloseReason::DtlsUnsupported);
        assert!(after <= Duration::from_secs(4), "{after:?}");
        assert_eq!(alerts, [alert(description)]);
    }
}

#[test]
fn a_client_that_refuses_is_not_waited_for() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut call = Call::new(role, [7; 32]);
        call.is_mute = true;
        call.inject(&alert(40));
        let (after, reason, alerts) = ends(&mut call);
        assert_eq!(reason, CloseReason::HandshakeRefused);
        assert!(after <= Duration::from_secs(4), "{after:?}");
        assert!(alerts.is_empty(), "one alert is not answered by another");
    }
}

/// Brings a handshake to where the client's certificate is due.
fn until_certificate(call: &mut Call) {
    call.exchange(|call, packet| {
        let first = records::records(packet).next();
        let first = first.and_then(|it| records::fragments(it.body()).next());
        let is_hello = first.is_some_and(|it| it.message_type == records::CLIENT_HELLO);
        if !is_hello {
            call.is_mute = true;
        }
    });
    assert!(call.is_mute);
}

#[test]
fn no_certificate_is_no_other_certificate() {
    let expected = fingerprint_sha256(&peer_certificate().certificate);
    let mut call = Call::new(DtlsRole::Server, expected);
    until_certificate(&mut call);
    call.inject(&forged_message(records::CERTIFICATE, 1, &[0, 0, 0]));
    let (after, reason, alerts) = ends(&mut call);
    assert_eq!(reason, CloseReason::CertificateUnsupported);
    assert!(after <= Duration::from_secs(2), "{after:?}");
    assert_eq!(alerts, [alert(40)]);
}

#[test]
fn another_certificate_is_answered_with_an_alert() {
    let mut call = Call::new(DtlsRole::Server, [7; 32]);
    let (_, reason, alerts) = ends(&mut call);
    assert_eq!(reason, CloseReason::FingerprintMismatch);
    assert_eq!(alerts, [alert(42)]);
}

#[test]
fn an_announced_certificate_with_an_rsa_key_ends_the_handshake_at_once() {
    let certificate = [&[0x30; 40], RSA_ENCRYPTION, &[5, 0]].concat();
    let mut call = Call::new(DtlsRole::Server, fingerprint_sha256(&certificate));
    until_certificate(&mut call);
    let length = (certificate.len() as u32).to_be_bytes();
    let list = (certificate.len() as u32 + 3).to_be_bytes();
    let body = [&list[1..], &length[1..], &certificate].concat();
    call.inject(&forged_message(records::CERTIFICATE, 1, &body));
    let (after, reason, alerts) = ends(&mut call);
    assert_eq!(reason, CloseReason::CertificateUnsupported);
    assert!(after <= Duration::from_millis(200), "{after:?}");
    assert_eq!(alerts, [alert(43)]);
}

#[test]
fn made_up_troubles_stop_no_handshake_that_goes_on() {
    let expected = fingerprint_sha256(&peer_certificate().certificate);
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut call = Call::new(role, expected);
        let made_up = [
            alert(40),
            hello([0xfe, 0xfd], &[0x13, 1], &[0, 43, 0, 3, 2, 0xfe, 0xfc]),
            forged_message(records::CERTIFICATE, 1, &[0, 0, 0]),
        ];
        call.exchange(|call, _| {
            for datagram in &made_up {
                call.inject(datagram);
            }
        });
        assert!(call.is_connected(), "{role:?}");
        call.run(Duration::from_secs(5), |_, _| {});
        assert!(call.passes_data() && call.alerts.is_empty());
    }
}

#[test]
fn a_server_that_ignores_the_first_hello_gets_another_after_a_tenth_of_a_second() {
    let expected = fingerprint_sha256(&peer_certificate().certificate);
    let mut call = Call::new(DtlsRole::Client, expected);
    let first = call.to_peer.pop_front().expect("a hello");
    assert!(call.to_peer.is_empty());
    let (at, _) = call.transport.poll_timeout().expect("a timer");
    assert_eq!(at - call.now, Duration::from_millis(100));
    call.now = at;
    call.transport.handle_timeout(call.now);
    call.collect();
    assert_eq!(call.to_peer, [first], "the same again");
    call.exchange(|_, _| {});
    assert!(call.is_connected() && call.passes_data());
}

#[test]
fn a_server_that_answers_gets_one_hello() {
    let mut call = Call::connected(DtlsRole::Client);
    call.to_peer.clear();
    call.now += Duration::from_millis(150);
    call.transport.handle_timeout(call.now);
    call.collect();
    assert!(call.to_peer.is_empty());
}
