//! Which addresses count: checks, nominations, restarts.

use super::*;

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

/// The answer of whoever receives at `from` to the last check of ours that was sent there.
fn answer_to(call: &Call, to: SocketAddr) -> Option<Vec<u8>> {
    let sent = call.told.iter().rev().find_map(|told| match told {
        Told::Sent(address, bytes) if *address == to => {
            let message = StunMessage::parse(bytes).ok()?;
            message.is_binding_request().then(|| bytes.clone())
        }
        _ => None,
    })?;
    let request = StunMessage::parse(&sent).unwrap();
    assert_eq!(request.split_username(), Some(("peer", "node")));
    assert!(request.ice_controlled().is_some() && !request.use_candidate());
    let password = credentials("peer").password;
    assert!(request.verify(password.as_bytes(), hmac));
    Some(binding_success(&request, &password))
}

fn binding_success(request: &StunMessage<'_>, password: &str) -> Vec<u8> {
    let answer = StunMessage::binding_reply(request.trans_id(), address(0));
    let mut bytes = vec![0; 300];
    let password = Some(password.as_bytes());
    let len = answer.to_bytes(password, &mut bytes, hmac).unwrap();
    bytes.truncate(len);
    bytes
}

#[test]
fn a_path_is_proven_by_the_answer_to_a_check_that_only_a_receiver_there_has_seen() {
    let mut call = Call::connected(DtlsRole::Server);
    assert!(call.told.contains(&Told::Proven), "by the handshake");
    call.told.clear();
    let nominating = check(&credentials("node"), "peer", true);
    call.stun(address(2), &nominating);
    assert!(call.told.contains(&Told::Selected(address(2))));
    let answer = answer_to(&call, address(2)).expect("a check of ours");
    call.stun(address(3), &nominating);
    let of_another = answer_to(&call, address(3)).expect("a check of ours");
    call.stun(address(2), &nominating);
    let mut forged = answer.clone();
    forged[12] ^= 1;
    let of_a_stranger = {
        let request = StunMessage::parse(&answer).unwrap();
        binding_success(&request, "a password of somebody else")
    };
    for wrong in [&of_another, &forged, &of_a_stranger, &nominating] {
        let taken = call.transport.handle_stun_answer(SOCKET, address(2), wrong);
        call.collect();
        assert!(!taken && !call.told.contains(&Told::Proven));
    }
    let from_elsewhere = call
        .transport
        .handle_stun_answer(SOCKET, address(3), &answer);
    assert!(!from_elsewhere);
    let taken = call
        .transport
        .handle_stun_answer(SOCKET, address(2), &answer);
    call.collect();
    assert!(taken && call.told.contains(&Told::Proven));
    call.told.clear();
    call.stun(address(2), &nominating);
    assert_eq!(answer_to(&call, address(2)), None, "asked no more");
}

#[test]
fn an_address_that_was_proven_before_its_nomination_is_proven_at_once() {
    let mut call = Call::connected(DtlsRole::Server);
    let node = credentials("node");
    call.stun(address(2), &check(&node, "peer", false));
    let answer = answer_to(&call, address(2)).expect("a check of ours");
    call.transport
        .handle_stun_answer(SOCKET, address(2), &answer);
    call.transport
        .handle_stun(call.now, SOCKET, address(2), &check(&node, "peer", true));
    let mut buffer = [0; POLL_BUFFER];
    let mut proven = Vec::new();
    while let Some(output) = call.transport.poll_output(call.now, &mut buffer) {
        if let Output::SelectedPair { is_proven, .. } = output {
            proven.push(is_proven);
        }
    }
    assert_eq!(proven, [true]);
}

#[test]
fn a_handshake_whose_flights_went_to_several_addresses_proves_none() {
    let fingerprint = fingerprint_sha256(&peer_certificate().certificate);
    let mut call = Call::new(DtlsRole::Server, fingerprint);
    let victim = check(&credentials("node"), "peer", true);
    let mut flights = 0;
    call.exchange(|call, _| {
        flights += 1;
        if flights == 2 {
            call.transport
                .handle_stun(call.now, SOCKET, address(66), &victim);
        }
    });
    assert!(call.is_connected() && flights >= 2);
    assert_eq!(call.transport.selected_pair(), Some((SOCKET, address(66))));
    assert!(!call.told.contains(&Told::Proven));
}
