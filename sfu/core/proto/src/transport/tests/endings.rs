//! How a transport ends, and when nothing ends it.

use super::*;

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
