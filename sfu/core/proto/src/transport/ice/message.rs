//! STUN messages on their way out: answers to checks, and checks of our own.
//!
//! A lite agent sends no checks to find addresses. These serve another end: anybody who has
//! credentials can claim an address by a check from there, with a forged source, and have media sent to
//! whoever lives there. Only who receives at an address can answer a check of ours, as its transaction
//! identifier is a code that nobody else can compute. So nothing has to be remembered of it.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;
use is::stun::{StunMessage, TransId};

use super::pairs::Pair;
use crate::api::{IceCredentials, PathSecret};
use crate::egress::SocketIndex;

/// A check of ours has two user name fragments of at most 256 bytes, and 80 bytes beside them; an
/// answer is far shorter.
const MAX_MESSAGE: usize = 608;
/// Of the type "peer-reflexive" (RFC 8445, section 5.1.2.1): nobody looks at it.
const PRIORITY: u32 = (110 << 24) | (0xffff << 8) | 255;
/// Beginning of a Binding indication, which needs no attributes: the crate makes identifiers by parsing.
const BARE_MESSAGE: [u8; 8] = [0, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42];

/// A message to be sent.
#[derive(Debug)]
pub(crate) struct Message {
    pub socket: SocketIndex,
    pub to: SocketAddr,
    bytes: Box<[u8]>,
}

impl Message {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `message` under `password`.
    pub(crate) fn new(
        message: StunMessage<'_>,
        password: &[u8],
        socket: SocketIndex,
        to: SocketAddr,
    ) -> Option<Self> {
        let mut bytes = [0; MAX_MESSAGE];
        let len = message
            .to_bytes(Some(password), &mut bytes, hmac_sha1)
            .ok()?;
        Some(Self {
            socket,
            to,
            bytes: bytes[..len].into(),
        })
    }

    /// A check of ours on this pair.
    pub(crate) fn check(
        secret: &PathSecret,
        local: &IceCredentials,
        remote: &IceCredentials,
        pair: &Pair,
    ) -> Option<Self> {
        let username = format!("{}:{}", remote.ufrag, local.ufrag);
        let id = transaction(secret, pair)?;
        let message = StunMessage::binding_request(&username, id, false, 0, PRIORITY, false);
        let password = remote.password.as_bytes();
        Self::new(message, password, pair.socket, pair.address)
    }
}

/// What a check of ours on this pair, and its answer, are called.
pub(super) fn transaction(secret: &PathSecret, pair: &Pair) -> Option<TransId> {
    let (ip, port) = match pair.address.ip() {
        IpAddr::V4(ip) => (ip.to_ipv6_mapped(), pair.address.port()),
        IpAddr::V6(ip) => (ip, pair.address.port()),
    };
    let parts = [
        &ip.octets()[..],
        &port.to_be_bytes(),
        &pair.socket.0.to_be_bytes(),
        &pair.serial.to_be_bytes(),
    ];
    let code = hmac_sha1(&secret.0, &parts);
    let mut header = [0; 20];
    header[..8].copy_from_slice(&BARE_MESSAGE);
    header[8..].copy_from_slice(&code[..12]);
    Some(StunMessage::parse(&header).ok()?.trans_id())
}

/// HMAC-SHA1, as MESSAGE-INTEGRITY wants it (RFC 8489, section 14.5).
pub(super) fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 20];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}
